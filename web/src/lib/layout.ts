/** A node to place; its key is its identity between refreshes. */
export interface LayoutNode {
  key: string;
  /** True for nodes that belong to the far left (clients). */
  first?: boolean;
}

/** A call from one node to another, by key. */
export interface LayoutEdge {
  from: string;
  to: string;
}

export interface Point {
  x: number;
  y: number;
}

/** Places by node key, and the bends of edges that pass other layers by `from\0to`. */
export interface Layout {
  nodes: Map<string, Point>;
  bends: Map<string, Point[]>;
}

/** Distance between layers and between neighbours in one layer. */
export const layerGap = 210;
export const nodeGap = 132;

/** The key of an edge in Layout.bends. */
export function edgeKey(edge: LayoutEdge): string {
  return `${edge.from}\u0000${edge.to}`;
}

interface Graph {
  count: number;
  out: number[][];
  in: number[][];
}

function emptyGraph(count: number): Graph {
  return { count, out: Array.from({ length: count }, () => []), in: Array.from({ length: count }, () => []) };
}

function connect(graph: Graph, from: number, to: number): void {
  graph.out[from]?.push(to);
  graph.in[to]?.push(from);
}

/** The graph with back edges reversed, so that it has no cycle. Depth first from the entries, without recursion. */
function acyclic(count: number, edges: [number, number][], entries: number[]): Graph {
  const targets: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) {
    if (from !== to) {
      targets[from]?.push(to);
    }
  }
  const graph = emptyGraph(count);
  const state = new Uint8Array(count);
  for (const entry of entries) {
    if (state[entry] !== 0) {
      continue;
    }
    const stack: { node: number; next: number }[] = [{ node: entry, next: 0 }];
    state[entry] = 1;
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const target = targets[top.node]?.[top.next++];
      if (target === undefined) {
        state[top.node] = 2;
        stack.pop();
      } else if (state[target] === 1) {
        connect(graph, target, top.node);
      } else {
        connect(graph, top.node, target);
        if (state[target] === 0) {
          state[target] = 1;
          stack.push({ node: target, next: 0 });
        }
      }
    }
  }
  return graph;
}

/** Layers by longest path; then entries move right, next to the first node they call. */
function rankNodes(graph: Graph, pinned: (node: number) => boolean): number[] {
  const rank = new Array<number>(graph.count).fill(0);
  const waiting = graph.in.map((sources) => sources.length);
  const queue: number[] = [];
  waiting.forEach((sources, node) => {
    if (sources === 0) {
      queue.push(node);
    }
  });
  for (let i = 0; i < queue.length; i++) {
    const node = queue[i] ?? 0;
    for (const target of graph.out[node] ?? []) {
      rank[target] = Math.max(rank[target] ?? 0, (rank[node] ?? 0) + 1);
      waiting[target] = (waiting[target] ?? 0) - 1;
      if (waiting[target] === 0) {
        queue.push(target);
      }
    }
  }
  for (let node = 0; node < graph.count; node++) {
    const targets = graph.out[node] ?? [];
    if ((graph.in[node] ?? []).length === 0 && targets.length > 0 && !pinned(node)) {
      rank[node] = Math.max(0, Math.min(...targets.map((target) => rank[target] ?? 0)) - 1);
    }
  }
  return rank;
}

/** Splits edges over several layers by nodes at the bends, so that the layout reserves room for them. */
function split(graph: Graph, rank: number[]): { graph: Graph; rank: number[]; chains: Map<string, number[]> } {
  const ranks = [...rank];
  const chains = new Map<string, number[]>();
  const pairs: [number, number][] = [];
  const seen = new Set<string>();
  for (let from = 0; from < graph.count; from++) {
    for (const to of graph.out[from] ?? []) {
      const key = `${from}:${to}`;
      if (seen.has(key)) {
        continue;
      }
      seen.add(key);
      let last = from;
      const chain: number[] = [];
      for (let layer = (rank[from] ?? 0) + 1; layer < (rank[to] ?? 0); layer++) {
        const bend = ranks.push(layer) - 1;
        pairs.push([last, bend]);
        chain.push(bend);
        last = bend;
      }
      pairs.push([last, to]);
      chains.set(key, chain);
    }
  }
  const full = emptyGraph(ranks.length);
  for (const [from, to] of pairs) {
    connect(full, from, to);
  }
  return { graph: full, rank: ranks, chains };
}

function layersOf(rank: number[]): number[][] {
  const layers: number[][] = [];
  rank.forEach((layer, node) => {
    (layers[layer] ??= []).push(node);
  });
  return Array.from(layers, (layer) => layer ?? []);
}

function positionsOf(layers: number[][], count: number): Float64Array {
  const position = new Float64Array(count);
  for (const layer of layers) {
    layer.forEach((node, index) => {
      position[node] = index;
    });
  }
  return position;
}

/** Crossings of edges between neighbouring layers, counted with a Fenwick tree. */
export function countCrossings(layers: number[][], out: number[][], count: number): number {
  const position = positionsOf(layers, count);
  let crossings = 0;
  for (let l = 0; l + 1 < layers.length; l++) {
    const size = layers[l + 1]?.length ?? 0;
    const tree = new Float64Array(size + 1);
    let inserted = 0;
    for (const node of layers[l] ?? []) {
      const ends = (out[node] ?? []).map((target) => position[target] ?? 0).sort((a, b) => a - b);
      for (const end of ends) {
        let atMost = 0;
        for (let i = end + 1; i > 0; i -= i & -i) {
          atMost += tree[i] ?? 0;
        }
        crossings += inserted - atMost;
      }
      for (const end of ends) {
        for (let i = end + 1; i <= size; i += i & -i) {
          tree[i] = (tree[i] ?? 0) + 1;
        }
        inserted++;
      }
    }
  }
  return crossings;
}

/** Orders each layer by the mean place of its neighbours, sweeping both ways; the order with the fewest crossings wins. */
function order(graph: Graph, layers: number[][]): number[][] {
  let best = layers.map((layer) => [...layer]);
  let fewest = countCrossings(best, graph.out, graph.count);
  const current = best.map((layer) => [...layer]);
  const sweeps = graph.count > 4000 ? 6 : 14;
  for (let sweep = 0; sweep < sweeps && fewest > 0; sweep++) {
    const down = sweep % 2 === 0;
    const position = positionsOf(current, graph.count);
    for (let step = 1; step < current.length; step++) {
      const index = down ? step : current.length - 1 - step;
      const layer = current[index] ?? [];
      const weight = new Map<number, number>();
      for (const node of layer) {
        const neighbours = (down ? graph.in[node] : graph.out[node]) ?? [];
        const sum = neighbours.reduce((total, neighbour) => total + (position[neighbour] ?? 0), 0);
        weight.set(node, neighbours.length > 0 ? sum / neighbours.length : (position[node] ?? 0));
      }
      layer.sort((a, b) => (weight.get(a) ?? 0) - (weight.get(b) ?? 0) || (position[a] ?? 0) - (position[b] ?? 0));
      layer.forEach((node, place) => {
        position[node] = place;
      });
    }
    const crossings = countCrossings(current, graph.out, graph.count);
    if (crossings < fewest) {
      fewest = crossings;
      best = current.map((layer) => [...layer]);
    }
  }
  return best;
}

/** Moves wanted positions apart to the given gaps, with the least total change (pool adjacent violators). */
function spread(wishes: number[], gaps: number[]): number[] {
  const offsets: number[] = [];
  let offset = 0;
  wishes.forEach((_, i) => {
    offset += i > 0 ? (gaps[i] ?? 0) : 0;
    offsets.push(offset);
  });
  const blocks: { sum: number; count: number }[] = [];
  wishes.forEach((wish, i) => {
    blocks.push({ sum: wish - (offsets[i] ?? 0), count: 1 });
    for (let last = blocks.at(-1), before = blocks.at(-2); last && before && before.sum / before.count > last.sum / last.count; last = blocks.at(-1), before = blocks.at(-2)) {
      before.sum += last.sum;
      before.count += last.count;
      blocks.pop();
    }
  });
  const result: number[] = [];
  for (const block of blocks) {
    for (let i = 0; i < block.count; i++) {
      result.push(block.sum / block.count + (offsets[result.length] ?? 0));
    }
  }
  return result;
}

/** Heights: each node near the mean of its neighbours, keeping the order and the gaps of its layer. */
function heights(graph: Graph, layers: number[][], real: number, columns: number[]): Float64Array {
  const y = new Float64Array(graph.count);
  const gapBetween = (a: number, b: number): number => (a >= real && b >= real ? nodeGap * 0.35 : a >= real || b >= real ? nodeGap * 0.7 : nodeGap);
  const gaps = layers.map((layer, l) => layer.map((node, i) => (i === 0 ? 0 : gapBetween(layer[i - 1] ?? 0, node) / (columns[l] ?? 1))));
  layers.forEach((layer, l) => {
    let at = 0;
    layer.forEach((node, i) => {
      at += gaps[l]?.[i] ?? 0;
      y[node] = at;
    });
    layer.forEach((node) => {
      y[node] = (y[node] ?? 0) - at / 2;
    });
  });
  const rounds = graph.count > 4000 ? 4 : 10;
  for (let round = 0; round < rounds; round++) {
    const down = round % 2 === 0;
    for (let step = 0; step < layers.length; step++) {
      const l = down ? step : layers.length - 1 - step;
      const layer = layers[l] ?? [];
      const wishes = layer.map((node) => {
        const before = graph.in[node] ?? [];
        const after = graph.out[node] ?? [];
        const near = round >= rounds - 2 ? [...before, ...after] : down ? before : after;
        return near.length === 0 ? (y[node] ?? 0) : near.reduce((sum, neighbour) => sum + (y[neighbour] ?? 0), 0) / near.length;
      });
      spread(wishes, gaps[l] ?? []).forEach((height, i) => {
        y[layer[i] ?? 0] = height;
      });
    }
  }
  return y;
}

/** Distance between the columns of one layer. */
const columnGap = 150;

/** A layer of hundreds of nodes would be too tall to read: it gets several columns. */
function columnsOf(layers: number[][], real: number): number[] {
  const high = Math.max(14, Math.ceil(Math.sqrt(real) * 1.2));
  return layers.map((layer) => Math.max(1, Math.ceil(layer.filter((node) => node < real).length / high)));
}

/** The horizontal place of every node; nodes of a layer with several columns take turns. */
function widths(layers: number[][], columns: number[], real: number, count: number): Float64Array {
  const x = new Float64Array(count);
  let left = 0;
  layers.forEach((layer, l) => {
    const width = ((columns[l] ?? 1) - 1) * columnGap;
    let turn = 0;
    for (const node of layer) {
      x[node] = node < real ? left + (turn++ % (columns[l] ?? 1)) * columnGap : left + width / 2;
    }
    left += layerGap + width;
  });
  return x;
}

/**
 * Places a call graph in layers from left to right: callers before callees,
 * few crossings, long edges led around other nodes. The result depends on the
 * sets of nodes and edges only, not on their order.
 */
export function layOut(nodes: LayoutNode[], edges: LayoutEdge[]): Layout {
  const sorted = [...nodes].sort((a, b) => Number(b.first ?? false) - Number(a.first ?? false) || compare(a.key, b.key));
  const index = new Map(sorted.map((node, i) => [node.key, i]));
  const pairs: [number, number][] = [];
  for (const edge of [...edges].sort((a, b) => compare(a.from, b.from) || compare(a.to, b.to))) {
    const from = index.get(edge.from);
    const to = index.get(edge.to);
    if (from !== undefined && to !== undefined) {
      pairs.push([from, to]);
    }
  }
  const called = new Set(pairs.filter(([from, to]) => from !== to).map(([, to]) => to));
  const all = sorted.map((_, i) => i);
  const entries = [...all.filter((node) => !called.has(node)), ...all];
  const base = acyclic(sorted.length, pairs, entries);
  const rank = rankNodes(base, (node) => sorted[node]?.first === true);
  const { graph, rank: ranks, chains } = split(base, rank);
  const layers = order(graph, layersOf(ranks));
  const columns = columnsOf(layers, sorted.length);
  const x = widths(layers, columns, sorted.length, graph.count);
  const y = heights(graph, layers, sorted.length, columns);
  const place = (node: number): Point => ({ x: x[node] ?? 0, y: Math.round(y[node] ?? 0) });
  const result: Layout = { nodes: new Map(), bends: new Map() };
  sorted.forEach((node, i) => result.nodes.set(node.key, place(i)));
  for (const [from, to] of pairs) {
    const forward = chains.get(`${from}:${to}`);
    const chain = forward ?? [...(chains.get(`${to}:${from}`) ?? [])].reverse();
    if (chain.length > 0) {
      result.bends.set(edgeKey({ from: sorted[from]?.key ?? '', to: sorted[to]?.key ?? '' }), chain.map(place));
    }
  }
  return result;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The free place of a column that is nearest to the wanted height. */
function freeHeight(taken: number[], wish: number): number {
  for (let step = 0; ; step++) {
    for (const candidate of [wish + (step * nodeGap) / 2, wish - (step * nodeGap) / 2]) {
      if (taken.every((height) => Math.abs(height - candidate) >= nodeGap * 0.95)) {
        return candidate;
      }
    }
  }
}

/**
 * Like layOut, but nodes that were on the map before stay where they were, so
 * that a refresh does not move the map while it is read. New nodes go next to
 * their neighbours. If many nodes are new, everything is laid out again.
 */
export function layOutAgain(nodes: LayoutNode[], edges: LayoutEdge[], before: Layout | null): Layout {
  const fresh = nodes.filter((node) => !before?.nodes.has(node.key));
  if (before === null || fresh.length > (nodes.length - fresh.length) * 0.3) {
    return layOut(nodes, edges);
  }
  const placed = new Map<string, Point>();
  for (const node of nodes) {
    const point = before.nodes.get(node.key);
    if (point) {
      placed.set(node.key, point);
    }
  }
  for (const node of [...fresh].sort((a, b) => compare(a.key, b.key))) {
    const callers = edges.filter((edge) => edge.to === node.key).flatMap((edge) => placed.get(edge.from) ?? []);
    const callees = edges.filter((edge) => edge.from === node.key).flatMap((edge) => placed.get(edge.to) ?? []);
    const near = callers.length > 0 ? callers : callees;
    const x = callers.length > 0 ? Math.max(...callers.map((p) => p.x)) + layerGap : callees.length > 0 ? Math.min(...callees.map((p) => p.x)) - layerGap : 0;
    const wish = near.length > 0 ? near.reduce((sum, p) => sum + p.y, 0) / near.length : 0;
    const taken = [...placed.values()].filter((p) => Math.abs(p.x - x) < layerGap / 2).map((p) => p.y);
    placed.set(node.key, { x, y: Math.round(freeHeight(taken, wish)) });
  }
  const present = new Set(edges.map(edgeKey));
  return { nodes: placed, bends: new Map([...before.bends].filter(([key]) => present.has(key))) };
}
