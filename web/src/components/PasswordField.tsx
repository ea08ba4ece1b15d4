import { useId } from 'react';
import './form.css';

interface Props {
  label: string;
  value: string;
  onChange: (value: string) => void;
  fresh?: boolean;
  hint?: string;
}

/** A labelled field for a password. fresh tells password managers that it is a new one. */
export function PasswordField({ label, value, onChange, fresh, hint }: Props) {
  const id = useId();
  return (
    <div className="fl-field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="password"
        autoComplete={fresh ? 'new-password' : 'current-password'}
        required
        value={value}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={(event) => onChange(event.target.value)}
      />
      {hint !== undefined && (
        <p id={`${id}-hint`} className="fl-hint">
          {hint}
        </p>
      )}
    </div>
  );
}
