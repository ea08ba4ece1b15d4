import { keepPreviousData, useQuery, type UseQueryResult } from '@tanstack/react-query';
import { clampToGraph, formatTimeRange, resolveRange, type TimeRange, type Window } from '../lib/timerange';
import { ApiError, get, post, serverNow } from './client';
import type { ServiceGraph, Status, Trace, TraceSummariesPage, TraceSummary } from './shapes';

/** Prefixes of query keys; a live event refreshes by them. */
export const keys = { status: 'status', summaries: 'summaries', graph: 'graph', trace: 'trace', traceGraph: 'trace-graph' };

/** Counters, listeners and store figures of the server. */
export function useStatus(refetchMs: number | false, enabled = true): UseQueryResult<Status> {
  return useQuery({
    queryKey: [keys.status],
    queryFn: ({ signal }) => get<Status>('/console/api/status', signal),
    refetchInterval: refetchMs,
    enabled,
  });
}

/** The loaded traces of a window, newest first, and how far the search went. */
export interface Summaries {
  traces: TraceSummary[];
  scanned: number;
  /** True when the server has more traces than were requested. */
  more: boolean;
  window: Window;
}

async function loadSummaries(range: TimeRange, filter: string, limit: number, signal: AbortSignal): Promise<Summaries> {
  const window = resolveRange(range, serverNow());
  const traces: TraceSummary[] = [];
  let scanned = 0;
  let token: string | null = null;
  do {
    const page: TraceSummariesPage = await post<TraceSummariesPage>(
      '/TraceSummaries',
      {
        StartTime: window.start,
        EndTime: window.end,
        ...(filter.trim() ? { FilterExpression: filter } : {}),
        ...(token ? { NextToken: token } : {}),
      },
      signal,
    );
    traces.push(...(page.TraceSummaries ?? []));
    scanned += page.TracesProcessedCount ?? 0;
    token = page.NextToken ?? null;
  } while (token !== null && traces.length < limit);
  return { traces, scanned, more: token !== null, window };
}

/** Traces of a window that match a filter expression, at most about limit of them. */
export function useSummaries(range: TimeRange, filter: string, limit: number): UseQueryResult<Summaries> {
  return useQuery({
    queryKey: [keys.summaries, formatTimeRange(range), filter, limit],
    queryFn: ({ signal }) => loadSummaries(range, filter, limit, signal),
    placeholderData: keepPreviousData,
  });
}

/** The map of a window, and the window that was really requested. */
export interface GraphOfWindow {
  graph: ServiceGraph;
  window: Window;
  clamped: boolean;
}

/** The service graph of a window; of its last six hours when it is longer. */
export function useServiceGraph(range: TimeRange): UseQueryResult<GraphOfWindow> {
  return useQuery({
    queryKey: [keys.graph, formatTimeRange(range)],
    queryFn: async ({ signal }) => {
      const { window, clamped } = clampToGraph(resolveRange(range, serverNow()));
      const body = { StartTime: window.start, EndTime: window.end };
      const graph = await post<ServiceGraph>('/ServiceGraph', body, signal);
      const services = [...(graph.Services ?? [])];
      let token = graph.NextToken;
      while (token) {
        const page = await post<ServiceGraph>('/ServiceGraph', { ...body, NextToken: token }, signal);
        services.push(...(page.Services ?? []));
        token = page.NextToken;
      }
      return { graph: { ...graph, Services: services }, window, clamped };
    },
    placeholderData: keepPreviousData,
  });
}

/** One whole trace; null when the server has none with this id. */
export function useTrace(id: string): UseQueryResult<Trace | null> {
  return useQuery({
    queryKey: [keys.trace, id],
    queryFn: async ({ signal }) => {
      // Not BatchGetTraces: X-Ray hides a subsegment until its parent arrives.
      try {
        return await get<Trace>(`/console/api/trace?id=${encodeURIComponent(id)}`, signal);
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) {
          return null;
        }
        throw error;
      }
    },
    // Documents of a large trace are megabytes of text: comparing them deeply costs more than drawing them again.
    structuralSharing: (before, after) => (sameTrace(before, after) ? before : after),
  });
}

function isTrace(value: unknown): value is Trace {
  return typeof value === 'object' && value !== null && 'Id' in value;
}

function sameTrace(before: unknown, after: unknown): boolean {
  if (!isTrace(before) || !isTrace(after) || before.LimitExceeded !== after.LimitExceeded) {
    return false;
  }
  const old = before.Segments ?? [];
  const fresh = after.Segments ?? [];
  return (
    old.length === fresh.length &&
    before.Duration === after.Duration &&
    old.every((segment, index) => segment.Id === fresh[index]?.Id && segment.Document === fresh[index]?.Document)
  );
}

/** The map of one trace. */
export function useTraceGraph(id: string, enabled: boolean): UseQueryResult<ServiceGraph> {
  return useQuery({
    queryKey: [keys.traceGraph, id],
    queryFn: ({ signal }) => post<ServiceGraph>('/TraceGraph', { TraceIds: [id] }, signal),
    enabled,
  });
}
