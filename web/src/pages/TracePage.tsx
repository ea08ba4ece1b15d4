import Button from '@cloudscape-design/components/button';
import Tabs from '@cloudscape-design/components/tabs';
import { lazy, Suspense, useCallback, useMemo } from 'react';
import { useTrace, useTraceGraph } from '../api/queries';
import type { Trace } from '../api/shapes';
import { Panel } from '../app/panel';
import { ErrorBox } from '../components/ErrorBox';
import { Filterable } from '../components/Filterable';
import { Loading } from '../components/Loading';
import { OutcomeText } from '../components/Outcome';
import { SegmentDetails } from '../components/SegmentDetails';
import { Waterfall } from '../components/Waterfall';
import { keywordFilter } from '../lib/filter';
import { formatCount, formatDuration, formatFullTime, formatUtc } from '../lib/format';
import { href, navigate, useLocation, useSetParams } from '../lib/router';
import { lastList } from '../lib/lastlist';
import { toW3CId, toXRayId } from '../lib/traceid';
import { buildTraceModel, objectOf, outcomeOf, parseDocuments, statusOf, textOf, type TraceModel } from '../lib/tracemodel';
import './TracePage.css';

const GraphView = lazy(() => import('../components/GraphView'));
const RawJson = lazy(() => import('../components/RawJson'));

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function usersOf(model: TraceModel): string[] {
  const users = new Set<string>();
  for (const entity of model.rows) {
    const user = textOf(entity.document['user']);
    if (user) {
      users.add(user);
    }
  }
  return [...users];
}

function Head({ trace, model }: { trace: Trace; model: TraceModel }) {
  const root = model.rows.find((entity) => entity.kind === 'segment' && !entity.orphan);
  const request = objectOf(objectOf(root?.document['http'])['request']);
  const status = root ? statusOf(root.document) : null;
  const users = useMemo(() => usersOf(model), [model]);
  const open = model.inProgress > 0;
  const contradicting = (trace.Refused ?? []).length;
  return (
    <>
      <div className="fl-trace-head">
        <h1>
          {root?.name ?? 'Trace'}
          <small>
            {textOf(request['method'])} {textOf(request['url'])}
          </small>
        </h1>
        <div className="fl-badges">
          {root && (root.end !== null || root.outcome !== 'ok') && <OutcomeText outcome={outcomeOf(root.document)} {...(status === null ? {} : { text: String(status) })} />}
          {open && <span className="fl-flag">In progress</span>}
          {model.orphans > 0 && (
            <span className="fl-flag" title="Segments whose parent has not arrived">
              Partial
            </span>
          )}
          {trace.LimitExceeded && (
            <span className="fl-flag" title="The trace is larger than the limit; the rest was dropped">
              Cut
            </span>
          )}
        </div>
      </div>
      <dl className="fl-facts">
        <Fact label="Trace id">
          <Filterable value={trace.Id} mono />
        </Fact>
        <Fact label="W3C trace id">
          <Filterable value={toW3CId(trace.Id)} mono />
        </Fact>
        <Fact label="Start">
          <span title={formatUtc(model.start)}>{formatFullTime(model.start)}</span>
        </Fact>
        <Fact label="Duration">{open ? `${formatDuration(model.end - model.start)} so far` : formatDuration(trace.Duration ?? model.end - model.start)}</Fact>
        <Fact label={model.services.length === 1 ? 'Service' : `Services (${model.services.length})`}>
          {model.services.slice(0, 6).join(', ')}
          {model.services.length > 6 ? ` and ${model.services.length - 6} more` : ''}
        </Fact>
        <Fact label="Segments">
          {formatCount(model.segments)}
          {model.rows.length > model.segments ? `, ${formatCount(model.rows.length - model.segments)} subsegments` : ''}
        </Fact>
        {users.length > 0 && (
          <Fact label={users.length === 1 ? 'User' : 'Users'}>
            {users.slice(0, 3).map((user) => (
              <Filterable key={user} value={user} filter={keywordFilter('user', user)} />
            ))}
          </Fact>
        )}
      </dl>
      {contradicting > 0 && (
        <details className="fl-hint" role="alert">
          <summary>{contradicting === 1 ? '1 observation is not shown because it contradicts a shown one.' : `${formatCount(contradicting)} observations are not shown because they contradict shown ones.`}</summary>
          <ul>
            {trace.Refused?.slice(0, 50).map((refused, i) => (
              <li key={i}>
                {refused.Name}: {refused.Reason}
              </li>
            ))}
          </ul>
        </details>
      )}
      {model.unreadable > 0 && (
        <p className="fl-hint" role="alert">
          {model.unreadable === 1 ? '1 document is not a JSON object; only the raw page shows it.' : `${formatCount(model.unreadable)} documents are not JSON objects; only the raw page shows them.`}
        </p>
      )}
    </>
  );
}

function TraceMap({ id }: { id: string }) {
  const query = useTraceGraph(id, true);
  const { params } = useLocation();
  const setParams = useSetParams();
  const onSelect = useCallback((selection: string | null) => setParams({ node: selection }, true), [setParams]);
  if (query.isError) {
    return <ErrorBox error={query.error} onRetry={() => void query.refetch()} />;
  }
  if (!query.data) {
    return <Loading what="map" />;
  }
  if ((query.data.Services ?? []).length === 0) {
    return <div className="fl-empty">No map yet: it appears when the root segment is complete.</div>;
  }
  return <GraphView graph={query.data} window={null} selection={params.get('node')} onSelect={onSelect} memoryKey={id} />;
}

function NotFound({ id }: { id: string }) {
  return (
    <div className="fl-empty" data-testid="trace-not-found">
      <strong>No trace with this id</strong>
      <p className="fl-mono">{id}</p>
      <p>It was not received, or was deleted after its retention time. The page loads again by itself when new data arrives.</p>
      <Button href={href('/traces')}>All traces</Button>
    </div>
  );
}

/** One trace: header, timeline with segment drawer, map, raw documents. */
export default function TracePage({ id: given, raw }: { id: string; raw: boolean }) {
  const id = toXRayId(given) ?? given;
  const { params } = useLocation();
  const setParams = useSetParams();
  const query = useTrace(id);
  const trace = query.data;
  const parsed = useMemo(() => (trace ? parseDocuments(trace) : null), [trace]);
  const model = useMemo(() => (parsed ? buildTraceModel(parsed.documents, parsed.unreadable) : null), [parsed]);
  const tab = raw ? 'raw' : params.get('tab') === 'map' ? 'map' : 'timeline';
  const segmentId = params.get('segment');
  const selected = segmentId === null ? undefined : model?.byId.get(segmentId);
  const onSelect = useCallback((segment: string | null) => setParams({ segment }, true), [setParams]);
  const close = useCallback(() => onSelect(null), [onSelect]);

  if (query.isError && !trace) {
    return <ErrorBox error={query.error} onRetry={() => void query.refetch()} />;
  }
  if (query.isPending) {
    return <Loading what="trace" lines={14} />;
  }
  if (!trace || !model) {
    return <NotFound id={id} />;
  }
  return (
    <div className="fl-page fl-trace">
      <a className="fl-back" href={lastList()}>
        ‹ Traces
      </a>
      <Head trace={trace} model={model} />
      <Tabs
        activeTabId={tab}
        onChange={({ detail }) => {
          const keep = { segment: segmentId };
          navigate(detail.activeTabId === 'raw' ? href(`/traces/${id}/raw`) : href(`/traces/${id}`, { ...keep, tab: detail.activeTabId === 'map' ? 'map' : null }), true);
        }}
        tabs={[
          {
            id: 'timeline',
            label: 'Timeline',
            content:
              model.rows.length === 0 ? (
                <div className="fl-empty">This trace has nothing to show.</div>
              ) : (
                <Waterfall model={model} selectedId={selected?.id ?? null} onSelect={onSelect} />
              ),
          },
          {
            id: 'map',
            label: 'Map',
            content: (
              <Suspense fallback={<Loading what="map" />}>
                <TraceMap id={id} />
              </Suspense>
            ),
          },
          {
            id: 'raw',
            label: 'Raw data',
            content: (
              <Suspense fallback={<Loading what="documents" />}>
                <RawJson trace={trace} />
              </Suspense>
            ),
          },
        ]}
      />
      {tab === 'timeline' && selected && (
        <Panel title={selected.name} onClose={close}>
          <SegmentDetails entity={selected} model={model} onSelect={onSelect} />
        </Panel>
      )}
    </div>
  );
}
