import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../api/shapes';
import { buildTraceModel, nextTrouble, outcomeOf, parseDocuments, reveal, ticks, visibleRows } from './tracemodel';

function segment(id: string, start: number, end: number | null, more: JsonObject = {}): JsonObject {
  return { id, name: id, start_time: start, ...(end === null ? { in_progress: true } : { end_time: end }), ...more };
}

const names = (documents: JsonObject[]): string[] =>
  buildTraceModel(documents).rows.map((row) => `${'  '.repeat(row.depth)}${row.name}`);

describe('buildTraceModel', () => {
  it('hangs segments below the subsegment that called them, whatever the order of the documents', () => {
    const caller = segment('front', 0, 10, { subsegments: [segment('call-b', 4, 6), segment('call-a', 1, 3)] });
    const callee = segment('back', 1.5, 2.5, { parent_id: 'call-a', subsegments: [segment('work', 1.6, 2)] });
    const want = ['front', '  call-a', '    back', '      work', '  call-b'];
    expect(names([caller, callee])).toEqual(want);
    expect(names([callee, caller])).toEqual(want);
  });

  it('keeps orphans, after the real roots, and says so', () => {
    const model = buildTraceModel([segment('lost', 0, 1, { parent_id: 'nowhere' }), segment('root', 5, 6)]);
    expect(model.rows.map((row) => [row.name, row.orphan])).toEqual([
      ['root', false],
      ['lost', true],
    ]);
    expect(model.orphans).toBe(1);
  });

  it('shows segments that are each other’s parents, once each', () => {
    const model = buildTraceModel([segment('a', 0, 1, { parent_id: 'b' }), segment('b', 0, 1, { parent_id: 'a' })]);
    expect(model.rows.map((row) => row.name).sort()).toEqual(['a', 'b']);
    expect(model.rows[1]?.depth).toBe(1);
  });

  it('hangs a segment below the call with which it shares its id, and tells the two apart', () => {
    const front = segment('front', 0, 10, { subsegments: [segment('shared', 1, 9, { name: 'call' })] });
    const back = segment('shared', 2, 8, { name: 'back', parent_id: 'front' });
    expect(names([back, front])).toEqual(['front', '  call', '    back']);
    expect(buildTraceModel([front, back]).rows.map((row) => row.id)).toEqual(['front', 'shared~2', 'shared']);
  });

  it('tells the reason for a placeholder segment, and counts its service', () => {
    const model = buildTraceModel([
      segment('lost', 0, 1, { name: 'shop', inferred: true, metadata: { fluoro: { missing: 'The parent has not arrived.' } } }),
    ]);
    expect(model.rows[0]?.missing).toBe('The parent has not arrived.');
    expect(model.services).toEqual(['shop']);
  });

  it('shows how many segments are hidden, where the tree would break, and counts no service for them', () => {
    const call = segment('call', 1, 4, { name: 'payments', namespace: 'remote' });
    const model = buildTraceModel([
      segment('front', 0, 5, { subsegments: [call] }),
      segment('back', 2, 3, { parent_id: 'p' }),
      segment('p', 1, 4, { name: '1 segment you may not see', parent_id: 'call', inferred: true, metadata: { fluoro: { missing: 'no permission', hidden: 1 } } }),
    ]);
    expect(model.rows.map((row) => [row.name, row.depth, row.hidden])).toEqual([
      ['front', 0, 0],
      ['payments', 1, 0],
      ['1 segment you may not see', 2, 1],
      ['back', 3, 0],
    ]);
    expect(model.services.sort()).toEqual(['back', 'front']);
  });

  it('shows a segment that names itself as parent', () => {
    expect(names([segment('a', 0, 1, { parent_id: 'a' })])).toEqual(['a']);
  });

  it('counts descendants and knows of trouble below', () => {
    const model = buildTraceModel([
      segment('root', 0, 5, { subsegments: [segment('x', 1, 2, { subsegments: [segment('y', 1, 2, { fault: true })] }), segment('z', 3, 4)] }),
    ]);
    expect(model.rows.map((row) => [row.name, row.descendants, row.troubleBelow])).toEqual([
      ['root', 3, true],
      ['x', 1, true],
      ['y', 0, false],
      ['z', 0, false],
    ]);
    expect(model.troubled).toEqual([2]);
  });

  it('leaves the end of an in-progress segment open', () => {
    const model = buildTraceModel([segment('root', 1, null)]);
    expect(model.rows[0]?.end).toBeNull();
    expect([model.start, model.end, model.inProgress]).toEqual([1, 1, 1]);
  });

  it('survives 20,000 levels', () => {
    const root = segment('0', 0, 1);
    let current = root;
    for (let i = 1; i <= 20000; i++) {
      const child = segment(String(i), 0, 1);
      current['subsegments'] = [child];
      current = child;
    }
    const model = buildTraceModel([root]);
    expect(model.rows.length).toBe(20001);
    expect(model.rows[20000]?.depth).toBe(20000);
    expect(model.rows[0]?.descendants).toBe(20000);
  });

  it('takes an end before the start as no time at all', () => {
    expect(buildTraceModel([segment('a', 5, 3)]).rows[0]?.end).toBe(5);
  });

  it('lists services without the inferred ones', () => {
    const model = buildTraceModel([segment('a', 0, 1), segment('db', 0, 1, { inferred: true })]);
    expect(model.services).toEqual(['a']);
    expect(model.segments).toBe(2);
  });

  it('is empty without documents', () => {
    expect(buildTraceModel([])).toMatchObject({ rows: [], start: 0, end: 0 });
  });
});

describe('outcomeOf', () => {
  it.each<[JsonObject, string]>([
    [{}, 'ok'],
    [{ http: { response: { status: 200 } } }, 'ok'],
    [{ error: true }, 'error'],
    [{ http: { response: { status: 404 } } }, 'error'],
    [{ http: { response: { status: 503 } } }, 'fault'],
    [{ error: true, fault: true }, 'fault'],
    [{ error: true, throttle: true, fault: true }, 'throttle'],
    [{ error: true, http: { response: { status: 429 } } }, 'throttle'],
    [{ http: { response: { status: '500' } } }, 'fault'],
    [{ http: 'text' }, 'ok'],
  ])('%j is %s', (document, want) => {
    expect(outcomeOf(document)).toBe(want);
  });
});

describe('parseDocuments', () => {
  it('counts what it cannot read', () => {
    const trace = { Id: '1', Segments: [{ Id: 'a', Document: '{"id":"a"}' }, { Id: 'b', Document: '{' }, { Id: 'c', Document: '[]' }] };
    expect(parseDocuments(trace)).toEqual({ documents: [{ id: 'a' }], unreadable: 2 });
  });
});

describe('visibleRows', () => {
  const model = buildTraceModel([
    segment('root', 0, 9, {
      subsegments: [
        segment('fine', 1, 2, { subsegments: [segment('fine.1', 1, 2)] }),
        segment('bad', 3, 4, { subsegments: [segment('bad.1', 3, 4, { error: true }), segment('bad.2', 3.5, 4)] }),
      ],
    }),
  ]);
  const shown = (collapsed: string[], only: boolean): string[] =>
    visibleRows(model, new Set(collapsed), only).map((row) => model.rows[row]?.name ?? '');

  it('shows all, hides what is collapsed, keeps the way to trouble', () => {
    expect(shown([], false)).toEqual(['root', 'fine', 'fine.1', 'bad', 'bad.1', 'bad.2']);
    expect(shown(['fine'], false)).toEqual(['root', 'fine', 'bad', 'bad.1', 'bad.2']);
    expect(shown([], true)).toEqual(['root', 'bad', 'bad.1']);
  });

  it('opens the way to a row, and walks trouble in a circle', () => {
    expect([...reveal(model, new Set(['root', 'bad', 'fine']), 4)]).toEqual(['fine']);
    expect(nextTrouble(model, -1)).toBe(4);
    expect(nextTrouble(model, 4)).toBe(4);
    expect(nextTrouble(buildTraceModel([segment('a', 0, 1)]), 0)).toBe(-1);
  });
});

describe('ticks', () => {
  it('falls on round values inside the range', () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
    expect(ticks(0.3, 0.9, 3)).toEqual([0.4, 0.6000000000000001, 0.8]);
    expect(ticks(1, 1, 5)).toEqual([]);
  });
});
