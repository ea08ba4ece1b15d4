import Button from '@cloudscape-design/components/button';
import Checkbox from '@cloudscape-design/components/checkbox';
import { useMemo, useState } from 'react';
import { BarChart } from './BarChart';
import { Copy } from './Copy';
import { OutcomeIcon, outcomeWords } from './Outcome';
import { binDurations, histogramSamples, quantile } from '../lib/bins';
import { edgeFilter, serviceFilter, type Outcome } from '../lib/filter';
import { formatCount, formatDuration, formatPercent, formatRate } from '../lib/format';
import { averageOf, histogramOf, typeText, worstOf, type Health, type MapEdge, type MapModel, type MapNode } from '../lib/graph';
import { href, useLocation } from '../lib/router';
import { formatTimeRange, type Window } from '../lib/timerange';
import './GraphPanel.css';

const outcomes: Outcome[] = ['fault', 'error', 'throttle', 'ok'];

function Shares({ health }: { health: Health }) {
  return (
    <div className="fl-shares" aria-hidden="true">
      {outcomes.map((outcome) =>
        health.counts[outcome] > 0 ? <i key={outcome} className={`fl-share-${outcome}`} style={{ flexGrow: health.counts[outcome] }} /> : null,
      )}
    </div>
  );
}

function Numbers({ health, minutes, quantiles }: { health: Health; minutes: number | null; quantiles: [string, number | null][] }) {
  return (
    <dl className="fl-numbers">
      <div>
        <dt>Average</dt>
        <dd>{formatDuration(averageOf(health))}</dd>
      </div>
      {quantiles.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{formatDuration(value)}</dd>
        </div>
      ))}
      <div>
        <dt>Requests</dt>
        <dd>{formatCount(health.total)}</dd>
      </div>
      {minutes !== null && (
        <div>
          <dt>Per minute</dt>
          <dd>{formatRate(health.total / minutes)}</dd>
        </div>
      )}
    </dl>
  );
}

function Neighbours({ title, edges, other, onSelect }: { title: string; edges: MapEdge[]; other: 'source' | 'target'; onSelect: (key: string) => void }) {
  if (edges.length === 0) {
    return null;
  }
  return (
    <section className="fl-section">
      <h3>{title}</h3>
      <ul className="fl-neighbours">
        {[...edges]
          .sort((a, b) => b.health.total - a.health.total)
          .map((edge) => (
            <li key={edge.key}>
              <button type="button" className="fl-link fl-with-icon" onClick={() => onSelect(edge.key)}>
                <OutcomeIcon outcome={worstOf(edge.health)} />
                {edge[other].id.name}
              </button>
              <span>{formatDuration(averageOf(edge.health))}</span>
              <span>{formatCount(edge.health.total)}</span>
            </li>
          ))}
      </ul>
    </section>
  );
}

interface Props {
  model: MapModel;
  node: MapNode | undefined;
  edge: MapEdge | undefined;
  window: Window | null;
  minutes: number | null;
  onSelect: (key: string) => void;
}

/** Turns a relative range into absolute times, so that the linked list shows the same window later. */
function rangeParam(window: Window | null, current: string | null): string | null {
  return window ? formatTimeRange({ kind: 'absolute', start: Math.floor(window.start), end: Math.ceil(window.end) }) : current;
}

/** Counts, times and histogram of a node or a call, and a link to their traces. */
export function GraphPanel({ model, node, edge, window, minutes, onSelect }: Props) {
  const { params } = useLocation();
  const [chosen, setChosen] = useState<Outcome[]>([]);
  const [between, setBetween] = useState<{ from: number; to: number } | null>(null);
  const health = node?.health ?? edge?.health;
  const clientEdge = node?.client ? model.edges.find((candidate) => candidate.source === node) : undefined;
  const entries = histogramOf(node ? (node.service.ResponseTimeHistogram ?? clientEdge?.edge.ResponseTimeHistogram) : edge?.edge.ResponseTimeHistogram);
  const bins = useMemo(() => binDurations(histogramSamples(entries), 36), [entries]);
  if (!health) {
    return null;
  }
  const narrowing = { outcomes: chosen, ...(between ? { responseTime: between } : {}) };
  const filter = node ? serviceFilter(node.id, narrowing) : edge ? edgeFilter(edge.source.id, edge.target.id, narrowing) : '';
  const aliases = (edge?.edge.Aliases ?? []).flatMap((alias) => alias.Name ?? []);
  const matching = chosen.length === 0 ? health.total : chosen.reduce((sum, outcome) => sum + health.counts[outcome], 0);
  return (
    <div className="fl-panel" data-testid="node-panel">
      <p className="fl-panel-kind">
        {node
          ? `${typeText(node)}${node.inferred ? ', inferred: it sent no segments' : ''}${node.service.Root ? ', entry of traces' : ''}`
          : 'Reported by the caller, with network time'}
      </p>
      <Numbers
        health={health}
        minutes={minutes}
        quantiles={[
          ['p50', quantile(entries, 0.5)],
          ['p95', quantile(entries, 0.95)],
          ['p99', quantile(entries, 0.99)],
        ]}
      />
      <Shares health={health} />
      <div className="fl-choices" role="group" aria-label="Outcomes to select">
        {outcomes.map((outcome) => (
          <Checkbox
            key={outcome}
            checked={chosen.includes(outcome)}
            disabled={health.counts[outcome] === 0}
            onChange={({ detail }) => setChosen(outcomes.filter((item) => (item === outcome ? detail.checked : chosen.includes(item))))}
          >
            <span className={`fl-outcome fl-${outcome}`}>
              <OutcomeIcon outcome={outcome} />
              {outcomeWords[outcome]} {formatPercent(health.counts[outcome], health.total)}
              <span className="fl-faint"> {formatCount(health.counts[outcome])}</span>
            </span>
          </Checkbox>
        ))}
      </div>
      {bins.length > 0 && <BarChart title="Response time" bins={bins} format={formatDuration} height={120} plain onRange={(from, to) => setBetween({ from, to })} />}
      {between && (
        <p className="fl-chip">
          {formatDuration(between.from)} – {formatDuration(between.to)}
          <button type="button" aria-label="Remove the response time range" onClick={() => setBetween(null)}>
            ×
          </button>
        </p>
      )}
      <div className="fl-view-traces">
        <Button
          variant="primary"
          href={href('/traces', { filter, timeRange: rangeParam(window, params.get('timeRange')) })}
          data-testid="view-traces"
          disabled={matching === 0}
        >
          View traces
        </Button>
        <code className="fl-made-filter">{filter}</code>
        <Copy text={filter} label="Copy the filter" />
      </div>
      {aliases.length > 0 && (
        <p className="fl-hint">
          Called as <span className="fl-mono">{aliases.join(', ')}</span>
        </p>
      )}
      {node && (
        <>
          <Neighbours title="Calls to" edges={model.edges.filter((candidate) => candidate.source === node)} other="target" onSelect={onSelect} />
          <Neighbours title="Called by" edges={model.edges.filter((candidate) => candidate.target === node)} other="source" onSelect={onSelect} />
        </>
      )}
      {edge && (
        <section className="fl-section">
          <h3>Ends</h3>
          <ul className="fl-neighbours">
            {[edge.source, edge.target].map((end, i) => (
              <li key={i}>
                <button type="button" className="fl-link fl-with-icon" onClick={() => onSelect(end.key)}>
                  <OutcomeIcon outcome={worstOf(end.health)} />
                  {end.id.name}
                </button>
                <span>{formatDuration(averageOf(end.health))}</span>
                <span>{formatCount(end.health.total)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
