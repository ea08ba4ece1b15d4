import Button from '@cloudscape-design/components/button';
import { memo, useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react';
import { formatCount, formatDuration, formatPercent, formatRate } from '../lib/format';
import { averageOf, glyphOf, typeText, worstOf, type Glyph, type Health, type MapEdge, type MapModel, type MapNode } from '../lib/graph';
import { edgeKey, type Layout, type Point } from '../lib/layout';
import type { Outcome } from '../lib/filter';
import { outcomePath } from './Outcome';
import { useSize } from './useSize';
import './GraphCanvas.css';

const radius = 36;
const ringOrder: Outcome[] = ['fault', 'throttle', 'error', 'ok'];

const glyphs: Record<Glyph, string> = {
  client: 'M8 2.5a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6ZM2.5 14c.4-3 2.7-4.4 5.5-4.4s5.1 1.4 5.5 4.4Z',
  service: 'M3 3.5h10v4H3ZM3 9.5h10v4H3ZM5.2 5.5h.1M5.2 11.5h.1',
  database: 'M3 4c0-1.1 2.2-2 5-2s5 .9 5 2-2.2 2-5 2-5-.9-5-2ZM3 4v8c0 1.1 2.2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2.2 2 5 2s5-.9 5-2',
  queue: 'M2 5h3v6H2ZM6.5 5h3v6h-3ZM11 5h3v6h-3Z',
  function: 'M4 13.5 8.5 2.5M5 2.5h3.5L12.5 13.5M6.8 7.5 4 13.5',
  storage: 'M2.5 4.5h11L12 13.5H4ZM2.5 4.5c0-1 2.5-2 5.5-2s5.5 1 5.5 2',
  remote: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM2 8h12M8 2c2.2 2 2.2 10 0 12M8 2c-2.2 2-2.2 10 0 12',
  topic: 'M2.5 6.5 10 3v10L2.5 9.5ZM12 6c1 1 1 3 0 4',
};

interface Transform {
  x: number;
  y: number;
  k: number;
}

/** Dashes that draw one part of a ring of length 100: solid, wide dashes or dots. */
function arcDashes(outcome: Outcome, start: number, length: number): string {
  const unit: Record<Outcome, [number, number]> = { ok: [length, 0], fault: [length, 0], error: [5, 1.6], throttle: [1.6, 1.4] };
  const [dash, gap] = unit[outcome];
  const parts = [0, start];
  let at = 0;
  while (at < length - 0.01) {
    const size = Math.min(dash, length - at);
    const space = Math.min(gap, Math.max(0, length - at - size));
    parts.push(size, space);
    at += size + space;
    if (size + space <= 0) {
      break;
    }
  }
  parts.push(0, 200);
  return parts.map((part) => Number(part.toFixed(3))).join(' ');
}

function Ring({ health }: { health: Health }) {
  if (health.total === 0) {
    return <circle className="fl-ring fl-ring-none" r={radius} />;
  }
  const present = ringOrder.filter((outcome) => health.counts[outcome] > 0);
  // A single fault among thousands still gets a visible arc.
  const raw = present.map((outcome) => Math.max(3, (health.counts[outcome] / health.total) * 100));
  const sum = raw.reduce((all, share) => all + share, 0);
  let start = 0;
  return (
    <g transform="rotate(-90)">
      {present.map((outcome, i) => {
        const length = ((raw[i] ?? 0) / sum) * 100;
        const dashes = arcDashes(outcome, start, length);
        start += length;
        return <circle key={outcome} className={`fl-ring fl-ring-${outcome}`} r={radius} pathLength={100} strokeDasharray={dashes} />;
      })}
    </g>
  );
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 9)}…${text.slice(-8)}`;
}

function describe(health: Health, minutes: number | null): string {
  const parts = [`${formatCount(health.total)} requests`];
  const average = averageOf(health);
  if (average !== null) {
    parts.push(`average ${formatDuration(average)}`);
  }
  if (minutes !== null) {
    parts.push(`${formatRate(health.total / minutes)} a minute`);
  }
  for (const outcome of ['fault', 'error', 'throttle'] as const) {
    if (health.counts[outcome] > 0) {
      parts.push(`${formatPercent(health.counts[outcome], health.total)} ${outcome}`);
    }
  }
  return parts.join(', ');
}

/** Writes name, type and figures in and around a node. */
function NodeText({ node, minutes }: { node: MapNode; minutes: number | null }) {
  const { health } = node;
  const worst = worstOf(health);
  const average = averageOf(health);
  return (
    <>
      {node.client ? (
        <g transform="translate(-14 -14) scale(1.75)">
          <path className="fl-glyph" d={glyphs.client} />
        </g>
      ) : (
        <>
          <g transform="translate(-7 -27) scale(0.875)">
            <path className="fl-glyph" d={glyphs[glyphOf(node)]} />
          </g>
          <text className="fl-node-average" y={4}>
            {average === null ? '–' : formatDuration(average)}
          </text>
          <text className="fl-node-rate" y={19}>
            {minutes === null ? formatCount(health.total) : `${formatRate(health.total / minutes)}/min`}
          </text>
        </>
      )}
      {worst !== 'ok' && !node.client && (
        <g className={`fl-badge fl-${worst}`} transform={`translate(${radius * 0.72} ${-radius * 0.72})`}>
          <circle r="9.5" />
          <path d={outcomePath(worst)} transform="translate(-5.5 -5.7) scale(0.69)" />
        </g>
      )}
      <text className="fl-node-name" y={radius + 22}>
        {clip(node.id.name, 26)}
      </text>
      <text className="fl-node-type" y={radius + 36}>
        {typeText(node)}
      </text>
    </>
  );
}

interface NodeProps {
  node: MapNode;
  point: Point;
  minutes: number | null;
  state: 'plain' | 'selected' | 'faded';
  tabStop: boolean;
  /** False while the map is too small to read: it then omits texts and icons, which are most of the drawing. */
  detailed: boolean;
  onSelect: (key: string) => void;
  onKey: (event: KeyboardEvent, node: MapNode) => void;
}

const NodeView = memo(function NodeView({ node, point, minutes, state, tabStop, detailed, onSelect, onKey }: NodeProps) {
  const { health } = node;
  return (
    <g
      className={`fl-node fl-node-${state} ${node.inferred ? 'fl-node-inferred' : ''}`}
      transform={`translate(${point.x} ${point.y})`}
      role="button"
      tabIndex={tabStop ? 0 : -1}
      aria-label={`${node.id.name}, ${typeText(node)}: ${describe(health, minutes)}`}
      aria-pressed={state === 'selected'}
      data-testid={`map-node-${node.id.name}`}
      data-node-key={node.key}
      data-node-type={node.id.type ?? ''}
      onClick={(event) => {
        event.stopPropagation();
        onSelect(node.key);
      }}
      onKeyDown={(event) => onKey(event, node)}
    >
      {detailed && <title>{`${node.id.name}\n${typeText(node)}\n${describe(health, minutes)}`}</title>}
      <circle className="fl-node-halo" r={radius + 9} />
      <circle className="fl-node-disc" r={radius + 3} />
      {!node.client && <Ring health={health} />}
      {((node.inferred && detailed) || node.client) && <circle className="fl-node-dashes" r={node.client ? radius - 4 : radius + 6.5} />}
      {detailed && <NodeText node={node} minutes={minutes} />}
    </g>
  );
});

/** Computes a smooth path through the points, with level ends, and the places of its arrow and its label. */
function edgePath(source: Point, target: Point, bends: Point[], sourceRadius: number, targetRadius: number): { path: string; end: Point; direction: number; middle: Point } {
  if (source.x === target.x && source.y === target.y) {
    const { x, y } = source;
    return {
      path: `M${x - 14} ${y - radius - 2}C${x - 50} ${y - radius - 60} ${x + 50} ${y - radius - 60} ${x + 16} ${y - radius - 8}`,
      end: { x: x + 14, y: y - radius - 4 },
      direction: 2,
      middle: { x, y: y - radius - 48 },
    };
  }
  const points = [source, ...bends, target];
  const second = points[1] ?? target;
  const beforeLast = points.at(-2) ?? source;
  const sameColumn = source.x === target.x;
  const out = sameColumn || second.x >= source.x ? 1 : -1;
  const into = sameColumn ? -1 : beforeLast.x <= target.x ? 1 : -1;
  const start = { x: source.x + out * (sourceRadius + 4), y: source.y };
  const end = { x: target.x - into * (targetRadius + 8), y: target.y };
  const way = [start, ...bends, end];
  let path = `M${start.x} ${start.y}`;
  for (let i = 1; i < way.length; i++) {
    const from = way[i - 1] ?? start;
    const to = way[i] ?? end;
    const reach = sameColumn ? 90 : Math.max(30, Math.abs(to.x - from.x) / 2);
    const fromSign = i === 1 ? out : Math.sign(to.x - from.x) || 1;
    const toSign = i === way.length - 1 ? into : Math.sign(to.x - from.x) || 1;
    path += `C${from.x + fromSign * reach} ${from.y} ${to.x - toSign * reach} ${to.y} ${to.x} ${to.y}`;
  }
  const mid = Math.floor((way.length - 1) / 2);
  const a = way[mid] ?? start;
  const b = way[mid + 1] ?? end;
  return { path, end, direction: into, middle: { x: (a.x + b.x) / 2 + (sameColumn ? 68 : 0), y: (a.y + b.y) / 2 } };
}

/** Average time, rate and errors of a call, beside its line. */
function EdgeLabel({ edge, minutes, at }: { edge: MapEdge; minutes: number | null; at: Point }) {
  const average = averageOf(edge.health);
  const worst = worstOf(edge.health);
  const text = [
    average === null ? '' : formatDuration(average),
    minutes === null ? formatCount(edge.health.total) : `${formatRate(edge.health.total / minutes)}/min`,
    worst === 'ok' ? '' : `${formatPercent(edge.health.counts[worst], edge.health.total)} ${worst}`,
  ]
    .filter(Boolean)
    .join(' · ');
  return (
    <g className="fl-edge-label" transform={`translate(${at.x} ${at.y})`}>
      <rect x={-text.length * 3.1 - 7} y={-10} width={text.length * 6.2 + 14} height={19} rx={9.5} />
      <text y={4}>{text}</text>
    </g>
  );
}

interface EdgeProps {
  edge: MapEdge;
  source: Point;
  target: Point;
  bends: Point[];
  width: number;
  minutes: number | null;
  state: 'plain' | 'selected' | 'near' | 'faded';
  detailed: boolean;
  onSelect: (key: string) => void;
}

const noBends: Point[] = [];

const EdgeView = memo(function EdgeView({ edge, source, target, bends, width, minutes, state, detailed, onSelect }: EdgeProps) {
  const { path, end, direction, middle } = edgePath(source, target, bends, edge.source.client ? radius - 6 : radius, edge.target.client ? radius - 6 : radius);
  const worst = worstOf(edge.health);
  const share = worst === 'ok' ? 0 : edge.health.counts[worst] / Math.max(1, edge.health.total);
  const tone = share >= 0.005 ? worst : 'ok';
  const [pointed, setPointed] = useState(false);
  const arrow = direction === 2 ? `M${end.x} ${end.y}l-1 -9l8 5Z` : `M${end.x + direction * 5} ${end.y}l${-direction * 9} -4.5v9Z`;
  return (
    <g
      className={`fl-edge fl-edge-${state} fl-edge-tone-${tone} ${edge.edge.EdgeType === 'link' ? 'fl-edge-link' : ''}`}
      role="button"
      tabIndex={-1}
      aria-label={`${edge.source.id.name} to ${edge.target.id.name}: ${describe(edge.health, minutes)}`}
      data-testid="map-edge"
      data-edge-key={edge.key}
      onPointerEnter={() => setPointed(true)}
      onPointerLeave={() => setPointed(false)}
      onClick={(event) => {
        event.stopPropagation();
        onSelect(edge.key);
      }}
    >
      {detailed && <path className="fl-edge-hit" d={path} />}
      <path className="fl-edge-line" d={path} strokeWidth={width} />
      {detailed && <path className="fl-edge-arrow" d={arrow} />}
      {(pointed || state === 'selected' || state === 'near') && <EdgeLabel edge={edge} minutes={minutes} at={middle} />}
    </g>
  );
});

function boundsOf(layout: Layout): { left: number; top: number; right: number; bottom: number } {
  const points = [...layout.nodes.values()];
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const min = (values: number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity);
  const max = (values: number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);
  return { left: min(xs) - 90, right: max(xs) + 90, top: min(ys) - 64, bottom: max(ys) + 86 };
}


function fit(layout: Layout, width: number, height: number): Transform {
  if (layout.nodes.size === 0 || width === 0) {
    return { x: 0, y: 0, k: 1 };
  }
  const { left, top, right, bottom } = boundsOf(layout);
  const whole = Math.min(1.25, width / (right - left), height / (bottom - top));
  // Below this scale the numbers in the nodes cannot be read.
  const readable = width < 500 ? 0.55 : 0.4;
  if (whole < readable && layout.nodes.size <= 60) {
    // Show the entries of the map; the user can drag the rest into view.
    return { k: readable, x: -left * readable, y: (height - (top + bottom) * readable) / 2 };
  }
  const k = whole;
  return { k, x: (width - (left + right) * k) / 2, y: (height - (top + bottom) * k) / 2 };
}

interface Props {
  model: MapModel;
  layout: Layout;
  minutes: number | null;
  selection: string | null;
  onSelect: (key: string | null) => void;
  find: string;
}

/** The map itself: drag to move, wheel or + and − to zoom, arrows to walk from node to node. */
export function GraphCanvas({ model, layout, minutes, selection, onSelect, find }: Props) {
  const { ref, width, height } = useSize<HTMLDivElement>();
  const [own, setOwn] = useState<Transform | null>(null);
  const svg = useRef<SVGSVGElement>(null);
  const fitted = useMemo(() => fit(layout, width, height), [layout, width, height]);
  const transform = own ?? fitted;
  const current = useRef(transform);
  current.current = transform;
  const smallest = useRef(fitted.k);
  smallest.current = fitted.k;
  const dragging = useRef<{ x: number; y: number; moved: boolean } | null>(null);
  const [focused, setFocused] = useState<string | null>(null);

  const zoom = useCallback((factor: number, x: number, y: number) => {
    const { x: tx, y: ty, k } = current.current;
    const next = Math.min(4, Math.max(Math.min(0.08, smallest.current), k * factor));
    setOwn({ k: next, x: x - ((x - tx) / k) * next, y: y - ((y - ty) / k) * next });
  }, []);

  // React attaches wheel listeners as passive; those cannot prevent scrolling of the page.
  useEffect(() => {
    const element = svg.current;
    if (!element) {
      return undefined;
    }
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, [zoom]);

  const widest = model.edges.reduce((max, edge) => Math.max(max, edge.health.total), 1);
  const selectedEdge = model.edges.find((edge) => edge.key === selection);
  const near = useMemo(() => {
    if (selection === null) {
      return null;
    }
    const keys = new Set<string>([selection]);
    for (const edge of model.edges) {
      if (edge.key === selection || edge.source.key === selection || edge.target.key === selection) {
        keys.add(edge.source.key).add(edge.target.key);
      }
    }
    return keys;
  }, [model, selection]);
  const detailed = model.nodes.length <= 120 || transform.k >= 0.45;
  const needle = find.trim().toLowerCase();
  const fades = (node: MapNode): boolean =>
    needle !== '' ? !node.id.name.toLowerCase().includes(needle) : near !== null && !near.has(node.key);

  // Draw the calls of the selection last, so that their labels lie on top.
  const drawn = useMemo(() => {
    const touches = (edge: MapEdge): number => Number(edge.key === selection || edge.source.key === selection || edge.target.key === selection);
    return selection === null ? model.edges : [...model.edges].sort((a, b) => touches(a) - touches(b));
  }, [model, selection]);

  const ordered = useMemo(
    () =>
      [...model.nodes].sort((a, b) => {
        const p = layout.nodes.get(a.key);
        const q = layout.nodes.get(b.key);
        return (p?.x ?? 0) - (q?.x ?? 0) || (p?.y ?? 0) - (q?.y ?? 0);
      }),
    [model, layout],
  );
  const tabStop = (focused !== null && model.byKey.has(focused) ? focused : selection !== null && model.byKey.has(selection) ? selection : ordered[0]?.key) ?? null;

  const focusNode = useCallback((key: string | undefined) => {
    if (key !== undefined) {
      setFocused(key);
      svg.current?.querySelector<SVGGElement>(`[data-node-key="${CSS.escape(key)}"]`)?.focus();
    }
  }, []);

  const onKey = useCallback(
    (event: KeyboardEvent, node: MapNode) => {
      const here = layout.nodes.get(node.key);
      if (!here) {
        return;
      }
      const y = (other: MapNode): number => Math.abs((layout.nodes.get(other.key)?.y ?? 0) - here.y);
      const nearest = (nodes: MapNode[]): string | undefined => [...nodes].sort((a, b) => y(a) - y(b))[0]?.key;
      const column = model.nodes.filter((other) => other !== node && layout.nodes.get(other.key)?.x === here.x);
      const steps: Record<string, () => void> = {
        ArrowRight: () => focusNode(nearest(model.edges.filter((edge) => edge.source === node && edge.target !== node).map((edge) => edge.target))),
        ArrowLeft: () => focusNode(nearest(model.edges.filter((edge) => edge.target === node && edge.source !== node).map((edge) => edge.source))),
        ArrowUp: () => focusNode(nearest(column.filter((other) => (layout.nodes.get(other.key)?.y ?? 0) < here.y))),
        ArrowDown: () => focusNode(nearest(column.filter((other) => (layout.nodes.get(other.key)?.y ?? 0) > here.y))),
        Enter: () => onSelect(node.key),
        ' ': () => onSelect(node.key),
      };
      const step = steps[event.key];
      if (step) {
        event.preventDefault();
        event.stopPropagation();
        step();
      }
    },
    [layout, model, focusNode, onSelect],
  );

  const onMapKey = (event: KeyboardEvent): void => {
    const pan = (dx: number, dy: number): void => setOwn({ ...transform, x: transform.x + dx, y: transform.y + dy });
    const steps: Record<string, () => void> = {
      '+': () => zoom(1.25, width / 2, height / 2),
      '=': () => zoom(1.25, width / 2, height / 2),
      '-': () => zoom(0.8, width / 2, height / 2),
      '0': () => setOwn(null),
      ArrowLeft: () => pan(60, 0),
      ArrowRight: () => pan(-60, 0),
      ArrowUp: () => pan(0, 60),
      ArrowDown: () => pan(0, -60),
      Escape: () => onSelect(null),
    };
    const step = event.ctrlKey || event.metaKey ? undefined : steps[event.key];
    if (step) {
      event.preventDefault();
      step();
    }
  };

  const drag = {
    onPointerDown: (event: PointerEvent<SVGSVGElement>) => {
      if (event.button === 0) {
        dragging.current = { x: event.clientX, y: event.clientY, moved: false };
      }
    },
    onPointerMove: (event: PointerEvent<SVGSVGElement>) => {
      const last = dragging.current;
      if (!last) {
        return;
      }
      const dx = event.clientX - last.x;
      const dy = event.clientY - last.y;
      if (!last.moved && Math.hypot(dx, dy) < 4) {
        return;
      }
      if (!last.moved) {
        event.currentTarget.setPointerCapture(event.pointerId);
      }
      dragging.current = { x: event.clientX, y: event.clientY, moved: true };
      setOwn({ ...current.current, x: current.current.x + dx, y: current.current.y + dy });
    },
    onPointerUp: () => {
      dragging.current = null;
    },
    onPointerCancel: () => {
      dragging.current = null;
    },
  };

  return (
    <div ref={ref} className="fl-canvas" data-testid="map-canvas">
      <svg ref={svg} width={width} height={height} role="group" aria-label="Trace map" onKeyDown={onMapKey} onClick={() => selection !== null && onSelect(null)} {...drag}>
        <g transform={`translate(${transform.x} ${transform.y}) scale(${transform.k})`}>
          {drawn.map((edge) => {
            const source = layout.nodes.get(edge.source.key);
            const target = layout.nodes.get(edge.target.key);
            const touching = edge.source.key === selection || edge.target.key === selection;
            return (
              source &&
              target && (
                <EdgeView
                  key={edge.key}
                  edge={edge}
                  source={source}
                  target={target}
                  bends={layout.bends.get(edgeKey({ from: edge.source.key, to: edge.target.key })) ?? noBends}
                  width={1.25 + 3 * (Math.log1p(edge.health.total) / Math.log1p(widest))}
                  minutes={minutes}
                  detailed={detailed}
                  state={
                    edge === selectedEdge
                      ? 'selected'
                      : touching
                        ? 'near'
                        : near !== null || (needle !== '' && (fades(edge.source) || fades(edge.target)))
                          ? 'faded'
                          : 'plain'
                  }
                  onSelect={onSelect}
                />
              )
            );
          })}
          {ordered.map((node) => {
            const point = layout.nodes.get(node.key);
            return (
              point && (
                <NodeView
                  key={node.key}
                  node={node}
                  point={point}
                  minutes={minutes}
                  state={node.key === selection ? 'selected' : fades(node) ? 'faded' : 'plain'}
                  tabStop={node.key === tabStop}
                  detailed={detailed || node.key === selection}
                  onSelect={onSelect}
                  onKey={onKey}
                />
              )
            );
          })}
        </g>
      </svg>
      <div className="fl-zoom">
        <Button iconName="zoom-in" variant="icon" ariaLabel="Zoom in" onClick={() => zoom(1.3, width / 2, height / 2)} />
        <Button iconName="zoom-out" variant="icon" ariaLabel="Zoom out" onClick={() => zoom(1 / 1.3, width / 2, height / 2)} />
        <Button iconName="zoom-to-fit" variant="icon" ariaLabel="Fit the map" onClick={() => setOwn(null)} />
      </div>
    </div>
  );
}
