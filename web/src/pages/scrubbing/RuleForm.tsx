import Button from '@cloudscape-design/components/button';
import { useState } from 'react';
import { actions, detectors, usePreview, usePutRule, type ScrubAction, type StoredRule } from '../../api/scrub';
import { useMay } from '../../api/session';
import { Dialog } from '../../components/Dialog';
import { Check, Choice, TextArea, TextField } from '../../components/Field';
import { Trouble } from '../../components/Trouble';
import { draftOf, ruleOf, type Draft } from './draft';
import { Changes } from './Changes';

/** What the actions do, in words. */
export const actionWords: Record<ScrubAction, string> = {
  mask: 'Mask',
  drop: 'Drop',
  last4: 'Keep the last 4',
  hash: 'Keyed hash',
  keep: 'Keep as it is',
};

const modes: [Draft['mode'], string][] = [
  ['on', 'On'],
  ['count', 'Dry run: count only'],
  ['off', 'Off'],
];

/** Where a rule looks, and for what. */
function Selection({ draft, set }: { draft: Draft; set: (change: Partial<Draft>) => void }) {
  return (
    <>
      <div className="fl-form-row fl-form-row-top">
        <TextArea label="Keys" value={draft.keys} onChange={(keys) => set({ keys })} hint="Names of attributes, one a line; * for any characters" />
        <TextArea label="Paths" value={draft.paths} onChange={(paths) => set({ paths })} hint="Places, one a line: metadata.*.card" />
      </div>
      <TextField label="Pattern" value={draft.pattern} onChange={(pattern) => set({ pattern })} hint="A regular expression (RE2)" />
      <fieldset className="fl-choices">
        <legend>Detectors</legend>
        {detectors.map((name) => (
          <Check
            key={name}
            label={name}
            checked={draft.detectors.includes(name)}
            onChange={(on) => set({ detectors: on ? [...draft.detectors, name] : draft.detectors.filter((other) => other !== name) })}
          />
        ))}
      </fieldset>
      <TextArea label="Services" value={draft.services} onChange={(services) => set({ services })} hint="One a line; none: all services" rows={2} />
    </>
  );
}

/** The form of a new or changed rule. It can show what the rule would change before it is saved. */
export function RuleForm({ rule, onClose }: { rule: StoredRule | undefined; onClose: () => void }) {
  const [draft, setDraft] = useState(() => draftOf(rule));
  const set = (change: Partial<Draft>): void => setDraft((last) => ({ ...last, ...change }));
  const put = usePutRule();
  const may = useMay();
  const preview = usePreview();
  const isDefault = rule?.Default ?? false;
  return (
    <Dialog title={rule ? `Rule ${rule.Name}` : 'New rule'} onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          put.mutate(ruleOf(draft, isDefault), { onSuccess: onClose });
        }}
      >
        {isDefault ? (
          <p className="fl-hint">{rule?.Description}. Of a default rule only the action and the state can change.</p>
        ) : (
          <>
            <div className="fl-form-row">
              <TextField label="Name" value={draft.name} onChange={(name) => set({ name })} disabled={rule !== undefined} hint="Letters, digits, - and _" />
              <TextField label="Order" value={draft.order} onChange={(order) => set({ order })} numeric hint="Smaller numbers work first" />
            </div>
            <TextField label="Description" value={draft.description} onChange={(description) => set({ description })} />
            <Selection draft={draft} set={set} />
          </>
        )}
        <div className="fl-form-row">
          <Choice
            label="Action"
            value={draft.action}
            onChange={(action) => set({ action: action as ScrubAction })}
            options={actions.map((action) => [action, actionWords[action]])}
          />
          <Choice label="State" value={draft.mode} onChange={(mode) => set({ mode: mode as Draft['mode'] })} options={modes} />
        </div>
        {put.error && <Trouble error={put.error} what="change scrub rules" action="fluoro:PutScrubRule" />}
        {preview.error && <Trouble error={preview.error} what="preview scrub rules" action="fluoro:PreviewScrubRule" />}
        {preview.data && <Changes preview={preview.data} />}
        <div className="fl-form-buttons">
          <Button variant="primary" formAction="submit" loading={put.isPending}>
            Save
          </Button>
          {!isDefault && may('fluoro:PreviewScrubRule') && (
            <Button formAction="none" loading={preview.isPending} onClick={() => preview.mutate({ rules: [ruleOf(draft, false)], seconds: 3600 })}>
              Preview on the last hour
            </Button>
          )}
          <Button formAction="none" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
