import DateRangePicker, { type DateRangePickerProps } from '@cloudscape-design/components/date-range-picker';
import type { TimeRange } from '../lib/timerange';

const presets: { minutes: number; text: string }[] = [
  { minutes: 5, text: 'Last 5 minutes' },
  { minutes: 15, text: 'Last 15 minutes' },
  { minutes: 30, text: 'Last 30 minutes' },
  { minutes: 60, text: 'Last hour' },
  { minutes: 180, text: 'Last 3 hours' },
  { minutes: 360, text: 'Last 6 hours' },
  { minutes: 1440, text: 'Last day' },
  { minutes: 10080, text: 'Last week' },
];

const relativeOptions: DateRangePickerProps.RelativeOption[] = presets.map(({ minutes }) => ({
  key: `minutes-${minutes}`,
  amount: minutes,
  unit: 'minute',
  type: 'relative',
}));

const unitSeconds: Record<DateRangePickerProps.TimeUnit, number> = {
  second: 1,
  minute: 60,
  hour: 3600,
  day: 86400,
  week: 604800,
  month: 2592000,
  year: 31536000,
};

function toValue(range: TimeRange): DateRangePickerProps.Value {
  if (range.kind === 'absolute') {
    return {
      type: 'absolute',
      startDate: new Date(range.start * 1000).toISOString(),
      endDate: new Date(range.end * 1000).toISOString(),
    };
  }
  const option = relativeOptions.find((candidate) => candidate.amount * 60 === range.seconds);
  if (option) {
    return option;
  }
  return range.seconds % 60 === 0
    ? { type: 'relative', amount: range.seconds / 60, unit: 'minute' }
    : { type: 'relative', amount: range.seconds, unit: 'second' };
}

function fromValue(value: DateRangePickerProps.Value): TimeRange | null {
  if (value.type === 'relative') {
    const seconds = value.amount * unitSeconds[value.unit];
    return seconds > 0 ? { kind: 'relative', seconds } : null;
  }
  const start = Date.parse(value.startDate) / 1000;
  const end = Date.parse(value.endDate) / 1000;
  return end > start ? { kind: 'absolute', start, end } : null;
}

function formatRelative(value: DateRangePickerProps.RelativeValue): string {
  const preset = presets.find(({ minutes }) => value.unit === 'minute' && minutes === value.amount);
  return preset?.text ?? `Last ${value.amount} ${value.unit}${value.amount === 1 ? '' : 's'}`;
}

/** Selects the time range of a page: a preset, a custom relative range, or two moments. */
export function TimeRangePicker({ range, onChange }: { range: TimeRange; onChange: (range: TimeRange) => void }) {
  return (
    <DateRangePicker
      value={toValue(range)}
      relativeOptions={relativeOptions}
      isValidRange={(value) => {
        if (value === null) {
          return { valid: false, errorMessage: 'Choose a range.' };
        }
        return fromValue(value) ? { valid: true } : { valid: false, errorMessage: 'The range must end after it starts.' };
      }}
      onChange={({ detail }) => {
        const next = detail.value && fromValue(detail.value);
        if (next) {
          onChange(next);
        }
      }}
      showClearButton={false}
      absoluteFormat="long-localized"
      hideTimeOffset
      placeholder="Time range"
      i18nStrings={{ ariaLabel: 'Time range', formatRelativeRange: formatRelative }}
    />
  );
}
