import Button from '@cloudscape-design/components/button';
import ButtonDropdown from '@cloudscape-design/components/button-dropdown';
import { useQueryClient, useIsFetching } from '@tanstack/react-query';
import { signOut, useSession } from '../api/session';
import type { Status } from '../api/shapes';
import { TimeRangePicker } from '../components/TimeRangePicker';
import { href, navigate } from '../lib/router';
import type { TimeRange } from '../lib/timerange';
import type { LiveState } from './live';
import { themes, useLinkedAccounts, type LinkedAccounts, type Refresh, type Theme } from './preferences';
import './TopBar.css';

interface Props {
  status: Status | undefined;
  range: TimeRange;
  onRange: (range: TimeRange) => void;
  showRange: boolean;
  refresh: Refresh;
  onRefresh: (refresh: Refresh) => void;
  theme: Theme;
  onTheme: (theme: Theme) => void;
  live: LiveState;
  onHelp: () => void;
}

const refreshLabels: Record<Refresh, string> = {
  live: 'Live',
  off: 'Off',
  '10': 'Every 10 s',
  '30': 'Every 30 s',
  '60': 'Every 60 s',
};

const themeLabels: Record<Theme, string> = { light: 'Light', dark: 'Dark', system: 'Same as system' };

const themeIcons: Record<Theme, string> = {
  light: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13',
  dark: 'M13.5 9.7A6 6 0 0 1 6.3 2.5 6 6 0 1 0 13.5 9.7Z',
  system: 'M2 3h12v8H2ZM5.5 13.5h5',
};

function entries<K extends string>(labels: Record<K, string>): [K, string][] {
  return Object.entries(labels) as [K, string][];
}

function Mark() {
  return (
    <svg className="fl-mark" viewBox="0 0 32 32" aria-hidden="true">
      <circle className="fl-mark-ring" cx="16" cy="16" r="11" />
      <circle className="fl-mark-core" cx="16" cy="16" r="4" />
    </svg>
  );
}

function LiveDot({ refresh, live, following }: { refresh: Refresh; live: LiveState; following: boolean }) {
  if (live === 'lost') {
    return (
      <span className="fl-live fl-live-lost" role="status">
        <i aria-hidden="true" />
        Connection lost
      </span>
    );
  }
  if (refresh !== 'live' || !following) {
    return null;
  }
  return (
    <span className="fl-live" title="New traces appear by themselves">
      <i aria-hidden="true" />
      Live
    </span>
  );
}

const linkedLabels: Record<LinkedAccounts, string> = { include: 'Included', exclude: 'Only this account' };

/** Chooses whether pages show the traces of linked accounts. */
function LinkedSwitch({ accounts }: { accounts: string[] }) {
  const [linked, setLinked] = useLinkedAccounts();
  const client = useQueryClient();
  return (
    <div>
      <dt>
        <label htmlFor="fl-linked">Linked accounts</label>
      </dt>
      <dd>
        <select
          id="fl-linked"
          title={accounts.join(', ')}
          value={linked}
          onChange={(event) => {
            setLinked(event.target.value as LinkedAccounts);
            void client.resetQueries();
          }}
        >
          {entries(linkedLabels).map(([id, text]) => (
            <option key={id} value={id}>
              {text}
            </option>
          ))}
        </select>
      </dd>
    </div>
  );
}

/** Who is signed in: leads to their own page, and signs out. */
function UserMenu({ name, arn }: { name: string; arn: string }) {
  return (
    <div data-testid="user-menu">
      <ButtonDropdown
        ariaLabel={`User ${name}`}
        items={[
          { id: 'account', text: 'My account and sessions', description: arn },
          { id: 'out', text: 'Sign out' },
        ]}
        onItemClick={({ detail }) => (detail.id === 'out' ? void signOut() : navigate(href('/account')))}
      >
        {name.length > 24 ? `${name.slice(0, 23)}…` : name}
      </ButtonDropdown>
    </div>
  );
}

/** The bar above every page: product, account and region, time range, refresh, theme, help. */
export function TopBar(props: Props) {
  const { status, range, refresh, theme, live } = props;
  const session = useSession();
  const client = useQueryClient();
  const fetching = useIsFetching() > 0;
  return (
    <header id="top-bar" className="fl-top">
      <a className="fl-brand" href={href('/service-map')} aria-label="Fluoro, trace map">
        <Mark />
        <span>Fluoro</span>
      </a>
      <dl className="fl-where">
        <div>
          <dt>Account</dt>
          <dd>{status?.account ?? session?.account ?? '…'}</dd>
        </div>
        <div>
          <dt>Region</dt>
          <dd>{status?.region ?? session?.region ?? '…'}</dd>
        </div>
        {(status?.linked ?? []).length > 0 && <LinkedSwitch accounts={status?.linked ?? []} />}
      </dl>
      <div className="fl-top-space" />
      <LiveDot refresh={refresh} live={live} following={range.kind === 'relative'} />
      {props.showRange && (
        <div className="fl-top-range">
          <TimeRangePicker range={range} onChange={props.onRange} />
        </div>
      )}
      <div className="fl-top-tools">
        <ButtonDropdown
          ariaLabel="Refresh"
          items={entries(refreshLabels).map(([id, text]) => ({ id, text, itemType: 'checkbox', checked: id === refresh }))}
          mainAction={{
            iconName: 'refresh',
            ariaLabel: 'Refresh now',
            loading: fetching && refresh !== 'live',
            onClick: () => void client.invalidateQueries(),
          }}
          onItemClick={({ detail }) => props.onRefresh(detail.id as Refresh)}
        />
        <button
          type="button"
          className="fl-tool"
          aria-label={`Theme: ${themeLabels[theme]}`}
          title={`Theme: ${themeLabels[theme]}`}
          onClick={() => props.onTheme(themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system')}
        >
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d={themeIcons[theme]} />
          </svg>
        </button>
        <Button variant="icon" iconName="status-info" ariaLabel="Help" onClick={props.onHelp} />
        {session?.session && <UserMenu name={session.name} arn={session.arn} />}
      </div>
    </header>
  );
}
