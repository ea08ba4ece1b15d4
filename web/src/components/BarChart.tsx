import { useId, useRef, useState, type PointerEvent } from 'react';
import { total, type Bin } from '../lib/bins';
import { formatCount } from '../lib/format';
import type { Outcome } from '../lib/filter';
import { ticks } from '../lib/tracemodel';
import { outcomeWords } from './Outcome';
import { useSize } from './useSize';
import './BarChart.css';

interface Props {
  title: string;
  bins: Bin[];
  /** Writes a value of the axis. */
  format: (value: number) => string;
  /** Positions of the marks below; round values of the axis when absent. */
  marks?: number[];
  height?: number;
  /** When given, dragging over the chart chooses a range of the axis. */
  onRange?: (from: number, to: number) => void;
  /** The unit of the bars' counts, when outcomes are unknown and bars have one colour. */
  plain?: boolean;
}

const stack: Outcome[] = ['ok', 'error', 'throttle', 'fault'];
const foot = 18;

/** Bars stacked by outcome, with a range to drag, and a table for screen readers. */
export function BarChart({ title, bins, format, marks, height = 88, onRange, plain = false }: Props) {
  const { ref, width } = useSize<HTMLDivElement>();
  const titleId = useId();
  const svg = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [hover, setHover] = useState<number | null>(null);
  const first = bins[0];
  const last = bins.at(-1);
  const highest = bins.reduce((max, bin) => Math.max(max, total(bin)), 0);
  const plot = height - foot;
  const low = first?.from ?? 0;
  const high = last?.to ?? 1;
  const x = (value: number): number => ((value - low) / (high - low || 1)) * width;
  const y = (count: number): number => (highest > 0 ? (count / highest) * (plot - 4) : 0);
  const at = (event: PointerEvent): number => {
    const box = svg.current?.getBoundingClientRect();
    const share = box && box.width > 0 ? (event.clientX - box.left) / box.width : 0;
    return low + Math.min(1, Math.max(0, share)) * (high - low);
  };
  const finish = (): void => {
    if (drag && onRange && Math.abs(x(drag.to) - x(drag.from)) > 4) {
      onRange(Math.min(drag.from, drag.to), Math.max(drag.from, drag.to));
    }
    setDrag(null);
  };
  const hovered = hover === null ? undefined : bins[hover];
  const step = width / Math.max(1, bins.length);
  return (
    <figure className="fl-chart">
      <figcaption id={titleId}>
        <span>{title}</span>
        <span className="fl-chart-note">
          {hovered
            ? `${format(hovered.from)} – ${format(hovered.to)}: ${formatCount(total(hovered))}`
            : onRange
              ? 'drag to narrow'
              : ''}
        </span>
      </figcaption>
      <div ref={ref}>
        <svg
          ref={svg}
          width={width}
          height={height}
          role="img"
          aria-labelledby={titleId}
          className={onRange ? 'fl-brushable' : undefined}
          onPointerDown={(event) => {
            if (onRange && event.button === 0) {
              event.currentTarget.setPointerCapture(event.pointerId);
              setDrag({ from: at(event), to: at(event) });
            }
          }}
          onPointerMove={(event) => {
            setHover(Math.min(bins.length - 1, Math.floor((at(event) - low) / ((high - low) / bins.length || 1))));
            setDrag((current) => current && { from: current.from, to: at(event) });
          }}
          onPointerUp={finish}
          onPointerCancel={() => setDrag(null)}
          onPointerLeave={() => setHover(null)}
        >
          <line className="fl-axis" x1={0} x2={width} y1={plot + 0.5} y2={plot + 0.5} />
          {bins.map((bin, i) => {
            let below = 0;
            return (
              <g key={bin.from} className={hover === i ? 'fl-bar-hover' : undefined}>
                {stack.map((outcome) => {
                  const count = bin.counts[outcome];
                  if (count === 0) {
                    return null;
                  }
                  below += count;
                  const size = Math.max(1.5, y(count));
                  return (
                    <rect
                      key={outcome}
                      className={plain ? 'fl-bar-plain' : `fl-fill-${outcome}`}
                      x={i * step + 0.5}
                      width={Math.max(1, step - (step > 5 ? 1.5 : 0.5))}
                      y={plot - Math.max(y(below), size)}
                      height={size}
                      rx={step > 8 ? 1.5 : 0}
                    />
                  );
                })}
              </g>
            );
          })}
          {(marks ?? ticks(low, high, Math.max(2, width / 90))).map((mark) => (
            <text
              key={mark}
              x={x(mark)}
              y={height - 4}
              textAnchor={x(mark) < 20 ? 'start' : x(mark) > width - 24 ? 'end' : 'middle'}
            >
              {format(mark)}
            </text>
          ))}
          {drag && <rect className="fl-brush" x={Math.min(x(drag.from), x(drag.to))} width={Math.abs(x(drag.to) - x(drag.from))} y={0} height={plot} />}
        </svg>
      </div>
      <table className="fl-offscreen">
        <caption>{title}</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">To</th>
            {plain ? <th scope="col">Count</th> : stack.map((outcome) => <th scope="col" key={outcome}>{outcomeWords[outcome]}</th>)}
          </tr>
        </thead>
        <tbody>
          {bins
            .filter((bin) => total(bin) > 0)
            .map((bin) => (
              <tr key={bin.from}>
                <td>{format(bin.from)}</td>
                <td>{format(bin.to)}</td>
                {plain ? <td>{total(bin)}</td> : stack.map((outcome) => <td key={outcome}>{bin.counts[outcome]}</td>)}
              </tr>
            ))}
        </tbody>
      </table>
    </figure>
  );
}
