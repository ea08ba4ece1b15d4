import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Job, Preview, StoredRule } from '../api/scrub';
import { denied, refuse, serve, showPage, type Asked } from '../test/server';
import ScrubbingPage from './ScrubbingPage';

const cards: StoredRule = { Name: 'cards', Order: 100, Detectors: ['card', 'iban'], Services: ['checkout*'], Action: 'last4', DryRun: true, Updated: 1, Values: 12345 };
const jwt: StoredRule = { Name: 'default-jwt', Description: 'JSON web tokens', Order: 1_000_000, Detectors: ['jwt'], Action: 'mask', Default: true, Updated: 0, Values: 3 };
const aws: StoredRule = { ...jwt, Name: 'default-aws-keys', Action: 'hash', Updated: 7 };
const found: Preview = { Traces: 9, Segments: 20, Complete: true, Rules: [{ Rule: 'emails', Values: 4, Traces: 2, Examples: [{ Path: 'annotations.mail', Before: 'aaa@aaa.aa', After: '***' }] }] };
const job: Job = { ID: 'j', State: 'running', From: 100e9, To: 200e9, Place: 175e9, Rate: 2000, Started: 200e9, Traces: 50, Changed: 4, Held: 1, Unchanged: 0, Values: { cards: 6 } };

function server(answers: Record<string, (asked: Asked) => unknown> = {}): Asked[] {
  return serve({
    '/api/scrub/ListRules': () => ({ Rules: [cards, aws, jwt] }),
    '/api/scrub/GetJob': () => refuse(404, 'there was no scrub job of this account'),
    ...answers,
  });
}

const sent = (asked: Asked[], verb: string): unknown[] => asked.filter(({ path }) => path === `/api/scrub/${verb}`).map(({ body }) => body);
const dialog = (): ReturnType<typeof within> => within(screen.getByRole('dialog'));

describe('the scrubbing page', () => {
  it('lists rules with their state and counts', async () => {
    server();
    showPage(<ScrubbingPage />);
    expect(screen.getByRole('status', { name: 'Loading rules' })).toBeTruthy();
    const rows = await screen.findAllByTestId('scrub-rule');
    expect(rows.map((row) => row.textContent)).toEqual([
      'cards detectors card, iban; in services checkout*Keep the last 4Dry run12,345EditDelete',
      'default-aws-keys defaultJSON web tokensKeyed hashOn3EditReset',
      'default-jwt defaultJSON web tokensMaskOn3Edit',
    ]);
  });

  it('makes a rule after a preview, and shows what the server says about a wrong one', async () => {
    const asked = server({
      '/api/scrub/Preview': () => found,
      '/api/scrub/PutRule': ({ body }) => ((body['Rule'] as StoredRule).Pattern ? refuse(400, 'Pattern of rule emails: missing closing )') : { Rule: body['Rule'] }),
    });
    showPage(<ScrubbingPage />);
    await screen.findAllByTestId('scrub-rule');
    await userEvent.click(screen.getByRole('button', { name: 'New rule' }));
    await userEvent.type(dialog().getByLabelText('Name'), 'emails');
    await userEvent.type(dialog().getByLabelText('Keys'), 'user.email{Enter}mail');
    await userEvent.click(dialog().getByLabelText('email'));
    await userEvent.selectOptions(dialog().getByLabelText('Action'), 'Keyed hash');
    await userEvent.selectOptions(dialog().getByLabelText('State'), 'Dry run: count only');
    await userEvent.click(dialog().getByRole('button', { name: 'Preview on the last hour' }));
    expect((await dialog().findByTestId('scrub-preview')).textContent).toContain('emails: 4 values in 2 traces');
    const rule = { Name: 'emails', Order: 100, Action: 'hash', Keys: ['user.email', 'mail'], Detectors: ['email'], DryRun: true };
    expect(sent(asked, 'Preview')).toEqual([{ Seconds: 3600, Rules: [rule] }]);
    await userEvent.type(dialog().getByLabelText('Pattern'), '(');
    await userEvent.click(dialog().getByRole('button', { name: 'Save' }));
    expect(await dialog().findByText('Pattern of rule emails: missing closing )')).toBeTruthy();
    await userEvent.clear(dialog().getByLabelText('Pattern'));
    await userEvent.click(dialog().getByRole('button', { name: 'Save' }));
    await expect.poll(() => screen.queryByRole('dialog')).toBeNull();
    expect(sent(asked, 'PutRule').at(-1)).toEqual({ Rule: rule });
  });

  it('changes only action and state of a default rule, and resets a changed one', async () => {
    const asked = server({ '/api/scrub/PutRule': ({ body }) => ({ Rule: body['Rule'] }), '/api/scrub/DeleteRule': () => ({}) });
    showPage(<ScrubbingPage />);
    await userEvent.click(await screen.findByRole('button', { name: 'Edit default-jwt' }));
    expect(dialog().queryByLabelText('Keys')).toBeNull();
    await userEvent.selectOptions(dialog().getByLabelText('State'), 'Off');
    await userEvent.click(dialog().getByRole('button', { name: 'Save' }));
    await expect.poll(() => sent(asked, 'PutRule')).toEqual([{ Rule: { Name: 'default-jwt', Order: 1_000_000, Action: 'mask', Disabled: true } }]);
    await userEvent.click(await screen.findByRole('button', { name: 'Reset default-aws-keys' }));
    await userEvent.click(dialog().getByRole('button', { name: 'Reset' }));
    await expect.poll(() => sent(asked, 'DeleteRule')).toEqual([{ Name: 'default-aws-keys' }]);
  });

  it('tests a text', async () => {
    const asked = server({ '/api/scrub/Test': () => ({ Text: 'password=***', Dropped: false }) });
    showPage(<ScrubbingPage />);
    await userEvent.type(await screen.findByLabelText('Text'), 'password=x');
    await userEvent.click(screen.getByRole('button', { name: 'Test' }));
    expect((await screen.findByTestId('scrub-tested')).textContent).toContain('password=***');
    expect(sent(asked, 'Test')).toEqual([{ Text: 'password=x', Key: '', Document: false }]);
  });

  it('asks before it rewrites stored traces, and shows the progress', async () => {
    let started = false;
    const asked = server({
      '/api/scrub/StartJob': () => {
        started = true;
        return { Job: job };
      },
      '/api/scrub/GetJob': () => (started ? { Job: job } : refuse(404, 'none')),
      '/api/scrub/StopJob': () => ({}),
    });
    showPage(<ScrubbingPage />);
    await userEvent.click(await screen.findByLabelText('Dry run: count only'));
    await userEvent.click(screen.getByRole('button', { name: 'Rewrite stored traces' }));
    expect(sent(asked, 'StartJob')).toEqual([]);
    await userEvent.click(dialog().getByRole('button', { name: 'Rewrite' }));
    expect((await screen.findByTestId('scrub-job')).textContent).toContain('Running, 25%');
    expect(screen.getByTestId('scrub-job').textContent).toContain('1 under a legal hold');
    expect(sent(asked, 'StartJob')).toEqual([{ Seconds: 86400, Rules: [], DryRun: false, Rate: 2000 }]);
    await userEvent.click(screen.getByRole('button', { name: 'Stop' }));
    expect(sent(asked, 'StopJob')).toHaveLength(1);
  });

  it('names missing permissions, for the page and for a part of it', async () => {
    server({ '/api/scrub/GetJob': () => denied('fluoro:GetScrubJob') });
    showPage(<ScrubbingPage />);
    expect(await screen.findByText('You may not see scrub jobs')).toBeTruthy();
    expect(screen.getAllByTestId('scrub-rule')).toHaveLength(3);
  });

  it('shows only what the user may do, and asks for nothing else', async () => {
    const asked = server();
    showPage(<ScrubbingPage />, ['fluoro:ListScrubRules', 'fluoro:TestScrubRule']);
    expect(await screen.findAllByTestId('scrub-rule')).toHaveLength(3);
    expect(screen.queryByRole('button', { name: /^(Edit|Delete|Reset) / })).toBeNull();
    expect(screen.queryByRole('button', { name: 'Preview' })).toBeNull();
    expect(screen.getByRole('button', { name: 'Test' })).toBeTruthy();
    expect((screen.getByRole('button', { name: 'New rule' }) as HTMLButtonElement).disabled).toBe(true);
    expect(screen.getByText('You may not see scrub jobs')).toBeTruthy();
    expect(asked.map(({ path }) => path)).toEqual(['/api/scrub/ListRules']);
  });

  it('explains an empty list and an error', async () => {
    let fail = true;
    server({ '/api/scrub/ListRules': () => (fail ? refuse(503, 'records cannot be read') : { Rules: [] }) });
    showPage(<ScrubbingPage />);
    expect(await screen.findByText('records cannot be read')).toBeTruthy();
    fail = false;
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect((await screen.findByTestId('no-rules')).textContent).toContain('--scrub off');
  });
});
