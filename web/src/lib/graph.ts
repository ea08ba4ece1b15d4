import type { GraphEdge, GraphService, HistogramEntry, ServiceGraph, Statistics } from '../api/shapes';
import type { NodeId, Outcome } from './filter';

/** Requests of a node or an edge by outcome, and the time they took. */
export interface Health {
  counts: Record<Outcome, number>;
  total: number;
  /** Sum of response times in seconds. */
  seconds: number;
}

/** A node of the map. */
export interface MapNode {
  /** Identity between refreshes: name, type and account. */
  key: string;
  id: NodeId;
  service: GraphService;
  client: boolean;
  inferred: boolean;
  health: Health;
}

/** A call of the map. */
export interface MapEdge {
  key: string;
  source: MapNode;
  target: MapNode;
  edge: GraphEdge;
  health: Health;
}

/** The service graph with its references resolved. */
export interface MapModel {
  nodes: MapNode[];
  edges: MapEdge[];
  byKey: Map<string, MapNode>;
}

/** Reads statistics of the API. A missing part counts as zero. */
export function healthOf(statistics: Statistics | null | undefined): Health {
  const error = statistics?.ErrorStatistics;
  const counts = {
    ok: statistics?.OkCount ?? 0,
    error: error?.OtherCount ?? 0,
    throttle: error?.ThrottleCount ?? 0,
    fault: statistics?.FaultStatistics?.TotalCount ?? statistics?.FaultStatistics?.OtherCount ?? 0,
  };
  return {
    counts,
    total: statistics?.TotalCount ?? counts.ok + counts.error + counts.throttle + counts.fault,
    seconds: statistics?.TotalResponseTime ?? 0,
  };
}

/** Average response time in seconds, or null without requests. */
export function averageOf(health: Health): number | null {
  return health.total > 0 ? health.seconds / health.total : null;
}

function keyOf(service: GraphService): string {
  return [service.Name ?? '', service.Type ?? '', service.AccountId ?? ''].join('|');
}

/** A client node has no statistics of its own: sum those of its edges. */
function clientHealth(service: GraphService): Health {
  const sum: Health = { counts: { ok: 0, error: 0, throttle: 0, fault: 0 }, total: 0, seconds: 0 };
  for (const edge of service.Edges ?? []) {
    const health = healthOf(edge.SummaryStatistics);
    sum.counts.ok += health.counts.ok;
    sum.counts.error += health.counts.error;
    sum.counts.throttle += health.counts.throttle;
    sum.counts.fault += health.counts.fault;
    sum.total += health.total;
    sum.seconds += health.seconds;
  }
  return sum;
}

/** Resolves the references of a service graph. It omits edges to unknown nodes. */
export function buildMap(graph: ServiceGraph): MapModel {
  const byReference = new Map<number, MapNode>();
  const byKey = new Map<string, MapNode>();
  for (const service of graph.Services ?? []) {
    const client = service.Type === 'client';
    const node: MapNode = {
      key: keyOf(service),
      id: { name: service.Name ?? '', type: service.Type ?? null, ...(service.AccountId ? { account: service.AccountId } : {}) },
      service,
      client,
      inferred: !client && (service.State === 'unknown' || service.State === 'passive'),
      health: client ? clientHealth(service) : healthOf(service.SummaryStatistics),
    };
    byReference.set(service.ReferenceId, node);
    byKey.set(node.key, node);
  }
  const edges = new Map<string, MapEdge>();
  for (const source of byReference.values()) {
    for (const edge of source.service.Edges ?? []) {
      const target = byReference.get(edge.ReferenceId);
      if (target) {
        const key = `${source.key}→${target.key}${edge.EdgeType === 'link' ? ' link' : ''}`;
        edges.set(key, { key, source, target, edge, health: healthOf(edge.SummaryStatistics) });
      }
    }
  }
  return { nodes: [...byKey.values()], edges: [...edges.values()], byKey };
}

/** The outcome that marks a node or edge: the most serious one that occurred. */
export function worstOf(health: Health): Outcome {
  if (health.counts.fault > 0) {
    return 'fault';
  }
  if (health.counts.error > 0) {
    return 'error';
  }
  return health.counts.throttle > 0 ? 'throttle' : 'ok';
}

/** A type in words, with the account of a linked one: `AWS::DynamoDB::Table` is `DynamoDB Table`. */
export function typeText(node: MapNode): string {
  return node.id.account ? `${plainType(node)} in ${node.id.account}` : plainType(node);
}

function plainType(node: MapNode): string {
  if (node.client) {
    return 'Client';
  }
  const type = node.id.type ?? '';
  if (type === 'remote') {
    return 'Remote';
  }
  if (type === 'Database::SQL') {
    return 'SQL database';
  }
  return type.replace(/^AWS::/, '').replaceAll('::', ' ') || 'Service';
}

/** Kinds of node with an icon on the map. */
export type Glyph = 'client' | 'service' | 'database' | 'queue' | 'function' | 'storage' | 'remote' | 'topic';

/** The icon of a node, from its type and, for remote nodes, from its name. */
export function glyphOf(node: MapNode): Glyph {
  if (node.client) {
    return 'client';
  }
  const type = (node.id.type ?? '').toLowerCase();
  const name = node.id.name.toLowerCase();
  if (/dynamodb|rds|database|redshift|elasticache|sql/.test(type) || (/remote/.test(type) && /@|sql|postgres|mongo|redis|memcache|cassandra|elastic|opensearch|\bdb\b/.test(name))) {
    return 'database';
  }
  if (/sqs|queue|kinesis/.test(type) || (/remote/.test(type) && /queue|kafka|rabbit|amqp|nats/.test(name))) {
    return 'queue';
  }
  if (/sns|topic|events/.test(type)) {
    return 'topic';
  }
  if (/lambda|stepfunctions/.test(type)) {
    return 'function';
  }
  if (/s3|bucket/.test(type)) {
    return 'storage';
  }
  return type === 'remote' ? 'remote' : 'service';
}

/** Histogram of an edge or node, with all weights positive. */
export function histogramOf(entries: HistogramEntry[] | null | undefined): HistogramEntry[] {
  return (entries ?? []).filter((entry) => entry.Count > 0 && Number.isFinite(entry.Value));
}
