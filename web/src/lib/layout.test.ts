import { describe, expect, it } from 'vitest';
import { countCrossings, edgeKey, layerGap, layOut, layOutAgain, nodeGap, type LayoutEdge, type LayoutNode } from './layout';

const nodesOf = (keys: string): LayoutNode[] => keys.split(' ').map((key) => ({ key, first: key.startsWith('client') }));
const edgesOf = (text: string): LayoutEdge[] =>
  text.split(' ').map((pair) => {
    const [from = '', to = ''] = pair.split('>');
    return { from, to };
  });
const layer = (layout: ReturnType<typeof layOut>, key: string): number => (layout.nodes.get(key)?.x ?? NaN) / layerGap;

describe('layOut', () => {
  it('puts callers left of callees', () => {
    const layout = layOut(nodesOf('client web api db cache'), edgesOf('client>web web>api api>db api>cache web>cache'));
    expect(['client', 'web', 'api', 'db', 'cache'].map((key) => layer(layout, key))).toEqual([0, 1, 2, 3, 3]);
  });

  it('leads an edge over several layers around what lies between', () => {
    const layout = layOut(nodesOf('a b c'), edgesOf('a>b b>c a>c'));
    const bends = layout.bends.get(edgeKey({ from: 'a', to: 'c' })) ?? [];
    expect(bends.length).toBe(1);
    expect(Math.abs((bends[0]?.y ?? 0) - (layout.nodes.get('b')?.y ?? 0))).toBeGreaterThanOrEqual(nodeGap * 0.69);
  });

  it('keeps a distance between the nodes of a layer', () => {
    const keys = Array.from({ length: 9 }, (_, i) => `n${i}`);
    const layout = layOut(nodesOf(`root ${keys.join(' ')}`), keys.map((to) => ({ from: 'root', to })));
    const heights = keys.map((key) => layout.nodes.get(key)?.y ?? 0).sort((a, b) => a - b);
    for (let i = 1; i < heights.length; i++) {
      expect((heights[i] ?? 0) - (heights[i - 1] ?? 0)).toBeGreaterThanOrEqual(nodeGap - 1);
    }
    expect(layout.nodes.get('root')?.y).toBeCloseTo(((heights[0] ?? 0) + (heights[8] ?? 0)) / 2, -1);
  });

  it('ends on cycles and self calls', () => {
    const layout = layOut(nodesOf('a b c'), edgesOf('a>b b>c c>a b>b'));
    expect(layout.nodes.size).toBe(3);
    expect(['a', 'b', 'c'].map((key) => layer(layout, key))).toEqual([0, 1, 2]);
    expect(layout.bends.get(edgeKey({ from: 'c', to: 'a' }))?.length).toBe(1);
  });

  it('does not depend on the order of its input', () => {
    const nodes = nodesOf('client web api db queue worker mail');
    const edges = edgesOf('client>web web>api api>db api>queue queue>worker worker>db worker>mail');
    const once = layOut(nodes, edges);
    const again = layOut([...nodes].reverse(), [...edges].reverse());
    expect([...again.nodes].sort()).toEqual([...once.nodes].sort());
  });

  it('untangles two crossed pairs', () => {
    const layout = layOut(nodesOf('a b x y'), edgesOf('a>y b>x'));
    const y = (key: string): number => layout.nodes.get(key)?.y ?? 0;
    expect((y('a') - y('b')) * (y('y') - y('x'))).toBeGreaterThan(0);
  });

  it('ignores edges to nodes it does not know', () => {
    expect(layOut(nodesOf('a'), edgesOf('a>ghost')).nodes.size).toBe(1);
  });

  it('gives a layer of hundreds several columns, without two nodes in one place', () => {
    const nodes = Array.from({ length: 1000 }, (_, i) => ({ key: `n${i}` }));
    const edges = Array.from({ length: 1300 }, (_, i) => ({ from: `n${Math.floor((i % 1000) / 4)}`, to: `n${i % 1000}` }));
    const points = [...layOut(nodes, edges).nodes.values()];
    expect(points.length).toBe(1000);
    expect(Math.max(...points.map((point) => point.y)) - Math.min(...points.map((point) => point.y))).toBeLessThan(60 * nodeGap);
    const byColumn = new Map<number, number[]>();
    for (const { x, y } of points) {
      byColumn.set(x, [...(byColumn.get(x) ?? []), y]);
    }
    for (const heights of byColumn.values()) {
      heights.sort((a, b) => a - b);
      for (let i = 1; i < heights.length; i++) {
        expect((heights[i] ?? 0) - (heights[i - 1] ?? 0)).toBeGreaterThan(nodeGap * 0.95);
      }
    }
  });
});

describe('countCrossings', () => {
  it('counts pairs of crossing edges', () => {
    expect(countCrossings([[0, 1], [2, 3]], [[3], [2], [], []], 4)).toBe(1);
    expect(countCrossings([[0, 1], [2, 3]], [[2], [3], [], []], 4)).toBe(0);
    expect(countCrossings([[0, 1], [2, 3]], [[2, 3], [2, 3], [], []], 4)).toBe(1);
    expect(countCrossings([[0, 1, 2], [3, 4, 5]], [[5], [4], [3], [], [], []], 6)).toBe(3);
  });
});

describe('layOutAgain', () => {
  const nodes = nodesOf('client web api db cache');
  const edges = edgesOf('client>web web>api api>db api>cache');
  const before = layOut(nodes, edges);

  it('moves nothing when one node comes', () => {
    const after = layOutAgain([...nodes, { key: 'mail' }], [...edges, { from: 'web', to: 'mail' }], before);
    for (const node of nodes) {
      expect(after.nodes.get(node.key)).toEqual(before.nodes.get(node.key));
    }
    const mail = after.nodes.get('mail');
    const api = after.nodes.get('api');
    expect(mail?.x).toBe(api?.x);
    expect(Math.abs((mail?.y ?? 0) - (api?.y ?? 0))).toBeGreaterThanOrEqual(nodeGap * 0.95);
  });

  it('moves nothing when one node goes', () => {
    const after = layOutAgain(nodes.slice(0, 4), edges.slice(0, 3), before);
    expect(after.nodes.size).toBe(4);
    expect(after.nodes.get('db')).toEqual(before.nodes.get('db'));
  });

  it('starts again when most is new', () => {
    const more = nodesOf('p q r s t');
    expect(layOutAgain([...nodes, ...more], edges, before)).toEqual(layOut([...nodes, ...more], edges));
  });
});
