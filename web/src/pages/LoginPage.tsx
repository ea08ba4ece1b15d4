import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useId, useState, type FormEvent } from 'react';
import { get, post } from '../api/client';
import { browserHasPasskeys, passkeyProblem, registerPasskey, setTokenOfSession, signInWithPasskey, type LoginMethods } from '../api/session';
import { ErrorBox } from '../components/ErrorBox';
import { Loading } from '../components/Loading';
import { PasswordField } from '../components/PasswordField';
import { href, navigate, useLocation } from '../lib/router';
import './LoginPage.css';

function NameField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const id = useId();
  return (
    <div className="fl-field">
      <label htmlFor={id}>User name</label>
      <input id={id} type="text" autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus value={value} onChange={(event) => onChange(event.target.value)} />
    </div>
  );
}

/** What a form of this page does: it runs one thing at a time and keeps the reason of a failure. */
function useAttempt(onDone: () => void): { busy: boolean; problem: string; run: (f: () => Promise<unknown>) => Promise<void> } {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const run = async (f: () => Promise<unknown>): Promise<void> => {
    setBusy(true);
    setProblem('');
    try {
      await f();
      onDone();
    } catch (error) {
      setProblem(passkeyProblem(error));
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, run };
}

function Problem({ text }: { text: string }) {
  return (
    <div role="alert" aria-live="assertive">
      {text !== '' && <Alert type="error">{text}</Alert>}
    </div>
  );
}

function SignIn({ methods, problem: before, onDone }: { methods: LoginMethods; problem: string; onDone: () => void }) {
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [account, setAccount] = useState('');
  const { busy, problem, run } = useAttempt(onDone);
  const passkey = methods.passkey && browserHasPasskeys();
  const to = window.location.hash.startsWith('#/login') ? '' : window.location.hash;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void run(async () => {
      try {
        await post('/console/api/login', { user, password, ...(account ? { account } : {}) });
      } finally {
        setPassword('');
      }
    });
  };
  return (
    <>
      <h1>Sign in</h1>
      <Problem text={problem || before || methods.problem || ''} />
      {methods.oidc && (
        <p>
          <a className="fl-login-wide" data-testid="login-oidc" href={`/login/oidc?to=${encodeURIComponent(to)}`}>
            Sign in with your organisation
          </a>
        </p>
      )}
      {passkey && (
        <Button fullWidth disabled={busy} onClick={() => void run(signInWithPasskey)} data-testid="login-passkey">
          Sign in with a passkey
        </Button>
      )}
      <form className="fl-form" onSubmit={submit} data-testid="login-form">
        <NameField value={user} onChange={setUser} />
        <PasswordField label="Password" value={password} onChange={setPassword} />
        <details>
          <summary>Another account</summary>
          <div className="fl-field">
            <label htmlFor="login-account">Account (12 digits)</label>
            <input id="login-account" type="text" inputMode="numeric" pattern="[0-9]{12}" value={account} onChange={(event) => setAccount(event.target.value)} />
          </div>
        </details>
        <Button variant="primary" formAction="submit" loading={busy} fullWidth>
          Sign in
        </Button>
      </form>
    </>
  );
}

function Setup({ methods, token, onDone }: { methods: LoginMethods; token: string; onDone: () => void }) {
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const { busy, problem, run } = useAttempt(() => {
    navigate(href('/service-map'), true);
    onDone();
  });
  const [refused, setRefused] = useState('');
  useEffect(() => {
    post('/console/api/setup', { token, check: true }).catch((error: Error) => setRefused(error.message));
  }, [token]);
  if (refused) {
    return (
      <>
        <h1>Set up Fluoro</h1>
        <Problem text={refused} />
        <p>
          <a href={href('/')}>Sign in</a>
        </p>
      </>
    );
  }
  const differ = again !== '' && again !== password;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!differ) {
      void run(() => post('/console/api/setup', { token, user, password }));
    }
  };
  const withPasskey = async (): Promise<void> => {
    await post('/console/api/setup', { token, user });
    await setTokenOfSession();
    await registerPasskey('First passkey');
  };
  return (
    <>
      <h1>Make the first administrator</h1>
      <p className="fl-hint">This link works once. The user that you make now may do everything in this account.</p>
      <Problem text={problem} />
      <form className="fl-form" onSubmit={submit} data-testid="setup-form">
        <NameField value={user} onChange={setUser} />
        {methods.passkey && browserHasPasskeys() && (
          <Button fullWidth formAction="none" disabled={busy || user === ''} onClick={() => void run(withPasskey)} data-testid="setup-passkey">
            Use a passkey
          </Button>
        )}
        <PasswordField label="Password" fresh value={password} onChange={setPassword} hint={`At least ${methods.leastPassword} characters; a few words are good.`} />
        <PasswordField label="Password again" fresh value={again} onChange={setAgain} {...(differ ? { hint: 'The two passwords differ.' } : {})} />
        <Button variant="primary" formAction="submit" loading={busy} disabled={differ} fullWidth>
          Make the administrator
        </Button>
      </form>
    </>
  );
}

/** Why a login through the identity provider failed. Texts in the address would let anybody write on this page. */
const problems: Record<string, string> = {
  role: 'Your organisation knows you, but no role of this server is for you. Ask its administrator.',
  denied: 'The login through your organisation was refused.',
  lost: 'The login took too long, or began in another browser. Try again.',
  throttled: 'There were too many attempts. Try again in a minute.',
  unavailable: "Your organisation's login cannot be reached now. Try again later.",
};

/** Signs in, or makes the first administrator by a setup link. */
export default function LoginPage({ onDone }: { onDone: () => void }) {
  const { path, params } = useLocation();
  const query = useQuery({ queryKey: ['session', 'methods'], queryFn: ({ signal }) => get<LoginMethods>('/console/api/login', signal) });
  useEffect(() => {
    document.title = 'Sign in · Fluoro';
  }, []);
  return (
    <main className="fl-login" data-testid="login-page">
      <div className="fl-login-card">
        <p className="fl-login-brand">Fluoro</p>
        {query.isError && <ErrorBox error={query.error} onRetry={() => void query.refetch()} />}
        {query.isPending && <Loading what="login" />}
        {query.data &&
          (path === '/setup' ? (
            <Setup methods={query.data} token={params.get('token') ?? ''} onDone={onDone} />
          ) : (
            <SignIn methods={query.data} problem={path === '/login' ? (problems[params.get('problem') ?? ''] ?? '') : ''} onDone={onDone} />
          ))}
      </div>
    </main>
  );
}
