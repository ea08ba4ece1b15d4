import type { TraceSummary } from '../api/shapes';
import type { Outcome } from './filter';

/** The outcome of a trace for its client, by the flags of its root segment. */
export function summaryOutcome(trace: TraceSummary): Outcome {
  if (trace.HasThrottle) {
    return 'throttle';
  }
  if (trace.HasFault) {
    return 'fault';
  }
  return trace.HasError ? 'error' : 'ok';
}

/** Duration is null while any part of a trace is in progress (X-Ray API model). */
export function inProgress(trace: TraceSummary): boolean {
  return trace.Duration === null || trace.Duration === undefined;
}

/** The name of the service that received the first request; empty when the root has not arrived. */
export function rootName(trace: TraceSummary): string {
  return trace.EntryPoint?.Name ?? '';
}

/** The path and query of a URL, which distinguish rows of one host; the whole text if it is not a URL. */
export function shortUrl(url: string): string {
  try {
    const parsed = new URL(url);
    return `${parsed.pathname}${parsed.search}` || '/';
  } catch {
    return url;
  }
}

/** Columns by which a list of traces can be ordered. */
export const sortKeys = ['time', 'name', 'url', 'method', 'status', 'response', 'duration', 'user'] as const;
export type SortKey = (typeof sortKeys)[number];

function sortValue(trace: TraceSummary, key: SortKey): number | string | null {
  switch (key) {
    case 'time':
      return trace.StartTime ?? null;
    case 'name':
      return rootName(trace);
    case 'url':
      return trace.Http?.HttpURL ?? null;
    case 'method':
      return trace.Http?.HttpMethod ?? null;
    case 'status':
      return trace.Http?.HttpStatus ?? null;
    case 'response':
      return trace.ResponseTime ?? null;
    case 'duration':
      return trace.Duration ?? null;
    case 'user':
      return trace.Users?.[0]?.UserName ?? null;
  }
}

/** The traces in the order of a column; traces without a value are last in both directions. */
export function sortTraces(traces: TraceSummary[], key: SortKey, descending: boolean): TraceSummary[] {
  return [...traces].sort((a, b) => {
    const left = sortValue(a, key);
    const right = sortValue(b, key);
    if (left === null || right === null || left === '' || right === '') {
      return Number(left === null || left === '') - Number(right === null || right === '');
    }
    const order = typeof left === 'number' && typeof right === 'number' ? left - right : String(left).localeCompare(String(right));
    return descending ? -order : order;
  });
}
