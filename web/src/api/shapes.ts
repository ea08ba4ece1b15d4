/** The shapes of the X-Ray API that the console reads (X-Ray API model, 2016-04-12). Times are epoch seconds. */
export interface ServiceId {
  Name?: string | null;
  Names?: string[] | null;
  AccountId?: string | null;
  Type?: string | null;
}

export interface AnnotationValue {
  NumberValue?: number | null;
  BooleanValue?: boolean | null;
  StringValue?: string | null;
}

export interface TraceSummary {
  Id: string;
  StartTime?: number | null;
  Duration?: number | null;
  ResponseTime?: number | null;
  HasFault?: boolean | null;
  HasError?: boolean | null;
  HasThrottle?: boolean | null;
  IsPartial?: boolean | null;
  Http?: {
    HttpURL?: string | null;
    HttpStatus?: number | null;
    HttpMethod?: string | null;
    UserAgent?: string | null;
    ClientIp?: string | null;
  } | null;
  Annotations?: Record<string, { AnnotationValue?: AnnotationValue | null }[]> | null;
  Users?: { UserName?: string | null }[] | null;
  ServiceIds?: ServiceId[] | null;
  EntryPoint?: ServiceId | null;
  Revision?: number | null;
}

export interface TraceSummariesPage {
  TraceSummaries?: TraceSummary[] | null;
  ApproximateTime?: number | null;
  TracesProcessedCount?: number | null;
  NextToken?: string | null;
}

export interface Trace {
  Id: string;
  Duration?: number | null;
  LimitExceeded?: boolean | null;
  Segments?: { Id: string; Document: string }[] | null;
  /** Observations that the page leaves out because they contradict shown ones (only in /console/api/trace). */
  Refused?: { Id: string; Name: string; Reason: string }[] | null;
}

export interface HistogramEntry {
  Value: number;
  Count: number;
}

export interface Statistics {
  OkCount?: number | null;
  ErrorStatistics?: { ThrottleCount?: number | null; OtherCount?: number | null; TotalCount?: number | null } | null;
  FaultStatistics?: { OtherCount?: number | null; TotalCount?: number | null } | null;
  TotalCount?: number | null;
  TotalResponseTime?: number | null;
}

export interface GraphEdge {
  ReferenceId: number;
  SummaryStatistics?: Statistics | null;
  ResponseTimeHistogram?: HistogramEntry[] | null;
  ReceivedEventAgeHistogram?: HistogramEntry[] | null;
  Aliases?: { Name?: string | null; Type?: string | null }[] | null;
  EdgeType?: string | null;
}

export interface GraphService {
  ReferenceId: number;
  Name?: string | null;
  Names?: string[] | null;
  Root?: boolean | null;
  AccountId?: string | null;
  Type?: string | null;
  State?: string | null;
  StartTime?: number | null;
  EndTime?: number | null;
  Edges?: GraphEdge[] | null;
  SummaryStatistics?: Statistics | null;
  DurationHistogram?: HistogramEntry[] | null;
  ResponseTimeHistogram?: HistogramEntry[] | null;
}

export interface ServiceGraph {
  StartTime?: number | null;
  EndTime?: number | null;
  Services?: GraphService[] | null;
  NextToken?: string | null;
}

/** A JSON value of a segment document. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** An object of a segment document. */
export type JsonObject = { [key: string]: Json };

/** A segment document as BatchGetTraces returns it (X-Ray developer guide, segment documents). */
export type SegmentDocument = JsonObject;

/** One refused packet or document. */
export interface Refused {
  time: number;
  protocol: string;
  source: string;
  reason: string;
  message: string;
}

/** The answer of /console/api/status. */
export interface Status {
  version: string;
  account: string;
  region: string;
  /** Accounts that share their traces with this one. */
  linked?: string[];
  started: number;
  listeners: { protocol: string; address: string }[];
  /** By protocol, outcome, reason and, unless accepted, the sending host. */
  received: { protocol: string; outcome: string; reason: string; source?: string; count: number }[];
  refused: Refused[];
  store: {
    traces: number;
    segments: number;
    bytes: number;
    open_traces: number;
    blocks: number;
    wal_bytes: number;
    read_only: string;
    damaged: number;
    damage: string[];
    notes: string[];
    /** Annotations and attributes beyond the limits of the index: searches find them, but more slowly. */
    search: { keys: number; traces_beyond: number; many_values: string[] };
    /** How many services graphs distinguish, how often another one arrived, and the name of the node that counts the others. */
    names?: number;
    names_folded?: number;
    other_name?: string;
  };
}
