import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { JsonObject, Trace } from '../api/shapes';
import { PanelProvider, usePanelSlot } from '../app/panel';
import { factsOf } from '../test/facts';
import { documentOf, shopDocuments } from '../test/shop';
import TracePage from './TracePage';

const id = '1-6a18aa00-000000000000000000000001';

function Host() {
  const { open, setHost } = usePanelSlot();
  return (
    <aside aria-label="Panel">
      {open?.title}
      <div ref={setHost} />
    </aside>
  );
}

function show(): void {
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <PanelProvider>
        <TracePage id={id} raw={false} />
        <Host />
      </PanelProvider>
    </QueryClientProvider>,
  );
}

function answer(documents: (JsonObject | string)[], more: Partial<Trace> = {}): void {
  const segments = documents.map((document, i) => ({ Id: String(i), Document: typeof document === 'string' ? document : JSON.stringify(document) }));
  vi.stubGlobal('fetch', async () => Response.json({ Id: id, Duration: 10, Segments: segments, ...more } satisfies Trace));
}

const facts = (): Record<string, string> => factsOf(document.querySelectorAll('.fl-facts > div'));
const badges = (): (string | null)[] => [...document.querySelectorAll('.fl-badges > *')].map((badge) => badge.textContent);

beforeEach(() => {
  window.location.hash = `#/traces/${id}`;
});

describe('the page of a trace', () => {
  it('heads with its root, outcome, services and how far it got', async () => {
    answer(shopDocuments, { Duration: null });
    show();
    expect((await screen.findByRole('heading', { level: 1 })).textContent).toBe('frontGET https://shop.example/cart');
    expect(badges()).toEqual(['200', 'In progress', 'Partial']);
    expect(facts()).toMatchObject({ Duration: '10 s so far', 'Services (5)': 'front, gone, cart, worker, lost', Segments: '6, 3 subsegments', User: 'ann' });
    expect(facts()['W3C trace id']).toBe('6a18aa00000000000000000000000001');
  });

  it('opens a segment of the timeline in the panel, and closes it with Escape', async () => {
    answer(shopDocuments);
    show();
    const row = (await screen.findAllByTestId('waterfall-row')).find((each) => each.getAttribute('data-segment-id') === 'cart');
    await userEvent.click(row as HTMLElement);
    const panel = screen.getByLabelText('Panel');
    expect(within(panel).getByTestId('segment-drawer')).toBeTruthy();
    expect(panel.textContent).toContain('cart');
    expect(window.location.hash).toContain('segment=cart');
    await userEvent.keyboard('{Escape}');
    expect(within(panel).queryByTestId('segment-drawer')).toBeNull();
  });

  it('marks a placeholder for a segment that was not received', async () => {
    answer([documentOf('work', 1, 2, { parent_id: 'm', type: 'subsegment' }), documentOf('m', 1, 2, { name: 'missing segment', inferred: true, metadata: { fluoro: { missing: 'it has not arrived' } } })]);
    show();
    const [gap, work] = await screen.findAllByTestId('waterfall-row');
    expect(gap?.textContent).toContain('placeholder');
    expect(gap?.getAttribute('aria-level')).toBe('1');
    expect(work?.getAttribute('aria-level')).toBe('2');
  });

  it('tells which observations were refused, and why', async () => {
    answer([documentOf('front', 0, 1)], { Refused: [{ Id: 'a', Name: 'front', Reason: 'ends at 0.8 s, the one shown at 1 s' }] });
    show();
    const note = await screen.findByText('1 observation is not shown because it contradicts a shown one.');
    expect(note.closest('[role="alert"]')?.textContent).toContain('front: ends at 0.8 s, the one shown at 1 s');
  });

  it('tells of documents that cannot be read, and of a trace that was cut', async () => {
    answer([documentOf('front', 0, 1), '{"id":'], { LimitExceeded: true });
    show();
    expect(await screen.findByText('1 document is not a JSON object; only the raw page shows it.')).toBeTruthy();
    expect(badges()).toEqual(['OK', 'Cut']);
  });

  it('says that nothing of it can be shown', async () => {
    answer(['x']);
    show();
    expect(await screen.findByText('This trace has nothing to show.')).toBeTruthy();
  });

  it('says that there is none of this id', async () => {
    vi.stubGlobal('fetch', async () => Response.json({ message: 'no' }, { status: 404 }));
    show();
    expect((await screen.findByTestId('trace-not-found')).textContent).toContain(id);
  });

  it('shows that it is loading, and what failed', async () => {
    let fail: (response: Response) => void = () => {};
    vi.stubGlobal('fetch', () => new Promise((resolve) => (fail = resolve)));
    show();
    expect(await screen.findByRole('status', { name: 'Loading trace' })).toBeTruthy();
    fail(Response.json({ message: 'the disk is gone' }, { status: 500 }));
    expect(await screen.findByText('the disk is gone')).toBeTruthy();
    answer([documentOf('front', 0, 1)]);
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByRole('heading', { level: 1, name: /front/ })).toBeTruthy();
  });
});
