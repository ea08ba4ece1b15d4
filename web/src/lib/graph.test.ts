import { describe, expect, it } from 'vitest';
import { averageOf, buildMap, glyphOf, healthOf, typeText, worstOf } from './graph';

const statistics = {
  OkCount: 6,
  ErrorStatistics: { ThrottleCount: 1, OtherCount: 2, TotalCount: 3 },
  FaultStatistics: { OtherCount: 1, TotalCount: 1 },
  TotalCount: 10,
  TotalResponseTime: 2.5,
};

describe('healthOf', () => {
  it('parts throttles from errors', () => {
    const health = healthOf(statistics);
    expect(health.counts).toEqual({ ok: 6, error: 2, throttle: 1, fault: 1 });
    expect(averageOf(health)).toBe(0.25);
    expect(worstOf(health)).toBe('fault');
  });

  it('takes null as nothing', () => {
    expect(averageOf(healthOf(null))).toBeNull();
    expect(worstOf(healthOf(null))).toBe('ok');
  });
});

describe('buildMap', () => {
  const model = buildMap({
    Services: [
      { ReferenceId: 0, Name: 'api', Type: 'client', State: 'unknown', Edges: [{ ReferenceId: 1, SummaryStatistics: statistics }] },
      { ReferenceId: 1, Name: 'api', Type: 'AWS::EC2::Instance', State: 'active', Root: true, Edges: [{ ReferenceId: 2 }, { ReferenceId: 9 }], SummaryStatistics: statistics },
      { ReferenceId: 2, Name: 'orders', Type: 'AWS::DynamoDB::Table', State: 'unknown', Edges: null },
    ],
  });

  it('keeps a client and a service of one name apart', () => {
    expect(model.nodes.map((node) => [node.key, node.client, node.inferred])).toEqual([
      ['api|client|', true, false],
      ['api|AWS::EC2::Instance|', false, false],
      ['orders|AWS::DynamoDB::Table|', false, true],
    ]);
  });

  it('gives a client the numbers of its edges, and leaves out edges that lead nowhere', () => {
    expect(model.nodes[0]?.health.total).toBe(10);
    expect(model.edges.map((edge) => edge.target.id.name)).toEqual(['api', 'orders']);
  });

  it('knows words and signs of types', () => {
    expect(model.nodes.map(typeText)).toEqual(['Client', 'EC2 Instance', 'DynamoDB Table']);
    expect(model.nodes.map(glyphOf)).toEqual(['client', 'service', 'database']);
  });

  it('knows databases by their type and by their name', () => {
    const services = [
      { ReferenceId: 0, Name: 'shop', Type: 'Database::SQL', State: 'passive', Edges: null },
      { ReferenceId: 1, Name: 'memcached', Type: 'remote', State: 'passive', Edges: null },
      { ReferenceId: 2, Name: 'api.example.com', Type: 'remote', State: 'passive', Edges: null },
    ];
    const { nodes } = buildMap({ Services: services });
    expect(nodes.map(typeText)).toEqual(['SQL database', 'Remote', 'Remote']);
    expect(nodes.map(glyphOf)).toEqual(['database', 'database', 'remote']);
    expect(nodes.map((node) => node.inferred)).toEqual([true, true, true]);
  });

  it('is empty for an empty graph', () => {
    expect(buildMap({ Services: null })).toMatchObject({ nodes: [], edges: [] });
  });
});
