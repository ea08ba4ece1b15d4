import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, formatPercent, formatRate } from './format';
import { href, parseHash } from './router';
import { findTraceId, toW3CId, toXRayId } from './traceid';

describe('formatDuration', () => {
  it.each<[number | null, string]>([
    [0, '0 ms'],
    [0.0000012, '1.2 µs'],
    [0.0123, '12.3 ms'],
    [0.9994, '999 ms'],
    [0.9996, '1 s'],
    [1.2345, '1.23 s'],
    [59.97, '1 min'],
    [125, '2 min 5 s'],
    [3600, '1 h'],
    [5430, '1 h 31 min'],
    [-0.5, '−500 ms'],
    [null, '–'],
    [Number.NaN, '–'],
  ])('%s', (seconds, want) => {
    expect(formatDuration(seconds)).toBe(want);
  });
});

describe('other formats', () => {
  it('never show something as nothing', () => {
    expect(formatRate(0.001)).toBe('<0.01');
    expect(formatRate(0)).toBe('0');
    expect(formatRate(1234)).toBe('1.23K');
    expect(formatPercent(1, 100000)).toBe('<0.1%');
    expect(formatPercent(1, 8)).toBe('13%');
    expect(formatPercent(99999, 100000)).toBe('100%');
    expect(formatBytes(1536)).toBe('1.5 KiB');
    expect(formatBytes(1024 * 1024 - 1)).toBe('1 MiB');
  });
});

describe('trace ids', () => {
  const xray = '1-5d82881a-0a9126e92a73e971eed891b9';
  it('go from one notation to the other', () => {
    expect(toW3CId(xray)).toBe('5d82881a0a9126e92a73e971eed891b9');
    expect(toXRayId('5D82881A0a9126e92a73e971eed891b9')).toBe(xray);
    expect(toXRayId('1-5d82881a')).toBeNull();
  });

  it('are found in pasted headers', () => {
    expect(findTraceId(`Root=${xray};Parent=53995c3f42cd8ad8;Sampled=1`)).toBe(xray);
    expect(findTraceId('00-5d82881a0a9126e92a73e971eed891b9-53995c3f42cd8ad8-01')).toBe(xray);
    expect(findTraceId('fault')).toBeNull();
  });
});

describe('addresses', () => {
  it('carry path and parameters in the fragment', () => {
    const { path, params } = parseHash('#/traces?filter=service(%22a%22)%20%7B%20fault%20%7D&timeRange=PT1H');
    expect(path).toBe('/traces');
    expect(params.get('filter')).toBe('service("a") { fault }');
    expect(params.get('timeRange')).toBe('PT1H');
    expect(parseHash('').path).toBe('/');
  });

  it('come back as they went', () => {
    const link = href('/traces', { filter: 'a & b = "c"', empty: '', none: null });
    expect(parseHash(link).params.get('filter')).toBe('a & b = "c"');
    expect([...parseHash(link).params.keys()]).toEqual(['filter']);
  });
});
