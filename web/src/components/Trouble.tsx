import Alert from '@cloudscape-design/components/alert';
import type { ReactNode } from 'react';
import { ApiError } from '../api/client';
import { useMay } from '../api/session';
import { ErrorBox } from './ErrorBox';

const refusal = /is not authorized to perform: ([\w:*-]+)/;

/** The action that a refused request needs: the one that the server names, else the usual one of the request. */
function missingAction(error: ApiError, action: string): string {
  return refusal.exec(error.message)?.[1] ?? action;
}

/** Says which permission is missing. */
function Missing({ what, action, children }: { what: string; action: string; children?: ReactNode }) {
  return (
    <Alert type="info" header={`You may not ${what}`}>
      This needs the action <code>{action}</code>. Ask an administrator for a policy that allows it.
      {children}
    </Alert>
  );
}

/**
 * Shows its children to those who may use an action, and to others what is missing. Without it
 * a page would send requests that are refused and recorded in the audit log.
 */
export function Permitted({ what, action, children }: { what: string; action: string; children: ReactNode }) {
  return useMay()(action) ? children : <Missing what={what} action={action} />;
}

/**
 * Shows why a request failed. For a refused one it names the permission that the user lacks.
 * what says what the request is for, such as "see the audit log"; action is its action in policies.
 */
export function Trouble({ error, what, action, onRetry }: { error: Error; what: string; action: string; onRetry?: () => void }) {
  if (!(error instanceof ApiError) || error.status !== 403) {
    return <ErrorBox error={error} {...(onRetry ? { onRetry } : {})} />;
  }
  return (
    <Missing what={what} action={missingAction(error, action)}>
      <p className="fl-hint">{error.message}</p>
    </Missing>
  );
}
