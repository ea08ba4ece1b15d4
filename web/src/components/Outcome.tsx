import type { Outcome } from '../lib/filter';
import './Outcome.css';

/** Words for outcomes. */
export const outcomeWords: Record<Outcome, string> = { ok: 'OK', error: 'Error', fault: 'Fault', throttle: 'Throttled' };

/** The meanings of the outcomes, for hover texts. */
export const outcomeMeanings: Record<Outcome, string> = {
  ok: 'OK: no error flag',
  error: 'Error: client error (4xx)',
  fault: 'Fault: server fault (5xx)',
  throttle: 'Throttled (429)',
};

const shapes: Record<Outcome, string> = {
  ok: 'M3.2 8.4 6.6 11.6 12.8 4.6',
  error: 'M8 2.2 14.4 13.4H1.6Z',
  fault: 'M3.5 3.5 12.5 12.5M12.5 3.5 3.5 12.5',
  throttle: 'M4 3.5V12.5M8 3.5V12.5M12 3.5V12.5',
};

/** The shape of an outcome: tick, triangle, cross, bars. Colour comes second. */
export function OutcomeIcon({ outcome, title }: { outcome: Outcome; title?: string }) {
  return (
    <svg className={`fl-icon fl-${outcome}`} viewBox="0 0 16 16" role="img" aria-label={title ?? outcomeWords[outcome]}>
      <path d={shapes[outcome]} />
    </svg>
  );
}

/** The icon of an entity in progress: a clock. */
export function OpenIcon() {
  return (
    <svg className="fl-icon fl-faint" viewBox="0 0 16 16" role="img" aria-label="In progress">
      <path d="M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM8 5v3l2 1.5" />
    </svg>
  );
}

/** Shape and word of an outcome. */
export function OutcomeText({ outcome, text }: { outcome: Outcome; text?: string }) {
  return (
    <span className={`fl-outcome fl-${outcome}`} title={outcomeMeanings[outcome]}>
      <svg className="fl-icon" viewBox="0 0 16 16" aria-hidden="true">
        <path d={shapes[outcome]} />
      </svg>
      {text ?? outcomeWords[outcome]}
    </span>
  );
}

/** The path of an outcome's shape in a 16 × 16 box, for use inside another drawing. */
export function outcomePath(outcome: Outcome): string {
  return shapes[outcome];
}
