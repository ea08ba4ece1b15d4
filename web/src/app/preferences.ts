import { useEffect, useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();

function read(key: string): string | null {
  try {
    return localStorage.getItem(`fluoro.${key}`);
  } catch {
    return null;
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener('storage', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('storage', listener);
  };
}

/** A preference of the user that this browser remembers. It is not part of the address. */
export function usePreference<T extends string>(key: string, allowed: readonly T[], fallback: T): [T, (value: T) => void] {
  const stored = useSyncExternalStore(subscribe, () => read(key));
  const value = allowed.find((candidate) => candidate === stored) ?? fallback;
  const set = (next: T): void => {
    try {
      localStorage.setItem(`fluoro.${key}`, next);
    } catch {
      // Storage may be full or forbidden; the preference then lasts for this page only.
    }
    listeners.forEach((listener) => listener());
  };
  return [value, set];
}

export const themes = ['light', 'dark', 'system'] as const;
export type Theme = (typeof themes)[number];

/** The chosen theme, applied to the page; `system` follows the operating system. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = usePreference<Theme>('theme', themes, 'system');
  useEffect(() => {
    const query = window.matchMedia('(prefers-color-scheme: dark)');
    const apply = (): void => {
      const dark = theme === 'dark' || (theme === 'system' && query.matches);
      document.body.classList.toggle('awsui-dark-mode', dark);
      document.documentElement.classList.toggle('fl-dark', dark);
    };
    apply();
    query.addEventListener('change', apply);
    return () => query.removeEventListener('change', apply);
  }, [theme]);
  return [theme, setTheme];
}

export const refreshChoices = ['live', 'off', '10', '30', '60'] as const;
export type Refresh = (typeof refreshChoices)[number];

/** How relative time ranges refresh: by the live stream, never, or every n seconds. */
export function useRefresh(): [Refresh, (refresh: Refresh) => void] {
  return usePreference<Refresh>('refresh', refreshChoices, 'live');
}

export const linkedChoices = ['include', 'exclude'] as const;
export type LinkedAccounts = (typeof linkedChoices)[number];

/** Whether answers include the traces of linked accounts; requests read it too (client.ts). */
export function useLinkedAccounts(): [LinkedAccounts, (linked: LinkedAccounts) => void] {
  return usePreference<LinkedAccounts>('linked', linkedChoices, 'include');
}
