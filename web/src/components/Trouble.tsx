import Alert from '@cloudscape-design/components/alert';
import { ApiError } from '../api/client';
import { ErrorBox } from './ErrorBox';

const refusal = /is not authorized to perform: ([\w:*-]+)/;

/** The action that a refused request needs: the one that the server names, else the usual one of the request. */
function missingAction(error: ApiError, action: string): string {
  return refusal.exec(error.message)?.[1] ?? action;
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
    <Alert type="info" header={`You may not ${what}`}>
      This needs the action <code>{missingAction(error, action)}</code>. Ask an administrator for a policy that allows it.
      <p className="fl-hint">{error.message}</p>
    </Alert>
  );
}
