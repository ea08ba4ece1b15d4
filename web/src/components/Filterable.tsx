import { href, useLocation } from '../lib/router';
import { Copy } from './Copy';
import './Filterable.css';

/** A value with buttons to copy it and, when it can be searched for, to find traces that have it. */
export function Filterable({ value, filter, mono = false }: { value: string; filter?: string; mono?: boolean }) {
  const { params } = useLocation();
  return (
    <span className="fl-value">
      <span className={mono ? 'fl-mono' : undefined}>{value}</span>
      <span className="fl-value-tools">
        <Copy text={value} label={`Copy ${value.slice(0, 60)}`} />
        {filter !== undefined && (
          <a className="fl-filter-by" href={href('/traces', { filter, timeRange: params.get('timeRange') })} title={`Find traces: ${filter}`}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <path d="M2 3h12L9.5 8.5V13l-3 1.2V8.5Z" />
            </svg>
            <span className="fl-offscreen">Filter by {filter}</span>
          </a>
        )}
      </span>
    </span>
  );
}
