import { href } from './router';

const key = 'fluoro.list';

/** Remembers the address of the list of traces, with its filter, for the link back. */
export function rememberList(hash: string): void {
  try {
    sessionStorage.setItem(key, hash);
  } catch {
    // Without storage, the link back leads to the list without a filter.
  }
}

/** The address of the list of traces that this tab showed last. */
export function lastList(): string {
  try {
    return sessionStorage.getItem(key) ?? href('/traces');
  } catch {
    return href('/traces');
  }
}
