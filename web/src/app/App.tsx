import Alert from '@cloudscape-design/components/alert';
import AppLayout from '@cloudscape-design/components/app-layout';
import Button from '@cloudscape-design/components/button';
import SideNavigation from '@cloudscape-design/components/side-navigation';
import SplitPanel from '@cloudscape-design/components/split-panel';
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react';
import { useStatus } from '../api/queries';
import { useMay } from '../api/session';
import { ErrorBox } from '../components/ErrorBox';
import { Loading } from '../components/Loading';
import { href, navigate, useLocation, useSetParams, type Location } from '../lib/router';
import { findTraceId } from '../lib/traceid';
import { formatTimeRange, type TimeRange } from '../lib/timerange';
import { Help } from './Help';
import { useLive } from './live';
import { PanelProvider, usePanelSlot } from './panel';
import { PageBoundary } from './PageBoundary';
import { usePreference, useRefresh, useTheme } from './preferences';
import { useTimeRange } from './range';
import { TopBar } from './TopBar';

const MapPage = lazy(() => import('../pages/MapPage'));
const TracesPage = lazy(() => import('../pages/TracesPage'));
const TracePage = lazy(() => import('../pages/TracePage'));
const StatusPage = lazy(() => import('../pages/StatusPage'));
const AuditPage = lazy(() => import('../pages/AuditPage'));
const AccessPage = lazy(() => import('../pages/AccessPage'));
const FindingsPage = lazy(() => import('../pages/FindingsPage'));
const AccountPage = lazy(() => import('../pages/AccountPage'));
const ScrubbingPage = lazy(() => import('../pages/ScrubbingPage'));
const TenantPage = lazy(() => import('../pages/TenantPage'));
const FirstRun = lazy(() => import('../pages/FirstRun'));

/** Pages by the first part of the path. */
export type Page = 'map' | 'traces' | 'trace' | 'status' | 'audit' | 'scrubbing' | 'tenant' | 'access' | 'findings' | 'account' | 'unknown';

/** Pages whose path is their name. */
const plain: Page[] = ['status', 'audit', 'scrubbing', 'tenant', 'access', 'findings', 'account'];

/** A page needs one of its actions; pages without a line need none. */
const needs: Partial<Record<Page, string[]>> = {
  map: ['xray:GetServiceGraph'],
  traces: ['xray:GetTraceSummaries'],
  trace: ['fluoro:GetTrace'],
  status: ['fluoro:GetStatus'],
  audit: ['cloudtrail:LookupEvents'],
  scrubbing: ['fluoro:ListScrubRules'],
  tenant: ['fluoro:GetQuota', 'xray:GetEncryptionConfig', 'fluoro:GetDataKeys', 'oam:ListSinks', 'oam:ListLinks', 'fluoro:ListHolds', 'fluoro:GetComplianceReport'],
  access: ['iam:ListUsers', 'iam:ListGroups', 'iam:ListRoles', 'iam:ListPolicies', 'iam:ListAccessKeys', 'fluoro:ListTokens'],
  findings: ['fluoro:ListFindings'],
};

function pageOf({ path }: Location): Page {
  if (path === '/' || path === '/service-map') {
    return 'map';
  }
  if (path === '/traces') {
    return 'traces';
  }
  if (/^\/traces\/[^/]+(\/raw)?$/.test(path)) {
    return 'trace';
  }
  return plain.find((page) => path === `/${page}`) ?? 'unknown';
}

function mayOpen(page: Page, may: (action: string) => boolean): boolean {
  return needs[page]?.some(may) ?? true;
}

const titles: Record<Page, string> = {
  map: 'Trace map',
  traces: 'Traces',
  trace: 'Trace',
  status: 'Status',
  audit: 'Audit log',
  scrubbing: 'Scrubbing',
  tenant: 'Tenant',
  access: 'Access',
  findings: 'Findings',
  account: 'My account',
  unknown: 'Not found',
};

/** Says what is missing for a page. */
function Refused({ page }: { page: Page }) {
  const [first] = needs[page] ?? [];
  return (
    <Alert type="info" header={`You may not see the page ${titles[page]}`} data-testid="page-refused">
      This needs the action <code>{first}</code>. Ask an administrator for a policy that allows it.
    </Alert>
  );
}

function Content({ page, location, empty }: { page: Page; location: Location; empty: boolean }) {
  const may = useMay();
  if (!mayOpen(page, may)) {
    return <Refused page={page} />;
  }
  if (empty && (page === 'map' || page === 'traces')) {
    return <FirstRun />;
  }
  switch (page) {
    case 'map':
      return <MapPage />;
    case 'traces':
      return <TracesPage />;
    case 'trace': {
      const id = decodeURIComponent(location.path.split('/')[2] ?? '');
      return <TracePage key={id} id={id} raw={location.path.endsWith('/raw')} />;
    }
    case 'status':
      return <StatusPage />;
    case 'audit':
      return <AuditPage />;
    case 'scrubbing':
      return <ScrubbingPage />;
    case 'tenant':
      return <TenantPage />;
    case 'access':
      return <AccessPage />;
    case 'findings':
      return <FindingsPage />;
    case 'account':
      return <AccountPage />;
    case 'unknown':
      return (
        <Alert type="warning" header="There is no such page" action={<Button href={href('/service-map')}>Open the trace map</Button>}>
          The address <code>{location.path}</code> names no page of this console.
        </Alert>
      );
  }
}

/** Keys that work on every page: g and a letter goes to a page, ? opens help, / goes to the filter. */
function useShortcuts(openHelp: () => void): void {
  useEffect(() => {
    let afterG = 0;
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement | null;
      if (event.ctrlKey || event.metaKey || event.altKey || target?.closest('input, textarea, select, [contenteditable]')) {
        return;
      }
      const pages: Record<string, string> = { m: '/service-map', t: '/traces', s: '/status', a: '/audit' };
      const path = Date.now() - afterG < 1500 ? pages[event.key] : undefined;
      afterG = event.key === 'g' ? Date.now() : 0;
      if (path) {
        navigate(href(path));
      } else if (event.key === '?') {
        openHelp();
      }
    };
    const onPaste = (event: ClipboardEvent): void => {
      const target = event.target as HTMLElement | null;
      const id = target?.closest('input, textarea') ? null : findTraceId(event.clipboardData?.getData('text') ?? '');
      if (id) {
        navigate(href(`/traces/${id}`));
      }
    };
    window.addEventListener('keydown', onKey);
    window.addEventListener('paste', onPaste);
    return () => {
      window.removeEventListener('keydown', onKey);
      window.removeEventListener('paste', onPaste);
    };
  }, [openHelp]);
}

function Frame() {
  const location = useLocation();
  const page = pageOf(location);
  const setParams = useSetParams();
  const { range, param } = useTimeRange();
  const [theme, setTheme] = useTheme();
  const [refresh, setRefresh] = useRefresh();
  const [position, setPosition] = usePreference<'side' | 'bottom'>('panel', ['side', 'bottom'], 'side');
  const [navigationOpen, setNavigationOpen] = useState(window.innerWidth > 1100);
  const [helpOpen, setHelpOpen] = useState(false);
  const [panelSize, setPanelSize] = useState<number>();
  const { open: panel, setHost } = usePanelSlot();
  const live = useLive(refresh, range.kind === 'relative');
  // Poll until the first trace arrives: a lost event must not hide it.
  const [empty, setEmpty] = useState(true);
  const may = useMay();
  const sees = may('fluoro:GetStatus');
  const status = useStatus(empty ? 1500 : 30_000, sees);
  const known = status.data?.store;
  const nowEmpty = known !== undefined && known.traces === 0 && known.open_traces === 0 && known.segments === 0;
  useEffect(() => setEmpty(nowEmpty), [nowEmpty]);

  useEffect(() => {
    document.title = page === 'trace' ? `${location.path.split('/')[2] ?? ''} · Fluoro` : `${titles[page]} · Fluoro`;
  }, [page, location.path]);

  const openHelp = useCallback(() => setHelpOpen(true), []);
  useShortcuts(openHelp);
  const onRange = useCallback(
    (next: TimeRange) => setParams({ timeRange: formatTimeRange(next), page: null }),
    [setParams],
  );
  const navigation = useMemo(() => {
    const link = (page: Page, path: string): { type: 'link'; text: string; href: string }[] =>
      mayOpen(page, may) ? [{ type: 'link', text: titles[page], href: href(path, { timeRange: param }) }] : [];
    const security = [
      ...link('findings', '/findings'),
      ...link('audit', '/audit'),
      ...link('access', '/access'),
      ...link('scrubbing', '/scrubbing'),
      ...link('tenant', '/tenant'),
    ];
    return [
      ...link('map', '/service-map'),
      ...link('traces', '/traces'),
      { type: 'divider' as const },
      ...(security.length > 0 ? [{ type: 'section-group' as const, title: 'Security', items: security }, { type: 'divider' as const }] : []),
      ...link('status', '/status'),
    ];
  }, [param, may]);
  const activePath = page === 'trace' ? '/traces' : page === 'map' ? '/service-map' : location.path;
  const loadingFirst = sees && status.isPending;

  return (
    <>
      <TopBar
        status={status.data}
        range={range}
        onRange={onRange}
        showRange={page === 'audit' || ((page === 'map' || page === 'traces') && !nowEmpty)}
        refresh={refresh}
        onRefresh={setRefresh}
        theme={theme}
        onTheme={setTheme}
        live={live}
        onHelp={() => setHelpOpen((open) => !open)}
      />
      <AppLayout
        headerSelector="#top-bar"
        navigationWidth={200}
        navigationOpen={navigationOpen}
        onNavigationChange={({ detail }) => setNavigationOpen(detail.open)}
        navigation={
          <SideNavigation
            activeHref={href(activePath, { timeRange: param })}
            items={navigation}
            onFollow={(event) => {
              event.preventDefault();
              navigate(event.detail.href);
              if (window.innerWidth < 700) {
                setNavigationOpen(false);
              }
            }}
          />
        }
        tools={<Help page={page} />}
        toolsOpen={helpOpen}
        toolsHide={!helpOpen}
        onToolsChange={({ detail }) => setHelpOpen(detail.open)}
        toolsWidth={320}
        maxContentWidth={Number.MAX_VALUE}
        disableContentPaddings={false}
        splitPanelOpen={panel !== null}
        onSplitPanelToggle={({ detail }) => {
          if (!detail.open) {
            panel?.onClose();
          }
        }}
        splitPanelPreferences={{ position }}
        onSplitPanelPreferencesChange={({ detail }) => setPosition(detail.position)}
        {...(panelSize === undefined ? {} : { splitPanelSize: panelSize })}
        onSplitPanelResize={({ detail }) => setPanelSize(detail.size)}
        splitPanel={
          panel ? (
            <SplitPanel header={panel.title} closeBehavior="hide">
              <div ref={setHost} />
            </SplitPanel>
          ) : undefined
        }
        content={
          <PageBoundary resetKey={location.path}>
            {status.isError && !status.data && (
              <div className="fl-notice">
                <ErrorBox error={status.error} onRetry={() => void status.refetch()} />
              </div>
            )}
            <Suspense fallback={<Loading what="page" />}>
              {loadingFirst ? <Loading what="console" /> : <Content page={page} location={location} empty={nowEmpty} />}
            </Suspense>
          </PageBoundary>
        }
      />
    </>
  );
}

/** The console: its frame and the page of the current address. */
export function App() {
  return (
    <PanelProvider>
      <Frame />
    </PanelProvider>
  );
}
