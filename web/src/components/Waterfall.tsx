import Button from '@cloudscape-design/components/button';
import SegmentedControl from '@cloudscape-design/components/segmented-control';
import Toggle from '@cloudscape-design/components/toggle';
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { usePreference } from '../app/preferences';
import { formatCount, formatDuration } from '../lib/format';
import { nextTrouble, reveal, ticks, visibleRows, type Entity, type TraceModel } from '../lib/tracemodel';
import { Minimap, type View } from './Minimap';
import { outcomeMeanings, OutcomeIcon } from './Outcome';
import { useSize } from './useSize';
import './disclosure.css';
import './Waterfall.css';

const rowHeight = 28;
const palette = 12;

/** Names a row's kind, shown beside its name. */
function kindOf(entity: Entity): string {
  if (entity.hidden > 0) {
    return 'hidden';
  }
  if (entity.missing) {
    return 'placeholder';
  }
  if (entity.inferred) {
    return 'inferred';
  }
  if (entity.kind === 'segment') {
    return entity.origin.replace(/^AWS::/, '').replaceAll('::', ' ');
  }
  return entity.namespace;
}

interface RowProps {
  entity: Entity;
  view: View;
  serviceColor: number | null;
  top: number;
  selected: boolean;
  active: boolean;
  collapsed: boolean;
  onOpen: (entity: Entity) => void;
  onToggle: (entity: Entity) => void;
}

/** Geometry of a bar in percent of the view; open-ended bars reach the right edge. */
function barOf(entity: Entity, view: View): { left: number; width: number; after: boolean; before: boolean } {
  const span = view.to - view.from || 1;
  const left = ((entity.start - view.from) / span) * 100;
  const right = entity.end === null ? 100 : ((entity.end - view.from) / span) * 100;
  const from = Math.max(0, Math.min(100, left));
  const to = Math.max(0, Math.min(100, right));
  return { left: from, width: to - from, after: left > 100, before: right < 0 };
}

const Row = memo(function Row({ entity, view, serviceColor, top, selected, active, collapsed, onOpen, onToggle }: RowProps) {
  const bar = barOf(entity, view);
  const kind = kindOf(entity);
  const duration = entity.end === null ? 'in progress' : formatDuration(entity.end - entity.start);
  const crowded = bar.left + bar.width > 82;
  const labelLeft = crowded && bar.left > 14;
  const labelInside = crowded && !labelLeft;
  return (
    <div
      role="row"
      id={`row-${entity.row}`}
      data-testid="waterfall-row"
      data-segment-id={entity.id}
      aria-level={entity.depth + 1}
      aria-expanded={entity.descendants > 0 ? !collapsed : undefined}
      aria-selected={selected}
      className={`fl-wf-row ${selected ? 'fl-selected' : ''} ${active ? 'fl-active' : ''} fl-wf-${entity.kind}`}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => onOpen(entity)}
    >
      <div role="gridcell" className="fl-wf-name" style={{ paddingInlineStart: Math.min(entity.depth, 24) * 14 + 4 }}>
        {entity.descendants > 0 ? (
          <button
            type="button"
            tabIndex={-1}
            className="fl-twist"
            aria-label={collapsed ? 'Expand' : 'Collapse'}
            onClick={(event) => {
              event.stopPropagation();
              onToggle(entity);
            }}
          >
            <svg viewBox="0 0 16 16" aria-hidden="true" className={collapsed ? '' : 'fl-open'}>
              <path d="M6 4l4 4-4 4" />
            </svg>
          </button>
        ) : (
          <span className="fl-twist" />
        )}
        {(entity.outcome !== 'ok' || (collapsed && entity.troubleBelow)) && (
          <OutcomeIcon
            outcome={entity.outcome === 'ok' ? 'error' : entity.outcome}
            title={entity.outcome === 'ok' ? 'Errors or faults below' : outcomeMeanings[entity.outcome]}
          />
        )}
        <span className="fl-wf-label" title={entity.name}>
          {entity.name}
        </span>
        {collapsed && <span className="fl-wf-more">+{formatCount(entity.descendants)}</span>}
        {entity.orphan && (
          <span className="fl-flag" title="Its parent is not in the trace">
            orphan
          </span>
        )}
        {kind !== '' && <span className="fl-wf-kind">{kind}</span>}
      </div>
      <div role="gridcell" className="fl-wf-time">
        <div
          className={`fl-bar fl-bar-${entity.outcome} ${entity.inferred ? 'fl-bar-inferred' : ''} ${entity.end === null ? 'fl-bar-open' : ''} ${
            serviceColor === null ? '' : `fl-service-${serviceColor}`
          } ${bar.after || bar.before ? 'fl-bar-out' : ''}`}
          style={{ insetInlineStart: `${bar.left}%`, width: `${bar.width}%` }}
        />
        <span
          className={`fl-bar-label ${labelInside ? 'fl-bar-label-inside' : ''}`}
          style={
            labelInside
              ? { insetInlineEnd: `${100 - bar.left - bar.width}%` }
              : labelLeft
                ? { insetInlineEnd: `${100 - bar.left}%` }
                : { insetInlineStart: `${bar.left + bar.width}%` }
          }
        >
          {duration}
        </span>
      </div>
    </div>
  );
});

function Ruler({ view, origin, width }: { view: View; origin: number; width: number }) {
  const from = view.from - origin;
  const to = view.to - origin;
  return (
    <div className="fl-wf-ruler" aria-hidden="true">
      {ticks(from, to, Math.max(2, width / 110)).map((tick) => {
        const share = (tick - from) / (to - from || 1);
        return (
          <span key={tick} style={{ insetInlineStart: `${share * 100}%` }} className={share > 0.9 ? 'fl-tick-end' : undefined}>
            {formatDuration(tick)}
          </span>
        );
      })}
    </div>
  );
}

interface Props {
  model: TraceModel;
  selectedId: string | null;
  onSelect: (id: string | null) => void;
}

/** The segments of a trace as a tree with bars over time. The page contains only the visible rows. */
export function Waterfall({ model, selectedId, onSelect }: Props) {
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(() => new Set());
  const [onlyTrouble, setOnlyTrouble] = useState(false);
  const [colorBy, setColorBy] = usePreference<'status' | 'service'>('color', ['status', 'service'], 'status');
  const whole = useMemo<View>(() => {
    // Room to the right of the latest known moment, so that open-ended bars look open.
    const ahead = model.inProgress > 0 ? Math.max((model.end - model.start) * 0.08, 0.001) : 0;
    return { from: model.start, to: Math.max(model.end + ahead, model.start + 1e-6) };
  }, [model]);
  const [zoom, setZoom] = useState<View | null>(null);
  const view = zoom ?? whole;
  const [active, setActive] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const { ref: timeRef, width: timeWidth } = useSize<HTMLDivElement>();
  const rows = useMemo(() => visibleRows(model, collapsed, onlyTrouble), [model, collapsed, onlyTrouble]);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  });
  const serviceColors = useMemo(() => {
    const names = [...new Set(model.rows.filter((entity) => entity.kind === 'segment').map((entity) => entity.name))];
    return new Map(names.map((name, i) => [name, i % palette]));
  }, [model]);

  const open = useCallback(
    (entity: Entity) => {
      setActive(entity.row);
      onSelect(entity.id);
    },
    [onSelect],
  );
  const toggle = useCallback((entity: Entity) => {
    setCollapsed((before) => {
      const after = new Set(before);
      if (!after.delete(entity.id)) {
        after.add(entity.id);
      }
      return after;
    });
  }, []);
  const collapseAll = useCallback(() => {
    setCollapsed(new Set(model.rows.filter((entity) => entity.descendants > 0 && entity.depth > 0).map((entity) => entity.id)));
  }, [model]);
  const expandAll = useCallback(() => setCollapsed(new Set()), []);

  const goTo = useCallback(
    (row: number) => {
      const entity = model.rows[row];
      if (!entity) {
        return;
      }
      setCollapsed((before) => reveal(model, before, row));
      setActive(row);
      onSelect(entity.id);
    },
    [model, onSelect],
  );
  const nextError = useCallback(() => goTo(nextTrouble(model, active)), [goTo, model, active]);

  // Scroll to the active row when it is among the rows: the render before expanded it.
  const place = rows.indexOf(active);
  const lastPlace = useRef(-1);
  useEffect(() => {
    if (place >= 0 && place !== lastPlace.current) {
      virtualizer.scrollToIndex(place, { align: 'auto' });
    }
    lastPlace.current = place;
  }, [place, virtualizer]);
  const linked = useRef(false);
  useEffect(() => {
    const row = selectedId === null ? undefined : model.byId.get(selectedId)?.row;
    if (!linked.current && row !== undefined) {
      setCollapsed((before) => reveal(model, before, row));
      setActive(row);
    }
    linked.current = true;
  }, [model, selectedId]);

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const entity = model.rows[active];
    const move = (delta: number): void => setActive(rows[Math.min(rows.length - 1, Math.max(0, place + delta))] ?? 0);
    if (event.ctrlKey || event.metaKey || event.altKey || !entity) {
      return;
    }
    const isCollapsed = collapsed.has(entity.id);
    const actions: Record<string, () => void> = {
      ArrowDown: () => move(1),
      j: () => move(1),
      ArrowUp: () => move(-1),
      k: () => move(-1),
      PageDown: () => move(20),
      PageUp: () => move(-20),
      Home: () => move(-rows.length),
      End: () => move(rows.length),
      Enter: () => onSelect(entity.id),
      o: () => onSelect(entity.id),
      ' ': () => onSelect(entity.id),
      ArrowRight: () => (isCollapsed ? toggle(entity) : move(1)),
      ArrowLeft: () => {
        if (entity.descendants > 0 && !isCollapsed) {
          toggle(entity);
        } else if (entity.parent >= 0) {
          setActive(entity.parent);
        }
      },
      Escape: () => onSelect(null),
    };
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement | null;
      if (event.ctrlKey || event.metaKey || event.altKey || target?.closest('input, textarea')) {
        return;
      }
      if (event.key === 'e') {
        nextError();
      } else if (event.key === '[') {
        collapseAll();
      } else if (event.key === ']') {
        expandAll();
      } else if ((event.key === 'j' || event.key === 'k') && !scroller.current?.contains(target)) {
        scroller.current?.focus();
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [nextError, collapseAll, expandAll]);

  return (
    <div className="fl-wf">
      <div className="fl-wf-tools">
        <Button iconName="treeview-collapse" variant="icon" ariaLabel="Collapse all" onClick={collapseAll} />
        <Button iconName="treeview-expand" variant="icon" ariaLabel="Expand all" onClick={expandAll} />
        <Toggle checked={onlyTrouble} onChange={({ detail }) => setOnlyTrouble(detail.checked)} disabled={model.troubled.length === 0}>
          Only errors
        </Toggle>
        <Button onClick={nextError} disabled={model.troubled.length === 0} data-testid="next-error">
          Next error{model.troubled.length > 0 ? ` (${formatCount(model.troubled.length)})` : ''}
        </Button>
        <span className="fl-top-space" />
        {zoom && (
          <Button variant="link" onClick={() => setZoom(null)}>
            Whole trace
          </Button>
        )}
        <SegmentedControl
          label="Colour by"
          selectedId={colorBy}
          options={[
            { id: 'status', text: 'Status' },
            { id: 'service', text: 'Service' },
          ]}
          onChange={({ detail }) => setColorBy(detail.selectedId === 'service' ? 'service' : 'status')}
        />
      </div>
      <Minimap model={model} whole={whole} view={view} onView={setZoom} />
      <div className="fl-wf-head">
        <div className="fl-wf-name">Segment</div>
        <div className="fl-wf-time" ref={timeRef}>
          <Ruler view={view} origin={whole.from} width={timeWidth} />
        </div>
      </div>
      <div
        ref={scroller}
        className="fl-wf-scroll"
        role="treegrid"
        aria-label="Timeline"
        aria-rowcount={rows.length}
        aria-activedescendant={place >= 0 ? `row-${active}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        <div className="fl-wf-rows" role="presentation" style={{ height: virtualizer.getTotalSize() }}>
          {virtualizer.getVirtualItems().map((item) => {
            const entity = model.rows[rows[item.index] ?? -1];
            return (
              entity && (
                <Row
                  key={entity.row}
                  entity={entity}
                  view={view}
                  serviceColor={colorBy === 'service' ? (serviceColors.get(model.rows[entity.segment]?.name ?? '') ?? 0) : null}
                  top={item.start}
                  selected={entity.id === selectedId}
                  active={entity.row === active}
                  collapsed={collapsed.has(entity.id)}
                  onOpen={open}
                  onToggle={toggle}
                />
              )
            );
          })}
        </div>
      </div>
      <p className="fl-offscreen" aria-live="polite">
        {formatCount(rows.length)} of {formatCount(model.rows.length)} rows shown
      </p>
    </div>
  );
}
