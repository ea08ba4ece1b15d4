import { useMutation, useQuery, useQueryClient, type UseMutationResult, type UseQueryResult } from '@tanstack/react-query';
import { post } from './client';

/** The shapes of /api/iam, with the members of AWS's IAM API (docs/guides/credentials.md). */
export interface Principal {
  UserName?: string;
  GroupName?: string;
  RoleName?: string;
  Path: string;
  Arn: string;
  CreateDate: string;
  Description?: string;
}

export interface ManagedPolicy {
  PolicyName: string;
  Arn: string;
  Description?: string;
  CreateDate: string | null;
}

export interface LastUsed {
  At?: string;
  Address?: string;
  Action?: string;
}

export interface AccessKey {
  UserName: string;
  AccessKeyId: string;
  Status: string;
  SecretAccessKey?: string;
  CreateDate: string;
  LastUsed?: LastUsed | null;
}

export interface Token {
  TokenId: string;
  Token?: string;
  UserName?: string;
  RoleName?: string;
  Description?: string;
  Scopes?: string[];
  Expires?: string;
  Status: string;
  CreateDate: string;
  LastUsed?: LastUsed | null;
}

/** Kinds of principals, as they stand in the names of verbs. */
export type Kind = 'User' | 'Group' | 'Role';

type Page = Record<string, unknown> & { IsTruncated?: boolean; Marker?: string };

/** Calls a verb of /api/iam. */
export function iam<T>(verb: string, body: Record<string, unknown>, signal?: AbortSignal): Promise<T> {
  return post<T>(`/api/iam/${verb}`, body, signal);
}

/** Reads all pages of a list. */
async function all<T>(verb: string, member: string, body: Record<string, unknown>, signal: AbortSignal): Promise<T[]> {
  const list: T[] = [];
  let marker: string | undefined;
  do {
    const page: Page = await iam<Page>(verb, { ...body, MaxItems: 1000, ...(marker ? { Marker: marker } : {}) }, signal);
    list.push(...((page[member] as T[] | undefined) ?? []));
    marker = page.IsTruncated ? page.Marker : undefined;
  } while (marker !== undefined);
  return list;
}

/** A list of /api/iam. */
export function useList<T>(verb: string, member: string, body: Record<string, unknown> = {}, enabled = true): UseQueryResult<T[]> {
  return useQuery({ queryKey: ['iam', verb, body], queryFn: ({ signal }) => all<T>(verb, member, body, signal), enabled });
}

/** A change by a verb of /api/iam; the lists are read again afterwards. */
export function useChange<T = unknown>(onDone?: (out: T) => void): UseMutationResult<T, Error, { verb: string; body: Record<string, unknown> }> {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ verb, body }: { verb: string; body: Record<string, unknown> }) => iam<T>(verb, body),
    onSuccess: (out) => {
      onDone?.(out);
      return client.invalidateQueries({ queryKey: ['iam'] });
    },
  });
}
