import type { GraphEdge, GraphService, JsonObject, ServiceGraph, Statistics, TraceSummary } from '../api/shapes';

/** Statistics of requests with these outcomes and this total time in seconds. */
export function statistics(seconds: number, counts: { ok?: number; error?: number; throttle?: number; fault?: number }): Statistics {
  const { ok = 0, error = 0, throttle = 0, fault = 0 } = counts;
  return {
    OkCount: ok,
    ErrorStatistics: { OtherCount: error, ThrottleCount: throttle, TotalCount: error + throttle },
    FaultStatistics: { OtherCount: fault, TotalCount: fault },
    TotalCount: ok + error + throttle + fault,
    TotalResponseTime: seconds,
  };
}

function edge(to: number, seconds: number, counts: Parameters<typeof statistics>[1], more: Partial<GraphEdge> = {}): GraphEdge {
  return { ReferenceId: to, SummaryStatistics: statistics(seconds, counts), ResponseTimeHistogram: [{ Value: 0.1, Count: 10 }], ...more };
}

function service(reference: number, name: string, type: string | null, more: Partial<GraphService> = {}): GraphService {
  return { ReferenceId: reference, Name: name, Type: type, State: 'active', Edges: [], ...more };
}

/** A client that calls front; front calls cart, which fails at times, and a table that is throttled; cart sends to a worker. */
export const shopGraph: ServiceGraph = {
  Services: [
    service(0, 'shopper', 'client', { Edges: [edge(1, 50, { ok: 90, fault: 10 })] }),
    service(1, 'front', null, {
      Root: true,
      SummaryStatistics: statistics(50, { ok: 90, fault: 10 }),
      ResponseTimeHistogram: [
        { Value: 0.1, Count: 90 },
        { Value: 4.1, Count: 10 },
      ],
      Edges: [
        edge(3, 0.5, { ok: 40, throttle: 10 }),
        edge(2, 20, { ok: 70, error: 30 }, { Aliases: [{ Name: 'cart.internal', Type: 'remote' }] }),
        edge(9, 1, { ok: 1 }), // to a node that is not in the answer
      ],
    }),
    service(2, 'cart', 'AWS::ECS::Container', { SummaryStatistics: statistics(18, { ok: 70, error: 30 }), Edges: [edge(4, 0.1, { ok: 5 }, { EdgeType: 'link' })] }),
    service(3, 'orders', 'AWS::DynamoDB::Table', { State: 'unknown', SummaryStatistics: statistics(0.5, { ok: 40, throttle: 10 }) }),
    service(4, 'worker', null, { SummaryStatistics: statistics(0, {}) }),
  ],
};

/** A trace in a list. */
export function summary(number: number, more: Partial<TraceSummary> = {}): TraceSummary {
  return {
    Id: `1-6a18aa00-${String(number).padStart(24, '0')}`,
    StartTime: 1_780_000_000 + number,
    Duration: 0.2 * number,
    ResponseTime: 0.1 * number,
    EntryPoint: { Name: `root-${number}` },
    Http: { HttpURL: `https://shop.example/items/${number}?q=1`, HttpMethod: 'GET', HttpStatus: 200 },
    ...more,
  };
}

/** A segment or subsegment document; end null: in progress. */
export function documentOf(id: string, start: number, end: number | null, more: JsonObject = {}): JsonObject {
  return { id, name: id, start_time: start, ...(end === null ? { in_progress: true } : { end_time: end }), ...more };
}

/** A trace: front calls cart, which fails in a query; front publishes to a worker that has not finished; one parent never arrived. */
export const shopDocuments: JsonObject[] = [
  documentOf('front', 100, 110, {
    origin: 'AWS::ECS::Container',
    http: { request: { method: 'GET', url: 'https://shop.example/cart' }, response: { status: 200 } },
    user: 'ann',
    subsegments: [documentOf('publish', 108, 108.5, { namespace: 'aws' }), documentOf('call cart', 101, 105, { namespace: 'remote' })],
  }),
  documentOf('cart', 101.5, 104.5, {
    parent_id: 'call cart',
    fault: true,
    http: { response: { status: 503, content_length: 2048 } },
    annotations: { tier: 'gold', 'k8s.pod': 'p-1' },
    cause: {
      exceptions: [
        {
          id: 'e1',
          type: 'Timeout',
          message: 'no answer in 2 s',
          stack: [
            { label: 'query', path: 'app/cart.js', line: 12 },
            { label: 'send', path: 'node_modules/pg/lib.js', line: 7 },
          ],
        },
      ],
    },
    subsegments: [documentOf('query', 102, 104, { namespace: 'remote', fault: true, sql: { sanitized_query: 'SELECT 1', database_type: 'PostgreSQL' }, cause: 'e1' })],
  }),
  documentOf('worker', 109, null, { parent_id: 'publish' }),
  documentOf('lost', 103, 104, { parent_id: 'nowhere' }),
  documentOf('guessed', 106, 107, { inferred: true, parent_id: 'front', origin: 'AWS::SQS::Queue' }),
  documentOf('gone', 100.5, 101, { parent_id: 'front', inferred: true, metadata: { fluoro: { missing: 'its document has not arrived' } } }),
];
