import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { ApiError } from '../api/client';
import { actionOf, actorOf, jsonOf, useAudit, type AuditFilter, type AuditRecord } from '../api/audit';
import { Panel } from '../app/panel';
import { useTimeRange } from '../app/range';
import { Copy } from '../components/Copy';
import { Check, TextField } from '../components/Field';
import { JsonTree } from '../components/JsonTree';
import { Loading } from '../components/Loading';
import { Trouble } from '../components/Trouble';
import { formatCount, formatFullTime, formatTime, formatUtc } from '../lib/format';
import { href, useLocation, useSetParams } from '../lib/router';
import { describeRange } from '../lib/timerange';
import { findTraceId } from '../lib/traceid';
import '../components/code.css';
import '../components/table.css';
import './AuditPage.css';

const names = ['principal', 'action', 'trace', 'error', 'account'] as const;

function filterOf(params: URLSearchParams): AuditFilter {
  const [principal = '', action = '', trace = '', error = '', account = ''] = names.map((name) => params.get(name) ?? '');
  return { principal, action, trace, error, account };
}

/** The form above the records. The address keeps what is searched for. */
function Search({ filter, onSearch }: { filter: AuditFilter; onSearch: (filter: AuditFilter) => void }) {
  const [draft, setDraft] = useState(filter);
  // The address can change without the form, by the button Back. A new form would lose the focus.
  const [shown, setShown] = useState(filter);
  if (names.some((name) => filter[name] !== shown[name])) {
    setShown(filter);
    setDraft(filter);
  }
  const set = (change: Partial<AuditFilter>): void => setDraft({ ...draft, ...change });
  return (
    <form
      className="fl-form"
      role="search"
      aria-label="Audit records"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch({ ...draft, trace: findTraceId(draft.trace) ?? draft.trace });
      }}
    >
      <div className="fl-form-row">
        <TextField label="Who" value={draft.principal} onChange={(principal) => set({ principal })} placeholder="name, ARN or key" />
        <TextField label="Action" value={draft.action} onChange={(action) => set({ action })} placeholder="xray:Get*" />
        <TextField label="Trace" value={draft.trace} onChange={(trace) => set({ trace })} placeholder="1-5840…" />
        <TextField label="Error code" value={draft.error} onChange={(error) => set({ error })} placeholder="AccessDenied" />
        <TextField label="Account" value={draft.account} onChange={(account) => set({ account })} placeholder="own; * for all" />
      </div>
      <div className="fl-form-buttons">
        <Button variant="primary" formAction="submit">
          Search
        </Button>
        <Button
          formAction="none"
          onClick={() => {
            const none = { principal: '', action: '', trace: '', error: '', account: '' };
            setDraft(none);
            onSearch(none);
          }}
        >
          Clear
        </Button>
        <Check
          label="Errors only"
          checked={draft.error !== ''}
          onChange={(only) => {
            const next = { ...draft, error: only ? '*' : '' };
            setDraft(next);
            onSearch(next);
          }}
        />
      </div>
    </form>
  );
}

function tracesOf({ event }: AuditRecord): { ids: string[]; count: number } {
  const ids = event.additionalEventData?.traceIds ?? [];
  return { ids, count: event.additionalEventData?.traceCount ?? ids.length };
}

function Traces({ record }: { record: AuditRecord }) {
  const { ids, count } = tracesOf(record);
  const [only] = ids;
  if (only !== undefined && count === 1) {
    return (
      <a className="fl-mono" href={href(`/traces/${only}`)} onClick={(event) => event.stopPropagation()}>
        {only}
      </a>
    );
  }
  return count > 0 ? <>{formatCount(count)}</> : null;
}

function Row({ record, chosen, onChoose }: { record: AuditRecord; chosen: boolean; onChoose: () => void }) {
  const { event } = record;
  const at = Date.parse(event.eventTime) / 1000;
  return (
    <tr data-testid="audit-row" className={chosen ? 'fl-selected' : undefined} onClick={onChoose}>
      <td>
        <time dateTime={event.eventTime} title={formatUtc(at)}>
          {formatTime(at)}
        </time>
      </td>
      <td title={event.userIdentity?.arn}>{actorOf(event)}</td>
      <td>
        <button
          type="button"
          className="fl-link"
          aria-expanded={chosen}
          onClick={(click) => {
            click.stopPropagation();
            onChoose();
          }}
        >
          {actionOf(event)}
        </button>
      </td>
      <td>{event.errorCode === undefined ? 'ok' : <span className="fl-audit-bad">{event.errorCode}</span>}</td>
      <td>
        <Traces record={record} />
      </td>
      <td className="fl-mono">{event.sourceIPAddress}</td>
    </tr>
  );
}

/** One record: the traces it names, and all of its members. */
function Details({ record, onClose }: { record: AuditRecord; onClose: () => void }) {
  const { event } = record;
  const { ids, count } = tracesOf(record);
  return (
    <Panel title={`${actionOf(event)}, record ${record.seq}`} onClose={onClose}>
      <div data-testid="audit-record">
        <p>
          {actorOf(event)}, {formatFullTime(Date.parse(event.eventTime) / 1000)} <Copy text={() => JSON.stringify(event, null, 2)}>Copy record</Copy>
        </p>
        {event.errorMessage !== undefined && <p className="fl-audit-bad">{event.errorMessage}</p>}
        {ids.length > 0 && (
          <>
            <p className="fl-hint">{count > ids.length ? `The first ${ids.length} of ${formatCount(count)} traces` : 'Traces'}</p>
            <ul className="fl-audit-traces fl-mono">
              {ids.map((id) => (
                <li key={id}>
                  <a className="fl-link" href={href(`/traces/${id}`)}>
                    {id}
                  </a>
                </li>
              ))}
            </ul>
          </>
        )}
        <JsonTree value={jsonOf(event)} />
      </div>
    </Panel>
  );
}

/** What to do when the server keeps no audit log. */
function Off() {
  return (
    <div className="fl-empty" data-testid="audit-off">
      <h2>The audit log is off</h2>
      <p>Nobody can see who read which trace. Start the server with</p>
      <div className="fl-code">
        <pre>fluoro serve --audit on</pre>
      </div>
      <p>and each request of a known caller leaves a record that nobody can change unnoticed.</p>
    </div>
  );
}

function Damage({ files }: { files: string[] }) {
  if (files.length === 0) {
    return (
      <p className="fl-hint">
        Whether the log is complete and unchanged is not checked by a search: <code>fluoro audit verify</code> checks it.
      </p>
    );
  }
  return (
    <Alert type="error" header="Parts of the audit log could not be read">
      Records may be missing below. Run <code>fluoro audit verify</code>.
      <ul>
        {files.map((file) => (
          <li key={file} className="fl-mono">
            {file}
          </li>
        ))}
      </ul>
    </Alert>
  );
}

const heads = ['Time', 'Who', 'Action', 'Result', 'Traces', 'From'];

/** The search of the audit log: who did what, when, from where, and which traces they saw. */
export default function AuditPage() {
  const { params } = useLocation();
  const setParams = useSetParams();
  const { range } = useTimeRange();
  const filter = filterOf(params);
  const query = useAudit(range, filter);
  const records = query.data?.pages.flatMap((page) => page.events) ?? [];
  const damaged = [...new Set(query.data?.pages.flatMap((page) => page.damaged) ?? [])];
  const chosen = records.find(({ seq }) => String(seq) === params.get('record'));
  const found = query.data !== undefined;
  if (query.error instanceof ApiError && query.error.status === 404) {
    return <Off />;
  }
  return (
    <div className="fl-page" data-testid="audit-page">
      <Header variant="h1" description="Who did what, when, from where, and which traces they saw">
        Audit log
      </Header>
      <Search filter={filter} onSearch={(next) => setParams({ ...next, record: null })} />
      {query.isError && <Trouble error={query.error} what="see the audit log" action="cloudtrail:LookupEvents" onRetry={() => void query.refetch()} />}
      {query.isPending && <Loading what="records" />}
      {found && <Damage files={damaged} />}
      {found && records.length === 0 && (
        <div className="fl-empty" data-testid="no-records">
          <p>
            No record in the {describeRange(range)} matches{query.hasNextPage ? ' so far' : ''}.
            {query.hasNextPage ? ' A part of the log is not searched yet.' : ' Choose a longer range above, or search for less.'}
          </p>
        </div>
      )}
      {records.length > 0 && (
        <div className="fl-table-wrap" tabIndex={-1}>
          <table className="fl-table">
            <caption className="fl-offscreen">Audit records, the newest first</caption>
            <thead>
              <tr>
                {heads.map((head) => (
                  <th key={head} scope="col">
                    {head}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {records.map((record) => (
                <Row
                  key={record.seq}
                  record={record}
                  chosen={record === chosen}
                  onChoose={() => setParams({ record: record === chosen ? null : String(record.seq) }, true)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found && (
        <div className="fl-form-buttons">
          {query.hasNextPage ? (
            <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {records.length > 0 ? 'Older records' : 'Search further back'}
            </Button>
          ) : (
            records.length > 0 && <p className="fl-hint">{formatCount(records.length)} records; there are no older ones in this range.</p>
          )}
        </div>
      )}
      {chosen && <Details record={chosen} onClose={() => setParams({ record: null }, true)} />}
    </div>
  );
}
