import { render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState } from 'react';
import { describe, expect, it, vi } from 'vitest';
import type { TraceSummary } from '../api/shapes';
import type { SortKey } from '../lib/summaries';
import { summary } from '../test/shop';
import { TraceTable } from './TraceTable';

const nothing = (): void => {};

function table(traces: TraceSummary[], onSort: (key: SortKey) => void = nothing): ReturnType<typeof render> {
  return render(<TraceTable traces={traces} sort="time" descending onSort={onSort} />);
}

const cells = (row: HTMLElement): (string | null)[] => within(row).getAllByRole('cell').map((cell) => cell.textContent);
const rows = (): HTMLElement[] => screen.getAllByTestId('trace-row');
const selected = (): (string | null)[] => rows().filter((row) => row.getAttribute('aria-selected') === 'true').map((row) => row.getAttribute('data-trace-id'));

describe('a row', () => {
  it('shows when, what and how long in the order of the heads', () => {
    table([summary(3, { Users: [{ UserName: 'ann' }, { UserName: 'bob' }] })]);
    expect(screen.getAllByRole('columnheader').map((head) => head.textContent?.replace('▼', ''))).toEqual([
      'Time', 'Trace id', 'Root', 'Method', 'URL', 'Status', 'Response time', 'Duration', 'Flags', 'User',
    ]);
    const [row] = rows();
    expect(cells(row as HTMLElement).slice(1)).toEqual(['…00000003', 'root-3', 'GET', '/items/3?q=1', '200', '300 ms', '600 ms', '', 'ann +1']);
    expect(screen.getByRole('link').getAttribute('href')).toBe('#/traces/1-6a18aa00-000000000000000000000003');
    expect(screen.getByRole('img', { name: 'OK' })).toBeTruthy();
  });

  it.each([
    ['fault', { HasFault: true }, 'Fault'],
    ['error', { HasError: true }, 'Error'],
    ['throttle before fault', { HasThrottle: true, HasFault: true, HasError: true }, 'Throttled'],
  ])('shows a %s as a sign and a word', (_, flags, word) => {
    table([summary(1, flags)]);
    expect(screen.getByRole('img', { name: word })).toBeTruthy();
    expect(cells(rows()[0] as HTMLElement)[8]).toBe(word);
  });

  it('says what is not finished, partial or without a root', () => {
    table([summary(1, { Duration: null, ResponseTime: null, IsPartial: true, EntryPoint: null, Http: null })]);
    expect(screen.getByRole('img', { name: 'In progress' })).toBeTruthy();
    expect(cells(rows()[0] as HTMLElement).slice(2)).toEqual(['root not received', '', '', '', '–', '–', 'In progressPartial', '']);
  });

  it('shows the fault of an unfinished trace, not the clock', () => {
    table([summary(1, { Duration: null, HasFault: true })]);
    expect(screen.getByRole('img', { name: 'Fault' })).toBeTruthy();
    expect(screen.queryByRole('img', { name: 'In progress' })).toBeNull();
  });

  it('opens its trace by a click anywhere', async () => {
    table([summary(1), summary(2)]);
    await userEvent.click(within(rows()[1] as HTMLElement).getByText('root-2'));
    expect(window.location.hash).toBe('#/traces/1-6a18aa00-000000000000000000000002');
  });
});

describe('the head', () => {
  it('asks for the order of a column; ids and flags have none', async () => {
    const onSort = vi.fn();
    table([summary(1)], onSort);
    for (const name of ['Time', 'Root', 'Method', 'URL', 'Status', 'Response time', 'Duration', 'User']) {
      await userEvent.click(screen.getByRole('button', { name: new RegExp(`^${name}`) }));
    }
    expect(onSort.mock.calls.map(([key]) => key as string)).toEqual(['time', 'name', 'method', 'url', 'status', 'response', 'duration', 'user']);
    expect(screen.queryByRole('button', { name: 'Trace id' })).toBeNull();
    expect(screen.queryByRole('button', { name: 'Flags' })).toBeNull();
  });

  it.each([
    [true, 'descending', '▼'],
    [false, 'ascending', '▲'],
  ])('marks the column of the order (descending %s)', (descending, word, sign) => {
    render(<TraceTable traces={[summary(1)]} sort="response" descending={descending} onSort={nothing} />);
    const heads = screen.getAllByRole('columnheader');
    expect(heads.filter((head) => head.hasAttribute('aria-sort')).map((head) => [head.textContent, head.getAttribute('aria-sort')])).toEqual([[`Response time${sign}`, word]]);
  });
});

describe('the keyboard', () => {
  it('moves with j and k, stops at both ends, and opens with o', async () => {
    table([summary(1), summary(2), summary(3)]);
    const user = userEvent.setup();
    const id = (n: number): string => summary(n).Id;
    await user.keyboard('o');
    expect(window.location.hash).toBe('');
    await user.keyboard('j');
    expect(selected()).toEqual([id(1)]);
    await user.keyboard('jjj');
    expect(selected()).toEqual([id(3)]);
    expect(document.activeElement?.getAttribute('title')).toBe(id(3));
    await user.keyboard('k');
    expect(selected()).toEqual([id(2)]);
    await user.keyboard('kk');
    expect(selected()).toEqual([id(1)]);
    await user.keyboard('jo');
    expect(window.location.hash).toBe(`#/traces/${id(2)}`);
  });

  it('reaches one row by Tab: the selected one, or the first', async () => {
    table([summary(1), summary(2)]);
    const stops = (): number[] => rows().flatMap((row, i) => (within(row).getByRole('link').tabIndex === 0 ? [i] : []));
    expect(stops()).toEqual([0]);
    await userEvent.keyboard('jj');
    expect(stops()).toEqual([1]);
  });

  it('leaves keys alone that are typed into a field', async () => {
    render(
      <>
        <input aria-label="Filter" />
        <TraceTable traces={[summary(1)]} sort="time" descending onSort={nothing} />
      </>,
    );
    await userEvent.type(screen.getByLabelText('Filter'), 'jo');
    expect(selected()).toEqual([]);
    expect(window.location.hash).toBe('');
  });
});

describe('a list that grows', () => {
  it('marks what is new since the list was shown, and keeps the selection', async () => {
    function Growing() {
      const [traces, setTraces] = useState([summary(2), summary(1)]);
      return (
        <>
          <button type="button" onClick={() => setTraces([summary(3), ...traces])}>
            refresh
          </button>
          <TraceTable traces={traces} sort="time" descending onSort={nothing} />
        </>
      );
    }
    render(<Growing />);
    const fresh = (): (string | null)[] => rows().filter((row) => row.classList.contains('fl-fresh')).map((row) => row.getAttribute('data-trace-id'));
    expect(fresh()).toEqual([]);
    await userEvent.keyboard('j');
    await userEvent.click(screen.getByRole('button', { name: 'refresh' }));
    expect(fresh()).toEqual([summary(3).Id]);
    expect(selected()).toEqual([summary(2).Id]);
  });
});
