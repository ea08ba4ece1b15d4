import Button from '@cloudscape-design/components/button';
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { Trouble } from './Trouble';
import { TextField } from './Field';
import './Dialog.css';

/** A modal dialog. Escape closes it; the browser keeps the focus inside and returns it afterwards. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className="fl-dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ReactNode;
  /** Text of the button that acts. */
  act: string;
  onAct: () => void;
  onClose: () => void;
  busy: boolean;
  error: Error | null;
  /** The action in policies, for the text of a refusal. */
  action: string;
  /** A word that must be typed first. */
  word?: string;
}

/** Asks before something that cannot be taken back. It stays open, with the error, if that fails. */
export function Confirm({ title, children, act, onAct, onClose, busy, error, action, word }: ConfirmProps) {
  const [typed, setTyped] = useState('');
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && (word === undefined || typed === word)) {
            onAct();
          }
        }}
      >
        <div>{children}</div>
        {word !== undefined && <TextField label={`Type ${word} to confirm`} value={typed} onChange={setTyped} />}
        {error && <Trouble error={error} what="do this" action={action} />}
        <div className="fl-form-buttons">
          <Button variant="primary" formAction="submit" loading={busy} disabled={word !== undefined && typed !== word}>
            {act}
          </Button>
          <Button formAction="none" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
