import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { get, post } from '../api/client';
import { browserHasPasskeys, passkeyProblem, registerPasskey, signOut, useMay, useSession, type ConsoleSession } from '../api/session';
import { Check, TextField } from '../components/Field';
import { Loading } from '../components/Loading';
import { PasswordField } from '../components/PasswordField';
import { Trouble } from '../components/Trouble';
import { formatFullTime } from '../lib/format';
import '../components/table.css';
import './AccountPage.css';

const at = (text: string): string => formatFullTime(Date.parse(text) / 1000);

/** The name of a browser in a User-Agent header; the header itself if it names none of the usual ones. */
export function browserOf(agent: string): string {
  const browser = /Edg\//.test(agent) ? 'Edge' : /Firefox\//.test(agent) ? 'Firefox' : /Chrome\//.test(agent) ? 'Chrome' : /Safari\//.test(agent) ? 'Safari' : '';
  const system = /Windows/.test(agent) ? 'Windows' : /Android/.test(agent) ? 'Android' : /iPhone|iPad/.test(agent) ? 'iOS' : /Mac OS/.test(agent) ? 'macOS' : /Linux/.test(agent) ? 'Linux' : '';
  return browser ? (system ? `${browser} on ${system}` : browser) : agent.slice(0, 60) || 'unknown';
}

function Sessions() {
  const client = useQueryClient();
  const may = useMay();
  const [all, setAll] = useState(false);
  const query = useQuery({
    queryKey: ['sessions', all],
    queryFn: ({ signal }) => get<{ sessions: ConsoleSession[] }>(`/console/api/sessions${all ? '?all=true' : ''}`, signal),
  });
  const end = useMutation({
    mutationFn: (body: { id?: string; others?: boolean }) => post('/console/api/sessions/revoke', body),
    onSettled: () => client.invalidateQueries({ queryKey: ['sessions'] }),
  });
  const list = query.data?.sessions ?? [];
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <Button disabled={list.filter((s) => !s.current).length === 0 || all} loading={end.isPending} onClick={() => end.mutate({ others: true })}>
              End my other sessions
            </Button>
          }
        >
          Sessions
        </Header>
      }
    >
      {may('fluoro:ListSessions') && <Check label="Sessions of everyone in this account" checked={all} onChange={setAll} />}
      {(query.error ?? end.error) && <Trouble error={(query.error ?? end.error) as Error} what="see these sessions" action="fluoro:ListSessions" onRetry={() => void query.refetch()} />}
      {query.isPending ? (
        <Loading what="sessions" lines={3} />
      ) : (
        <div className="fl-table-wrap" tabIndex={-1}>
          <table className="fl-table fl-table-plain" data-testid="sessions">
            <caption className="fl-offscreen">Sessions</caption>
            <thead>
              <tr>
                {[...(all ? ['User'] : []), 'Browser', 'Address', 'Signed in', 'Last used', ''].map((head) => (
                  <th key={head} scope="col">
                    {head || <span className="fl-offscreen">Actions</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {list.map((s) => (
                <tr key={s.id}>
                  {all && <td>{s.user}</td>}
                  <td title={s.agent}>{browserOf(s.agent)}</td>
                  <td className="fl-mono">{s.address}</td>
                  <td>
                    {at(s.created)}, by {s.method}
                  </td>
                  <td>{s.current ? 'this session' : at(s.used)}</td>
                  <td>
                    {!s.current && (
                      <Button variant="inline-link" ariaLabel={`End the session of ${s.user} at ${s.address}`} disabled={end.isPending} onClick={() => end.mutate({ id: s.id })}>
                        End
                      </Button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Container>
  );
}

function Password({ has }: { has: boolean }) {
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState('');
  const [again, setAgain] = useState('');
  const client = useQueryClient();
  const change = useMutation({
    mutationFn: () => post('/console/api/password', { old, new: fresh }),
    onSuccess: () => {
      setOld('');
      setFresh('');
      setAgain('');
      void client.invalidateQueries({ queryKey: ['session'] });
      void client.invalidateQueries({ queryKey: ['sessions'] });
    },
  });
  const differ = again !== '' && again !== fresh;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!differ) {
      change.mutate();
    }
  };
  return (
    <Container header={<Header variant="h2" description="A new password ends your other sessions.">Password</Header>}>
      <form className="fl-form" onSubmit={submit}>
        {has && <PasswordField label="Old password" value={old} onChange={setOld} />}
        <PasswordField label="New password" fresh value={fresh} onChange={setFresh} />
        <PasswordField label="New password again" fresh value={again} onChange={setAgain} {...(differ ? { hint: 'The two passwords differ.' } : {})} />
        <div role="status">
          {change.isError && <Alert type="error">{change.error.message}</Alert>}
          {change.isSuccess && <Alert type="success">The password is changed.</Alert>}
        </div>
        <div className="fl-form-buttons">
          <Button formAction="submit" loading={change.isPending} disabled={differ || again === ''}>
            {has ? 'Change the password' : 'Set a password'}
          </Button>
        </div>
      </form>
    </Container>
  );
}

interface Passkey {
  id: string;
  title: string;
  created: string;
  used: string | null;
}

function Passkeys({ offered }: { offered: boolean }) {
  const client = useQueryClient();
  const [title, setTitle] = useState('');
  const query = useQuery({ queryKey: ['passkeys'], queryFn: ({ signal }) => get<{ passkeys: Passkey[] }>('/console/api/passkeys', signal) });
  const settled = { onSettled: () => client.invalidateQueries({ queryKey: ['passkeys'] }) };
  const add = useMutation({ mutationFn: () => registerPasskey(title), ...settled, onSuccess: () => setTitle('') });
  const remove = useMutation({ mutationFn: (id: string) => post('/console/api/passkeys/delete', { id }), ...settled });
  const list = query.data?.passkeys ?? [];
  const can = offered && browserHasPasskeys();
  return (
    <Container header={<Header variant="h2" description="Sign in with this device, a phone or a security key, without a password.">Passkeys</Header>}>
      {(query.error ?? remove.error) && <Trouble error={(query.error ?? remove.error) as Error} what="see passkeys" action="fluoro:ListPasskeys" />}
      {list.length === 0 && query.isSuccess && <p className="fl-hint">You have no passkey.</p>}
      <ul data-testid="passkeys">
        {list.map((key) => (
          <li key={key.id}>
            {key.title}, since {at(key.created)}
            {key.used ? `, last used ${at(key.used)}` : ''}{' '}
            <Button variant="inline-link" ariaLabel={`Delete the passkey ${key.title}`} disabled={remove.isPending} onClick={() => remove.mutate(key.id)}>
              Delete
            </Button>
          </li>
        ))}
      </ul>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate();
        }}
      >
        <TextField label="Name of the new passkey" value={title} onChange={setTitle} placeholder="such as: my phone" disabled={!can} />
        <div role="status">{add.isError && <Alert type="error">{passkeyProblem(add.error)}</Alert>}</div>
        <div className="fl-form-buttons">
          <Button formAction="submit" disabled={!can} loading={add.isPending} data-testid="passkey-add">
            Add a passkey
          </Button>
        </div>
        {!can && <p className="fl-hint">Passkeys need a host name with TLS (or localhost), and a recent browser.</p>}
      </form>
    </Container>
  );
}

/** The user's own page: who they are, their sessions, password and passkeys. */
export default function AccountPage() {
  const session = useSession();
  if (!session?.session) {
    return (
      <Alert type="info" header="You are not signed in">
        This server lets you in as <code>{session?.name ?? 'anonymous'}</code>, without a session.
      </Alert>
    );
  }
  const user = session.type === 'User';
  return (
    <div className="fl-page fl-account" data-testid="account-page">
      <Header variant="h1" description={session.arn} actions={<Button onClick={() => void signOut()}>Sign out</Button>}>
        {session.name}
      </Header>
      <p className="fl-hint">
        Account {session.account}, region {session.region}. The session ends at {at(session.session.expires)} at the latest.
      </p>
      <Sessions />
      {user && (
        <div className="fl-account-columns">
          <Password has={session.password ?? false} />
          <Passkeys offered={session.passkeys ?? false} />
        </div>
      )}
    </div>
  );
}
