import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { useDeleteRule, useRules, type StoredRule } from '../api/scrub';
import { useMay } from '../api/session';
import { Confirm } from '../components/Dialog';
import { Loading } from '../components/Loading';
import { Permitted, Trouble } from '../components/Trouble';
import { formatCount } from '../lib/format';
import { JobBox } from './scrubbing/JobBox';
import { actionWords, RuleForm } from './scrubbing/RuleForm';
import { PreviewBox, TestBox } from './scrubbing/Trial';
import '../components/table.css';
import './ScrubbingPage.css';

/** What a rule selects, in one line. */
function selectionOf(rule: StoredRule): string {
  const parts: [string, string[] | undefined][] = [
    ['keys', rule.Keys],
    ['paths', rule.Paths],
    ['pattern', rule.Pattern ? [rule.Pattern] : undefined],
    ['detectors', rule.Detectors],
    ['in services', rule.Services],
  ];
  return parts.flatMap(([name, list]) => ((list ?? []).length > 0 ? [`${name} ${(list ?? []).join(', ')}`] : [])).join('; ');
}

function stateOf(rule: StoredRule): string {
  return rule.Disabled ? 'Off' : rule.DryRun ? 'Dry run' : 'On';
}

/** Tells whether a default rule was changed: then it can be set back. */
function changed(rule: StoredRule): boolean {
  return rule.Default === true && rule.Updated > 0;
}

function Row({ rule, onEdit, onDelete }: { rule: StoredRule; onEdit: () => void; onDelete: () => void }) {
  const may = useMay();
  return (
    <tr data-testid="scrub-rule">
      <th scope="row">
        {rule.Name} {rule.Default && <span className="fl-flag">default</span>}
      </th>
      <td className="fl-wrap">
        <div className="fl-scrub-what">
          {rule.Default ? rule.Description : selectionOf(rule)}
          {!rule.Default && rule.Description && <p className="fl-hint">{rule.Description}</p>}
        </div>
      </td>
      <td>{actionWords[rule.Action]}</td>
      <td>{stateOf(rule)}</td>
      <td className="fl-num">{formatCount(rule.Values)}</td>
      <td>
        <span className="fl-row-tools">
          {may('fluoro:PutScrubRule') && (
            <button type="button" className="fl-link" aria-label={`Edit ${rule.Name}`} onClick={onEdit}>
              Edit
            </button>
          )}
          {may('fluoro:DeleteScrubRule') && (!rule.Default || changed(rule)) && (
            <button type="button" className="fl-link" aria-label={`${rule.Default ? 'Reset' : 'Delete'} ${rule.Name}`} onClick={onDelete}>
              {rule.Default ? 'Reset' : 'Delete'}
            </button>
          )}
        </span>
      </td>
    </tr>
  );
}

const heads = ['Rule', 'Selects', 'Action', 'State', 'Values', 'Change'];

function Rules({ rules, onEdit, onDelete }: { rules: StoredRule[]; onEdit: (rule: StoredRule) => void; onDelete: (rule: StoredRule) => void }) {
  return (
    <div className="fl-table-wrap" tabIndex={-1}>
      <table className="fl-table fl-table-plain">
        <caption className="fl-offscreen">Scrub rules, in the order in which they work</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col" className={head === 'Values' ? 'fl-num' : undefined} title={head === 'Values' ? 'Since the server started' : undefined}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rules.map((rule) => (
            <Row key={rule.Name} rule={rule} onEdit={() => onEdit(rule)} onDelete={() => onDelete(rule)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function DeleteRule({ rule, onClose }: { rule: StoredRule; onClose: () => void }) {
  const remove = useDeleteRule();
  return (
    <Confirm
      title={rule.Default ? `Reset ${rule.Name}?` : `Delete ${rule.Name}?`}
      act={rule.Default ? 'Reset' : 'Delete'}
      onAct={() => remove.mutate(rule.Name, { onSuccess: onClose })}
      onClose={onClose}
      busy={remove.isPending}
      error={remove.error}
      action="fluoro:DeleteScrubRule"
    >
      {rule.Default ? 'The rule works again as it does by default.' : 'From the next request on, values that this rule selects are stored as they arrive.'}
    </Confirm>
  );
}

/** Scrub rules of the account: what is removed from traces before they are stored. */
export default function ScrubbingPage() {
  const query = useRules();
  const [form, setForm] = useState<{ rule?: StoredRule } | null>(null);
  const [leaving, setLeaving] = useState<StoredRule | null>(null);
  const rules = query.data;
  const may = useMay();
  return (
    <div className="fl-page" data-testid="scrubbing-page">
      <Header
        variant="h1"
        description="What is removed from traces before they are stored"
        actions={
          <Button variant="primary" disabled={!rules || !may('fluoro:PutScrubRule')} onClick={() => setForm({})}>
            New rule
          </Button>
        }
      >
        Scrubbing
      </Header>
      {query.isPending && <Loading what="rules" />}
      {query.error && <Trouble error={query.error} what="see scrub rules" action="fluoro:ListScrubRules" onRetry={() => void query.refetch()} />}
      {rules && rules.length === 0 && (
        <div className="fl-empty" data-testid="no-rules">
          <p>
            No rules: everything is stored as it arrives, because the server runs with <code>--scrub off</code>. Make a rule, or start it with{' '}
            <code>--scrub defaults</code>.
          </p>
        </div>
      )}
      {rules && rules.length > 0 && <Rules rules={rules} onEdit={(rule) => setForm({ rule })} onDelete={setLeaving} />}
      {rules && (
        <>
          <div className="fl-columns">
            {may('fluoro:PreviewScrubRule') && <PreviewBox />}
            {may('fluoro:TestScrubRule') && <TestBox />}
          </div>
          <Permitted what="see scrub jobs" action="fluoro:GetScrubJob">
            <JobBox rules={rules.map(({ Name }) => Name)} />
          </Permitted>
        </>
      )}
      {form && <RuleForm rule={form.rule} onClose={() => setForm(null)} />}
      {leaving && <DeleteRule rule={leaving} onClose={() => setLeaving(null)} />}
    </div>
  );
}
