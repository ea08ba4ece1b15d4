import { useInfiniteQuery } from '@tanstack/react-query';
import { formatTimeRange, type TimeRange, type Window } from '../lib/timerange';
import { get, serverNow } from './client';
import type { Json } from './shapes';

/** A record of the audit log, as CloudTrail forms it (docs/format/audit.md). */
export interface AuditEvent {
  eventTime: string;
  eventSource: string;
  eventName: string;
  userIdentity?: { type?: string; arn?: string; userName?: string; principalId?: string; accessKeyId?: string; credentialId?: string };
  sourceIPAddress?: string;
  recipientAccountId?: string;
  errorCode?: string;
  errorMessage?: string;
  additionalEventData?: { traceIds?: string[]; traceCount?: number };
  [member: string]: unknown;
}

/** A record and its number in the log of the server. */
export interface AuditRecord {
  seq: number;
  event: AuditEvent;
}

interface AuditPage {
  events: AuditRecord[];
  token: string;
  damaged: string[];
}

/** What to search for; empty texts match everything. */
export interface AuditFilter {
  principal: string;
  action: string;
  trace: string;
  error: string;
  account: string;
}

interface Place {
  token: string;
  window: Window | null;
}

/** A page of the search, and where it goes on. */
export interface AuditPart {
  events: AuditRecord[];
  damaged: string[];
  next: Place | null;
}

/** A page reads a part of the log and may be empty: so many are read before the user is asked. */
const mostEmptyPages = 20;

async function load(range: TimeRange, filter: AuditFilter, place: Place, signal: AbortSignal): Promise<AuditPart> {
  // Later pages keep the start of the first one.
  const now = serverNow();
  const window = place.window ?? (range.kind === 'relative' ? { start: now - range.seconds, end: Number.POSITIVE_INFINITY } : { start: range.start, end: range.end });
  let { token } = place;
  let page: AuditPage = { events: [], token, damaged: [] };
  const damaged = new Set<string>();
  for (let i = 0; i < mostEmptyPages; i++) {
    const query = new URLSearchParams({ start: String(window.start), limit: '50' });
    if (Number.isFinite(window.end)) {
      query.set('end', String(window.end));
    }
    for (const [name, value] of Object.entries({ ...filter, token })) {
      if (value.trim() !== '') {
        query.set(name, value.trim());
      }
    }
    page = await get<AuditPage>(`/console/api/audit?${query.toString()}`, signal);
    page.damaged.forEach((file) => damaged.add(file));
    token = page.token;
    if (page.events.length > 0 || token === '') {
      break;
    }
  }
  return { events: page.events, damaged: [...damaged], next: token === '' ? null : { token, window } };
}

/** Records of a time range that match a filter, the newest first, page by page. */
export function useAudit(range: TimeRange, filter: AuditFilter) {
  return useInfiniteQuery({
    queryKey: ['audit', formatTimeRange(range), filter],
    queryFn: ({ signal, pageParam }) => load(range, filter, pageParam, signal),
    initialPageParam: { token: '', window: null } as Place,
    getNextPageParam: (last: AuditPart) => last.next,
  });
}

/** Who made a request, in short: the last part of the ARN, a name, or the kind of caller. */
export function actorOf({ userIdentity: who }: AuditEvent): string {
  return who?.userName ?? who?.arn?.split(':').pop() ?? who?.principalId ?? who?.type ?? 'unknown';
}

/** The action of a record as policies name it, such as xray:GetGroup. */
export function actionOf(event: AuditEvent): string {
  return `${event.eventSource.replace(/\.amazonaws\.com$/, '')}:${event.eventName}`;
}

/** A record as a JSON object for the tree. */
export function jsonOf(event: AuditEvent): { [key: string]: Json } {
  return event as { [key: string]: Json };
}
