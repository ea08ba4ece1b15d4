import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { post } from './client';

/** The quotas of the account and their use; a limit that is absent does not exist. */
export interface Quota {
  limits: Partial<Record<'spans' | 'bytes' | 'series' | 'queries' | 'scans', number>>;
  own: boolean;
  series: number;
  scans: number;
  refused: Record<string, number>;
}

/** The quotas of the account. */
export function useQuota() {
  return useQuery({ queryKey: ['quota'], queryFn: ({ signal }) => post<Quota>('/api/quota/Get', {}, signal), refetchInterval: 60_000 });
}

/** The setting of encryption, as GetEncryptionConfig answers it. */
export interface EncryptionConfig {
  KeyId?: string | null;
  Status: string;
  Type: 'NONE' | 'KMS';
}

/** The data keys of the account. */
export interface DataKeys {
  encrypts: boolean;
  data_keys: number;
  newest_created?: string;
  wrapped_by?: Record<string, number> | null;
  destroyed?: string;
  problem?: string;
  pending?: string;
}

const encryptionKey = 'encryption';

/** The setting of encryption; asked for again while it changes. */
export function useEncryption() {
  return useQuery({
    queryKey: [encryptionKey, 'config'],
    queryFn: async ({ signal }) => (await post<{ EncryptionConfig: EncryptionConfig }>('/EncryptionConfig', {}, signal)).EncryptionConfig,
    refetchInterval: ({ state }) => (state.data?.Status === 'UPDATING' ? 2000 : 60_000),
  });
}

/** The state of the data keys. */
export function useDataKeys() {
  return useQuery({ queryKey: [encryptionKey, 'keys'], queryFn: ({ signal }) => post<DataKeys>('/api/encryption/Get', {}, signal), refetchInterval: 60_000 });
}

/** Changes the setting of encryption. */
export function usePutEncryption() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (to: { Type: 'NONE' | 'KMS'; KeyId?: string }) => post('/PutEncryptionConfig', to),
    onSuccess: () => client.invalidateQueries({ queryKey: [encryptionKey] }),
  });
}

/** The end of a link in a monitoring account. Without a policy nobody may link to it. */
export interface Sink {
  Arn: string;
  Id: string;
  Name: string;
  Policy?: string;
}

/** A link shows the traces of a source account to the account of a sink. */
export interface Link {
  Arn: string;
  Id: string;
  Label: string;
  SinkArn: string;
  /** Epoch seconds. */
  Since: number;
}

const linksKey = 'oam';

/** Lists of OAM have one page. */
function useOam<T>(verb: 'ListSinks' | 'ListLinks' | 'ListAttachedLinks', body: object = {}) {
  return useQuery({ queryKey: [linksKey, verb, body], queryFn: async ({ signal }) => (await post<{ Items: T[] }>(`/api/oam/${verb}`, body, signal)).Items });
}

/** The sinks of the account. */
export const useSinks = () => useOam<Sink>('ListSinks');
/** The links of the account to sinks of others. */
export const useLinks = () => useOam<Link>('ListLinks');
/** The links of other accounts to a sink. */
export const useAttached = (sink: string) => useOam<Link>('ListAttachedLinks', { SinkIdentifier: sink });

/** Changes sinks and links by a verb of the OAM API. */
export function useChangeLinks(verb: 'CreateSink' | 'PutSinkPolicy' | 'DeleteSink' | 'CreateLink' | 'DeleteLink') {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: object) => post(`/api/oam/${verb}`, body),
    onSuccess: () => client.invalidateQueries({ queryKey: [linksKey] }),
  });
}

/** The only resource type whose data is shared. */
export const traceType = 'AWS::XRay::Trace';

/** The sink policy that lets accounts link and share traces. */
export function sinkPolicy(accounts: string[]): string {
  const statement = {
    Effect: 'Allow',
    Principal: { AWS: accounts },
    Action: ['oam:CreateLink', 'oam:UpdateLink'],
    Resource: '*',
    Condition: { 'ForAllValues:StringEquals': { 'oam:ResourceTypes': [traceType] } },
  };
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] }, null, 2);
}

/** A hold keeps traces that must not disappear. It selects by ids, filter or group. */
export interface Hold {
  name: string;
  reason?: string;
  by: string;
  created: string;
  traces?: string[];
  filter?: string;
  group?: string;
  heldTraces: number;
}

const holdsKey = 'holds';

/** The holds of the account. */
export function useHolds() {
  return useQuery({ queryKey: [holdsKey], queryFn: async ({ signal }) => (await post<{ holds: Hold[] | null }>('/api/hold/List', {}, signal)).holds ?? [] });
}

/** Releases a hold. */
export function useReleaseHold() {
  const client = useQueryClient();
  return useMutation({ mutationFn: (name: string) => post('/api/hold/Release', { name }), onSuccess: () => client.invalidateQueries({ queryKey: [holdsKey] }) });
}

/** The state of a point or a fact of a compliance report. */
export type Met = 'met' | 'not met' | 'not evaluated';

/** A compliance report. */
export interface Report {
  made: string;
  by: string;
  account: string;
  points: { topic: string; gdpr: string; hipaa: string; pciDss: string; state: Met; areas: string[] | null; note?: string }[];
  facts: { area: string; name: string; state: Met; value: string }[] | null;
  notice: string;
}

/** A report, and the same as files: signed JSON, and one page of HTML. */
export interface ReportFiles {
  signed: { report: Report };
  json: string;
  html: string;
}

/** Makes a compliance report. */
export function useMakeReport() {
  return useMutation({ mutationFn: () => post<ReportFiles>('/api/compliance/GetReport', { files: true }) });
}
