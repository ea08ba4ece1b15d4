import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import type { ReactNode } from 'react';
import { useStatus } from '../api/queries';
import type { Status } from '../api/shapes';
import { serverNow } from '../api/client';
import { Copy } from '../components/Copy';
import { ErrorBox } from '../components/ErrorBox';
import { Loading } from '../components/Loading';
import { formatBytes, formatCount, formatDuration, formatFullTime, formatTime, formatUtc } from '../lib/format';
import '../components/table.css';
import './StatusPage.css';

function Table({ caption, heads, rows, empty }: { caption: string; heads: string[]; rows: { key: string; cells: ReactNode[] }[]; empty: string }) {
  if (rows.length === 0) {
    return <p className="fl-hint">{empty}</p>;
  }
  return (
    <div className="fl-table-wrap" tabIndex={-1}>
      <table className="fl-table fl-table-plain">
        <caption className="fl-offscreen">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col" className={head === 'Count' ? 'fl-num' : undefined}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells }) => (
            <tr key={key}>
              {cells.map((cell, i) => (
                <td key={heads[i]} className={heads[i] === 'Count' ? 'fl-num' : undefined}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Figures({ status }: { status: Status }) {
  const { store } = status;
  const figures: [string, string, string][] = [
    ['Traces', formatCount(store.traces), `${formatCount(store.open_traces)} of them open`],
    ['Segments', formatCount(store.segments), ''],
    ['On disk', formatBytes(store.bytes), `in ${formatCount(store.blocks)} blocks`],
    ['Write-ahead log', formatBytes(store.wal_bytes), 'not yet in blocks'],
    [
      'Distinct services',
      formatCount(store.names ?? 0),
      store.names_folded ? `at most; ${formatCount(store.names_folded)} times a further one arrived, counted as "${store.other_name}"` : 'at most',
    ],
    ['Up for', formatDuration(Math.max(0, serverNow() - status.started)), `since ${formatFullTime(status.started)}`],
    ['Version', status.version, `account ${status.account}, ${status.region}`],
  ];
  return (
    <dl className="fl-figures">
      {figures.map(([label, value, note]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
          <dd className="fl-faint">{note}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Lists damaged, missing and left-over files of the data directory. */
function Damage({ store }: { store: Status['store'] }) {
  const damage = store.damage ?? [];
  const notes = store.notes ?? [];
  const count = store.damaged ?? damage.length;
  return (
    <>
      {count > 0 && (
        <div className="fl-alarm" role="alert" data-testid="status-damage">
          <p>
            {formatCount(count)} {count === 1 ? 'place' : 'places'} of the data directory {count === 1 ? 'is' : 'are'} damaged or missing. All other data is served;
            nothing is deleted. Run <code>fluoro store check</code> for a complete check.
          </p>
          <ul>
            {damage.map((text) => (
              <li key={text} className="fl-mono fl-wrap">
                {text}
              </li>
            ))}
          </ul>
          {count > damage.length && <p>{formatCount(count - damage.length)} more are not listed.</p>}
        </div>
      )}
      {notes.length > 0 && (
        <Container header={<Header variant="h2">To check or clean up</Header>}>
          <ul data-testid="status-notes">
            {notes.map((text) => (
              <li key={text} className="fl-mono fl-wrap">
                {text}
              </li>
            ))}
          </ul>
        </Container>
      )}
    </>
  );
}

type Count = Status['received'][number];

/** Adds up counts with the same given members, largest first. */
function sumBy(counts: Count[], members: ('protocol' | 'outcome' | 'reason' | 'source')[]): Count[] {
  const sums = new Map<string, Count>();
  for (const entry of counts) {
    const key = members.map((member) => entry[member] ?? '').join('|');
    const sum = sums.get(key);
    if (sum) {
      sum.count += entry.count;
    } else {
      sums.set(key, { ...entry });
    }
  }
  return [...sums.values()].sort((a, b) => b.count - a.count);
}

/** Shows the listeners, their counts of received and refused documents, and the figures of the store. */
export default function StatusPage() {
  const query = useStatus(5000);
  const status = query.data;
  if (!status) {
    return query.isError ? <ErrorBox error={query.error} onRetry={() => void query.refetch()} /> : <Loading what="status" />;
  }
  const received = sumBy(
    (status.received ?? []).filter((entry) => entry.outcome === 'accepted'),
    ['protocol'],
  );
  const dropped = (status.received ?? []).filter((entry) => entry.outcome !== 'accepted' && entry.count > 0);
  return (
    <div className="fl-page" data-testid="status-page">
      <Header variant="h1" description={query.isError ? 'The server does not answer; these are the last figures' : 'This server, now'}>
        Status
      </Header>
      {status.store.read_only !== '' && (
        <p className="fl-alarm" role="alert">
          The store accepts no new data: {status.store.read_only}
        </p>
      )}
      <Damage store={status.store} />
      {(status.store.search.traces_beyond > 0 || status.store.search.many_values.length > 0) && (
        <p role="status">
          Searches for some annotations are slower than others.{' '}
          {status.store.search.traces_beyond > 0 &&
            `${formatCount(status.store.search.traces_beyond)} traces have keys beyond the ${formatCount(status.store.search.keys)} that have an index (--annotation-keys). `}
          {status.store.search.many_values.length > 0 &&
            `Keys with too many values for the index (--annotation-values): ${status.store.search.many_values.join(', ')}.`}
        </p>
      )}
      <Container>
        <Figures status={status} />
      </Container>
      <div className="fl-columns">
        <Container header={<Header variant="h2">Listening on</Header>}>
          <Table
            caption="Listeners"
            heads={['Protocol', 'Address']}
            empty="No listeners."
            rows={(status.listeners ?? []).map((entry) => ({
              key: `${entry.protocol} ${entry.address}`,
              cells: [
                entry.protocol,
                <span key="address" className="fl-mono">
                  {entry.address} <Copy text={entry.address} label={`Copy ${entry.address}`} />
                </span>,
              ],
            }))}
          />
        </Container>
        <Container header={<Header variant="h2">Accepted</Header>}>
          <Table
            caption="Accepted documents by protocol"
            heads={['Protocol', 'Count']}
            empty="Nothing yet."
            rows={received.map((entry) => ({ key: entry.protocol, cells: [entry.protocol, formatCount(entry.count)] }))}
          />
        </Container>
        <Container header={<Header variant="h2">Not accepted, by reason</Header>}>
          <Table
            caption="Refused documents by reason"
            heads={['Protocol', 'Outcome', 'Reason', 'Count']}
            empty="Nothing was turned away."
            rows={sumBy(dropped, ['protocol', 'outcome', 'reason']).map((entry) => ({
              key: `${entry.protocol} ${entry.outcome} ${entry.reason}`,
              cells: [entry.protocol, entry.outcome, entry.reason || '–', formatCount(entry.count)],
            }))}
          />
        </Container>
        <Container header={<Header variant="h2">Not accepted, by source</Header>}>
          <Table
            caption="Refused documents by source"
            heads={['Source', 'Reason', 'Count']}
            empty="Nothing was turned away."
            rows={sumBy(dropped, ['source', 'reason']).map((entry) => ({
              key: `${entry.source ?? ''} ${entry.reason}`,
              cells: [entry.source || 'unknown', entry.reason || '–', formatCount(entry.count)],
            }))}
          />
        </Container>
      </div>
      <Container header={<Header variant="h2">Last refused</Header>}>
        <Table
          caption="Last refused"
          heads={['Time', 'Protocol', 'Source', 'Reason', 'Message']}
          empty="Nothing was refused."
          rows={(status.refused ?? []).map((entry, i) => ({
            key: `${entry.time} ${i}`,
            cells: [
              <time key="time" dateTime={formatUtc(entry.time)} title={formatUtc(entry.time)}>
                {formatTime(entry.time)}
              </time>,
              entry.protocol,
              <span key="source" className="fl-mono">
                {entry.source}
              </span>,
              entry.reason,
              <span key="message" className="fl-wrap">
                {entry.message}
              </span>,
            ],
          }))}
        />
      </Container>
      <p className="fl-hint">
        <a href="/third-party-notices.txt">Licences of third-party packages in this console</a>
      </p>
    </div>
  );
}
