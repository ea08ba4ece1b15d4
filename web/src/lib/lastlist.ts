import { href } from './router';

const key = 'fluoro.list';

/** Remembers the address of the list of traces, with its filter, for the way back. */
export function rememberList(hash: string): void {
  try {
    sessionStorage.setItem(key, hash);
  } catch {
    // Without storage the way back leads to the plain list.
  }
}

/** The list of traces as it was last seen in this tab. */
export function lastList(): string {
  try {
    return sessionStorage.getItem(key) ?? href('/traces');
  } catch {
    return href('/traces');
  }
}
