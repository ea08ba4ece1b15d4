import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { createPortal } from 'react-dom';

interface OpenPanel {
  title: string;
  onClose: () => void;
}

interface PanelSlot {
  open: OpenPanel | null;
  setOpen: (panel: OpenPanel | null) => void;
  host: HTMLElement | null;
  setHost: (host: HTMLElement | null) => void;
}

const PanelContext = createContext<PanelSlot | null>(null);

/** Holds the content of the split panel of the frame; pages fill it with Panel. */
export function PanelProvider({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState<OpenPanel | null>(null);
  const [host, setHost] = useState<HTMLElement | null>(null);
  const slot = useMemo(() => ({ open, setOpen, host, setHost }), [open, host]);
  return <PanelContext value={slot}>{children}</PanelContext>;
}

/** The slot itself, for the frame. */
export function usePanelSlot(): PanelSlot {
  const slot = useContext(PanelContext);
  if (!slot) {
    throw new Error('usePanelSlot outside of PanelProvider');
  }
  return slot;
}

/** Shows its children in the split panel of the frame for as long as it is rendered. Escape closes it. */
export function Panel({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const { host, setOpen } = usePanelSlot();
  useEffect(() => {
    setOpen({ title, onClose });
  }, [title, onClose, setOpen]);
  useEffect(() => () => setOpen(null), [setOpen]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement | null;
      if (event.key === 'Escape' && !event.defaultPrevented && !target?.closest('input, textarea, [role="dialog"], [role="menu"]')) {
        onClose();
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [onClose]);
  return host ? createPortal(children, host) : null;
}
