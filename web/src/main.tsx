import '@cloudscape-design/global-styles/index.css';
import './app/app.css';
import I18nProvider from '@cloudscape-design/components/i18n';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api/client';
import { App } from './app/App';
import { Gate } from './app/Gate';
import { messages } from './app/messages';

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      refetchOnWindowFocus: true,
      // A refused request would be refused again; only retry if the server is unreachable.
      retry: (failures, error) => failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      retryDelay: 800,
    },
  },
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <I18nProvider locale="en" messages={[messages]}>
        <QueryClientProvider client={queryClient}>
          <Gate>
            <App />
          </Gate>
        </QueryClientProvider>
      </I18nProvider>
    </StrictMode>,
  );
}
