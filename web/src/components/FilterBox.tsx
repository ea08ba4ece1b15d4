import Button from '@cloudscape-design/components/button';
import ButtonDropdown from '@cloudscape-design/components/button-dropdown';
import { useEffect, useRef, useState } from 'react';
import { addClause, errorPosition } from '../lib/filter';
import './FilterBox.css';

interface Props {
  value: string;
  onSubmit: (value: string) => void;
  /** The server's error about the value; shown with the position it names. */
  error: string | null;
}

const refinements: { text: string; clauses: [string, string][] }[] = [
  {
    text: 'Outcome',
    clauses: [
      ['Faults (5xx)', 'fault'],
      ['Errors (4xx)', 'error'],
      ['Throttled (429)', 'throttle'],
      ['OK', 'ok'],
      ['A fault anywhere', 'service() { fault }'],
    ],
  },
  {
    text: 'Time taken',
    clauses: [
      ['Slower than 100 ms', 'responsetime > 0.1'],
      ['Slower than 1 s', 'responsetime > 1'],
      ['Slower than 5 s', 'responsetime > 5'],
    ],
  },
  {
    text: 'Request',
    clauses: [
      ['URL contains …', 'http.url CONTAINS "/"'],
      ['Method is POST', 'http.method = "POST"'],
      ['Status is not 200', 'http.status != 200'],
      ['Has a user', 'user CONTAINS ""'],
      ['Incomplete', 'partial'],
    ],
  },
];

/** The text with a mark below the position of an error, as compilers show it. */
function ErrorPlace({ value, message }: { value: string; message: string }) {
  const place = errorPosition(message);
  const line = place ? (value.split('\n')[place.line - 1] ?? '') : '';
  if (!place || place.position < 1 || place.position > line.length + 1) {
    return null;
  }
  const from = Math.max(0, place.position - 40);
  const shown = `${from > 0 ? '…' : ''}${line.slice(from, place.position + 30)}`;
  const caret = place.position - 1 - from + (from > 0 ? 1 : 0);
  return (
    <pre className="fl-caret" aria-label={`Position ${place.position}`}>
      {shown}
      {'\n'}
      {' '.repeat(caret)}
      <b>▲</b>
    </pre>
  );
}

/** The filter expression of a page. Enter applies it; a menu adds common terms. */
export function FilterBox({ value, onSubmit, error }: Props) {
  const [text, setText] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement | null;
      if (event.key === '/' && !event.ctrlKey && !event.metaKey && !target?.closest('input, textarea')) {
        event.preventDefault();
        input.current?.focus();
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
  const changed = text.trim() !== value.trim();
  return (
    <form
      className="fl-filter"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit(text.trim());
      }}
    >
      <div className="fl-filter-row">
        <div className={`fl-filter-box ${error ? 'fl-filter-bad' : ''}`}>
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4 14 14" />
          </svg>
          <input
            ref={input}
            data-testid="filter-input"
            aria-label="Filter expression"
            aria-invalid={error !== null}
            aria-describedby={error ? 'filter-error' : undefined}
            placeholder='Filter expression or trace id, for example  service("api") { fault }  AND  responsetime > 1'
            value={text}
            spellCheck={false}
            autoComplete="off"
            autoCapitalize="off"
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Escape') {
                setText(value);
                input.current?.blur();
              }
            }}
          />
          {text !== '' && (
            <button
              type="button"
              className="fl-clear"
              aria-label="Clear the filter"
              onClick={() => {
                setText('');
                onSubmit('');
              }}
            >
              <svg viewBox="0 0 16 16" aria-hidden="true">
                <path d="M4 4l8 8M12 4l-8 8" />
              </svg>
            </button>
          )}
        </div>
        <ButtonDropdown
          items={refinements.map(({ text: group, clauses }) => ({
            text: group,
            items: clauses.map(([label, clause]) => ({ id: clause, text: label, secondaryText: clause })),
          }))}
          onItemClick={({ detail }) => {
            const next = addClause(text, detail.id);
            setText(next);
            if (detail.id.includes('"/"')) {
              input.current?.focus();
            } else {
              onSubmit(next);
            }
          }}
        >
          Refine
        </ButtonDropdown>
        <Button formAction="submit" variant={changed ? 'primary' : 'normal'}>
          Run
        </Button>
      </div>
      {error !== null && (
        <div id="filter-error" className="fl-filter-error" role="alert" data-testid="filter-error">
          <ErrorPlace value={value} message={error} />
          <span>{error}</span>
        </div>
      )}
    </form>
  );
}
