import { useEffect, useRef, useState, type PointerEvent } from 'react';
import type { Outcome } from '../lib/filter';
import type { TraceModel } from '../lib/tracemodel';
import { useSize } from './useSize';
import './Minimap.css';

/** A part of the time of a trace, in epoch seconds. */
export interface View {
  from: number;
  to: number;
}

const height = 44;

interface Props {
  model: TraceModel;
  whole: View;
  view: View;
  onView: (view: View | null) => void;
}

/** Draws every row as a line of a small picture, so that the shape of a large trace is visible at a glance. */
function draw(canvas: HTMLCanvasElement, model: TraceModel, whole: View, width: number): void {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = height * scale;
  const context = canvas.getContext('2d');
  if (!context) {
    return;
  }
  context.scale(scale, scale);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const color = (outcome: Outcome): string => style.getPropertyValue(`--fl-${outcome}`);
  const colors: Record<Outcome, string> = { ok: style.getPropertyValue('--fl-minimap'), error: color('error'), fault: color('fault'), throttle: color('throttle') };
  const span = whole.to - whole.from || 1;
  const rowHeight = Math.min(5, (height - 6) / Math.max(1, model.rows.length));
  // Failed rows are drawn last, so that one fault among thousands of rows stays visible.
  for (const pass of ['ok', 'trouble']) {
    for (const entity of model.rows) {
      if ((entity.outcome === 'ok') !== (pass === 'ok')) {
        continue;
      }
      const x = ((entity.start - whole.from) / span) * width;
      const end = entity.end === null ? width : ((entity.end - whole.from) / span) * width;
      context.fillStyle = colors[entity.outcome];
      context.fillRect(x, 3 + entity.row * rowHeight, Math.max(1, end - x), Math.max(pass === 'ok' ? 0.6 : 1.5, rowHeight * 0.75));
    }
  }
}

/** The overview above the timeline: drag to zoom into a part, double-click for the whole. */
export function Minimap({ model, whole, view, onView }: Props) {
  const { ref, width } = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [dark, setDark] = useState(() => document.body.classList.contains('awsui-dark-mode'));
  useEffect(() => {
    const observer = new MutationObserver(() => setDark(document.body.classList.contains('awsui-dark-mode')));
    observer.observe(document.body, { attributes: true, attributeFilter: ['class'] });
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current && width > 0) {
      draw(canvas.current, model, whole, width);
    }
  }, [model, whole, width, dark]);
  const shareAt = (event: PointerEvent): number => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / (box.width || 1)));
  };
  const span = whole.to - whole.from;
  const shown = drag
    ? { left: Math.min(drag.from, drag.to), right: Math.max(drag.from, drag.to) }
    : { left: (view.from - whole.from) / span, right: (view.to - whole.from) / span };
  const partial = drag !== null || shown.left > 0.0005 || shown.right < 0.9995;
  return (
    <div
      ref={ref}
      className="fl-minimap"
      aria-hidden="true"
      title="Drag to zoom, double-click for the whole trace"
      onPointerDown={(event) => {
        if (event.button === 0) {
          event.currentTarget.setPointerCapture(event.pointerId);
          const share = shareAt(event);
          setDrag({ from: share, to: share });
        }
      }}
      onPointerMove={(event) => {
        const share = shareAt(event);
        setDrag((current) => current && { from: current.from, to: share });
      }}
      onPointerUp={() => {
        if (drag && Math.abs(drag.to - drag.from) * width > 5) {
          onView({ from: whole.from + Math.min(drag.from, drag.to) * span, to: whole.from + Math.max(drag.from, drag.to) * span });
        }
        setDrag(null);
      }}
      onPointerCancel={() => setDrag(null)}
      onDoubleClick={() => onView(null)}
    >
      <canvas ref={canvas} />
      {partial && (
        <>
          <div className="fl-minimap-shade" style={{ insetInlineStart: 0, width: `${shown.left * 100}%` }} />
          <div className="fl-minimap-shade" style={{ insetInlineStart: `${shown.right * 100}%`, insetInlineEnd: 0 }} />
        </>
      )}
    </div>
  );
}
