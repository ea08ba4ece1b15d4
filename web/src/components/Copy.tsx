import { useEffect, useState } from 'react';
import './Copy.css';

async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The clipboard API needs a secure origin, but the console is also used over plain http inside a network.
    const area = document.createElement('textarea');
    area.value = text;
    area.setAttribute('readonly', '');
    area.className = 'fl-offscreen';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** A small button that copies text and confirms it. */
export function Copy({ text, label = 'Copy', children }: { text: string | (() => string); label?: string; children?: string }) {
  const [state, setState] = useState<'idle' | 'done' | 'failed'>('idle');
  useEffect(() => {
    if (state === 'idle') {
      return undefined;
    }
    const timer = setTimeout(() => setState('idle'), 1500);
    return () => clearTimeout(timer);
  }, [state]);
  const said = state === 'done' ? 'Copied' : state === 'failed' ? 'Could not copy' : '';
  return (
    <button
      type="button"
      className={`fl-copy ${children ? 'fl-copy-text' : ''}`}
      title={said || label}
      aria-label={children ? undefined : label}
      onClick={(event) => {
        event.stopPropagation();
        void write(typeof text === 'function' ? text() : text).then((done) => setState(done ? 'done' : 'failed'));
      }}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {state === 'done' ? <path d="M3.2 8.4 6.6 11.6 12.8 4.6" /> : <path d="M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z" />}
      </svg>
      {children && <span>{said || children}</span>}
      <span className="fl-offscreen" role="status">
        {said}
      </span>
    </button>
  );
}
