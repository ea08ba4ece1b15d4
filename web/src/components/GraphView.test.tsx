import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState } from 'react';
import { describe, expect, it } from 'vitest';
import type { ServiceGraph } from '../api/shapes';
import { PanelProvider, usePanelSlot } from '../app/panel';
import { shopGraph } from '../test/shop';
import GraphView from './GraphView';

function Host() {
  const { open, setHost } = usePanelSlot();
  return (
    <aside aria-label="Panel">
      {open && <h2>{open.title}</h2>}
      <div ref={setHost} />
    </aside>
  );
}

/** The map as a page shows it: ten minutes, and a panel for the selection. */
function Map({ graph = shopGraph, rates = true }: { graph?: ServiceGraph; rates?: boolean }) {
  const [selection, setSelection] = useState<string | null>(null);
  return (
    <PanelProvider>
      <GraphView graph={graph} window={rates ? { start: 1000, end: 1600 } : null} selection={selection} onSelect={setSelection} memoryKey="test" />
      <Host />
    </PanelProvider>
  );
}

const node = (name: string): HTMLElement => screen.getByTestId(`map-node-${name}`);
const edges = (): HTMLElement[] => screen.getAllByTestId('map-edge');
const edge = (from: string, to: string): HTMLElement => screen.getByRole('button', { name: new RegExp(`^${from} to ${to}:`) });
const state = (element: HTMLElement): string => /fl-(?:node|edge)-(plain|selected|near|faded)/.exec(element.getAttribute('class') ?? '')?.[1] ?? '';
const panel = (): HTMLElement => screen.getByLabelText('Panel');

describe('the map', () => {
  it('shows each node with its average, rate and type', () => {
    render(<Map />);
    expect(screen.getAllByTestId(/^map-node-/).map((each) => each.getAttribute('data-testid')).sort()).toEqual(
      ['cart', 'front', 'orders', 'shopper', 'worker'].map((name) => `map-node-${name}`),
    );
    expect(within(node('front')).getByText('500 ms')).toBeTruthy();
    expect(within(node('front')).getByText('10/min')).toBeTruthy();
    expect(within(node('orders')).getByText('DynamoDB Table')).toBeTruthy();
    expect(node('front').getAttribute('aria-label')).toBe('front, Service: 100 requests, average 500 ms, 10 a minute, 10% fault');
    expect(node('orders').getAttribute('aria-label')).toContain('20% throttle');
  });

  it('shows the account of a node of a linked account, and keeps it apart from its namesake', () => {
    const service = (reference: number, account: string | null) => ({ ReferenceId: reference, Name: 'api', AccountId: account, State: 'active', Edges: [] });
    render(<Map graph={{ Services: [service(0, null), service(1, '555555555555')] }} />);
    expect(screen.getAllByTestId('map-node-api').map((each) => each.getAttribute('aria-label')?.split(':')[0]).sort()).toEqual(['api, Service', 'api, Service in 555555555555']);
  });

  it('counts requests in place of rates where there is no time range, and shows – without requests', () => {
    render(<Map rates={false} />);
    expect(within(node('front')).getByText('100')).toBeTruthy();
    expect(within(node('worker')).getByText('–')).toBeTruthy();
  });

  it('draws a ring with a part for each outcome, and a badge for the gravest', () => {
    render(<Map />);
    const rings = (name: string): string[] => [...node(name).querySelectorAll('.fl-ring')].map((ring) => ring.getAttribute('class') ?? '');
    expect(rings('front')).toEqual(['fl-ring fl-ring-fault', 'fl-ring fl-ring-ok']);
    expect(rings('cart')).toEqual(['fl-ring fl-ring-error', 'fl-ring fl-ring-ok']);
    expect(rings('orders')).toEqual(['fl-ring fl-ring-throttle', 'fl-ring fl-ring-ok']);
    expect(rings('worker')).toEqual(['fl-ring fl-ring-none']);
    expect(node('front').querySelector('.fl-badge.fl-fault')).toBeTruthy();
    expect(node('cart').querySelector('.fl-badge.fl-error')).toBeTruthy();
    expect(node('worker').querySelector('.fl-badge')).toBeNull();
    expect(node('orders').querySelector('.fl-node-dashes')).toBeTruthy(); // inferred
    expect(node('cart').querySelector('.fl-node-dashes')).toBeNull();
  });

  it('shows each call in the colour of its gravest outcome, links dashed, and none to a node that is not there', () => {
    render(<Map />);
    expect(edges()).toHaveLength(4);
    expect(edge('shopper', 'front').getAttribute('class')).toContain('fl-edge-tone-fault');
    expect(edge('front', 'cart').getAttribute('class')).toContain('fl-edge-tone-error');
    expect(edge('front', 'orders').getAttribute('class')).toContain('fl-edge-tone-throttle');
    expect(edge('cart', 'worker').getAttribute('class')).toMatch(/fl-edge-tone-ok fl-edge-link/);
    expect(edge('front', 'cart').getAttribute('class')).not.toContain('fl-edge-link');
    const width = (each: HTMLElement): number => Number(each.querySelector('.fl-edge-line')?.getAttribute('stroke-width'));
    expect(width(edge('shopper', 'front'))).toBeGreaterThan(width(edge('cart', 'worker')));
  });

  it('labels a call while it is pointed at', async () => {
    render(<Map />);
    expect(edge('front', 'cart').querySelector('.fl-edge-label')).toBeNull();
    await userEvent.hover(edge('front', 'cart'));
    expect(edge('front', 'cart').querySelector('.fl-edge-label')?.textContent).toBe('200 ms · 10/min · 30% error');
    await userEvent.unhover(edge('front', 'cart'));
    expect(edge('front', 'cart').querySelector('.fl-edge-label')).toBeNull();
  });

  it('selects a node: its calls are labelled, what it does not touch fades, its figures are in the panel', async () => {
    render(<Map />);
    await userEvent.click(node('cart'));
    expect(node('cart').getAttribute('aria-pressed')).toBe('true');
    expect(['cart', 'front', 'worker', 'orders', 'shopper'].map((name) => state(node(name)))).toEqual(['selected', 'plain', 'plain', 'faded', 'faded']);
    expect([edge('front', 'cart'), edge('cart', 'worker'), edge('front', 'orders')].map(state)).toEqual(['near', 'near', 'faded']);
    expect(within(panel()).getByRole('heading', { name: 'cart' })).toBeTruthy();
    // A click on the background clears the selection.
    await userEvent.click(screen.getByRole('group', { name: 'Trace map' }));
    expect(state(node('orders'))).toBe('plain');
    expect(within(panel()).queryByRole('heading', { name: 'cart' })).toBeNull();
  });

  it('fades what the search does not find', async () => {
    render(<Map />);
    await userEvent.type(screen.getByLabelText('Find a node'), 'OR');
    expect(['orders', 'worker', 'front', 'cart'].map((name) => state(node(name)))).toEqual(['plain', 'plain', 'faded', 'faded']);
  });

  it('is walked with the arrow keys along calls, Enter selects, Escape lets go', async () => {
    render(<Map />);
    const user = userEvent.setup();
    expect(screen.getAllByTestId(/^map-node-/).filter((each) => each.getAttribute('tabindex') === '0')).toEqual([node('shopper')]);
    node('shopper').focus();
    await user.keyboard('{ArrowRight}');
    expect(document.activeElement).toBe(node('front'));
    await user.keyboard('{ArrowRight}');
    const first = document.activeElement;
    expect([node('cart'), node('orders')]).toContain(first);
    await user.keyboard(first === node('cart') ? '{ArrowDown}{ArrowUp}{ArrowUp}' : '{ArrowUp}{ArrowDown}{ArrowDown}');
    await user.keyboard('{ArrowLeft}');
    expect(document.activeElement).toBe(node('front'));
    expect(node('front').getAttribute('tabindex')).toBe('0');
    await user.keyboard('{Enter}');
    expect(state(node('front'))).toBe('selected');
    await user.keyboard('{Escape}');
    expect(state(node('front'))).toBe('plain');
  });

  it('zooms by key and by button, and fits again', async () => {
    const { container } = render(<Map />);
    const scale = (): number => Number(/scale\(([\d.]+)\)/.exec(container.querySelector('.fl-canvas svg > g')?.getAttribute('transform') ?? '')?.[1]);
    const fitted = scale();
    expect(fitted).toBeGreaterThan(0);
    await userEvent.click(screen.getByRole('button', { name: 'Zoom in' }));
    expect(scale()).toBeCloseTo(fitted * 1.3);
    node('front').focus();
    await userEvent.keyboard('-');
    expect(scale()).toBeCloseTo(fitted * 1.3 * 0.8);
    await userEvent.click(screen.getByRole('button', { name: 'Fit the map' }));
    expect(scale()).toBeCloseTo(fitted);
  });

  it('keeps the places of nodes when the graph is refreshed, and when a node is added', () => {
    const { rerender } = render(<Map />);
    const places = (): (string | null)[] => ['cart', 'front', 'orders', 'shopper', 'worker'].map((name) => node(name).getAttribute('transform'));
    const before = places();
    const refreshed = structuredClone(shopGraph);
    refreshed.Services?.reverse();
    rerender(<Map graph={refreshed} />);
    expect(places()).toEqual(before);
    const front = refreshed.Services?.find((service) => service.Name === 'front');
    front?.Edges?.unshift({ ReferenceId: 5 });
    refreshed.Services?.unshift({ ReferenceId: 5, Name: 'added', Edges: [] });
    rerender(<Map graph={structuredClone(refreshed)} />);
    expect(node('added')).toBeTruthy();
    expect(places()).toEqual(before);
  });
});

describe('the panel of the map', () => {
  it('tells the figures of a node, its quantiles and its neighbours', async () => {
    render(<Map />);
    await userEvent.click(node('front'));
    const figures = [...panel().querySelectorAll('.fl-numbers div')].map((each) => each.textContent);
    expect(figures).toEqual(['Average500 ms', expect.stringMatching(/^p50100 ms$/), expect.stringMatching(/^p954\.1 s$/), expect.stringMatching(/^p994\.1 s$/), 'Requests100', 'Per minute10']);
    expect(panel().textContent).toContain('Service, entry of traces');
    const neighbours = [...panel().querySelectorAll('.fl-neighbours li')].map((each) => each.textContent);
    expect(neighbours).toEqual(['cart200 ms100', 'orders10 ms50', 'shopper500 ms100']);
    await userEvent.click(within(panel()).getByRole('button', { name: /orders/ }));
    expect(within(panel()).getByRole('heading', { name: 'front → orders' })).toBeTruthy();
  });

  it('leads to the traces behind the chosen outcomes', async () => {
    render(<Map />);
    await userEvent.click(node('front'));
    const link = (): string => decodeURIComponent(screen.getByTestId('view-traces').getAttribute('href') ?? '').replaceAll('+', ' ');
    expect(link()).toContain('filter=service(id(name: "front"))&');
    expect(link()).toMatch(/timeRange=1970-01-01T00:16:40/); // the window of the map, not a relative one
    await userEvent.click(screen.getByRole('checkbox', { name: /Fault 10%/ }));
    expect(link()).toContain('service(id(name: "front")) { fault }');
    expect((screen.getByRole('checkbox', { name: /Throttled 0%/ }) as HTMLInputElement).disabled).toBe(true);
  });

  it('shows a call as its caller saw it, with the names it was called by', async () => {
    render(<Map />);
    await userEvent.click(edge('front', 'cart'));
    expect(state(edge('front', 'cart'))).toBe('selected');
    expect(panel().textContent).toContain('Reported by the caller');
    expect(panel().textContent).toContain('Called as cart.internal');
    expect(panel().textContent).toContain('edge(id(name: "front"), id(name: "cart", type: "AWS::ECS::Container"))');
  });

  it('says that a node is inferred', async () => {
    render(<Map />);
    await userEvent.click(node('orders'));
    expect(panel().textContent).toContain('DynamoDB Table, inferred: it sent no segments');
  });
});

describe('the list of the map', () => {
  it('holds the same nodes and calls, and remembers that it was chosen', async () => {
    const { unmount } = render(<Map />);
    await userEvent.click(screen.getByRole('button', { name: 'List' }));
    expect(screen.queryByTestId('map-canvas')).toBeNull();
    expect(screen.getAllByRole('button', { name: /orders/ }).length).toBeGreaterThan(0);
    unmount();
    render(<Map />);
    expect(screen.queryByTestId('map-canvas')).toBeNull();
  });
});
