import { useCallback, useSyncExternalStore } from 'react';

/** The location in the console: the path and the parameters after `#`. */
export interface Location {
  path: string;
  params: URLSearchParams;
}

/** Reads the fragment of an address. The X-Ray console's own links have this form. */
export function parseHash(hash: string): Location {
  const text = hash.replace(/^#/, '') || '/';
  const mark = text.indexOf('?');
  const path = mark < 0 ? text : text.slice(0, mark);
  return {
    path: path.startsWith('/') ? path : `/${path}`,
    params: new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1)),
  };
}

/** Parameters to set; null or empty text removes one. */
export type ParamChanges = Record<string, string | null | undefined>;

/** A link to a page of the console, with the parameters that have a value. */
export function href(path: string, params: ParamChanges = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== '') {
      search.set(key, value);
    }
  }
  const text = search.toString();
  return `#${path}${text ? `?${text}` : ''}`;
}

function subscribe(listener: () => void): () => void {
  window.addEventListener('hashchange', listener);
  window.addEventListener('popstate', listener);
  return () => {
    window.removeEventListener('hashchange', listener);
    window.removeEventListener('popstate', listener);
  };
}

/** Goes to a link made by href. With replace, the step back skips the current address. */
export function navigate(link: string, replace = false): void {
  if (link === window.location.hash) {
    return;
  }
  window.history[replace ? 'replaceState' : 'pushState'](null, '', link);
  window.dispatchEvent(new PopStateEvent('popstate'));
}

let cachedHash: string | null = null;
let cached: Location = { path: '/', params: new URLSearchParams() };

function snapshot(): Location {
  if (window.location.hash !== cachedHash) {
    cachedHash = window.location.hash;
    cached = parseHash(cachedHash);
  }
  return cached;
}

/** The current location; the component renders again when it changes. */
export function useLocation(): Location {
  return useSyncExternalStore(subscribe, snapshot);
}

/** Changes parameters of the current page, keeping the others. */
export function useSetParams(): (changes: ParamChanges, replace?: boolean) => void {
  return useCallback((changes, replace = false) => {
    const { path, params } = snapshot();
    navigate(href(path, { ...Object.fromEntries(params), ...changes }), replace);
  }, []);
}
