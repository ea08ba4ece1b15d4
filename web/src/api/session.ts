import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import { createContext, useCallback, useContext } from 'react';
import { ApiError, get, post, setToken } from './client';

/** A console session in a list. Times are RFC 3339. */
export interface ConsoleSession {
  id: string;
  user: string;
  arn: string;
  method: string;
  created: string;
  used: string;
  expires: string;
  address: string;
  agent: string;
  current: boolean;
}

/** Who uses the console, and what they may do (docs/console-api.md). */
export interface Session {
  /** False if the server lets everyone in. */
  required: boolean;
  type: string;
  name: string;
  arn: string;
  account: string;
  region: string;
  proof: string;
  /** The actions that are allowed on at least some resource. The server decides each request by itself. */
  actions: string[] | null;
  token?: string;
  session?: ConsoleSession;
  /** The user has a password; may register passkeys at this address. */
  password?: boolean;
  passkeys?: boolean;
}

/** How people can sign in. */
export interface LoginMethods {
  required: boolean;
  password: boolean;
  passkey: boolean;
  oidc: boolean;
  leastPassword: number;
  problem?: string;
}

/** The session, null if nobody is signed in. */
export function useSessionQuery(): UseQueryResult<Session | null> {
  return useQuery({
    queryKey: ['session'],
    queryFn: async ({ signal }) => {
      try {
        const session = await get<Session>('/console/api/session', signal);
        setToken(session.token ?? '');
        return session;
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) {
          setToken('');
          return null;
        }
        throw error;
      }
    },
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: 60_000,
  });
}

/** The session of the console; null while no gate has set it, as in tests of one page. */
export const SessionContext = createContext<Session | null>(null);

/** Who uses the console. */
export function useSession(): Session | null {
  return useContext(SessionContext);
}

/** Tells whether the user may use an action, as far as the server could tell in advance. */
export function useMay(): (action: string) => boolean {
  const session = useContext(SessionContext);
  return useCallback((action: string) => session?.actions?.includes(action) ?? session === null, [session]);
}

/** Ends the session and loads the page anew, so that nothing of it stays in memory. */
export async function signOut(): Promise<void> {
  await post('/console/api/logout', {});
  window.location.reload();
}

type Ceremony = { id: string; options: unknown };

/** Passkeys need a secure page and a browser that converts their JSON (Web Authentication, Level 3). */
export function browserHasPasskeys(): boolean {
  return typeof PublicKeyCredential === 'function' && 'parseRequestOptionsFromJSON' in PublicKeyCredential;
}

/** Signs in with any passkey of this server. */
export async function signInWithPasskey(): Promise<void> {
  const { id, options } = await post<Ceremony>('/console/api/login/passkey', {});
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options as PublicKeyCredentialRequestOptionsJSON);
  const made = await navigator.credentials.get({ publicKey });
  await post('/console/api/login/passkey/finish', { id, answer: (made as PublicKeyCredential).toJSON() });
}

/** Registers a passkey for the user who is signed in. */
export async function registerPasskey(title: string): Promise<void> {
  const { id, options } = await post<Ceremony>('/console/api/passkeys/begin', { title });
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options as PublicKeyCredentialCreationOptionsJSON);
  const made = await navigator.credentials.create({ publicKey });
  await post('/console/api/passkeys/finish', { id, answer: (made as PublicKeyCredential).toJSON() });
}

/** What went wrong when a person cancelled, in their words. */
export function passkeyProblem(error: unknown): string {
  if (error instanceof DOMException) {
    return error.name === 'InvalidStateError' ? 'This device already has a passkey for you.' : 'The passkey was not used: it was cancelled, took too long, or there is none for this server.';
  }
  return error instanceof Error ? error.message : 'The passkey could not be used.';
}

/** Reads the token of a session that just began, so that requests of it are accepted. */
export async function setTokenOfSession(): Promise<void> {
  setToken((await get<Session>('/console/api/session')).token ?? '');
}
