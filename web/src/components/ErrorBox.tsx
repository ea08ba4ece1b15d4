import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import { ApiError } from '../api/client';

/** Shows the error of a request, and a button to try again. */
export function ErrorBox({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  return (
    <Alert
      type="error"
      header={error instanceof ApiError ? error.type : 'The request failed'}
      action={onRetry ? <Button onClick={onRetry}>Try again</Button> : undefined}
    >
      {error.message}
    </Alert>
  );
}
