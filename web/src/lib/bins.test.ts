import { describe, expect, it } from 'vitest';
import { binDurations, binSamples, quantile, total, type Sample } from './bins';

const ok = (value: number, count = 1): Sample => ({ value, count, outcome: 'ok' });

describe('binSamples', () => {
  it('counts every sample once, the largest too', () => {
    const bins = binSamples([ok(0), ok(0.5), ok(1), { value: 1, count: 2, outcome: 'fault' }], 0, 1, 4);
    expect(bins.map(total)).toEqual([1, 0, 1, 3]);
    expect(bins[3]?.counts).toEqual({ ok: 1, error: 0, fault: 2, throttle: 0 });
  });

  it('leaves out what is outside', () => {
    expect(binSamples([ok(-1), ok(2)], 0, 1, 2).map(total)).toEqual([0, 0]);
  });
});

describe('binDurations', () => {
  it('ends on a round value', () => {
    const bins = binDurations([ok(0.013), ok(0.19)], 20);
    expect(bins.length).toBe(19);
    expect(bins.at(-1)?.to).toBeCloseTo(0.19);
    expect(bins.reduce((sum, bin) => sum + total(bin), 0)).toBe(2);
  });

  it('takes nothing and zeros', () => {
    expect(binDurations([], 10)).toEqual([]);
    expect(binDurations([ok(0, 7)], 10).map(total)[0]).toBe(7);
  });
});

describe('quantile', () => {
  it('walks the weights', () => {
    const entries = [
      { Value: 3, Count: 1 },
      { Value: 1, Count: 90 },
      { Value: 2, Count: 9 },
    ];
    expect(quantile(entries, 0.5)).toBe(1);
    expect(quantile(entries, 0.9)).toBe(1);
    expect(quantile(entries, 0.99)).toBe(2);
    expect(quantile(entries, 1)).toBe(3);
    expect(quantile([], 0.5)).toBeNull();
  });
});
