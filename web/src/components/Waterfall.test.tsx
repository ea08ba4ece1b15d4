import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState } from 'react';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../api/shapes';
import { buildTraceModel } from '../lib/tracemodel';
import { documentOf, shopDocuments } from '../test/shop';
import { Waterfall } from './Waterfall';

function Timeline({ documents = shopDocuments, first = null }: { documents?: JsonObject[]; first?: string | null }) {
  const [selected, setSelected] = useState<string | null>(first);
  return (
    <>
      <Waterfall model={buildTraceModel(documents)} selectedId={selected} onSelect={setSelected} />
      <output aria-label="selected">{selected}</output>
    </>
  );
}

const rows = (): HTMLElement[] => screen.queryAllByTestId('waterfall-row').sort((a, b) => top(a) - top(b));
const top = (row: HTMLElement): number => Number(/translateY\((\d+)px\)/.exec(row.style.transform)?.[1]);
const label = (row: HTMLElement): string => row.querySelector('.fl-wf-label')?.textContent ?? '';
/** Names of the rows, indented by depth. */
const tree = (): string[] => rows().map((row) => '  '.repeat(Number(row.getAttribute('aria-level')) - 1) + label(row));
const row = (name: string): HTMLElement => rows().find((each) => label(each) === name) ?? expect.fail(`no row ${name} in ${tree().join(', ')}`);
const bar = (name: string): HTMLElement => row(name).querySelector('.fl-bar') as HTMLElement;
const active = (): string | undefined => rows().filter((each) => each.classList.contains('fl-active')).map(label)[0];
const selected = (): string => screen.getByLabelText('selected').textContent ?? '';
const grid = (): HTMLElement => screen.getByRole('treegrid', { name: 'Timeline' });

const whole = ['front', '  gone', '  call cart', '    cart', '      query', '  guessed', '  publish', '    worker', 'lost'];

describe('the timeline', () => {
  it('nests callees below their calls, orders by start, and puts lost segments last', () => {
    render(<Timeline documents={[...shopDocuments].reverse()} />);
    expect(tree()).toEqual(whole);
    expect(screen.getByText('9 of 9 rows shown')).toBeTruthy();
    expect(rows().map(top)).toEqual(rows().map((_, i) => i * 28));
  });

  it('draws each bar from start to end of the whole trace', () => {
    render(<Timeline documents={[documentOf('root', 100, 110, { subsegments: [documentOf('late', 105, 107.5)] })]} />);
    expect([bar('root').style.insetInlineStart, bar('root').style.width]).toEqual(['0%', '100%']);
    expect([bar('late').style.insetInlineStart, bar('late').style.width]).toEqual(['50%', '25%']);
    expect(row('late').querySelector('.fl-bar-label')?.textContent).toBe('2.5 s');
  });

  it('shows outcomes as a sign before the name and as the tone of the bar', () => {
    render(
      <Timeline
        documents={[
          documentOf('fault', 0, 5, { fault: true }),
          documentOf('error', 1, 5, { http: { response: { status: 404 } } }),
          documentOf('throttle', 2, 5, { throttle: true, fault: true }),
          documentOf('ok', 3, 5),
        ]}
      />,
    );
    for (const name of ['fault', 'error', 'throttle', 'ok']) {
      expect(bar(name).classList.contains(`fl-bar-${name}`)).toBe(true);
    }
    expect(within(row('fault')).getByRole('img', { name: 'Fault: server fault (5xx)' })).toBeTruthy();
    expect(within(row('throttle')).getByRole('img', { name: 'Throttled (429)' })).toBeTruthy();
    expect(within(row('ok')).queryByRole('img')).toBeNull();
  });

  it('shows entities in progress as open to the right, with room after them', () => {
    render(<Timeline />);
    expect(bar('worker').classList.contains('fl-bar-open')).toBe(true);
    expect(row('worker').textContent).toContain('in progress');
    const right = Number.parseFloat(bar('worker').style.insetInlineStart) + Number.parseFloat(bar('worker').style.width);
    expect(right).toBeCloseTo(100);
    expect(Number.parseFloat(bar('front').style.width)).toBeLessThan(95);
    expect(bar('front').classList.contains('fl-bar-open')).toBe(false);
  });

  it('marks inferred segments, placeholders and orphans', () => {
    render(<Timeline />);
    const kind = (name: string): string => row(name).querySelector('.fl-wf-kind')?.textContent ?? '';
    expect([kind('front'), kind('call cart'), kind('guessed'), kind('gone'), kind('cart')]).toEqual(['ECS Container', 'remote', 'inferred', 'placeholder', '']);
    expect(bar('guessed').classList.contains('fl-bar-inferred')).toBe(true);
    expect(within(row('lost')).getByText('orphan')).toBeTruthy();
    expect(within(row('cart')).queryByText('orphan')).toBeNull();
  });

  it('colours bars by service, and remembers that', async () => {
    const { unmount } = render(<Timeline />);
    expect(bar('query').className).not.toContain('fl-service-');
    await userEvent.click(screen.getByRole('button', { name: 'Service' }));
    const tone = (name: string): string | undefined => /fl-service-\d+/.exec(bar(name).className)?.[0];
    expect(tone('query')).toBe(tone('cart'));
    expect(tone('query')).not.toBe(tone('front'));
    unmount();
    render(<Timeline />);
    expect(tone('front')).toMatch(/fl-service-/);
  });
});

describe('folding', () => {
  it('hides what is below, says how much and whether there is trouble, and unfolds again', async () => {
    render(<Timeline />);
    expect(row('call cart').getAttribute('aria-expanded')).toBe('true');
    await userEvent.click(within(row('call cart')).getByRole('button', { name: 'Collapse' }));
    expect(tree()).toEqual(['front', '  gone', '  call cart', '  guessed', '  publish', '    worker', 'lost']);
    expect(row('call cart').getAttribute('aria-expanded')).toBe('false');
    expect(within(row('call cart')).getByText('+2')).toBeTruthy();
    expect(within(row('call cart')).getByRole('img', { name: 'Errors or faults below' })).toBeTruthy();
    expect(selected()).toBe(''); // the toggle does not select
    await userEvent.click(within(row('call cart')).getByRole('button', { name: 'Expand' }));
    expect(tree()).toEqual(whole);
    expect(row('query').hasAttribute('aria-expanded')).toBe(false);
  });

  it('folds and unfolds everything below the roots', async () => {
    render(<Timeline />);
    await userEvent.click(screen.getByRole('button', { name: 'Collapse all' }));
    expect(tree()).toEqual(['front', '  gone', '  call cart', '  guessed', '  publish', 'lost']);
    await userEvent.keyboard(']');
    expect(tree()).toEqual(whole);
    await userEvent.keyboard('{[}');
    expect(tree()).toHaveLength(6);
  });

  it('shows only errors and the way to them', async () => {
    render(<Timeline />);
    await userEvent.click(screen.getByRole('checkbox', { name: 'Only errors' }));
    expect(tree()).toEqual(['front', '  call cart', '    cart', '      query']);
    expect(screen.getByText('4 of 9 rows shown')).toBeTruthy();
  });

  it('unfolds the way to a segment that a link names', () => {
    render(<Timeline first="query" />);
    expect(row('query').getAttribute('aria-selected')).toBe('true');
    expect(active()).toBe('query');
  });
});

describe('selection and keyboard', () => {
  it('selects a row by a click', async () => {
    render(<Timeline />);
    await userEvent.click(row('cart'));
    expect(selected()).toBe('cart');
    expect(row('cart').getAttribute('aria-selected')).toBe('true');
    expect(rows().filter((each) => each.getAttribute('aria-selected') === 'true')).toHaveLength(1);
  });

  it('moves, folds and selects with keys alone', async () => {
    render(<Timeline />);
    const user = userEvent.setup();
    grid().focus();
    expect(active()).toBe('front');
    await user.keyboard('{ArrowDown}{ArrowDown}');
    expect(active()).toBe('call cart');
    expect(grid().getAttribute('aria-activedescendant')).toBe(row('call cart').id);
    await user.keyboard('{ArrowLeft}');
    expect(tree()).not.toContain('    cart');
    await user.keyboard('{ArrowLeft}'); // folded: to the parent
    expect(active()).toBe('front');
    await user.keyboard('jj{ArrowRight}');
    expect(tree()).toEqual(whole);
    await user.keyboard('{ArrowRight}');
    expect(active()).toBe('cart');
    await user.keyboard('k');
    expect(active()).toBe('call cart');
    await user.keyboard('{Enter}');
    expect(selected()).toBe('call cart');
    await user.keyboard('{End}');
    expect(active()).toBe('lost');
    await user.keyboard('{ArrowDown}{Home}{ArrowUp}');
    expect(active()).toBe('front');
    await user.keyboard('{Escape}');
    expect(selected()).toBe('');
  });

  it('goes from error to error, unfolding the way, and round at the end', async () => {
    render(<Timeline />);
    expect(screen.getByTestId('next-error').textContent).toBe('Next error (2)');
    await userEvent.click(screen.getByRole('button', { name: 'Collapse all' }));
    await userEvent.click(screen.getByTestId('next-error'));
    expect(selected()).toBe('cart');
    expect(tree()).toContain('    cart');
    await userEvent.keyboard('e');
    expect(selected()).toBe('query');
    await userEvent.keyboard('e');
    expect(selected()).toBe('cart');
  });

  it('offers no errors to a trace without any', () => {
    render(<Timeline documents={[documentOf('root', 0, 1)]} />);
    expect(screen.getByTestId('next-error').textContent).toBe('Next error');
    expect((screen.getByTestId('next-error') as HTMLButtonElement).disabled).toBe(true);
    expect((screen.getByRole('checkbox', { name: 'Only errors' }) as HTMLInputElement).disabled).toBe(true);
  });
});

describe('a trace of ten thousand segments', () => {
  const calls = Array.from({ length: 10_000 }, (_, i) => documentOf(`call ${i}`, i, i + 1));

  it('has only the rows in sight in the page', () => {
    render(<Timeline documents={[documentOf('root', 0, 10_000, { subsegments: calls })]} />);
    expect(rows().length).toBeGreaterThan(20);
    expect(rows().length).toBeLessThan(60);
    expect(grid().getAttribute('aria-rowcount')).toBe('10001');
    expect(screen.getByText('10,001 of 10,001 rows shown')).toBeTruthy();
  });
});
