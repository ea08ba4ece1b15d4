import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AuditEvent, AuditRecord } from '../api/audit';
import { denied, refuse, serve, showPage } from '../test/server';
import AuditPage from './AuditPage';

const id = '1-58406520-a006649127e371903a2de979';

function record(seq: number, event: Partial<AuditEvent> = {}): AuditRecord {
  return {
    seq,
    event: {
      eventTime: '2026-11-29T12:00:00Z',
      eventSource: 'xray.amazonaws.com',
      eventName: 'BatchGetTraces',
      userIdentity: { type: 'IAMUser', arn: 'arn:aws:iam::111122223333:user/alice', userName: 'alice' },
      sourceIPAddress: '10.1.2.3',
      ...event,
    },
  };
}

beforeEach(() => {
  window.location.hash = '#/audit';
});

describe('the audit page', () => {
  it('shows records, and one record with a link to its trace', async () => {
    serve({ '/console/api/audit': () => ({ events: [record(7, { additionalEventData: { traceIds: [id], traceCount: 1 } }), record(6, { errorCode: 'AccessDenied' })], token: '', damaged: [] }) });
    showPage(<AuditPage />);
    expect(screen.getByRole('status', { name: 'Loading records' })).toBeTruthy();
    const rows = await screen.findAllByTestId('audit-row');
    expect(rows.map((row) => row.textContent)).toEqual([expect.stringContaining('alicexray:BatchGetTracesok'), expect.stringContaining('AccessDenied')]);
    expect(within(rows[0] as HTMLElement).getByRole('link', { name: id }).getAttribute('href')).toBe(`#/traces/${id}`);
    await userEvent.click(within(rows[0] as HTMLElement).getByRole('button', { name: 'xray:BatchGetTraces' }));
    expect(window.location.hash).toContain('record=7');
    const details = await screen.findByTestId('audit-record');
    expect(within(details).getByRole('link', { name: id })).toBeTruthy();
    expect(details.textContent).toContain('sourceIPAddress');
    expect(screen.getByText(/there are no older ones/)).toBeTruthy();
  });

  it('searches, and keeps the search in the address', async () => {
    const asked = serve({ '/console/api/audit': () => ({ events: [], token: '', damaged: [] }) });
    showPage(<AuditPage />);
    await screen.findByTestId('no-records');
    await userEvent.type(screen.getByLabelText('Who'), 'alice');
    await userEvent.type(screen.getByLabelText('Trace'), `Root=${id};Sampled=1`);
    await userEvent.keyboard('{Enter}');
    expect(document.activeElement).toBe(screen.getByLabelText('Trace'));
    expect((screen.getByLabelText('Trace') as HTMLInputElement).value).toBe(id);
    await userEvent.click(screen.getByLabelText('Errors only'));
    await screen.findByTestId('no-records');
    const last = asked.at(-1)?.params;
    expect([last?.get('principal'), last?.get('trace'), last?.get('error'), last?.get('action')]).toEqual(['alice', id, '*', null]);
    expect(Number(last?.get('start'))).toBeGreaterThan(0);
    expect(window.location.hash).toContain('principal=alice');
    await userEvent.click(screen.getByRole('button', { name: 'Clear' }));
    await screen.findByTestId('no-records');
    expect(window.location.hash).toBe('#/audit');
  });

  it('reads on over empty pages, and shows older records when asked', async () => {
    const asked = serve({
      '/console/api/audit': ({ params }) => {
        switch (params.get('token')) {
          case null:
            return { events: [], token: '40', damaged: [] };
          case '40':
            return { events: [record(30)], token: '30', damaged: ['audit/00000002.jsonl: line 3'] };
          default:
            return { events: [record(20)], token: '', damaged: [] };
        }
      },
    });
    showPage(<AuditPage />);
    expect(await screen.findAllByTestId('audit-row')).toHaveLength(1);
    expect(screen.getByText('audit/00000002.jsonl: line 3')).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: 'Older records' }));
    await screen.findByText(/2 records; there are no older ones/);
    expect(asked.map(({ params }) => params.get('token'))).toEqual([null, '40', '30']);
    expect(new Set(asked.map(({ params }) => params.get('start'))).size).toBe(1);
  });

  it('says how to turn the log on', async () => {
    serve({ '/console/api/audit': () => refuse(404, 'the server keeps no audit log') });
    showPage(<AuditPage />);
    expect((await screen.findByTestId('audit-off')).textContent).toContain('fluoro serve --audit on');
  });

  it('names the missing permission', async () => {
    serve({ '/console/api/audit': () => denied('cloudtrail:LookupEvents') });
    showPage(<AuditPage />);
    expect(await screen.findByText('You may not see the audit log')).toBeTruthy();
    expect(screen.getByText('cloudtrail:LookupEvents')).toBeTruthy();
  });

  it('shows the error of a wrong search, and leaves the form', async () => {
    window.location.hash = '#/audit?trace=x';
    serve({ '/console/api/audit': () => refuse(400, 'trace: "x" is no trace id') });
    showPage(<AuditPage />);
    expect(await screen.findByText('trace: "x" is no trace id')).toBeTruthy();
    expect((screen.getByLabelText('Trace') as HTMLInputElement).value).toBe('x');
  });
});
