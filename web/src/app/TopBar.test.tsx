import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { post } from '../api/client';
import type { Status } from '../api/shapes';
import { TopBar } from './TopBar';

const status = { account: '444444444444', region: 'us-west-2' } as Status;

function show(linked: string[]): void {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <TopBar
        status={{ ...status, linked }}
        range={{ kind: 'relative', seconds: 600 }}
        onRange={() => undefined}
        showRange={false}
        refresh="off"
        onRefresh={() => undefined}
        theme="light"
        onTheme={() => undefined}
        live="open"
        onHelp={() => undefined}
      />
    </QueryClientProvider>,
  );
}

describe('the switch of linked accounts', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    localStorage.clear();
  });

  it('is there only if accounts are linked', () => {
    show([]);
    expect(screen.queryByLabelText('Linked accounts')).toBeNull();
  });

  it('makes requests leave linked accounts out, and takes them in again', async () => {
    const sent: (string | null)[] = [];
    vi.stubGlobal('fetch', (_: string, init: RequestInit) => {
      sent.push(new Headers(init.headers).get('x-fluoro-linked-accounts'));
      return Promise.resolve(new Response('{}'));
    });
    show(['555555555555']);
    const choice = screen.getByLabelText('Linked accounts');
    await post('/TraceSummaries', {});
    await userEvent.selectOptions(choice, 'Only this account');
    await post('/TraceSummaries', {});
    await userEvent.selectOptions(choice, 'Included');
    await post('/TraceSummaries', {});
    expect(sent).toEqual([null, 'exclude', null]);
  });
});
