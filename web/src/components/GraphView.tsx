import Button from '@cloudscape-design/components/button';
import SegmentedControl from '@cloudscape-design/components/segmented-control';
import { useCallback, useMemo, useRef, useState } from 'react';
import type { ServiceGraph } from '../api/shapes';
import { Panel } from '../app/panel';
import { usePreference } from '../app/preferences';
import { buildMap, type MapModel } from '../lib/graph';
import { layOut, layOutAgain, type Layout } from '../lib/layout';
import type { Window } from '../lib/timerange';
import { GraphCanvas } from './GraphCanvas';
import { GraphList } from './GraphList';
import { GraphPanel } from './GraphPanel';
import { outcomeMeanings, OutcomeIcon } from './Outcome';
import './FilterBox.css';
import './GraphView.css';

interface Props {
  graph: ServiceGraph;
  /** The window of the counts; null for the map of one trace, which has no rates. */
  window: Window | null;
  /** Key of the chosen node or edge. */
  selection: string | null;
  onSelect: (key: string | null) => void;
  /** Nodes keep their positions while this stays the same. */
  memoryKey: string;
}

interface Memory {
  key: string;
  structure: string;
  layout: Layout;
}

function place(model: MapModel, before: Layout | null): Layout {
  const nodes = model.nodes.map((node) => ({ key: node.key, first: node.client }));
  const edges = model.edges.map((edge) => ({ from: edge.source.key, to: edge.target.key }));
  return before ? layOutAgain(nodes, edges, before) : layOut(nodes, edges);
}

/** Positions that stay the same between refreshes; arrange computes all of them again. */
function useLayout(model: MapModel, memoryKey: string): { layout: Layout; arrange: () => void } {
  const memory = useRef<Memory | null>(null);
  const [round, setRound] = useState(0);
  const layout = useMemo(() => {
    const structure = `${round}\n${model.nodes.map((node) => node.key).sort().join('\n')}\n\n${model.edges.map((edge) => edge.key).sort().join('\n')}`;
    const before = memory.current?.key === memoryKey ? memory.current : null;
    if (before?.structure === structure) {
      return before.layout;
    }
    const sameRound = before?.structure.startsWith(`${round}\n`) === true;
    const next = place(model, sameRound ? before.layout : null);
    memory.current = { key: memoryKey, structure, layout: next };
    return next;
  }, [model, memoryKey, round]);
  const arrange = useCallback(() => setRound((value) => value + 1), []);
  return { layout, arrange };
}

function Legend() {
  return (
    <ul className="fl-legend">
      {(['ok', 'error', 'fault', 'throttle'] as const).map((outcome) => (
        <li key={outcome}>
          <OutcomeIcon outcome={outcome} />
          {outcomeMeanings[outcome].split(':')[0]}
        </li>
      ))}
      <li>
        <svg className="fl-icon" viewBox="0 0 16 16" aria-hidden="true">
          <circle className="fl-legend-inferred" cx="8" cy="8" r="6" />
        </svg>
        Inferred
      </li>
    </ul>
  );
}

/** A service graph as a map and as a list, with a panel for the selection. */
export default function GraphView({ graph, window, selection, onSelect, memoryKey }: Props) {
  const model = useMemo(() => buildMap(graph), [graph]);
  const { layout, arrange } = useLayout(model, memoryKey);
  const [view, setView] = usePreference<'map' | 'list'>('map-view', ['map', 'list'], 'map');
  const [find, setFind] = useState('');
  const node = selection === null ? undefined : model.byKey.get(selection);
  const edge = selection === null ? undefined : model.edges.find((candidate) => candidate.key === selection);
  const close = useCallback(() => onSelect(null), [onSelect]);
  const minutes = window ? Math.max(1 / 60, (window.end - window.start) / 60) : null;
  return (
    <div className="fl-map">
      <div className="fl-map-tools">
        <SegmentedControl
          label="View"
          selectedId={view}
          options={[
            { id: 'map', text: 'Map' },
            { id: 'list', text: 'List' },
          ]}
          onChange={({ detail }) => setView(detail.selectedId === 'list' ? 'list' : 'map')}
        />
        <div className="fl-filter-box fl-find">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4 14 14" />
          </svg>
          <input aria-label="Find a node" placeholder="Find a node" value={find} onChange={(event) => setFind(event.target.value)} />
        </div>
        <span className="fl-top-space" />
        {view === 'map' && <Legend />}
        {view === 'map' && (
          <Button variant="inline-link" onClick={arrange}>
            Arrange
          </Button>
        )}
      </div>
      {view === 'map' ? (
        <GraphCanvas model={model} layout={layout} minutes={minutes} selection={selection} onSelect={onSelect} find={find} />
      ) : (
        <GraphList model={model} minutes={minutes} selection={selection} onSelect={onSelect} find={find} />
      )}
      {(node || edge) && (
        <Panel title={node ? node.id.name : `${edge?.source.id.name ?? ''} → ${edge?.target.id.name ?? ''}`} onClose={close}>
          <GraphPanel key={selection} model={model} node={node} edge={edge} window={window} minutes={minutes} onSelect={onSelect} />
        </Panel>
      )}
    </div>
  );
}
