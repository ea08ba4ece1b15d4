import { useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, type ReactNode } from 'react';
import { whenSignedOut } from '../api/client';
import { SessionContext, useSessionQuery } from '../api/session';
import { ErrorBox } from '../components/ErrorBox';
import { Loading } from '../components/Loading';
import { useLocation } from '../lib/router';

const LoginPage = lazy(() => import('../pages/LoginPage'));

/** Shows the login page until somebody is signed in, or nobody has to be. The address stays: after the login the page it names is shown. */
export function Gate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const query = useSessionQuery();
  const { path } = useLocation();
  useEffect(() => {
    whenSignedOut(() => {
      if (client.getQueryData(['session'])) {
        client.setQueryData(['session'], null);
        client.removeQueries({ predicate: (other) => other.queryKey[0] !== 'session' });
      }
    });
    return () => whenSignedOut(() => {});
  }, [client]);
  if (query.isPending) {
    return <Loading what="console" />;
  }
  if (query.data === undefined) {
    return query.error ? <ErrorBox error={query.error} onRetry={() => void query.refetch()} /> : null;
  }
  const invited = path === '/setup' && !query.data?.session;
  if (query.data === null || invited) {
    return (
      <Suspense fallback={<Loading what="login" />}>
        <LoginPage onDone={() => void query.refetch()} />
      </Suspense>
    );
  }
  return <SessionContext value={query.data}>{children}</SessionContext>;
}
