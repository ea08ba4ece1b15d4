import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { useChange, useList, type Kind, type ManagedPolicy, type Principal } from '../../api/access';
import { useMay } from '../../api/session';
import { Panel } from '../../app/panel';
import { Confirm, Dialog } from '../../components/Dialog';
import { Choice, TextArea, TextField } from '../../components/Field';
import { PasswordField } from '../../components/PasswordField';
import { Trouble } from '../../components/Trouble';
import { formatFullTime } from '../../lib/format';
import { useLocation, useSetParams } from '../../lib/router';
import { Rows } from './Rows';

const emptyTexts: Record<Kind, string> = {
  User: 'There is no user.',
  Group: 'There is no group. The policies of a group are those of all its users.',
  Role: 'There is no role. Roles are for other accounts, identity providers and short sessions.',
};

const nameOf = (kind: Kind, p: Principal): string => (kind === 'User' ? p.UserName : kind === 'Group' ? p.GroupName : p.RoleName) ?? '';

const openTrust = '{\n  "Version": "2012-10-17",\n  "Statement": [{\n    "Effect": "Allow",\n    "Principal": { "AWS": "arn:aws:iam::111122223333:root" },\n    "Action": "sts:AssumeRole"\n  }]\n}';

function Create({ kind, onClose }: { kind: Kind; onClose: () => void }) {
  const [name, setName] = useState('');
  const [trust, setTrust] = useState(openTrust);
  const make = useChange(onClose);
  const one = kind.toLowerCase();
  return (
    <Dialog title={`Create a ${one}`} onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate({ verb: `Create${kind}`, body: { [`${kind}Name`]: name, ...(kind === 'Role' ? { AssumeRolePolicyDocument: trust } : {}) } });
        }}
      >
        <TextField label="Name" value={name} onChange={setName} />
        {kind === 'Role' && <TextArea label="Trust policy" rows={9} value={trust} onChange={setTrust} hint="Who may assume the role." />}
        {make.error && <Trouble error={make.error} what={`create a ${one}`} action={`iam:Create${kind}`} />}
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

function Attached({ kind, name }: { kind: Kind; name: string }) {
  const may = useMay();
  const [adding, setAdding] = useState('');
  const body = { [`${kind}Name`]: name };
  const attached = useList<{ PolicyName: string; PolicyArn: string }>(`ListAttached${kind}Policies`, 'AttachedPolicies', body);
  const inline = useList<string>(`List${kind}Policies`, 'PolicyNames', body);
  const offered = useList<ManagedPolicy>('ListPolicies', 'Policies', { Scope: 'All' }, may(`iam:Attach${kind}Policy`) && may('iam:ListPolicies'));
  const change = useChange(() => setAdding(''));
  const has = new Set((attached.data ?? []).map((p) => p.PolicyArn));
  return (
    <>
      <h3>Policies</h3>
      {attached.error && <Trouble error={attached.error} what="see the policies" action={`iam:ListAttached${kind}Policies`} />}
      {attached.data?.length === 0 && inline.data?.length === 0 && <p className="fl-hint">No policy is attached: nothing is allowed.</p>}
      <ul>
        {(attached.data ?? []).map((p) => (
          <li key={p.PolicyArn}>
            <span title={p.PolicyArn}>{p.PolicyName}</span>{' '}
            {may(`iam:Detach${kind}Policy`) && (
              <Button variant="inline-link" ariaLabel={`Detach ${p.PolicyName}`} disabled={change.isPending} onClick={() => change.mutate({ verb: `Detach${kind}Policy`, body: { ...body, PolicyArn: p.PolicyArn } })}>
                Detach
              </Button>
            )}
          </li>
        ))}
        {(inline.data ?? []).map((policy) => (
          <li key={policy}>{policy} (inline)</li>
        ))}
      </ul>
      {change.error && <Trouble error={change.error} what="change the policies" action={`iam:Attach${kind}Policy`} />}
      {may(`iam:Attach${kind}Policy`) && (
        <form
          className="fl-form"
          onSubmit={(event) => {
            event.preventDefault();
            change.mutate({ verb: `Attach${kind}Policy`, body: { ...body, PolicyArn: adding } });
          }}
        >
          <Choice
            label="Attach a policy"
            value={adding}
            onChange={setAdding}
            options={[['', 'Choose a policy'], ...(offered.data ?? []).filter((p) => !has.has(p.Arn)).map((p): [string, string] => [p.Arn, p.Description ? `${p.PolicyName}: ${p.Description}` : p.PolicyName])]}
          />
          <Button formAction="submit" disabled={adding === ''} loading={change.isPending}>
            Attach
          </Button>
        </form>
      )}
    </>
  );
}

function Groups({ user }: { user: string }) {
  const may = useMay();
  const [adding, setAdding] = useState('');
  const mine = useList<Principal>('ListGroupsForUser', 'Groups', { UserName: user });
  const every = useList<Principal>('ListGroups', 'Groups', {}, may('iam:AddUserToGroup') && may('iam:ListGroups'));
  const change = useChange(() => setAdding(''));
  const names = (mine.data ?? []).map((g) => g.GroupName ?? '');
  return (
    <>
      <h3>Groups</h3>
      {names.length === 0 && <p className="fl-hint">In no group.</p>}
      <ul>
        {names.map((group) => (
          <li key={group}>
            {group}{' '}
            {may('iam:RemoveUserFromGroup') && (
              <Button variant="inline-link" ariaLabel={`Remove from ${group}`} disabled={change.isPending} onClick={() => change.mutate({ verb: 'RemoveUserFromGroup', body: { GroupName: group, UserName: user } })}>
                Remove
              </Button>
            )}
          </li>
        ))}
      </ul>
      {change.error && <Trouble error={change.error} what="change the groups" action="iam:AddUserToGroup" />}
      {(every.data ?? []).length > names.length && (
        <form
          className="fl-form"
          onSubmit={(event) => {
            event.preventDefault();
            change.mutate({ verb: 'AddUserToGroup', body: { GroupName: adding, UserName: user } });
          }}
        >
          <Choice label="Add to a group" value={adding} onChange={setAdding} options={[['', 'Choose a group'], ...(every.data ?? []).map((g) => g.GroupName ?? '').filter((g) => !names.includes(g)).map((g): [string, string] => [g, g])]} />
          <Button formAction="submit" disabled={adding === ''} loading={change.isPending}>
            Add
          </Button>
        </form>
      )}
    </>
  );
}

function LoginOf({ user }: { user: string }) {
  const [password, setPassword] = useState('');
  const change = useChange(() => setPassword(''));
  return (
    <>
      <h3>Password for the console</h3>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate(
            { verb: 'CreateLoginProfile', body: { UserName: user, Password: password } },
            {
              onError: (error) => {
                if (error.message.includes('already exists')) {
                  change.mutate({ verb: 'UpdateLoginProfile', body: { UserName: user, Password: password } });
                }
              },
            },
          );
        }}
      >
        <PasswordField label="New password" fresh value={password} onChange={setPassword} hint="It ends the sessions of the user." />
        <div role="status">
          {change.error && <Trouble error={change.error} what="set passwords" action="iam:UpdateLoginProfile" />}
          {change.isSuccess && <p className="fl-hint">The password is set.</p>}
        </div>
        <Button formAction="submit" disabled={password === ''} loading={change.isPending}>
          Set the password
        </Button>
      </form>
    </>
  );
}

function Details({ kind, p, onClose }: { kind: Kind; p: Principal; onClose: () => void }) {
  const may = useMay();
  const [deleting, setDeleting] = useState(false);
  const name = nameOf(kind, p);
  const change = useChange(onClose);
  return (
    <Panel title={`${kind} ${name}`} onClose={onClose}>
      <div className="fl-page" data-testid="principal">
        <p className="fl-mono fl-wrap">{p.Arn}</p>
        {p.Description && <p>{p.Description}</p>}
        <Attached kind={kind} name={name} />
        {kind === 'User' && <Groups user={name} />}
        {kind === 'User' && may('iam:UpdateLoginProfile') && <LoginOf user={name} />}
        {may(`iam:Delete${kind}`) && (
          <p>
            <Button onClick={() => setDeleting(true)}>Delete {name}</Button>
          </p>
        )}
        {deleting && (
          <Confirm title={`Delete ${name}?`} act="Delete" action={`iam:Delete${kind}`} word={name} busy={change.isPending} error={change.error} onClose={() => setDeleting(false)} onAct={() => change.mutate({ verb: `Delete${kind}`, body: { [`${kind}Name`]: name } })}>
            {kind === 'Group' ? 'Its users lose the policies of the group.' : 'Its keys, tokens and sessions stop working at once.'}
          </Confirm>
        )}
      </div>
    </Panel>
  );
}

/** Users, groups or roles: list, create, delete; policies, groups and passwords. */
export function Principals({ kind }: { kind: Kind }) {
  const may = useMay();
  const { params } = useLocation();
  const setParams = useSetParams();
  const [creating, setCreating] = useState(false);
  const query = useList<Principal>(`List${kind}s`, `${kind}s`);
  const chosen = (query.data ?? []).find((p) => nameOf(kind, p) === params.get('name'));
  return (
    <>
      <Header variant="h2" actions={may(`iam:Create${kind}`) && <Button onClick={() => setCreating(true)}>Create a {kind.toLowerCase()}</Button>}>
        {kind}s
      </Header>
      <Rows
        query={query}
        what={`${kind.toLowerCase()}s`}
        action={`iam:List${kind}s`}
        empty={emptyTexts[kind]}
        heads={['Name', 'Path', 'Created']}
        textOf={(p) => nameOf(kind, p) + p.Path}
        row={(p) => ({
          key: p.Arn,
          cells: [
            <Button variant="inline-link" onClick={() => setParams({ name: nameOf(kind, p) })}>
              {nameOf(kind, p)}
            </Button>,
            p.Path,
            formatFullTime(Date.parse(p.CreateDate) / 1000),
          ],
        })}
      />
      {creating && <Create kind={kind} onClose={() => setCreating(false)} />}
      {chosen && <Details key={chosen.Arn} kind={kind} p={chosen} onClose={() => setParams({ name: null })} />}
    </>
  );
}
