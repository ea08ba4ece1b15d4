import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it, vi } from 'vitest';
import { denied, refuse, serve, showPage, type Asked } from '../test/server';
import TenantPage from './TenantPage';

const sink = { Arn: 'arn:aws:oam:us-east-1:111122223333:sink/s1', Id: 's1', Name: 'central', Policy: '{}' };
const link = { Arn: 'arn:aws:oam:us-east-1:111122223333:link/l1', Id: 'l1', Label: 'me', SinkArn: 'arn:aws:oam:us-east-1:444455556666:sink/x', Since: 1_780_000_000 };
const attached = { ...link, Arn: 'arn:aws:oam:us-east-1:222233334444:link/l2', SinkArn: sink.Arn };
const hold = { name: 'case-17', reason: 'court order', by: 'arn:aws:iam::111122223333:user/ann', created: '2026-11-29T12:00:00Z', filter: 'user = "mallory"', heldTraces: 12 };
const report = {
  made: '2026-11-29T12:00:00Z',
  by: 'ann',
  account: '111122223333',
  notice: 'No legal advice.',
  points: [
    { topic: 'encrypt stored data', gdpr: 'Art. 32(1)(a)', hipaa: '164.312', pciDss: '3.5.1', state: 'not met', areas: ['encryption at rest'] },
    { topic: 'contracts', gdpr: 'Art. 28', hipaa: '164.504(e)', pciDss: '12.8', state: 'not evaluated', areas: null, note: 'organisational' },
  ],
  facts: [{ area: 'encryption at rest', name: 'data', state: 'not met', value: 'in the clear' }],
};

function server(answers: Record<string, (asked: Asked) => unknown> = {}): Asked[] {
  return serve({
    '/api/quota/Get': () => ({ limits: { spans: 5000, bytes: 1048576 }, own: true, series: 12, scans: 0, refused: { spans: 77 } }),
    '/EncryptionConfig': () => ({ EncryptionConfig: { Type: 'NONE', Status: 'ACTIVE', KeyId: null } }),
    '/api/encryption/Get': () => ({ encrypts: true, data_keys: 2, wrapped_by: { 'key file': 2 }, pending: 'the old key is disabled' }),
    '/api/oam/ListSinks': () => ({ Items: [sink], NextToken: null }),
    '/api/oam/ListLinks': () => ({ Items: [link], NextToken: null }),
    '/api/oam/ListAttachedLinks': () => ({ Items: [attached], NextToken: null }),
    '/api/hold/List': () => ({ holds: [hold] }),
    ...answers,
  });
}

const sent = (asked: Asked[], path: string): unknown[] => asked.filter((one) => one.path === path).map(({ body }) => body);
const dialog = (): ReturnType<typeof within> => within(screen.getByRole('dialog'));
const row = (name: RegExp): string | null => screen.getByRole('row', { name }).textContent;

describe('the page of the tenant', () => {
  it('shows quotas and their use, keys, links and holds', async () => {
    server();
    showPage(<TenantPage />);
    expect(screen.getByRole('status', { name: 'Loading quotas' })).toBeTruthy();
    await screen.findByText('Set for this account.');
    expect(row(/^Segments and spans a second/)).toBe('Segments and spans a second5,000–77');
    expect(row(/^Bytes a second/)).toBe('Bytes a second1 MiB–0');
    expect(row(/^Names of services/)).toBe('Names of services and calls in a daynone120');
    expect((await screen.findByTestId('encryption')).textContent).toContain('is encrypted');
    expect(screen.getByText('the old key is disabled')).toBeTruthy();
    expect(await screen.findByText('222233334444')).toBeTruthy();
    expect(screen.getByText('444455556666')).toBeTruthy();
    expect(row(/^case-17/)).toContain('user = "mallory"12court orderuser/ann');
  });

  it('changes the key after a question, and shows why the server refuses', async () => {
    let type = 'NONE';
    const asked = server({
      '/EncryptionConfig': () => ({ EncryptionConfig: { Type: type, Status: type === 'KMS' ? 'UPDATING' : 'ACTIVE', KeyId: type === 'KMS' ? 'alias/good' : null } }),
      '/PutEncryptionConfig': ({ body }) => {
        if (body['KeyId'] !== 'alias/good') {
          return Response.json({ message: 'the key alias/bad is disabled' }, { status: 400, headers: { 'x-amzn-errortype': 'InvalidRequestException' } });
        }
        type = 'KMS';
        return { EncryptionConfig: {} };
      },
    });
    showPage(<TenantPage />);
    await userEvent.selectOptions(await screen.findByLabelText('Key'), 'Key of the KMS');
    await userEvent.type(screen.getByLabelText('Alias, id or ARN'), 'alias/bad');
    await userEvent.click(screen.getByRole('button', { name: 'Change the key' }));
    expect(sent(asked, '/PutEncryptionConfig')).toEqual([]);
    await userEvent.click(dialog().getByRole('button', { name: 'Change' }));
    expect(await dialog().findByText('the key alias/bad is disabled')).toBeTruthy();
    await userEvent.click(dialog().getByRole('button', { name: 'Cancel' }));
    await userEvent.clear(screen.getByLabelText('Alias, id or ARN'));
    await userEvent.type(screen.getByLabelText('Alias, id or ARN'), 'alias/good');
    await userEvent.click(screen.getByRole('button', { name: 'Change the key' }));
    await userEvent.click(dialog().getByRole('button', { name: 'Change' }));
    expect(await screen.findByText('UPDATING')).toBeTruthy();
    expect(sent(asked, '/PutEncryptionConfig').at(-1)).toEqual({ Type: 'KMS', KeyId: 'alias/good' });
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it('makes and deletes links and sinks, and says who may link', async () => {
    const ok = (): object => ({});
    const asked = server({ '/api/oam/CreateSink': ok, '/api/oam/PutSinkPolicy': ok, '/api/oam/DeleteSink': ok, '/api/oam/CreateLink': () => refuse(400, 'the sink refuses'), '/api/oam/DeleteLink': ok });
    showPage(<TenantPage />);
    await userEvent.type(await screen.findByLabelText('Name of a new sink'), 'second');
    await userEvent.click(screen.getByRole('button', { name: 'Make a sink' }));
    expect(sent(asked, '/api/oam/CreateSink')).toEqual([{ Name: 'second' }]);
    await userEvent.click(await screen.findByRole('button', { name: 'Who may link to central' }));
    await userEvent.type(dialog().getByLabelText('Accounts'), '222233334444, 333344445555');
    await userEvent.click(dialog().getByRole('button', { name: 'Save' }));
    await expect.poll(() => screen.queryByRole('dialog')).toBeNull();
    const [policy] = sent(asked, '/api/oam/PutSinkPolicy') as { SinkIdentifier: string; Policy: string }[];
    expect(policy?.SinkIdentifier).toBe(sink.Arn);
    expect((JSON.parse(policy?.Policy ?? '') as { Statement: { Principal: unknown }[] }).Statement[0]?.Principal).toEqual({ AWS: ['222233334444', '333344445555'] });
    await userEvent.type(screen.getByLabelText('ARN of a sink'), 'arn:x');
    await userEvent.click(screen.getByRole('button', { name: 'Show my traces there' }));
    expect(await screen.findByText('the sink refuses')).toBeTruthy();
    expect(sent(asked, '/api/oam/CreateLink')).toEqual([{ SinkIdentifier: 'arn:x', LabelTemplate: '$AccountName', ResourceTypes: ['AWS::XRay::Trace'] }]);
    await userEvent.click(screen.getByRole('button', { name: 'Delete link to 444455556666' }));
    await userEvent.click(dialog().getByRole('button', { name: 'Delete' }));
    await expect.poll(() => sent(asked, '/api/oam/DeleteLink')).toEqual([{ Identifier: link.Arn }]);
    await userEvent.click(screen.getByRole('button', { name: 'Delete sink central' }));
    await userEvent.click(dialog().getByRole('button', { name: 'Delete' }));
    await expect.poll(() => sent(asked, '/api/oam/DeleteSink')).toEqual([{ Identifier: sink.Arn }]);
  });

  it('releases a hold only after its name is typed', async () => {
    const asked = server({ '/api/hold/Release': () => ({ releasedTraces: 12 }) });
    showPage(<TenantPage />);
    await userEvent.click(await screen.findByRole('button', { name: 'Release case-17' }));
    await userEvent.type(dialog().getByLabelText('Type case-17 to confirm'), 'case-1{Enter}');
    expect(sent(asked, '/api/hold/Release')).toEqual([]);
    await userEvent.type(dialog().getByLabelText('Type case-17 to confirm'), '7{Enter}');
    await expect.poll(() => sent(asked, '/api/hold/Release')).toEqual([{ name: 'case-17' }]);
  });

  it('makes a compliance report, and saves it as the bytes of the server', async () => {
    const blobs: Blob[] = [];
    vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => {
      blobs.push(blob as Blob);
      return 'blob:x';
    });
    const asked = server({ '/api/compliance/GetReport': () => ({ signed: { report }, text: '', json: '{"report":{"made" : 1}}', html: '<!doctype html>' }) });
    showPage(<TenantPage />);
    expect(sent(asked, '/api/compliance/GetReport')).toEqual([]);
    await userEvent.click(screen.getByRole('button', { name: 'Make a report' }));
    expect((await screen.findByRole('row', { name: /^encrypt stored data/ })).textContent).toContain('not metnot met: encryption at rest: data: in the clear');
    expect(row(/^contracts/)).toContain('organisational');
    await userEvent.click(screen.getByRole('button', { name: /Download JSON/ }));
    await userEvent.click(screen.getByRole('button', { name: 'Download HTML' }));
    expect(await Promise.all(blobs.map((blob) => blob.text()))).toEqual(['{"report":{"made" : 1}}', '<!doctype html>']);
    expect(sent(asked, '/api/compliance/GetReport')).toEqual([{ files: true }]);
  });

  it('names the missing permission of each part, and shows the others', async () => {
    server({
      '/api/quota/Get': () => denied('fluoro:GetQuota'),
      '/api/hold/List': () => denied('fluoro:ListHolds'),
      '/api/compliance/GetReport': () => refuse(403, 'only account 999999999999 may use this'),
      '/api/oam/ListSinks': () => refuse(503, 'records cannot be read'),
    });
    showPage(<TenantPage />);
    expect(await screen.findByText('You may not see quotas')).toBeTruthy();
    expect(screen.getByText('You may not see holds')).toBeTruthy();
    expect(screen.getByText('records cannot be read')).toBeTruthy();
    expect(screen.getByTestId('encryption').textContent).toContain('is encrypted');
    await userEvent.click(screen.getByRole('button', { name: 'Make a report' }));
    expect(await screen.findByText('You may not make compliance reports')).toBeTruthy();
    expect(screen.getByText('only account 999999999999 may use this')).toBeTruthy();
  });

  it('shows only what the user may do, and asks for nothing else', async () => {
    const asked = server();
    showPage(<TenantPage />, ['oam:ListSinks', 'xray:GetEncryptionConfig']);
    expect((await screen.findByRole('row', { name: /^central/ })).textContent).toBe('centralCopy the ARN–');
    expect(screen.queryByRole('button', { name: /Who may link|Delete|Make a sink|Change the key/ })).toBeNull();
    expect(screen.getByText('You may not see quotas')).toBeTruthy();
    expect(screen.getByText('fluoro:ListHolds')).toBeTruthy();
    expect((screen.getByRole('button', { name: 'Make a report' }) as HTMLButtonElement).disabled).toBe(true);
    expect(asked.map(({ path }) => path).sort()).toEqual(['/EncryptionConfig', '/api/oam/ListSinks']);
  });

  it('explains empty lists', async () => {
    server({ '/api/oam/ListSinks': () => ({ Items: [] }), '/api/oam/ListLinks': () => ({ Items: [] }), '/api/hold/List': () => ({ holds: [] }) });
    showPage(<TenantPage />);
    expect(await screen.findByText(/Make a sink, say who may link/)).toBeTruthy();
    expect(screen.getByText(/fluoro hold add/)).toBeTruthy();
  });
});
