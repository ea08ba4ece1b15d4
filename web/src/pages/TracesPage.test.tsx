import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { TraceSummariesPage } from '../api/shapes';
import { summary } from '../test/shop';
import TracesPage from './TracesPage';

/** A server that answers every request with the function, and records the requests. */
function server(answer: (body: Record<string, unknown>) => Response | Promise<Response>): Record<string, unknown>[] {
  const asked: Record<string, unknown>[] = [];
  vi.stubGlobal('fetch', async (_: string, init: RequestInit) => {
    const body = JSON.parse(String(init.body)) as Record<string, unknown>;
    asked.push(body);
    return answer(body);
  });
  return asked;
}

const page = (answer: TraceSummariesPage): Response => Response.json(answer);

function show(): void {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={client}>
      <TracesPage />
    </QueryClientProvider>,
  );
}

const roots = (): (string | null | undefined)[] => screen.getAllByTestId('trace-row').map((row) => row.querySelector('.fl-name')?.textContent);

beforeEach(() => {
  window.location.hash = '#/traces';
});

describe('the list of traces', () => {
  it('shows that it is loading, then the newest first, with how many were looked at', async () => {
    let answer: (response: Response) => void = () => {};
    server(() => new Promise((resolve) => (answer = resolve)));
    show();
    expect(await screen.findByRole('status', { name: 'Loading traces' })).toBeTruthy();
    answer(page({ TraceSummaries: [summary(1), summary(3), summary(2)], TracesProcessedCount: 7 }));
    expect(await screen.findByText(/3 of 7 traces scanned/)).toBeTruthy();
    expect(roots()).toEqual(['root-3', 'root-2', 'root-1']);
    expect(screen.queryByRole('status', { name: 'Loading traces' })).toBeNull();
  });

  it('orders by a column and turns the order round', async () => {
    server(() => page({ TraceSummaries: [summary(1, { ResponseTime: 5 }), summary(2, { ResponseTime: null }), summary(3, { ResponseTime: 1 })] }));
    show();
    await userEvent.click(await screen.findByRole('button', { name: /^Response time/ }));
    expect(roots()).toEqual(['root-1', 'root-3', 'root-2']);
    await userEvent.click(screen.getByRole('button', { name: /^Response time/ }));
    expect(roots()).toEqual(['root-3', 'root-1', 'root-2']); // without a value: last in both directions
    expect(window.location.hash).toContain('sort=response');
    expect(window.location.hash).toContain('order=asc');
  });

  it('follows the tokens of pages', async () => {
    const asked = server((body) =>
      page(body['NextToken'] === undefined ? { TraceSummaries: [summary(1)], NextToken: 'more' } : { TraceSummaries: [summary(2)], NextToken: null }),
    );
    show();
    expect(await screen.findByText(/2 of 2 traces scanned/)).toBeTruthy();
    expect(asked.map((body) => body['NextToken'])).toEqual([undefined, 'more']);
    expect(screen.queryByRole('button', { name: 'Load more' })).toBeNull();
  });

  it('says that nothing matches a filter, and clears it', async () => {
    window.location.hash = '#/traces?filter=fault';
    const asked = server(() => page({ TraceSummaries: [] }));
    show();
    expect((await screen.findByTestId('no-traces')).textContent).toContain('matches this filter');
    await userEvent.click(within(screen.getByTestId('no-traces')).getByRole('button', { name: 'Clear the filter' }));
    expect((await screen.findByText(/No trace started in the/)).textContent).toContain('Choose a longer range, or send a trace.');
    expect(asked.map((body) => body['FilterExpression'])).toEqual(['fault', undefined]);
  });

  it('points at the mistake in a filter and keeps the list that was there', async () => {
    server((body) =>
      body['FilterExpression'] === undefined
        ? page({ TraceSummaries: [summary(1)] })
        : Response.json({ Message: 'Invalid filter, line 1, position 3: no value' }, { status: 400, headers: { 'x-amzn-errortype': 'InvalidRequestException' } }),
    );
    show();
    await screen.findAllByTestId('trace-row');
    await userEvent.type(screen.getByRole('textbox'), 'a ={Enter}');
    expect(await screen.findByText(/Invalid filter, line 1, position 3/)).toBeTruthy();
    expect(screen.getByLabelText('Position 3')).toBeTruthy();
    expect(roots()).toEqual(['root-1']);
    expect(screen.getByText(/below are the 1 traces found before/)).toBeTruthy();
    expect(document.querySelector('.fl-stale')).toBeTruthy();
  });

  it('says what failed, and tries again when told', async () => {
    let broken = true;
    server(() => (broken ? Response.json({ message: 'too much at once' }, { status: 429, headers: { 'x-amzn-errortype': 'ThrottledException' } }) : page({ TraceSummaries: [summary(1)] })));
    show();
    expect(await screen.findByText('ThrottledException')).toBeTruthy();
    expect(screen.getByText('too much at once')).toBeTruthy();
    broken = false;
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect((await screen.findAllByTestId('trace-row')).length).toBe(1);
  });

  it('says that the server does not answer', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed to fetch')));
    show();
    expect(await screen.findByText('Fluoro does not answer. Is it still running?')).toBeTruthy();
  });
});
