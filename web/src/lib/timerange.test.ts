import { describe, expect, it } from 'vitest';
import { clampToGraph, describeRange, formatTimeRange, parseInstant, parseTimeRange, resolveRange } from './timerange';

describe('parseTimeRange', () => {
  it.each([
    ['PT1H', 3600],
    ['PT15M', 900],
    ['PT30S', 30],
    ['PT1H30M', 5400],
    ['P1D', 86400],
    ['P1W', 604800],
    ['pt5m', 300],
  ])('reads %s', (text, seconds) => {
    expect(parseTimeRange(text)).toEqual({ kind: 'relative', seconds });
  });

  it('reads the absolute form of AWS links, without zone and zeros, as UTC', () => {
    expect(parseTimeRange('2018-9-10T20:00~2018-9-10T22:00')).toEqual({
      kind: 'absolute',
      start: Date.UTC(2018, 8, 10, 20) / 1000,
      end: Date.UTC(2018, 8, 10, 22) / 1000,
    });
  });

  it.each(['', 'PT', 'P', 'PT0S', '1h', 'PT-5M', 'a~b', '2026-01-01', '2026-01-02T00:00~2026-01-01T00:00', '2026-13-40T00:00~2026-14-01T00:00'])(
    'refuses %j',
    (text) => {
      expect(parseTimeRange(text)).toBeNull();
    },
  );

  it.each(['PT5M', 'PT1H30M', 'P1D', 'PT1S', '2026-11-24T10:00:00Z~2026-11-24T11:30:00Z', '2026-11-24T10:00:00.250Z~2026-11-24T11:30:00Z'])(
    'writes %s as it was',
    (text) => {
      const range = parseTimeRange(text);
      expect(range && formatTimeRange(range)).toBe(text);
    },
  );
});

describe('parseInstant', () => {
  it('takes epoch seconds, zones and plain days', () => {
    expect(parseInstant('1790149670')).toBe(1790149670);
    expect(parseInstant('2026-01-02T03:04:05+02:00')).toBe(Date.UTC(2026, 0, 2, 1, 4, 5) / 1000);
    expect(parseInstant('2026-01-02')).toBe(Date.UTC(2026, 0, 2) / 1000);
    expect(parseInstant('yesterday')).toBeNull();
  });
});

describe('resolveRange and clampToGraph', () => {
  it('ends a relative range now', () => {
    expect(resolveRange({ kind: 'relative', seconds: 60 }, 1000)).toEqual({ start: 940, end: 1000 });
  });

  it('keeps the last six hours for the map', () => {
    expect(clampToGraph({ start: 0, end: 86400 })).toEqual({ window: { start: 86400 - 21600, end: 86400 }, clamped: true });
    expect(clampToGraph({ start: 0, end: 21600 })).toEqual({ window: { start: 0, end: 21600 }, clamped: false });
  });
});

describe('describeRange', () => {
  it('speaks in the largest whole unit', () => {
    expect(describeRange({ kind: 'relative', seconds: 3600 })).toBe('last hour');
    expect(describeRange({ kind: 'relative', seconds: 5400 })).toBe('last 90 minutes');
  });
});
