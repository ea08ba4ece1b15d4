import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render } from '@testing-library/react';
import type { ReactNode } from 'react';
import { vi } from 'vitest';
import { SessionContext, type Session } from '../api/session';
import { PanelProvider, usePanelSlot } from '../app/panel';

/** A request as a test sees it: the path, its parameters and its body. */
export interface Asked {
  path: string;
  params: URLSearchParams;
  body: Record<string, unknown>;
}

/** Answers requests by their path, and records them. A path without an answer gets 404. */
export function serve(answers: Record<string, (asked: Asked) => unknown>): Asked[] {
  const all: Asked[] = [];
  vi.stubGlobal('fetch', async (address: string, init?: RequestInit) => {
    const url = new URL(address, 'http://fluoro.test');
    const asked = { path: url.pathname, params: url.searchParams, body: init?.body ? (JSON.parse(String(init.body)) as Record<string, unknown>) : {} };
    all.push(asked);
    const answer = answers[url.pathname];
    const out = answer ? await answer(asked) : refuse(404, 'there is nothing at this address');
    return out instanceof Response ? out : Response.json(out);
  });
  return all;
}

/** A refusal in the form of Fluoro's own API. */
export function refuse(status: number, message: string): Response {
  return Response.json({ error: { message } }, { status });
}

/** The text of the server for a missing permission. */
export function denied(action: string): Response {
  return refuse(403, `User: arn:aws:iam::111122223333:user/eve is not authorized to perform: ${action} on resource: * because no identity-based policy allows the ${action} action`);
}

function Slot() {
  const { setHost } = usePanelSlot();
  return <div ref={setHost} />;
}

/** Renders a page with what the frame gives it, for a user who may do everything or only some actions. */
export function showPage(page: ReactNode, actions?: string[]): void {
  const session = actions ? ({ actions } as Session) : null;
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <SessionContext value={session}>
        <PanelProvider>
          {page}
          <Slot />
        </PanelProvider>
      </SessionContext>
    </QueryClientProvider>,
  );
}
