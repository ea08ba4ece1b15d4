import Header from '@cloudscape-design/components/header';
import { useMay } from '../api/session';
import { href, useLocation } from '../lib/router';
import { Keys, Tokens } from './access/Credentials';
import { Policies } from './access/Policies';
import { Principals } from './access/Principals';
import './AccessPage.css';

/** The parts of the page: name in the address, label, the action that lists them. */
const parts = [
  ['users', 'Users', 'iam:ListUsers'],
  ['groups', 'Groups', 'iam:ListGroups'],
  ['roles', 'Roles', 'iam:ListRoles'],
  ['policies', 'Policies', 'iam:ListPolicies'],
  ['keys', 'Access keys', 'iam:ListAccessKeys'],
  ['tokens', 'Tokens', 'fluoro:ListTokens'],
] as const;

/** The actions that make this page useful: one of them is enough. */
export const accessActions: string[] = parts.map(([, , action]) => action);

/** Users, groups, roles, policies and credentials of the account. */
export default function AccessPage() {
  const may = useMay();
  const { params } = useLocation();
  const seen = parts.filter(([, , action]) => may(action));
  const part = parts.find(([name]) => name === params.get('part'))?.[0] ?? seen[0]?.[0] ?? 'users';
  return (
    <div className="fl-page" data-testid="access-page">
      <Header variant="h1" description="Who may use this account, and with which credentials">
        Access
      </Header>
      <nav className="fl-parts" aria-label="Parts of this page">
        {parts.map(([name, label, action]) => (
          <a key={name} href={href('/access', { part: name })} aria-current={name === part ? 'page' : undefined} className={may(action) ? undefined : 'fl-faint'} title={may(action) ? undefined : `Needs ${action}`}>
            {label}
          </a>
        ))}
      </nav>
      {part === 'users' && <Principals key="User" kind="User" />}
      {part === 'groups' && <Principals key="Group" kind="Group" />}
      {part === 'roles' && <Principals key="Role" kind="Role" />}
      {part === 'policies' && <Policies />}
      {part === 'keys' && <Keys />}
      {part === 'tokens' && <Tokens />}
    </div>
  );
}
