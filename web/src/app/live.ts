import { useQueryClient, type Query, type QueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { keys } from '../api/queries';
import type { Refused, ServiceGraph, Status, Trace } from '../api/shapes';
import type { Refresh } from './preferences';

/** State of the stream of live events. */
export type LiveState = 'connecting' | 'open' | 'lost';

/** Bounds of the time between two refreshes by live events; a slow server is asked less often. */
const shortestPause = 1000;
const longestPause = 10_000;

/** A whole trace that looks finished is asked for again only after this long: late segments are rare and traces may be large. */
const finishedTracePause = 10_000;

function mayHaveChanged(query: Query): boolean {
  const data = query.state.data as Trace | ServiceGraph | null | undefined;
  if (data === null || data === undefined) {
    return true;
  }
  const unfinished = 'Id' in data ? data.Duration === null || data.Duration === undefined : (data.Services ?? []).length === 0;
  return unfinished || Date.now() - query.state.dataUpdatedAt > finishedTracePause;
}

/** Reloads the data that may have changed; resolves when the answers have arrived. */
async function refreshData(client: QueryClient, following: boolean): Promise<void> {
  const options = { cancelRefetch: false };
  const jobs = [client.invalidateQueries({ queryKey: [keys.status] }, options)];
  if (following) {
    jobs.push(client.invalidateQueries({ queryKey: [keys.summaries] }, options), client.invalidateQueries({ queryKey: [keys.graph] }, options));
  }
  for (const key of [keys.trace, keys.traceGraph]) {
    jobs.push(client.invalidateQueries({ queryKey: [key], predicate: mayHaveChanged }, options));
  }
  await Promise.allSettled(jobs);
}

function noteRefused(client: QueryClient, data: string): void {
  const refused = JSON.parse(data) as Refused;
  client.setQueryData<Status>([keys.status], (status) =>
    status ? { ...status, refused: [refused, ...(status.refused ?? [])].slice(0, 50) } : status,
  );
  void client.invalidateQueries({ queryKey: [keys.status] }, { cancelRefetch: false });
}

/**
 * Keeps the data of the page fresh: by the server's event stream, or on a
 * timer. following is false for absolute time ranges, whose lists do not change.
 */
export function useLive(refresh: Refresh, following: boolean): LiveState {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>('connecting');

  useEffect(() => {
    if (refresh !== 'live' && refresh !== 'off') {
      const timer = setInterval(() => void refreshData(client, following), Number(refresh) * 1000);
      return () => clearInterval(timer);
    }
    return undefined;
  }, [client, refresh, following]);

  useEffect(() => {
    const source = new EventSource('/console/api/live');
    let timer: ReturnType<typeof setTimeout> | undefined;
    let running = false;
    let wanted = false;
    let notBefore = 0;
    const run = async (): Promise<void> => {
      timer = undefined;
      running = true;
      wanted = false;
      const began = Date.now();
      if (refresh === 'live') {
        await refreshData(client, following);
      } else {
        await client.invalidateQueries({ queryKey: [keys.status] });
      }
      notBefore = began + Math.min(longestPause, Math.max(shortestPause, 3 * (Date.now() - began)));
      running = false;
      if (wanted) {
        schedule();
      }
    };
    const schedule = (): void => {
      if (running) {
        wanted = true;
      } else {
        timer ??= setTimeout(() => void run(), Math.max(0, notBefore - Date.now()));
      }
    };
    source.addEventListener('open', () => {
      setState('open');
      // Load what arrived while the stream was down.
      schedule();
    });
    source.addEventListener('error', () => setState('lost'));
    source.addEventListener('traces', schedule);
    source.addEventListener('refused', (event: MessageEvent<string>) => noteRefused(client, event.data));
    return () => {
      wanted = false;
      running = true;
      clearTimeout(timer);
      source.close();
    };
  }, [client, refresh, following]);

  return state;
}
