import { useId, useRef, type KeyboardEvent, type ReactNode } from 'react';
import './CompactTabs.css';

interface Tab {
  id: string;
  label: string;
  content: ReactNode;
}

/** Small tabs that wrap, for panels too narrow for the large ones. Arrow keys move between them. */
export function CompactTabs({ label, tabs, active, onChange }: { label: string; tabs: Tab[]; active: string; onChange: (id: string) => void }) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const index = tabs.findIndex((tab) => tab.id === active);
    const steps: Record<string, number> = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 };
    const step = steps[event.key];
    if (step === undefined) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const next = (step + tabs.length) % tabs.length;
    onChange(tabs[next]?.id ?? active);
    list.current?.querySelectorAll<HTMLButtonElement>('[role="tab"]')[next]?.focus();
  };
  return (
    <>
      <div className="fl-tabs" role="tablist" aria-label={label} ref={list} onKeyDown={onKeyDown}>
        {tabs.map((tab) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`${id}-${tab.id}`}
            aria-selected={tab.id === active}
            aria-controls={`${id}-panel`}
            tabIndex={tab.id === active ? 0 : -1}
            onClick={() => onChange(tab.id)}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${active}`} className="fl-tab-panel">
        {tabs.find((tab) => tab.id === active)?.content}
      </div>
    </>
  );
}
