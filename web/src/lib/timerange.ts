/**
 * Time ranges as the X-Ray console writes them in its links: a relative ISO
 * 8601 duration (`PT1H`) or `start~end`, both in UTC
 * (X-Ray developer guide, console deep links).
 */
export type TimeRange =
  | { kind: 'relative'; seconds: number }
  | { kind: 'absolute'; start: number; end: number };

/** A window in epoch seconds, end exclusive. */
export interface Window {
  start: number;
  end: number;
}

/** The range of a page whose address has none. */
export const defaultRange: TimeRange = { kind: 'relative', seconds: 3600 };

/** GetServiceGraph refuses windows longer than this. */
export const maxGraphSeconds = 6 * 3600;

const durationPattern = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/i;

function parseDuration(text: string): number | null {
  const match = durationPattern.exec(text);
  if (!match) {
    return null;
  }
  const [weeks, days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0));
  const total = (weeks ?? 0) * 604800 + (days ?? 0) * 86400 + (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
  return total > 0 && Number.isFinite(total) ? total : null;
}

const instantPattern = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?$/i;

/**
 * Reads one instant: epoch seconds, or a date with or without time. Without a
 * zone it is UTC, as in AWS's links, which also leave out leading zeros
 * (`2018-9-10T20:00`).
 */
export function parseInstant(text: string): number | null {
  const trimmed = text.trim();
  if (/^\d{9,11}(\.\d+)?$/.test(trimmed)) {
    return Number(trimmed);
  }
  const match = instantPattern.exec(trimmed);
  if (!match) {
    return null;
  }
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  const pad = (part: string | undefined): string => (part ?? '0').padStart(2, '0');
  const iso = `${year}-${pad(month)}-${pad(day)}T${pad(hour)}:${pad(minute)}:${pad(second)}${fraction ?? ''}${(zone ?? 'Z').toUpperCase()}`;
  const at = Date.parse(iso);
  return Number.isNaN(at) ? null : at / 1000;
}

/** Reads a `timeRange` parameter; null when it is not one. */
export function parseTimeRange(text: string): TimeRange | null {
  const seconds = parseDuration(text.trim());
  if (seconds !== null) {
    return { kind: 'relative', seconds };
  }
  const parts = text.split('~');
  if (parts.length !== 2) {
    return null;
  }
  const start = parseInstant(parts[0] ?? '');
  const end = parseInstant(parts[1] ?? '');
  return start === null || end === null || end <= start ? null : { kind: 'absolute', start, end };
}

function formatInstant(at: number): string {
  return new Date(at * 1000).toISOString().replace(/\.000Z$/, 'Z');
}

function formatDurationParam(seconds: number): string {
  if (seconds % 86400 === 0) {
    return `P${seconds / 86400}D`;
  }
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = seconds % 60;
  return `PT${hours ? `${hours}H` : ''}${minutes ? `${minutes}M` : ''}${rest ? `${rest}S` : ''}`;
}

/** Writes a range as a `timeRange` parameter; the inverse of parseTimeRange. */
export function formatTimeRange(range: TimeRange): string {
  return range.kind === 'relative'
    ? formatDurationParam(range.seconds)
    : `${formatInstant(range.start)}~${formatInstant(range.end)}`;
}

/** The window a range means at the given moment (epoch seconds). */
export function resolveRange(range: TimeRange, now: number): Window {
  return range.kind === 'relative'
    ? { start: now - range.seconds, end: now }
    : { start: range.start, end: range.end };
}

/** The latest part of a window that GetServiceGraph accepts. */
export function clampToGraph(window: Window): { window: Window; clamped: boolean } {
  if (window.end - window.start <= maxGraphSeconds) {
    return { window, clamped: false };
  }
  return { window: { start: window.end - maxGraphSeconds, end: window.end }, clamped: true };
}

/** A range for people: "last 30 minutes" or two local times. */
export function describeRange(range: TimeRange): string {
  if (range.kind === 'absolute') {
    const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
    return format.formatRange(range.start * 1000, range.end * 1000);
  }
  const units: [number, string][] = [
    [604800, 'week'],
    [86400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ];
  const [size, unit] = units.find(([size]) => range.seconds % size === 0) ?? [1, 'second'];
  const amount = range.seconds / size;
  return amount === 1 ? `last ${unit}` : `last ${amount} ${unit}s`;
}
