import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { ApiError, post } from './client';

/** What a rule does with a value (docs/guides/scrubbing.md). */
export const actions = ['mask', 'drop', 'last4', 'hash', 'keep'] as const;
export type ScrubAction = (typeof actions)[number];

/** What a rule can look for by itself. */
export const detectors = ['card', 'email', 'iban', 'jwt', 'aws-key', 'bearer', 'password', 'private-key', 'api-token', 'sql'];

/** A scrub rule. Absent lists are empty. */
export interface ScrubRule {
  Name: string;
  Description?: string;
  /** Rules with a smaller number work first. */
  Order: number;
  Keys?: string[];
  Paths?: string[];
  Pattern?: string;
  Detectors?: string[];
  Services?: string[];
  Action: ScrubAction;
  DryRun?: boolean;
  Disabled?: boolean;
}

/** A rule of the account. Values counts what it changed since the server started. */
export interface StoredRule extends ScrubRule {
  Default?: boolean;
  Updated: number;
  Values: number;
}

/** What a rule would change. Examples have all letters and digits replaced. */
export interface Found {
  Rule: string;
  Values: number;
  Traces: number;
  Examples: { Path: string; Before: string; After: string }[];
}

/** The answer of a preview. It is not complete if there are more traces than it reads. */
export interface Preview {
  Traces: number;
  Segments: number;
  Complete: boolean;
  Rules: Found[];
}

/** A run over stored traces; times are nanoseconds since 1970. It goes backwards: Place moves from To to From. */
export interface Job {
  ID: string;
  State: 'running' | 'purging' | 'done' | 'stopped' | 'failed';
  Reason?: string;
  From: number;
  To: number;
  Place: number;
  Rules?: string[];
  DryRun?: boolean;
  Rate: number;
  Started: number;
  Ended?: number;
  Traces: number;
  Changed: number;
  Held: number;
  Unchanged: number;
  Problems?: string[];
  Values?: Record<string, number>;
}

const rulesKey = 'scrub-rules';
const jobKey = 'scrub-job';

/** The rules of the account, in the order in which they work. Each request can leave an audit record: the counts are not read more often. */
export function useRules() {
  return useQuery({ queryKey: [rulesKey], queryFn: async ({ signal }) => (await post<{ Rules: StoredRule[] }>('/api/scrub/ListRules', {}, signal)).Rules, refetchInterval: 60_000 });
}

/** Saves a rule. */
export function usePutRule() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (rule: ScrubRule) => post('/api/scrub/PutRule', { Rule: rule }),
    onSuccess: () => client.invalidateQueries({ queryKey: [rulesKey] }),
  });
}

/** Deletes a rule; a default rule works unchanged again. */
export function useDeleteRule() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => post('/api/scrub/DeleteRule', { Name: name }),
    onSuccess: () => client.invalidateQueries({ queryKey: [rulesKey] }),
  });
}

/** Tells what rules would change in the traces of the last seconds: those given, or without any the present ones. */
export function usePreview() {
  return useMutation({
    mutationFn: ({ rules, seconds }: { rules: ScrubRule[]; seconds: number }) =>
      post<Preview>('/api/scrub/Preview', { Seconds: seconds, ...(rules.length > 0 ? { Rules: rules } : {}) }),
  });
}

/** Tells what becomes of a text, or with document of a segment document. */
export function useTest() {
  return useMutation({
    mutationFn: (test: { Text: string; Key: string; Document: boolean }) => post<{ Text: string; Dropped?: boolean }>('/api/scrub/Test', test),
  });
}

/** The last job over stored traces; null if there was none. It is asked for again while it runs. */
export function useJob() {
  return useQuery({
    queryKey: [jobKey],
    queryFn: async ({ signal }) => {
      try {
        return (await post<{ Job: Job }>('/api/scrub/GetJob', {}, signal)).Job;
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) {
          return null;
        }
        throw error;
      }
    },
    refetchInterval: ({ state }) => (state.data?.State === 'running' || state.data?.State === 'purging' ? 2000 : false),
  });
}

/** Starts a job; Seconds 0 goes back to the first trace. */
export function useStartJob() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (job: { Seconds: number; Rules: string[]; DryRun: boolean; Rate: number }) => post('/api/scrub/StartJob', job),
    onSuccess: () => client.invalidateQueries({ queryKey: [jobKey] }),
  });
}

/** Stops the job. */
export function useStopJob() {
  const client = useQueryClient();
  return useMutation({ mutationFn: () => post('/api/scrub/StopJob', {}), onSuccess: () => client.invalidateQueries({ queryKey: [jobKey] }) });
}

/** How far a job is, from 0 to 1; null if it goes back to the first trace, wherever that is. */
export function progressOf(job: Job): number | null {
  if (job.State === 'done' || job.State === 'purging') {
    return 1;
  }
  return job.From <= 0 || job.To <= job.From ? null : Math.min(1, Math.max(0, (job.To - job.Place) / (job.To - job.From)));
}
