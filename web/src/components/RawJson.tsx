import Button from '@cloudscape-design/components/button';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef, type ReactNode } from 'react';
import type { Json, Trace } from '../api/shapes';
import { formatBytes, formatCount } from '../lib/format';
import { Copy } from './Copy';
import './JsonTree.css';
import './RawJson.css';

const lineHeight = 19;

/** The trace with its documents as JSON values instead of strings; one that is not JSON stays text. */
function readable(trace: Trace): Json {
  return {
    Id: trace.Id,
    Duration: trace.Duration ?? null,
    LimitExceeded: trace.LimitExceeded ?? false,
    Segments: (trace.Segments ?? []).map((segment): Json => {
      try {
        return { Id: segment.Id, Document: JSON.parse(segment.Document) as Json };
      } catch {
        return { Id: segment.Id, Document: segment.Document };
      }
    }),
  };
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

/** Colours one line of indented JSON. */
function colored(line: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let at = 0;
  for (const match of line.matchAll(token)) {
    parts.push(line.slice(at, match.index));
    const [whole, text, colon, literal] = match;
    const kind = text ? (colon ? 'key' : 'string') : literal ? 'null' : 'number';
    parts.push(
      <span key={match.index} className={`fl-json-${kind}`}>
        {text ?? whole}
      </span>,
    );
    if (colon) {
      parts.push(colon);
    }
    at = match.index + whole.length;
  }
  parts.push(line.slice(at));
  return parts;
}

function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

/** The whole trace as JSON, to read, copy and save. The page contains only the visible lines. */
export default function RawJson({ trace }: { trace: Trace }) {
  const text = useMemo(() => JSON.stringify(readable(trace), null, 2), [trace]);
  const lines = useMemo(() => text.split('\n'), [text]);
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({ count: lines.length, getScrollElement: () => scroller.current, estimateSize: () => lineHeight, overscan: 30 });
  return (
    <div>
      <div className="fl-raw-tools">
        <Copy text={text} label="Copy the trace">
          Copy JSON
        </Copy>
        <Button iconName="download" onClick={() => download(`${trace.Id}.json`, text)}>
          Download
        </Button>
        <span className="fl-hint">
          {formatCount(lines.length)} lines, {formatBytes(text.length)}
        </span>
      </div>
      <div ref={scroller} className="fl-raw" data-testid="raw-json" tabIndex={0} role="region" aria-label="Trace as JSON">
        <div className="fl-raw-rows" style={{ height: virtualizer.getTotalSize() }}>
          {virtualizer.getVirtualItems().map((item) => (
            <div key={item.index} className="fl-raw-line" style={{ transform: `translateY(${item.start}px)` }}>
              <span className="fl-raw-number" aria-hidden="true">
                {item.index + 1}
              </span>
              <code>{colored(lines[item.index] ?? '')}</code>
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
