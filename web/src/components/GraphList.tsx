import { formatCount, formatDuration, formatPercent, formatRate } from '../lib/format';
import { averageOf, typeText, worstOf, type Health, type MapModel } from '../lib/graph';
import { OutcomeIcon } from './Outcome';
import './table.css';
import './GraphList.css';

function HealthCells({ health, minutes }: { health: Health; minutes: number | null }) {
  return (
    <>
      <td className="fl-num">{formatDuration(averageOf(health))}</td>
      <td className="fl-num">{minutes === null ? formatCount(health.total) : formatRate(health.total / minutes)}</td>
      {(['fault', 'error', 'throttle'] as const).map((outcome) => (
        <td key={outcome} className="fl-num">
          {health.counts[outcome] > 0 ? formatPercent(health.counts[outcome], health.total) : '–'}
        </td>
      ))}
    </>
  );
}

function HealthHeads({ minutes }: { minutes: number | null }) {
  return (
    <>
      <th scope="col" className="fl-num">
        Average
      </th>
      <th scope="col" className="fl-num">
        {minutes === null ? 'Requests' : 'Per minute'}
      </th>
      <th scope="col" className="fl-num">
        Faults
      </th>
      <th scope="col" className="fl-num">
        Errors
      </th>
      <th scope="col" className="fl-num">
        Throttled
      </th>
    </>
  );
}

interface Props {
  model: MapModel;
  minutes: number | null;
  selection: string | null;
  onSelect: (key: string) => void;
  find: string;
}

/** The nodes and the calls of the map as two tables. */
export function GraphList({ model, minutes, selection, onSelect, find }: Props) {
  const needle = find.trim().toLowerCase();
  const matches = (name: string): boolean => name.toLowerCase().includes(needle);
  const nodes = model.nodes.filter((node) => matches(node.id.name)).sort((a, b) => b.health.total - a.health.total || a.id.name.localeCompare(b.id.name));
  const edges = model.edges
    .filter((edge) => matches(edge.source.id.name) || matches(edge.target.id.name))
    .sort((a, b) => b.health.total - a.health.total || a.key.localeCompare(b.key));
  return (
    <div className="fl-lists">
      <div className="fl-table-wrap" tabIndex={-1}>
        <table className="fl-table">
          <caption>Nodes ({nodes.length})</caption>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">Type</th>
              <HealthHeads minutes={minutes} />
            </tr>
          </thead>
          <tbody>
            {nodes.map((node) => (
              <tr key={node.key} className={node.key === selection ? 'fl-selected' : undefined} onClick={() => onSelect(node.key)}>
                <td>
                  <button type="button" className="fl-link fl-with-icon" onClick={() => onSelect(node.key)}>
                    <OutcomeIcon outcome={worstOf(node.health)} />
                    {node.id.name}
                  </button>
                </td>
                <td>
                  {typeText(node)}
                  {node.inferred ? <span className="fl-faint"> (inferred)</span> : ''}
                </td>
                <HealthCells health={node.health} minutes={minutes} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="fl-table-wrap" tabIndex={-1}>
        <table className="fl-table">
          <caption>Calls ({edges.length})</caption>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <HealthHeads minutes={minutes} />
            </tr>
          </thead>
          <tbody>
            {edges.map((edge) => (
              <tr key={edge.key} className={edge.key === selection ? 'fl-selected' : undefined} onClick={() => onSelect(edge.key)}>
                <td>
                  <button type="button" className="fl-link fl-with-icon" onClick={() => onSelect(edge.key)}>
                    <OutcomeIcon outcome={worstOf(edge.health)} />
                    {edge.source.id.name}
                  </button>
                </td>
                <td>{edge.target.id.name}</td>
                <HealthCells health={edge.health} minutes={minutes} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
