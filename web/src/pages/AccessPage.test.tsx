import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { SessionContext, type Session } from '../api/session';
import { denied, serve, showPage } from '../test/server';
import AccessPage from './AccessPage';
import FindingsPage from './FindingsPage';

const ada = { UserName: 'ada', Path: '/', Arn: 'arn:aws:iam::1:user/ada', CreateDate: '2026-11-29T12:00:00Z' };

function as(actions: string[], page: 'access' | 'findings'): void {
  const session = { required: true, type: 'User', name: 'x', arn: 'x', account: '1', region: 'r', proof: 'console-session', actions } as Session;
  showPage(<SessionContext value={session}>{page === 'access' ? <AccessPage /> : <FindingsPage />}</SessionContext>);
}

describe('the page of access', () => {
  it('shows only what its user may do', async () => {
    serve({ '/api/iam/ListUsers': () => ({ Users: [ada] }) });
    as(['iam:ListUsers'], 'access');
    expect(await screen.findByRole('button', { name: 'ada' })).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Create a user' })).toBeNull();
    expect(screen.getByRole('link', { name: 'Access keys' }).getAttribute('title')).toBe('Needs iam:ListAccessKeys');
  });

  it('names the missing permission', async () => {
    serve({ '/api/iam/ListUsers': () => denied('iam:ListUsers') });
    as([], 'access');
    expect(await screen.findByText('You may not see users')).toBeTruthy();
  });

  it('reads all pages of a list', async () => {
    const asked = serve({ '/api/iam/ListUsers': ({ body }) => (body['Marker'] ? { Users: [{ ...ada, UserName: 'bob', Arn: 'b' }] } : { Users: [ada], IsTruncated: true, Marker: 'ada' }) });
    as(['iam:ListUsers'], 'access');
    expect(await screen.findByRole('button', { name: 'bob' })).toBeTruthy();
    expect(asked).toHaveLength(2);
  });

  it('shows the secret of a new key once', async () => {
    const made = { UserName: 'ada', AccessKeyId: 'AKIA1', Status: 'Active', SecretAccessKey: 'hush', CreateDate: '2026-11-29T12:00:00Z' };
    const asked = serve({ '/api/iam/ListAccessKeys': () => ({ AccessKeyMetadata: [] }), '/api/iam/CreateAccessKey': () => ({ AccessKey: made }) });
    window.location.hash = '#/access?part=keys';
    as(['iam:ListAccessKeys', 'iam:CreateAccessKey'], 'access');
    await userEvent.click(await screen.findByRole('button', { name: 'Create an access key' }));
    await userEvent.type(screen.getByLabelText('User'), 'ada');
    await userEvent.click(screen.getByRole('button', { name: 'Create' }));
    expect(within(await screen.findByTestId('secret')).getByText(/hush/)).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: 'I have copied it' }));
    expect(screen.queryByText(/hush/)).toBeNull();
    expect(asked.find(({ path }) => path.endsWith('CreateAccessKey'))?.body).toEqual({ UserName: 'ada' });
  });
});

const finding = { id: '1', kind: 'new-edge', severity: 'low', state: 'open', service: 'web', subject: 'web->db', text: 'web calls db', expected: '', first: 1, last: 2, count: 3, trace_id: '1-a-b', note: '', by: '' };

describe('the page of findings', () => {
  it('lists open findings, the most severe first, and records a decision', async () => {
    const list = [finding, { ...finding, id: '2', severity: 'high', text: 'api sends much' }, { ...finding, id: '3', state: 'dismissed', text: 'old news' }];
    const asked = serve({ '/api/findings/List': () => ({ findings: list }), '/api/findings/Decide': () => ({}) });
    as(['fluoro:ListFindings', 'fluoro:UpdateFinding'], 'findings');
    expect(await screen.findByText('web calls db')).toBeTruthy();
    expect(screen.queryByText('old news')).toBeNull();
    const rows = screen.getAllByRole('row').slice(1);
    expect(rows[0]?.textContent).toContain('api sends much');
    await userEvent.click(screen.getByRole('button', { name: 'Decide: web calls db' }));
    await userEvent.type(screen.getByLabelText('Note'), 'planned');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(asked.find(({ path }) => path === '/api/findings/Decide')?.body).toEqual({ id: '1', state: 'acknowledged', note: 'planned' });
  });

  it('says that nothing was found, and what is missing', async () => {
    serve({ '/api/findings/List': () => ({ findings: null }) });
    as(['fluoro:ListFindings'], 'findings');
    expect((await screen.findByTestId('no-findings')).textContent).toContain('Nothing was found yet');
  });
});
