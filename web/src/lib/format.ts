/** A number with at most three significant digits, without exponent. */
function short(value: number): string {
  if (value >= 100) {
    return String(Math.round(value));
  }
  return String(Number(value.toPrecision(3)));
}

/** A duration in seconds with its unit and at most three digits: `12.3 ms`, `1.24 s`, `2 min 5 s`. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) {
    return '–';
  }
  const sign = seconds < 0 ? '−' : '';
  const value = Math.abs(seconds);
  if (value === 0) {
    return '0 ms';
  }
  if (value < 0.0009995) {
    return `${sign}${short(value * 1e6)} µs`;
  }
  if (value < 0.9995) {
    return `${sign}${short(value * 1e3)} ms`;
  }
  if (value < 59.95) {
    return `${sign}${short(value)} s`;
  }
  const whole = Math.round(value);
  if (whole < 3600) {
    return `${sign}${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ''}`;
  }
  const minutes = Math.round(value / 60);
  return `${sign}${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
}

const counts = new Intl.NumberFormat('en', { useGrouping: true, maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** A whole number with thousands separated. */
export function formatCount(value: number): string {
  return counts.format(value);
}

/** A rate with at most three digits; a positive rate is never shown as zero. */
export function formatRate(value: number): string {
  if (value > 0 && value < 0.01) {
    return '<0.01';
  }
  return value >= 1000 ? compact.format(value) : short(value);
}

/** Bytes in binary units. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${short(value)} ${units[unit]}`;
}

/** A share of a whole in percent, at most one decimal; a positive share is never shown as zero. */
export function formatPercent(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) {
    return '0%';
  }
  const percent = (part / whole) * 100;
  if (percent < 0.1) {
    return '<0.1%';
  }
  return `${percent >= 99.95 ? 100 : Number(percent.toFixed(percent < 10 ? 1 : 0))}%`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const dayClock = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const fullClock = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hourCycle: 'h23',
});

function valid(seconds: number): boolean {
  return Number.isFinite(seconds) && Math.abs(seconds) <= 8.64e12;
}

/** Local wall clock of an epoch second; with the day unless it is today. */
export function formatTime(seconds: number, now: number = Date.now() / 1000): string {
  if (!valid(seconds)) {
    return '–';
  }
  const at = new Date(seconds * 1000);
  return (at.toDateString() === new Date(now * 1000).toDateString() ? clock : dayClock).format(at);
}

/** Local date and time with milliseconds. */
export function formatFullTime(seconds: number): string {
  return valid(seconds) ? fullClock.format(seconds * 1000) : '–';
}

/** The same instant in UTC, for hover texts. */
export function formatUtc(seconds: number): string {
  return valid(seconds) ? new Date(seconds * 1000).toISOString() : '–';
}
