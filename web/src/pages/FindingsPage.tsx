import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { post } from '../api/client';
import { useMay } from '../api/session';
import { Dialog } from '../components/Dialog';
import { Choice, TextArea } from '../components/Field';
import { Loading } from '../components/Loading';
import { Trouble } from '../components/Trouble';
import { formatCount, formatFullTime } from '../lib/format';
import { href, useLocation, useSetParams } from '../lib/router';
import '../components/table.css';

/** A security finding (docs/guides/findings.md). Times are epoch seconds. */
export interface Finding {
  id: string;
  kind: string;
  severity: string;
  state: string;
  service: string;
  subject: string;
  text: string;
  expected: string;
  first: number;
  last: number;
  count: number;
  trace_id: string;
  note: string;
  by: string;
}

const kinds: Record<string, string> = {
  'new-edge': 'New call between services',
  'new-remote': 'New remote host',
  'new-client': 'New client network',
  'fan-out': 'Calls many others',
  'unusual-size': 'Unusually large response',
  'unusual-rate': 'Unusually many requests',
  'many-addresses': 'User at many networks',
};
const states: [string, string][] = [
  ['open', 'Open'],
  ['acknowledged', 'Acknowledged'],
  ['dismissed', 'Dismissed'],
  ['', 'All'],
];
const order: Record<string, number> = { high: 0, medium: 1, low: 2 };

function Decide({ finding, onClose }: { finding: Finding; onClose: () => void }) {
  const client = useQueryClient();
  const [state, setState] = useState(finding.state === 'open' ? 'acknowledged' : finding.state);
  const [note, setNote] = useState(finding.note);
  const decide = useMutation({
    mutationFn: () => post('/api/findings/Decide', { id: finding.id, state, note }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['findings'] });
      onClose();
    },
  });
  return (
    <Dialog title="Decide about this finding" onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          decide.mutate();
        }}
      >
        <p>{finding.text}</p>
        <Choice label="State" value={state} onChange={setState} options={states.filter(([value]) => value !== '')} />
        <TextArea label="Note" value={note} onChange={setNote} hint="Why, for those who look later." />
        {decide.error && <Trouble error={decide.error} what="decide about findings" action="fluoro:UpdateFinding" />}
        <div className="fl-form-buttons">
          <Button variant="primary" formAction="submit" loading={decide.isPending}>
            Save
          </Button>
          <Button formAction="none" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Row({ finding, onDecide }: { finding: Finding; onDecide: (() => void) | null }) {
  return (
    <tr>
      <td>
        <span className={`fl-severity fl-severity-${finding.severity}`}>{finding.severity}</span>
      </td>
      <td>
        <strong>{kinds[finding.kind] ?? finding.kind}</strong>
        <br />
        <span className="fl-wrap">{finding.text}</span>
        {finding.expected && (
          <>
            <br />
            <span className="fl-faint fl-wrap">Before: {finding.expected}</span>
          </>
        )}
        {finding.note && (
          <>
            <br />
            <span className="fl-faint fl-wrap">
              {finding.by}: {finding.note}
            </span>
          </>
        )}
      </td>
      <td>{finding.service}</td>
      <td className="fl-num">{formatCount(finding.count)}</td>
      <td>
        <time dateTime={new Date(finding.first * 1000).toISOString()}>{formatFullTime(finding.first)}</time>
      </td>
      <td>{finding.trace_id ? <a href={href(`/traces/${finding.trace_id}`)}>First trace</a> : '–'}</td>
      <td>
        {finding.state}
        {onDecide && (
          <>
            {' '}
            <Button variant="inline-link" ariaLabel={`Decide: ${finding.text}`} onClick={onDecide}>
              Decide
            </Button>
          </>
        )}
      </td>
    </tr>
  );
}

/** Lists what is new or unusual in the traces, for security teams. */
export default function FindingsPage() {
  const may = useMay();
  const { params } = useLocation();
  const setParams = useSetParams();
  const state = params.get('state') ?? 'open';
  const [deciding, setDeciding] = useState<Finding | null>(null);
  const query = useQuery({
    queryKey: ['findings'],
    queryFn: async ({ signal }) => (await post<{ findings: Finding[] | null }>('/api/findings/List', {}, signal)).findings ?? [],
    refetchInterval: 30_000,
  });
  const shown = (query.data ?? [])
    .filter((finding) => state === 'all' || finding.state === state)
    .sort((a, b) => (order[a.severity] ?? 3) - (order[b.severity] ?? 3) || b.last - a.last);
  return (
    <div className="fl-page" data-testid="findings-page">
      <Header variant="h1" description="What is new or unusual in the traces of this account" counter={query.data ? `(${formatCount(shown.length)})` : ''}>
        Security findings
      </Header>
      <div className="fl-form-row">
        <Choice label="State" value={state === 'all' ? '' : state} onChange={(value) => setParams({ state: value || 'all' })} options={states} />
      </div>
      {query.isError && <Trouble error={query.error} what="see security findings" action="fluoro:ListFindings" onRetry={() => void query.refetch()} />}
      {query.isPending && <Loading what="findings" />}
      {query.data && shown.length === 0 && (
        <p className="fl-hint" data-testid="no-findings">
          {query.data.length === 0 ? 'Nothing was found yet. An account is only learnt for its first day.' : 'There is no finding in this state.'}
        </p>
      )}
      {shown.length > 0 && (
        <div className="fl-table-wrap" tabIndex={0} role="region" aria-label="Findings">
          <table className="fl-table fl-table-plain">
            <caption className="fl-offscreen">Security findings</caption>
            <thead>
              <tr>
                {['Severity', 'Finding', 'Service', 'Seen', 'First', 'Evidence', 'State'].map((head) => (
                  <th key={head} scope="col">
                    {head}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.slice(0, 500).map((finding) => (
                <Row key={finding.id} finding={finding} onDecide={may('fluoro:UpdateFinding') ? () => setDeciding(finding) : null} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {deciding && <Decide finding={deciding} onClose={() => setDeciding(null)} />}
    </div>
  );
}
