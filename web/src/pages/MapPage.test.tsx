import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { PanelProvider } from '../app/panel';
import { shopGraph } from '../test/shop';
import MapPage from './MapPage';

function show(): void {
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <PanelProvider>
        <MapPage />
      </PanelProvider>
    </QueryClientProvider>,
  );
}

beforeEach(() => {
  window.location.hash = '#/service-map';
});

describe('the page of the map', () => {
  it('shows that it is loading, then the map of all pages of the answer', async () => {
    const [first, ...others] = shopGraph.Services ?? [];
    const asked: unknown[] = [];
    let answer: () => void = () => {};
    const ready = new Promise<void>((resolve) => (answer = resolve));
    vi.stubGlobal('fetch', async (_: string, init: RequestInit) => {
      const token = (JSON.parse(String(init.body)) as { NextToken?: string }).NextToken;
      asked.push(token);
      await ready;
      return Response.json(token === undefined ? { Services: [first], NextToken: 'two' } : { Services: others });
    });
    show();
    expect(await screen.findByRole('status', { name: 'Loading map' })).toBeTruthy();
    answer();
    expect(await screen.findByTestId('map-node-worker')).toBeTruthy();
    expect(screen.getByTestId('map-node-shopper')).toBeTruthy();
    expect(screen.queryByRole('status', { name: 'Loading map' })).toBeNull();
    expect(asked).toEqual([undefined, 'two']);
    expect(screen.getByText('(4)')).toBeTruthy(); // the client is no service
  });

  it('says that nothing was received', async () => {
    vi.stubGlobal('fetch', async () => Response.json({ Services: [] }));
    show();
    expect((await screen.findByTestId('empty-map')).textContent).toBe('Nothing received in the last hourChoose a longer range, or send a trace.');
  });

  it('says what failed, and tries again when told', async () => {
    let status = 500;
    vi.stubGlobal('fetch', async () => (status === 500 ? Response.json({ message: 'the disk is gone' }, { status }) : Response.json(shopGraph)));
    show();
    expect(await screen.findByText('the disk is gone')).toBeTruthy();
    status = 200;
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByTestId('map-node-front')).toBeTruthy();
  });

  it('keeps the chosen node in the address', async () => {
    vi.stubGlobal('fetch', async () => Response.json(shopGraph));
    show();
    await userEvent.click(await screen.findByTestId('map-node-cart'));
    expect(decodeURIComponent(window.location.hash)).toContain('node=cart|AWS::ECS::Container|');
    expect(screen.getByTestId('map-node-cart').getAttribute('aria-pressed')).toBe('true');
  });
});
