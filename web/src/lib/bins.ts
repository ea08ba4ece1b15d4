import type { HistogramEntry } from '../api/shapes';
import { ticks } from './tracemodel';
import type { Outcome } from './filter';

/** One bar: values from (inclusive) to (exclusive, inclusive for the last), counted by outcome. */
export interface Bin {
  from: number;
  to: number;
  counts: Record<Outcome, number>;
}

/** A value to count: its place on the axis, its count and its outcome. */
export interface Sample {
  value: number;
  count: number;
  outcome: Outcome;
}

function emptyCounts(): Record<Outcome, number> {
  return { ok: 0, error: 0, fault: 0, throttle: 0 };
}

/** The count of a bar over all outcomes. */
export function total(bin: Bin): number {
  return bin.counts.ok + bin.counts.error + bin.counts.fault + bin.counts.throttle;
}

/** Sorts samples into bars of equal width between two values. */
export function binSamples(samples: Sample[], from: number, to: number, count: number): Bin[] {
  const width = (to - from) / count;
  const bins: Bin[] = Array.from({ length: count }, (_, i) => ({ from: from + i * width, to: from + (i + 1) * width, counts: emptyCounts() }));
  for (const sample of samples) {
    if (sample.value < from || sample.value > to) {
      continue;
    }
    const bin = bins[Math.min(count - 1, width > 0 ? Math.floor((sample.value - from) / width) : 0)];
    if (bin) {
      bin.counts[sample.outcome] += sample.count;
    }
  }
  return bins;
}

/** Bars from zero to a round value just above the largest sample. */
export function binDurations(samples: Sample[], count: number): Bin[] {
  const largest = samples.reduce((max, sample) => Math.max(max, sample.value), 0);
  if (largest <= 0) {
    return samples.length === 0 ? [] : binSamples(samples, 0, 0.001, count);
  }
  const step = ticks(0, largest, count)[1] ?? largest / count;
  const bars = Math.max(1, Math.ceil(largest / step - 1e-9));
  // bars * step may be rounded to just below the largest sample, which must stay on the axis.
  return binSamples(samples, 0, Math.max(largest, bars * step), bars);
}

/** Samples of a histogram of the API, which has no outcomes. */
export function histogramSamples(entries: HistogramEntry[] | null | undefined): Sample[] {
  return (entries ?? []).map((entry) => ({ value: entry.Value, count: entry.Count, outcome: 'ok' as const }));
}

/** The value below which the given share of a histogram lies; null when it is empty. */
export function quantile(entries: HistogramEntry[] | null | undefined, share: number): number | null {
  const sorted = [...(entries ?? [])].sort((a, b) => a.Value - b.Value);
  const all = sorted.reduce((sum, entry) => sum + entry.Count, 0);
  let seen = 0;
  for (const entry of sorted) {
    seen += entry.Count;
    if (seen >= share * all - 1e-9) {
      return entry.Value;
    }
  }
  return null;
}
