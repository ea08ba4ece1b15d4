import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { iam, useChange, useList, type ManagedPolicy } from '../../api/access';
import { useMay } from '../../api/session';
import { Panel } from '../../app/panel';
import { Confirm, Dialog } from '../../components/Dialog';
import { TextArea, TextField } from '../../components/Field';
import { Loading } from '../../components/Loading';
import { Trouble } from '../../components/Trouble';
import { useLocation, useSetParams } from '../../lib/router';
import { Rows } from './Rows';

const example = '{\n  "Version": "2012-10-17",\n  "Statement": [{\n    "Effect": "Allow",\n    "Action": ["xray:Get*", "xray:BatchGet*"],\n    "Resource": "*"\n  }]\n}';

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [text, setText] = useState(example);
  const make = useChange(onClose);
  return (
    <Dialog title="Create a policy" onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate({ verb: 'CreatePolicy', body: { PolicyName: name, PolicyDocument: text } });
        }}
      >
        <TextField label="Name" value={name} onChange={setName} />
        <TextArea label="Document" rows={12} value={text} onChange={setText} hint="In the language of AWS IAM." />
        {make.error && <Trouble error={make.error} what="create a policy" action="iam:CreatePolicy" />}
        <div className="fl-form-buttons">
          <Button variant="primary" formAction="submit" loading={make.isPending} disabled={name === ''}>
            Create
          </Button>
          <Button formAction="none" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Indents a document; other text stays as it is. */
function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Details({ policy, onClose }: { policy: ManagedPolicy; onClose: () => void }) {
  const may = useMay();
  const [deleting, setDeleting] = useState(false);
  const change = useChange(onClose);
  const query = useQuery({
    queryKey: ['iam', 'GetPolicyVersion', policy.Arn],
    queryFn: ({ signal }) => iam<{ PolicyVersion: { Document: string } }>('GetPolicyVersion', { PolicyArn: policy.Arn }, signal),
  });
  const own = !/^arn:aws:iam::(aws|fluoro):/.test(policy.Arn);
  return (
    <Panel title={policy.PolicyName} onClose={onClose}>
      <div className="fl-page" data-testid="policy">
        <p className="fl-mono fl-wrap">{policy.Arn}</p>
        {policy.Description && <p>{policy.Description}</p>}
        {query.isPending && <Loading what="policy" />}
        {query.error && <Trouble error={query.error} what="see this policy" action="iam:GetPolicyVersion" />}
        {query.data && (
          <pre className="fl-document" tabIndex={0} aria-label="Document">
            {pretty(query.data.PolicyVersion.Document)}
          </pre>
        )}
        {own && may('iam:DeletePolicy') && (
          <p>
            <Button onClick={() => setDeleting(true)}>Delete {policy.PolicyName}</Button>
          </p>
        )}
        {deleting && (
          <Confirm title={`Delete ${policy.PolicyName}?`} act="Delete" action="iam:DeletePolicy" busy={change.isPending} error={change.error} onClose={() => setDeleting(false)} onAct={() => change.mutate({ verb: 'DeletePolicy', body: { PolicyArn: policy.Arn } })}>
            A policy that is attached to something cannot be deleted.
          </Confirm>
        )}
      </div>
    </Panel>
  );
}

/** Managed policies: those of the account and the built-in ones. */
export function Policies() {
  const may = useMay();
  const { params } = useLocation();
  const setParams = useSetParams();
  const [creating, setCreating] = useState(false);
  const query = useList<ManagedPolicy>('ListPolicies', 'Policies', { Scope: 'All' });
  const chosen = (query.data ?? []).find((p) => p.Arn === params.get('name'));
  return (
    <>
      <Header variant="h2" actions={may('iam:CreatePolicy') && <Button onClick={() => setCreating(true)}>Create a policy</Button>}>
        Policies
      </Header>
      <Rows
        query={query}
        what="policies"
        action="iam:ListPolicies"
        empty="There is no policy."
        heads={['Name', 'Description', 'By']}
        textOf={(p) => p.PolicyName + (p.Description ?? '')}
        row={(p) => ({
          key: p.Arn,
          cells: [
            <Button variant="inline-link" onClick={() => setParams({ name: p.Arn })}>
              {p.PolicyName}
            </Button>,
            p.Description ?? '',
            p.Arn.startsWith('arn:aws:iam::aws:') ? 'AWS' : p.Arn.startsWith('arn:aws:iam::fluoro:') ? 'Fluoro' : 'this account',
          ],
        })}
      />
      {creating && <Create onClose={() => setCreating(false)} />}
      {chosen && <Details key={chosen.Arn} policy={chosen} onClose={() => setParams({ name: null })} />}
    </>
  );
}
