import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { Gate } from '../app/Gate';
import { post } from '../api/client';
import { useMay } from '../api/session';
import { refuse, serve, showPage } from '../test/server';

const methods = { required: true, password: true, passkey: false, oidc: true, leastPassword: 12 };

function Inside() {
  const may = useMay();
  return (
    <p>
      inside, {may('iam:CreateUser') ? 'may' : 'may not'}
      <button type="button" onClick={() => void post('/TraceSummaries', {}).catch(() => undefined)}>
        ask
      </button>
    </p>
  );
}

function show(): void {
  showPage(
    <Gate>
      <Inside />
    </Gate>,
  );
}

const session = { required: true, type: 'User', name: 'ada', arn: 'arn:aws:iam::1:user/ada', account: '1', region: 'r', proof: 'console-session', actions: ['xray:GetGroups'], token: 'secret', session: { id: 's' } };

describe('the gate', () => {
  it('shows the login page, then what was asked for', async () => {
    let signedIn = false;
    const asked = serve({
      '/console/api/session': () => (signedIn ? session : refuse(401, 'Missing Authentication Token')),
      '/console/api/login': ({ body }) => {
        if (Object.keys(body).length === 0) {
          return methods;
        }
        if (body['password'] !== 'right') {
          return refuse(401, 'The name or the credential is wrong.');
        }
        signedIn = true;
        return {};
      },
      '/TraceSummaries': () => {
        signedIn = false;
        return Response.json({ message: 'The session has ended. Sign in again.' }, { status: 403, headers: { 'x-amzn-errortype': 'ExpiredTokenException' } });
      },
    });
    window.location.hash = '#/traces?filter=fault';
    show();
    const name = await screen.findByLabelText('User name');
    expect(screen.getByTestId('login-oidc').getAttribute('href')).toBe(`/login/oidc?to=${encodeURIComponent('#/traces?filter=fault')}`);
    await userEvent.type(name, 'ada');
    await userEvent.type(screen.getByLabelText('Password'), 'wrong{Enter}');
    expect(await screen.findByText('The name or the credential is wrong.')).toBeTruthy();
    expect((screen.getByLabelText('Password') as HTMLInputElement).value).toBe('');
    await userEvent.type(screen.getByLabelText('Password'), 'right{Enter}');
    expect(await screen.findByText(/inside, may not/)).toBeTruthy();
    expect(window.location.hash).toBe('#/traces?filter=fault');
    // Once the session has ended, any answer leads to the login page.
    await userEvent.click(screen.getByRole('button', { name: 'ask' }));
    expect(await screen.findByLabelText('User name')).toBeTruthy();
    expect(asked.filter(({ path }) => path === '/TraceSummaries')).toHaveLength(1);
  });

  it('lets everyone in where no credentials are required', async () => {
    serve({ '/console/api/session': () => ({ ...session, required: false, session: undefined, actions: ['iam:CreateUser'] }) });
    show();
    expect(await screen.findByText(/inside, may/)).toBeTruthy();
  });

  it('shows reasons, never texts, of an address', async () => {
    serve({ '/console/api/session': () => refuse(401, 'x'), '/console/api/login': () => methods });
    window.location.hash = '#/login?problem=Call+0900+12345';
    show();
    await screen.findByLabelText('User name');
    expect(screen.queryByText(/0900/)).toBeNull();
    window.location.hash = '#/login?problem=role';
    window.dispatchEvent(new PopStateEvent('popstate'));
    expect(await screen.findByText(/no role of this server is for you/)).toBeTruthy();
  });

  it('makes the first administrator by a setup link', async () => {
    const asked = serve({ '/console/api/session': () => refuse(401, 'x'), '/console/api/login': () => methods, '/console/api/setup': () => ({}) });
    window.location.hash = '#/setup?token=abc';
    show();
    await userEvent.type(await screen.findByLabelText('User name'), 'boss');
    await userEvent.type(screen.getByLabelText('Password'), 'correct horse battery');
    await userEvent.type(screen.getByLabelText('Password again'), 'another horse');
    expect(screen.getByText('The two passwords differ.')).toBeTruthy();
    await userEvent.clear(screen.getByLabelText('Password again'));
    await userEvent.type(screen.getByLabelText('Password again'), 'correct horse battery{Enter}');
    await waitFor(() => expect(asked.some(({ path, body }) => path === '/console/api/setup' && body['user'] === 'boss' && body['token'] === 'abc')).toBe(true));
  });
});
