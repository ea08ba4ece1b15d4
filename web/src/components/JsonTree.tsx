import { useState } from 'react';
import type { Json } from '../api/shapes';
import { Copy } from './Copy';
import './disclosure.css';
import './Filterable.css';
import './JsonTree.css';

const pageSize = 200;

function scalarClass(value: Json): string {
  return value === null ? 'fl-json-null' : `fl-json-${typeof value}`;
}

function summaryOf(value: Json[] | { [key: string]: Json }): string {
  const count = Array.isArray(value) ? value.length : Object.keys(value).length;
  return Array.isArray(value) ? `[${count}]` : `{${count}}`;
}

function Branch({ name, value, depth }: { name: string | null; value: Json; depth: number }) {
  const [open, setOpen] = useState(depth < 2);
  const [shown, setShown] = useState(pageSize);
  const label = name === null ? null : <span className="fl-json-key">{name}</span>;
  if (typeof value !== 'object' || value === null) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return (
      <li className="fl-value">
        {label}
        <span className={scalarClass(value)}>{JSON.stringify(value)}</span>
        <span className="fl-value-tools">
          <Copy text={text} label={`Copy ${name ?? 'value'}`} />
        </span>
      </li>
    );
  }
  const entries: [string, Json][] = Array.isArray(value) ? value.map((item, i) => [String(i), item]) : Object.entries(value);
  return (
    <li>
      <span className="fl-value">
        <button type="button" className="fl-json-branch" aria-expanded={open} onClick={() => setOpen(!open)}>
          <svg viewBox="0 0 16 16" aria-hidden="true" className={open ? 'fl-open' : ''}>
            <path d="M6 4l4 4-4 4" />
          </svg>
          {label}
          <span className="fl-json-size">{summaryOf(value)}</span>
        </button>
        <span className="fl-value-tools">
          <Copy text={() => JSON.stringify(value, null, 2)} label={`Copy ${name ?? 'all'}`} />
        </span>
      </span>
      {open && (
        <ul>
          {entries.slice(0, shown).map(([key, child]) => (
            <Branch key={key} name={key} value={child} depth={depth + 1} />
          ))}
          {entries.length > shown && (
            <li>
              <button type="button" className="fl-link" onClick={() => setShown(shown + pageSize * 5)}>
                {entries.length - shown} more
              </button>
            </li>
          )}
        </ul>
      )}
    </li>
  );
}

/** A JSON value as a tree with branches that the user can open. */
export function JsonTree({ value }: { value: { [key: string]: Json } }) {
  return (
    <ul className="fl-json">
      {Object.entries(value).map(([key, child]) => (
        <Branch key={key} name={key} value={child} depth={1} />
      ))}
    </ul>
  );
}
