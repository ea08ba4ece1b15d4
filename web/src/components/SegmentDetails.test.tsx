import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState } from 'react';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../api/shapes';
import { buildTraceModel } from '../lib/tracemodel';
import { factsOf } from '../test/facts';
import { documentOf, shopDocuments } from '../test/shop';
import { SegmentDetails } from './SegmentDetails';

/** The drawer of one segment; a link inside it opens another segment. */
function Drawer({ id, documents = shopDocuments }: { id: string; documents?: JsonObject[] }) {
  const model = buildTraceModel(documents);
  const [selected, setSelected] = useState(id);
  const entity = model.byId.get(selected);
  return entity ? <SegmentDetails entity={entity} model={model} onSelect={setSelected} /> : <p>no segment {selected}</p>;
}

const tabs = (): (string | null)[] => screen.getAllByRole('tab').map((tab) => tab.textContent);
const open = (name: string | RegExp): Promise<void> => userEvent.click(screen.getByRole('tab', { name }));
const facts = (): Record<string, string> => factsOf(screen.getByRole('tabpanel').querySelectorAll('.fl-details > div'));
/** The filters of the open tab, by the hover texts of its links. */
const filters = (): string[] => [...screen.getByRole('tabpanel').querySelectorAll('a[title^="Find traces: "]')].map((link) => link.getAttribute('title')?.slice(13) ?? '');

describe('the drawer', () => {
  it('has a tab for each section that the document has, and no others', () => {
    const { unmount } = render(<Drawer id="front" />);
    expect(tabs()).toEqual(['Overview', 'HTTP', 'Raw']);
    unmount();
    render(<Drawer id="cart" />);
    expect(tabs()).toEqual(['Overview', 'Exceptions (1)', 'HTTP', 'Annotations', 'Raw']);
  });

  it('tells what a segment is, when and how it ended', () => {
    render(<Drawer id="cart" />);
    expect(facts()).toMatchObject({ Name: 'cart', Outcome: 'Fault', 'After trace start': '1.5 s', Duration: '3 s', Kind: 'Segment', Parent: 'call cart' });
    expect(filters()).toContain('service(id(name: "cart"))');
  });

  it('tells what is in progress, inferred, a placeholder, and without its parent', () => {
    for (const [id, want] of [
      ['worker', { Duration: 'In progress' }],
      ['guessed', { Kind: 'Inferred segment: made from the call, because the callee sent none', Origin: 'AWS::SQS::Queue' }],
      ['gone', { Kind: 'Placeholder: the segment was not received', Why: 'its document has not arrived' }],
      ['lost', { Parent: 'nowhere (not in this trace)' }],
      ['publish', { Kind: 'Subsegment, aws', 'Part of segment': 'front' }],
    ] as const) {
      const { unmount } = render(<Drawer id={id} />);
      expect(facts()).toMatchObject(want);
      unmount();
    }
  });

  it('jumps to the parent and keeps the tab if the parent has it', async () => {
    render(<Drawer id="cart" />);
    await userEvent.click(within(screen.getByRole('tabpanel')).getByRole('button', { name: 'call cart' }));
    expect(facts()).toMatchObject({ Name: 'call cart', 'Part of segment': 'front' });
    await open('Raw');
    await open('Overview');
    await userEvent.click(within(screen.getByRole('tabpanel')).getAllByRole('button', { name: 'front' })[0] as HTMLElement);
    expect(facts()['Name']).toBe('front');
    expect(facts()['User']).toBe('ann');
    expect(filters()).toContain('user = "ann"');
  });

  it('moves between tabs with the arrow keys, round at the ends', async () => {
    render(<Drawer id="front" />);
    const user = userEvent.setup();
    screen.getByRole('tab', { name: 'Overview' }).focus();
    await user.keyboard('{ArrowRight}');
    expect(document.activeElement?.textContent).toBe('HTTP');
    expect(screen.getByRole('tab', { name: 'HTTP' }).getAttribute('aria-selected')).toBe('true');
    await user.keyboard('{End}{ArrowRight}');
    expect(document.activeElement?.textContent).toBe('Overview');
    await user.keyboard('{ArrowLeft}');
    expect(document.activeElement?.textContent).toBe('Raw');
  });
});

describe('the sections', () => {
  it('shows an exception with its stack, libraries fainter than the app', async () => {
    render(<Drawer id="cart" />);
    await open(/Exceptions/);
    const panel = screen.getByRole('tabpanel');
    expect(within(panel).getByText('Timeout')).toBeTruthy();
    expect(within(panel).getByText('no answer in 2 s')).toBeTruthy();
    const frames = [...panel.querySelectorAll('.fl-stack li')];
    expect(frames.map((frame) => frame.textContent)).toEqual(['queryapp/cart.js:12', 'sendnode_modules/pg/lib.js:7']);
    expect(frames.map((frame) => frame.classList.contains('fl-library'))).toEqual([false, true]);
  });

  it('leads from a cause that is only an id to the segment that has the exception', async () => {
    render(<Drawer id="query" />);
    await open('Exceptions');
    await userEvent.click(within(screen.getByRole('tabpanel')).getByRole('button', { name: 'cart' }));
    expect(screen.getByText('no answer in 2 s')).toBeTruthy();
  });

  it('names a cause that is not in the trace', async () => {
    render(<Drawer id="a" documents={[documentOf('a', 0, 1, { cause: 'e9' })]} />);
    await open('Exceptions');
    expect(screen.getByRole('tabpanel').textContent).toBe('Caused by exception e9, which is not in this trace.');
  });

  it('shows thirty frames of a long stack, all on request, and how many the sender dropped', async () => {
    const stack = Array.from({ length: 40 }, (_, i) => ({ label: `f${i}`, path: 'a.js', line: i }));
    render(<Drawer id="a" documents={[documentOf('a', 0, 1, { cause: { exceptions: [{ type: 'E', stack, truncated: 5 }] } })]} />);
    await open(/Exceptions/);
    const frames = (): number => screen.getByRole('tabpanel').querySelectorAll('.fl-stack li').length;
    expect(frames()).toBe(30);
    expect(screen.getByText('5 more frames were dropped by the sender.')).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: '10 more frames' }));
    expect(frames()).toBe(40);
  });

  it('offers filters by what a call was', async () => {
    render(<Drawer id="front" />);
    await open('HTTP');
    expect(facts()).toMatchObject({ 'Request method': 'GET', 'Request url': 'https://shop.example/cart', 'Response status': '200' });
    expect(filters()).toEqual(['http.method = "GET"', 'http.url = "https://shop.example/cart"', 'http.status = 200']);
  });

  it('shows lengths in bytes and in words', async () => {
    render(<Drawer id="cart" />);
    await open('HTTP');
    expect(facts()['Response content length']).toBe('2048 (2 KiB)');
  });

  it('shows a query apart from what is known of its database', async () => {
    render(<Drawer id="query" />);
    await open('SQL');
    expect(screen.getByLabelText('Query').textContent).toBe('SELECT 1');
    expect(facts()).toEqual({ database_type: 'PostgreSQL' });
  });

  it('offers filters by annotations, quoting what has to be', async () => {
    render(<Drawer id="cart" />);
    await open('Annotations');
    expect(facts()).toEqual({ tier: 'gold', 'k8s.pod': 'p-1' });
    expect(filters()).toEqual(['annotation.tier = "gold"', 'annotation[k8s.pod] = "p-1"']);
  });

  it('shows the document as it was received', async () => {
    render(<Drawer id="cart" />);
    await open('Raw');
    expect(screen.getByRole('tabpanel').textContent).toContain('call cart');
    expect(screen.getByRole('button', { name: /Copy document|Copy the document/ })).toBeTruthy();
  });
});
