import type { Json, JsonObject, Trace } from '../api/shapes';
import type { Outcome } from './filter';

/** One row of the waterfall: a segment or a subsegment, in reading order. */
export interface Entity {
  /** Place in TraceModel.rows; rows are in preorder, so a subtree is one slice. */
  row: number;
  /** The document's id; a second entity with the same id gets the suffix "~2". */
  id: string;
  name: string;
  /** The reason for a placeholder segment; empty for all others. */
  missing: string;
  /** How many segments a placeholder stands for that the user may not see; 0 for all others. */
  hidden: number;
  kind: 'segment' | 'subsegment';
  /** Row of the parent, −1 for a root. */
  parent: number;
  depth: number;
  /** Rows below this one, at any depth. */
  descendants: number;
  /** Row of the segment this entity is part of; its own row for a segment. */
  segment: number;
  /** Epoch seconds. */
  start: number;
  /** Epoch seconds; null while in progress. */
  end: number | null;
  outcome: Outcome;
  /** True when an entity below has an outcome other than ok. */
  troubleBelow: boolean;
  inferred: boolean;
  /** True when parent_id names an entity that is not in the trace. */
  orphan: boolean;
  namespace: string;
  origin: string;
  /** The document's own object, as it was received. */
  document: JsonObject;
}

/** A trace as the waterfall shows it. */
export interface TraceModel {
  rows: Entity[];
  byId: Map<string, Entity>;
  start: number;
  /** Latest known moment, in progress or not. */
  end: number;
  /** Names of the segments that are not inferred, each once, in order of appearance. */
  services: string[];
  segments: number;
  inProgress: number;
  orphans: number;
  /** Rows with an outcome other than ok. */
  troubled: number[];
  /** Documents that are not JSON objects; they are shown in the raw page only. */
  unreadable: number;
}

/** The member as an object, or an empty one. */
export function objectOf(value: Json | undefined): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

/** The member as text; empty when it is something else. */
export function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: Json | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** The HTTP status of an entity's response, if it has one. */
export function statusOf(document: JsonObject): number | null {
  const status = objectOf(objectOf(document['http'])['response'])['status'];
  const value = typeof status === 'string' ? Number(status) : numberOf(status);
  return value !== null && Number.isInteger(value) ? value : null;
}

/** The one outcome an entity counts as: throttle before fault before error before ok. */
export function outcomeOf(document: JsonObject): Outcome {
  const status = statusOf(document) ?? 0;
  if (document['throttle'] === true || status === 429) {
    return 'throttle';
  }
  if (document['fault'] === true || (status >= 500 && status < 600)) {
    return 'fault';
  }
  if (document['error'] === true || (status >= 400 && status < 500)) {
    return 'error';
  }
  return 'ok';
}

/** Parses the documents of a trace; those that are not JSON objects are counted and left out. */
export function parseDocuments(trace: Trace): { documents: JsonObject[]; unreadable: number } {
  const documents: JsonObject[] = [];
  let unreadable = 0;
  for (const segment of trace.Segments ?? []) {
    try {
      const parsed = JSON.parse(segment.Document) as Json;
      if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
        documents.push(parsed);
        continue;
      }
    } catch {
      // Counted below; the raw page still has the text.
    }
    unreadable++;
  }
  return { documents, unreadable };
}

interface Draft {
  entity: Entity;
  parent: Draft | null;
  children: Draft[];
  owner: Draft;
  placed: boolean;
}

function draftOf(document: JsonObject, parent: Draft | null, kind: Entity['kind']): Draft {
  const start = numberOf(document['start_time']) ?? parent?.entity.start ?? 0;
  const inProgress = document['in_progress'] === true;
  const end = inProgress ? null : Math.max(start, numberOf(document['end_time']) ?? start);
  const draft: Draft = {
    entity: {
      row: -1,
      id: textOf(document['id']),
      name: textOf(document['name']) || '(no name)',
      missing: textOf(objectOf(objectOf(document['metadata'])['fluoro'])['missing']),
      hidden: Number(objectOf(objectOf(document['metadata'])['fluoro'])['hidden'] ?? 0) || 0,
      kind,
      parent: -1,
      depth: 0,
      descendants: 0,
      segment: -1,
      start,
      end,
      outcome: outcomeOf(document),
      troubleBelow: false,
      inferred: document['inferred'] === true,
      orphan: false,
      namespace: textOf(document['namespace']),
      origin: textOf(document['origin']),
      document,
    },
    parent,
    children: [],
    owner: undefined as unknown as Draft,
    placed: false,
  };
  draft.owner = kind === 'subsegment' && parent ? parent.owner : draft;
  return draft;
}

/** All entities of the documents, each subsegment below its parent. Without recursion, because the sender decides the depth. */
function draftAll(documents: JsonObject[]): { drafts: Draft[]; byId: Map<string, Draft> } {
  const drafts: Draft[] = [];
  const byId = new Map<string, Draft>();
  const pending: Draft[] = [];
  const add = (draft: Draft): void => {
    drafts.push(draft);
    const { entity } = draft;
    if (entity.id !== '') {
      const id = entity.id;
      for (let n = 2; byId.has(entity.id); n++) {
        entity.id = `${id}~${n}`;
      }
      byId.set(entity.id, draft);
    }
    pending.push(draft);
  };
  for (const document of documents) {
    add(draftOf(document, null, document['type'] === 'subsegment' ? 'subsegment' : 'segment'));
  }
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const inner = next.entity.document['subsegments'];
    for (const child of Array.isArray(inner) ? inner : []) {
      if (typeof child === 'object' && child !== null && !Array.isArray(child)) {
        const draft = draftOf(child, next, 'subsegment');
        next.children.push(draft);
        add(draft);
      }
    }
  }
  return { drafts, byId };
}

/** Subsegments by id, where a trace has ids that several share. */
function sharedCalls(drafts: Draft[]): Map<string, Draft[]> {
  const calls = new Map<string, Draft[]>();
  if (drafts.some((draft) => draft.entity.id.includes('~'))) {
    for (const draft of drafts) {
      if (draft.entity.kind === 'subsegment') {
        const id = textOf(draft.entity.document['id']);
        calls.set(id, [...(calls.get(id) ?? []), draft]);
      }
    }
  }
  return calls;
}

/** The call whose id a segment also has: both sides share one id (B3). */
function callOf(segment: Draft, calls: Map<string, Draft[]>): Draft | undefined {
  const { document } = segment.entity;
  const parent = textOf(document['parent_id']);
  return calls
    .get(textOf(document['id']))
    ?.find((call) => parent === '' || parent === document['id'] || parent === textOf(call.parent?.entity.document['id']));
}

function byStart(a: Draft, b: Draft): number {
  return a.entity.start - b.entity.start || (b.entity.end ?? Infinity) - (a.entity.end ?? Infinity);
}

/** Writes the subtree of a root into rows, in preorder. */
function place(root: Draft, rows: Entity[]): void {
  const stack: Draft[] = [root];
  for (let draft = stack.pop(); draft !== undefined; draft = stack.pop()) {
    if (draft.placed) {
      continue;
    }
    draft.placed = true;
    const { entity, parent } = draft;
    entity.row = rows.length;
    entity.parent = parent && draft !== root ? parent.entity.row : -1;
    entity.depth = entity.parent < 0 ? 0 : (parent?.entity.depth ?? -1) + 1;
    entity.segment = draft.owner.entity.row < 0 ? entity.row : draft.owner.entity.row;
    rows.push(entity);
    draft.children.sort(byStart);
    for (let i = draft.children.length - 1; i >= 0; i--) {
      const child = draft.children[i];
      if (child) {
        stack.push(child);
      }
    }
  }
}

/** Sums up children into parents; parents come before their children in rows. */
function rollUp(rows: Entity[]): void {
  for (let i = rows.length - 1; i >= 0; i--) {
    const entity = rows[i];
    const parent = entity && entity.parent >= 0 ? rows[entity.parent] : undefined;
    if (entity && parent) {
      parent.descendants += entity.descendants + 1;
      parent.troubleBelow ||= entity.troubleBelow || entity.outcome !== 'ok';
    }
  }
}

/**
 * Joins the segments of a trace into one tree: a segment goes below the
 * subsegment that its parent_id names; children are ordered by start. A segment without a
 * parent in the trace, or that is its own ancestor, becomes a root.
 */
export function buildTraceModel(documents: JsonObject[], unreadable = 0): TraceModel {
  const { drafts, byId } = draftAll(documents);
  const calls = sharedCalls(drafts);
  const roots: Draft[] = [];
  for (const draft of drafts) {
    if (draft.parent) {
      continue;
    }
    const parentId = textOf(draft.entity.document['parent_id']);
    const parent = callOf(draft, calls) ?? (parentId === '' ? undefined : byId.get(parentId));
    if (parent && parent !== draft) {
      draft.parent = parent;
      parent.children.push(draft);
    } else {
      draft.entity.orphan = parentId !== '';
      roots.push(draft);
    }
  }
  const rows: Entity[] = [];
  roots.sort((a, b) => Number(a.entity.orphan) - Number(b.entity.orphan) || byStart(a, b));
  for (const root of roots) {
    place(root, rows);
  }
  for (const draft of drafts) {
    if (!draft.placed) {
      // Segments that name each other as parents are reachable from no root.
      draft.entity.orphan = true;
      place(draft, rows);
    }
  }
  rollUp(rows);
  return summarize(rows, unreadable);
}

function summarize(rows: Entity[], unreadable: number): TraceModel {
  const byId = new Map<string, Entity>();
  const services = new Set<string>();
  const troubled: number[] = [];
  let start = Infinity;
  let end = -Infinity;
  let segments = 0;
  let inProgress = 0;
  let orphans = 0;
  for (const entity of rows) {
    if (!byId.has(entity.id)) {
      byId.set(entity.id, entity);
    }
    start = Math.min(start, entity.start);
    end = Math.max(end, entity.end ?? entity.start);
    segments += entity.kind === 'segment' ? 1 : 0;
    inProgress += entity.end === null ? 1 : 0;
    orphans += entity.orphan ? 1 : 0;
    if (entity.kind === 'segment' && (!entity.inferred || entity.missing) && entity.hidden === 0) {
      services.add(entity.name);
    }
    if (entity.outcome !== 'ok') {
      troubled.push(entity.row);
    }
  }
  if (rows.length === 0) {
    start = 0;
    end = 0;
  }
  return { rows, byId, start, end, services: [...services], segments, inProgress, orphans, troubled, unreadable };
}

/** Rows to draw: none below a collapsed row; with onlyTrouble, failed rows and their ancestors. */
export function visibleRows(model: TraceModel, collapsed: ReadonlySet<string>, onlyTrouble: boolean): number[] {
  const visible: number[] = [];
  for (let i = 0; i < model.rows.length; i++) {
    const entity = model.rows[i];
    if (!entity) {
      continue;
    }
    if (onlyTrouble && entity.outcome === 'ok' && !entity.troubleBelow) {
      i += entity.descendants;
      continue;
    }
    visible.push(i);
    if (collapsed.has(entity.id)) {
      i += entity.descendants;
    }
  }
  return visible;
}

/** Collapsed ids without those that would hide the row. */
export function reveal(model: TraceModel, collapsed: ReadonlySet<string>, row: number): Set<string> {
  const open = new Set(collapsed);
  for (let parent = model.rows[row]?.parent ?? -1; parent >= 0; parent = model.rows[parent]?.parent ?? -1) {
    open.delete(model.rows[parent]?.id ?? '');
  }
  return open;
}

/** The next failed row after the given one, wrapping round at the end; −1 if there is none. */
export function nextTrouble(model: TraceModel, after: number): number {
  return model.troubled.find((row) => row > after) ?? model.troubled[0] ?? -1;
}

/** Round positions for a time axis: at most about count ticks between 0 and length (seconds). */
export function ticks(from: number, to: number, count: number): number[] {
  const length = to - from;
  if (!(length > 0)) {
    return [];
  }
  const rough = length / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999) ?? rough;
  const result: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) {
    result.push(i * step || 0);
  }
  return result;
}
