import { useMemo } from 'react';
import { useLocation } from '../lib/router';
import { defaultRange, parseTimeRange, type TimeRange } from '../lib/timerange';

/** The time range of the address. invalid holds the parameter's text when it is not a range. */
export function useTimeRange(): { range: TimeRange; param: string | null; invalid: string | null } {
  const { params } = useLocation();
  const param = params.get('timeRange');
  return useMemo(() => {
    const range = param === null ? null : parseTimeRange(param);
    return { range: range ?? defaultRange, param, invalid: param !== null && range === null ? param : null };
  }, [param]);
}
