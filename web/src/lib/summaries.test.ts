import { describe, expect, it } from 'vitest';
import { inProgress, shortUrl, sortTraces, summaryOutcome } from './summaries';

describe('summaryOutcome', () => {
  it('puts throttle before fault before error', () => {
    expect(summaryOutcome({ Id: '1', HasThrottle: true, HasFault: true })).toBe('throttle');
    expect(summaryOutcome({ Id: '1', HasFault: true, HasError: true })).toBe('fault');
    expect(summaryOutcome({ Id: '1', HasError: true })).toBe('error');
    expect(summaryOutcome({ Id: '1' })).toBe('ok');
  });
});

describe('inProgress', () => {
  it('is what has no duration', () => {
    expect(inProgress({ Id: '1', Duration: null })).toBe(true);
    expect(inProgress({ Id: '1', Duration: 0 })).toBe(false);
  });
});

describe('shortUrl', () => {
  it.each([
    ['http://a.b/c?d=1', '/c?d=1'],
    ['http://a.b', '/'],
    ['/plain', '/plain'],
    ['', ''],
  ])('%j', (url, want) => {
    expect(shortUrl(url)).toBe(want);
  });
});

describe('sortTraces', () => {
  const traces = [
    { Id: 'a', Duration: 2 },
    { Id: 'b', Duration: null },
    { Id: 'c', Duration: 1 },
  ];
  it('keeps what has no value last in both directions', () => {
    expect(sortTraces(traces, 'duration', false).map((trace) => trace.Id)).toEqual(['c', 'a', 'b']);
    expect(sortTraces(traces, 'duration', true).map((trace) => trace.Id)).toEqual(['a', 'c', 'b']);
  });
});
