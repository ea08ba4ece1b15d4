import { memo, useEffect, useRef, useState } from 'react';
import type { TraceSummary } from '../api/shapes';
import { formatDuration, formatFullTime, formatTime, formatUtc } from '../lib/format';
import { href, navigate } from '../lib/router';
import { inProgress, rootName, shortUrl, summaryOutcome, type SortKey } from '../lib/summaries';
import { OpenIcon, OutcomeIcon, OutcomeText } from './Outcome';
import './table.css';
import './TraceTable.css';

interface Column {
  key: SortKey | 'id' | 'flags';
  title: string;
  numeric?: boolean;
}

const columns: Column[] = [
  { key: 'time', title: 'Time' },
  { key: 'id', title: 'Trace id' },
  { key: 'name', title: 'Root' },
  { key: 'method', title: 'Method' },
  { key: 'url', title: 'URL' },
  { key: 'status', title: 'Status', numeric: true },
  { key: 'response', title: 'Response time', numeric: true },
  { key: 'duration', title: 'Duration', numeric: true },
  { key: 'flags', title: 'Flags' },
  { key: 'user', title: 'User' },
];

function Flags({ trace }: { trace: TraceSummary }) {
  const outcome = summaryOutcome(trace);
  return (
    <span className="fl-flags">
      {outcome !== 'ok' && <OutcomeText outcome={outcome} />}
      {inProgress(trace) && <span className="fl-flag">In progress</span>}
      {trace.IsPartial && (
        <span className="fl-flag" title="A segment refers to a parent that has not arrived, or you may not see all segments">
          Partial
        </span>
      )}
    </span>
  );
}

function traceLink(id: string): string {
  return href(`/traces/${id}`);
}

const Row = memo(function Row({ trace, selected, tabStop, fresh }: { trace: TraceSummary; selected: boolean; tabStop: boolean; fresh: boolean }) {
  const url = trace.Http?.HttpURL ?? '';
  const users = (trace.Users ?? []).flatMap((user) => user.UserName ?? []);
  return (
    <tr
      data-testid="trace-row"
      data-trace-id={trace.Id}
      aria-selected={selected}
      className={`${selected ? 'fl-selected' : ''} ${fresh ? 'fl-fresh' : ''}`}
      onClick={(event) => {
        if (!(event.target as HTMLElement).closest('a, button') && window.getSelection()?.isCollapsed !== false) {
          navigate(traceLink(trace.Id));
        }
      }}
    >
      <td title={`${formatFullTime(trace.StartTime ?? Number.NaN)}\n${formatUtc(trace.StartTime ?? Number.NaN)}`}>{formatTime(trace.StartTime ?? Number.NaN)}</td>
      <td>
        <a href={traceLink(trace.Id)} className="fl-mono fl-id" title={trace.Id} tabIndex={tabStop ? 0 : -1}>
          {inProgress(trace) && summaryOutcome(trace) === 'ok' ? <OpenIcon /> : <OutcomeIcon outcome={summaryOutcome(trace)} />}
          …{trace.Id.slice(-8)}
        </a>
      </td>
      <td className="fl-name" title={rootName(trace)}>
        {rootName(trace) || <span className="fl-faint">root not received</span>}
        {trace.EntryPoint?.AccountId && <span className="fl-faint"> in {trace.EntryPoint.AccountId}</span>}
      </td>
      <td>{trace.Http?.HttpMethod ?? ''}</td>
      <td className="fl-url" title={url}>
        {shortUrl(url)}
      </td>
      <td className="fl-num">{trace.Http?.HttpStatus ?? ''}</td>
      <td className="fl-num">{formatDuration(trace.ResponseTime)}</td>
      <td className="fl-num">{formatDuration(trace.Duration)}</td>
      <td>
        <Flags trace={trace} />
      </td>
      <td className="fl-user" title={users.join(', ')}>
        {users[0] ?? ''}
        {users.length > 1 ? ` +${users.length - 1}` : ''}
      </td>
    </tr>
  );
});

interface Props {
  traces: TraceSummary[];
  sort: SortKey;
  descending: boolean;
  onSort: (key: SortKey) => void;
}

/** Traces of one page of the list; j and k move, o opens. */
export function TraceTable({ traces, sort, descending, onSort }: Props) {
  const [selectedId, setSelectedId] = useState<string | null>(null);
  const body = useRef<HTMLTableSectionElement>(null);
  const seen = useRef<Set<string> | null>(null);
  const known = seen.current;
  useEffect(() => {
    seen.current = new Set([...(seen.current ?? []), ...traces.map((trace) => trace.Id)]);
  }, [traces]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement | null;
      if (event.ctrlKey || event.metaKey || event.altKey || target?.closest('input, textarea, [role="dialog"], [role="menu"]')) {
        return;
      }
      const index = traces.findIndex((trace) => trace.Id === selectedId);
      if (event.key === 'j' || event.key === 'k') {
        const next = Math.min(traces.length - 1, Math.max(0, index < 0 ? 0 : index + (event.key === 'j' ? 1 : -1)));
        setSelectedId(traces[next]?.Id ?? null);
        const row = body.current?.rows[next];
        row?.scrollIntoView({ block: 'nearest' });
        row?.querySelector('a')?.focus({ preventScroll: true });
      } else if (event.key === 'o' && index >= 0 && selectedId) {
        navigate(traceLink(selectedId));
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [traces, selectedId]);
  const tabStopId = traces.some((trace) => trace.Id === selectedId) ? selectedId : traces[0]?.Id;
  return (
    <div className="fl-table-wrap" tabIndex={-1}>
      <table className="fl-table">
        <thead>
          <tr>
            {columns.map(({ key, title, numeric }) => (
              <th
                key={key}
                scope="col"
                className={numeric ? 'fl-num' : undefined}
                aria-sort={key === sort ? (descending ? 'descending' : 'ascending') : undefined}
              >
                {key === 'id' || key === 'flags' ? (
                  title
                ) : (
                  <button type="button" onClick={() => onSort(key)}>
                    {title}
                    <span className="fl-sort" aria-hidden="true">
                      {key === sort ? (descending ? '▼' : '▲') : ''}
                    </span>
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {traces.map((trace) => (
            <Row
              key={trace.Id}
              trace={trace}
              selected={trace.Id === selectedId}
              tabStop={trace.Id === tabStopId}
              fresh={known !== null && !known.has(trace.Id)}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}
