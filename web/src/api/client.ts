/** An answer other than 2xx, or a request without an answer (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

let serverAhead = 0;

/**
 * Now in epoch seconds by the server's clock. A browser on another machine may
 * be off by minutes; relative ranges would then miss the newest traces.
 */
export function serverNow(): number {
  return Date.now() / 1000 + serverAhead;
}

function noteServerTime(response: Response): void {
  const date = response.headers.get('date');
  const ahead = date === null ? Number.NaN : (Date.parse(date) - Date.now()) / 1000;
  // The header has whole seconds, so small differences mean nothing.
  serverAhead = Math.abs(ahead) > 3 ? ahead : 0;
}

async function failure(response: Response): Promise<ApiError> {
  let type = response.headers.get('x-amzn-errortype')?.split(':')[0] ?? '';
  const text = await response.text();
  let message = text.slice(0, 500);
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null) {
      // The X-Ray API has the message at the top, Fluoro's own API in a member error.
      const outer = body as Record<string, unknown>;
      const inner = outer['error'];
      const record = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : outer;
      const found = record['Message'] ?? record['message'];
      if (typeof found === 'string') {
        message = found;
      }
      if (type === '' && typeof record['code'] === 'string') {
        type = record['code'];
      }
    }
  } catch {
    // Not JSON, for example a proxy's page: the text is the message.
  }
  return new ApiError(response.status, type || `HTTP ${response.status}`, message || response.statusText || 'no explanation');
}

/** Where the browser remembers whether linked accounts are left out (preferences.ts). */
const linkedKey = 'fluoro.linked';

/** The choice of linked accounts as a header: the X-Ray API has no parameter for it. */
function linkedHeaders(): Record<string, string> {
  try {
    return localStorage.getItem(linkedKey) === 'exclude' ? { 'x-fluoro-linked-accounts': 'exclude' } : {};
  } catch {
    return {};
  }
}

let sessionToken = '';
let onSignedOut: () => void = () => {};

/** Sets the token of the console session, which every request carries that is no GET. */
export function setToken(token: string): void {
  sessionToken = token;
}

/** Sets what to do when the server says that nobody is signed in any more. */
export function whenSignedOut(f: () => void): void {
  onSignedOut = f;
}

const idleAfter = 60_000;
let lastInput = Date.now();
for (const event of ['pointerdown', 'keydown', 'wheel', 'touchstart']) {
  globalThis.addEventListener?.(event, () => (lastInput = Date.now()), { capture: true, passive: true });
}

const signedOut = ['ExpiredTokenException', 'MissingAuthenticationTokenException'];

async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  const headers: Record<string, string> = { ...(init.headers as Record<string, string> | undefined) };
  if (sessionToken !== '' && init.method === 'POST') {
    headers['fluoro-token'] = sessionToken;
  }
  if (Date.now() - lastInput > idleAfter) {
    // A page that refreshes by itself must not keep a session alive.
    headers['fluoro-idle'] = '1';
  }
  try {
    response = await fetch(path, { ...init, headers });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') {
      throw cause;
    }
    throw new ApiError(0, 'Unreachable', 'Fluoro does not answer. Is it still running?');
  }
  noteServerTime(response);
  if (!response.ok) {
    const error = await failure(response);
    if (!path.startsWith('/console/api/login') && !path.startsWith('/console/api/setup') && (error.status === 401 || signedOut.includes(error.type))) {
      onSignedOut();
    }
    throw error;
  }
  return response;
}

/** Calls an operation of the X-Ray API. */
export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await send(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...linkedHeaders() },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  return (await response.json()) as T;
}

/** Reads one of the console's own endpoints. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await send(path, { headers: linkedHeaders(), ...(signal ? { signal } : {}) });
  return (await response.json()) as T;
}
