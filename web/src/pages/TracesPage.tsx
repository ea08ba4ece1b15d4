import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import Pagination from '@cloudscape-design/components/pagination';
import SegmentedControl from '@cloudscape-design/components/segmented-control';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { ApiError } from '../api/client';
import { useSummaries, type Summaries } from '../api/queries';
import { useTimeRange } from '../app/range';
import { BarChart } from '../components/BarChart';
import { ErrorBox } from '../components/ErrorBox';
import { FilterBox } from '../components/FilterBox';
import { Loading } from '../components/Loading';
import { TraceTable } from '../components/TraceTable';
import { binDurations, binSamples } from '../lib/bins';
import { addClause } from '../lib/filter';
import { formatCount, formatDuration, formatTime } from '../lib/format';
import { rememberList } from '../lib/lastlist';
import { href, navigate, useLocation, useSetParams } from '../lib/router';
import { sortKeys, sortTraces, summaryOutcome, type SortKey } from '../lib/summaries';
import { describeRange, formatTimeRange } from '../lib/timerange';
import { findTraceId } from '../lib/traceid';
import { ticks } from '../lib/tracemodel';
import './TracesPage.css';

const step = 500;

/** Marks of a time axis at whole seconds, minutes or hours. */
function timeMarks(from: number, to: number): number[] {
  const sizes = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const size = sizes.find((candidate) => (to - from) / candidate <= 6) ?? 86400;
  return ticks(from / size, to / size, (to - from) / size).map((mark) => mark * size);
}

function Charts({ data, onTime, onResponse }: { data: Summaries; onTime: (a: number, b: number) => void; onResponse: (a: number, b: number) => void }) {
  const { traces, window } = data;
  const overTime = useMemo(() => {
    // If only the newest traces are loaded, an axis over the whole window would show a false gap.
    const oldest = traces.reduce((min, trace) => Math.min(min, trace.StartTime ?? min), window.end);
    const from = data.more ? Math.max(window.start, oldest) : window.start;
    const samples = traces.map((trace) => ({ value: trace.StartTime ?? 0, count: 1, outcome: summaryOutcome(trace) }));
    return binSamples(samples, from, Math.max(window.end, from + 1), 60);
  }, [traces, window, data.more]);
  const responses = useMemo(
    () =>
      binDurations(
        traces.flatMap((trace) =>
          trace.ResponseTime === null || trace.ResponseTime === undefined
            ? []
            : [{ value: trace.ResponseTime, count: 1, outcome: summaryOutcome(trace) }],
        ),
        40,
      ),
    [traces],
  );
  const first = overTime[0]?.from ?? 0;
  const last = overTime.at(-1)?.to ?? 0;
  const clock = useMemo(
    () =>
      new Intl.DateTimeFormat(undefined, {
        ...(last - first > 86400 ? { month: 'short', day: 'numeric' } : {}),
        hour: '2-digit',
        minute: '2-digit',
        ...(last - first < 600 ? { second: '2-digit' } : {}),
        hourCycle: 'h23',
      }),
    [first, last],
  );
  return (
    <div className="fl-charts">
      <BarChart title="Traces over time" bins={overTime} format={(value) => clock.format(value * 1000)} marks={timeMarks(first, last)} onRange={onTime} />
      <BarChart title="Response time" bins={responses} format={formatDuration} onRange={onResponse} />
    </div>
  );
}

function countedText(data: Summaries): string {
  const found = `${formatCount(data.traces.length)}${data.more ? '+' : ''}`;
  const scanned = Math.max(data.scanned, data.traces.length);
  return `${found} of ${formatCount(scanned)}${data.more ? '+' : ''} traces scanned`;
}

/** The list of traces of a time range that match a filter. */
export default function TracesPage() {
  const { params } = useLocation();
  const setParams = useSetParams();
  const { range, param, invalid } = useTimeRange();
  const filter = params.get('filter') ?? '';
  const pageSize = params.get('size') === '100' ? 100 : 50;
  const sort = sortKeys.find((key) => key === params.get('sort')) ?? 'time';
  const descending = params.get('order') !== 'asc';
  const [limit, setLimit] = useState(step);
  const query = useSummaries(range, filter, limit);

  // With an invalid filter, the last list stays on screen.
  const lastGood = useRef<Summaries | undefined>(undefined);
  if (query.data) {
    lastGood.current = query.data;
  }
  const data = query.data ?? lastGood.current;
  const stale = query.isPlaceholderData || (query.isError && data !== undefined);
  const badFilter = query.error instanceof ApiError && query.error.status === 400 && filter !== '' ? query.error.message : null;

  const sorted = useMemo(() => (data ? sortTraces(data.traces, sort, descending) : []), [data, sort, descending]);
  const pages = Math.max(1, Math.ceil(sorted.length / pageSize));
  const page = Math.min(pages, Math.max(1, Number(params.get('page') ?? 1) || 1));
  const rows = useMemo(() => sorted.slice((page - 1) * pageSize, page * pageSize), [sorted, page, pageSize]);

  const onFilter = useCallback(
    (text: string) => {
      const id = findTraceId(text);
      if (id && !text.includes('"')) {
        navigate(href(`/traces/${id}`));
        return;
      }
      setParams({ filter: text, page: null });
    },
    [setParams],
  );
  const onSort = useCallback(
    (key: SortKey) => setParams({ sort: key, order: key === sort && descending ? 'asc' : null, page: null }, true),
    [setParams, sort, descending],
  );
  useEffect(() => setLimit(step), [filter, param]);
  useEffect(() => rememberList(window.location.hash), [params]);

  return (
    <div className="fl-page">
      <Header
        variant="h1"
        {...(data ? { counter: `(${formatCount(data.traces.length)}${data.more ? '+' : ''})` } : {})}
        description={
          <span aria-live="polite">
            {query.isError && data
              ? `The request failed; below are the ${formatCount(data.traces.length)} traces found before`
              : data
                ? `${countedText(data)}, ${describeRange(range)}${stale ? ' (updating)' : ''}`
                : describeRange(range)}
          </span>
        }
      >
        Traces
      </Header>
      <FilterBox value={filter} onSubmit={onFilter} error={badFilter} />
      {invalid !== null && (
        <p className="fl-hint" role="alert">
          “{invalid}” is no time range, so the last hour is shown. Examples: PT15M, PT6H, 2026-01-31T10:00~2026-01-31T11:00.
        </p>
      )}
      {query.isError && badFilter === null && <ErrorBox error={query.error} onRetry={() => void query.refetch()} />}
      {!data && query.isPending && <Loading what="traces" lines={12} />}
      {data && (
        <div className={stale ? 'fl-stale' : undefined}>
          <Charts
            data={data}
            onTime={(from, to) => setParams({ timeRange: formatTimeRange({ kind: 'absolute', start: Math.floor(from), end: Math.ceil(to) }), page: null })}
            onResponse={(from, to) =>
              onFilter(addClause(filter, `responsetime >= ${Number(from.toPrecision(6))} AND responsetime <= ${Number(to.toPrecision(6))}`))
            }
          />
          <TraceTable traces={rows} sort={sort} descending={descending} onSort={onSort} />
          {sorted.length === 0 && (
            <div className="fl-empty" data-testid="no-traces">
              <strong>No traces</strong>
              <p>
                {filter
                  ? `No trace in the ${describeRange(range)} matches this filter.`
                  : `No trace started in the ${describeRange(range)}. Choose a longer range, or send a trace.`}
              </p>
              {filter && <Button onClick={() => onFilter('')}>Clear the filter</Button>}
            </div>
          )}
          <div className="fl-table-foot">
            <SegmentedControl
              label="Rows on a page"
              selectedId={String(pageSize)}
              options={[
                { id: '50', text: '50' },
                { id: '100', text: '100' },
              ]}
              onChange={({ detail }) => setParams({ size: detail.selectedId === '100' ? '100' : null, page: null }, true)}
            />
            {data.more && (
              <Button onClick={() => setLimit(limit + step)} loading={query.isFetching}>
                Load more
              </Button>
            )}
            {data.more && <span className="fl-hint">Sorting and charts cover only the {formatCount(data.traces.length)} newest traces, which are loaded.</span>}
            {pages > 1 && (
              <Pagination
                currentPageIndex={page}
                pagesCount={pages}
                onChange={({ detail }) => setParams({ page: detail.currentPageIndex > 1 ? String(detail.currentPageIndex) : null })}
                ariaLabels={{ nextPageLabel: 'Next page', previousPageLabel: 'Previous page', pageLabel: (number) => `Page ${number}` }}
              />
            )}
          </div>
        </div>
      )}
      {data && data.traces.length > 0 && (
        <p className="fl-offscreen" aria-live="polite">
          {formatCount(data.traces.length)} traces, newest at {formatTime(data.traces[0]?.StartTime ?? 0)}
        </p>
      )}
    </div>
  );
}
