import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { useChange, useList, type AccessKey, type LastUsed, type Token } from '../../api/access';
import { useMay } from '../../api/session';
import { Copy } from '../../components/Copy';
import { Confirm, Dialog } from '../../components/Dialog';
import { TextField } from '../../components/Field';
import { Trouble } from '../../components/Trouble';
import { formatFullTime } from '../../lib/format';
import { Rows } from './Rows';

const at = (text: string | undefined): string => (text ? formatFullTime(Date.parse(text) / 1000) : '–');

function Used({ used }: { used: LastUsed | null | undefined }) {
  return used?.At ? (
    <span title={`${used.Action ?? ''} from ${used.Address ?? ''}`}>{at(used.At)}</span>
  ) : (
    <span className="fl-faint">never</span>
  );
}

/** Shows a secret for the only time. */
function Secret({ parts, onClose }: { parts: [string, string][]; onClose: () => void }) {
  return (
    <Dialog title="Copy this now" onClose={onClose}>
      <Alert type="warning">The secret is shown only this once. Nobody can read it again.</Alert>
      <dl className="fl-secret" data-testid="secret">
        {parts.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd className="fl-mono fl-wrap">
              {value} <Copy text={value} label={`Copy ${label}`} />
            </dd>
          </div>
        ))}
      </dl>
      <Button variant="primary" onClick={onClose}>
        I have copied it
      </Button>
    </Dialog>
  );
}

function NewCredential({ what, ask, onClose, onMake, busy, error, action }: { what: string; ask: [string, string, string][]; onClose: () => void; onMake: (values: Record<string, string>) => void; busy: boolean; error: Error | null; action: string }) {
  const [values, setValues] = useState<Record<string, string>>({});
  return (
    <Dialog title={what} onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          onMake(values);
        }}
      >
        {ask.map(([name, label, hint]) => (
          <TextField key={name} label={label} hint={hint} value={values[name] ?? ''} onChange={(value) => setValues({ ...values, [name]: value })} />
        ))}
        {error && <Trouble error={error} what="make credentials" action={action} />}
        <div className="fl-form-buttons">
          <Button variant="primary" formAction="submit" loading={busy}>
            Create
          </Button>
          <Button formAction="none" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Access keys of all users: make, rotate, disable and delete them. */
export function Keys() {
  const may = useMay();
  const [making, setMaking] = useState(false);
  const [deleting, setDeleting] = useState<AccessKey | null>(null);
  const [secret, setSecret] = useState<AccessKey | null>(null);
  const query = useList<AccessKey>('ListAccessKeys', 'AccessKeyMetadata');
  const make = useChange<{ AccessKey: AccessKey }>((out) => {
    setMaking(false);
    setSecret(out.AccessKey);
  });
  const change = useChange(() => setDeleting(null));
  return (
    <>
      <Header variant="h2" actions={may('iam:CreateAccessKey') && <Button onClick={() => setMaking(true)}>Create an access key</Button>}>
        Access keys
      </Header>
      {change.error && !deleting && <Trouble error={change.error} what="change access keys" action="iam:UpdateAccessKey" />}
      <Rows
        query={query}
        what="access keys"
        action="iam:ListAccessKeys"
        empty="There is no access key. Applications with an AWS SDK need one."
        heads={['Key', 'User', 'Status', 'Created', 'Last used', '']}
        textOf={(key) => `${key.AccessKeyId} ${key.UserName}`}
        row={(key) => ({
          key: key.AccessKeyId,
          cells: [
            <span className="fl-mono">{key.AccessKeyId}</span>,
            key.UserName,
            key.Status,
            at(key.CreateDate),
            <Used used={key.LastUsed} />,
            <span className="fl-row-tools">
              {may('iam:CreateAccessKey') && (
                <Button variant="inline-link" ariaLabel={`Rotate ${key.AccessKeyId}`} disabled={make.isPending} onClick={() => make.mutate({ verb: 'RotateAccessKey', body: { AccessKeyId: key.AccessKeyId } })}>
                  Rotate
                </Button>
              )}
              {may('iam:UpdateAccessKey') && (
                <Button
                  variant="inline-link"
                  ariaLabel={`${key.Status === 'Active' ? 'Disable' : 'Enable'} ${key.AccessKeyId}`}
                  disabled={change.isPending}
                  onClick={() => change.mutate({ verb: 'UpdateAccessKey', body: { UserName: key.UserName, AccessKeyId: key.AccessKeyId, Status: key.Status === 'Active' ? 'Inactive' : 'Active' } })}
                >
                  {key.Status === 'Active' ? 'Disable' : 'Enable'}
                </Button>
              )}
              {may('iam:DeleteAccessKey') && (
                <Button variant="inline-link" ariaLabel={`Delete ${key.AccessKeyId}`} onClick={() => setDeleting(key)}>
                  Delete
                </Button>
              )}
            </span>,
          ],
        })}
      />
      {make.error && !making && <Trouble error={make.error} what="rotate access keys" action="iam:CreateAccessKey" />}
      {making && (
        <NewCredential
          what="Create an access key"
          action="iam:CreateAccessKey"
          ask={[
            ['user', 'User', 'Empty for a new user of its own.'],
            ['policies', 'Policies', 'Names of managed policies to attach, separated by commas, such as AWSXRayDaemonWriteAccess. A new user needs one.'],
          ]}
          busy={make.isPending}
          error={make.error}
          onClose={() => setMaking(false)}
          onMake={({ user, policies }) => {
            const list = (policies ?? '').split(',').map((name) => name.trim()).filter(Boolean);
            make.mutate({ verb: 'CreateAccessKey', body: { ...(user ? { UserName: user } : {}), ...(list.length > 0 ? { Policies: list } : {}) } });
          }}
        />
      )}
      {deleting && (
        <Confirm title={`Delete ${deleting.AccessKeyId}?`} act="Delete" action="iam:DeleteAccessKey" busy={change.isPending} error={change.error} onClose={() => setDeleting(null)} onAct={() => change.mutate({ verb: 'DeleteAccessKey', body: { UserName: deleting.UserName, AccessKeyId: deleting.AccessKeyId } })}>
          Whoever uses this key of {deleting.UserName} is refused at once.
        </Confirm>
      )}
      {secret && (
        <Secret
          onClose={() => setSecret(null)}
          parts={[
            ['AccessKeyId', secret.AccessKeyId],
            ['SecretAccessKey', secret.SecretAccessKey ?? ''],
          ]}
        />
      )}
    </>
  );
}

/** Bearer tokens: make, disable and delete them. */
export function Tokens() {
  const may = useMay();
  const [making, setMaking] = useState(false);
  const [deleting, setDeleting] = useState<Token | null>(null);
  const [secret, setSecret] = useState<Token | null>(null);
  const query = useList<Token>('ListTokens', 'Tokens');
  const make = useChange<{ Token: Token }>((out) => {
    setMaking(false);
    setSecret(out.Token);
  });
  const change = useChange(() => setDeleting(null));
  return (
    <>
      <Header variant="h2" actions={may('fluoro:CreateToken') && <Button onClick={() => setMaking(true)}>Create a token</Button>}>
        Tokens
      </Header>
      {change.error && !deleting && <Trouble error={change.error} what="change tokens" action="fluoro:UpdateToken" />}
      <Rows
        query={query}
        what="tokens"
        action="fluoro:ListTokens"
        empty="There is no token. OpenTelemetry SDKs and scripts need one."
        heads={['Token', 'Of', 'Description', 'Scopes', 'Expires', 'Last used', 'Status', '']}
        textOf={(token) => `${token.TokenId} ${token.UserName ?? token.RoleName ?? ''} ${token.Description ?? ''}`}
        row={(token) => ({
          key: token.TokenId,
          cells: [
            <span className="fl-mono">{token.TokenId}</span>,
            token.UserName ?? `role ${token.RoleName ?? ''}`,
            token.Description ?? '',
            (token.Scopes ?? ['all']).join(', '),
            token.Expires ? at(token.Expires) : 'never',
            <Used used={token.LastUsed} />,
            token.Status,
            <span className="fl-row-tools">
              {may('fluoro:UpdateToken') && (
                <Button variant="inline-link" ariaLabel={`${token.Status === 'Active' ? 'Disable' : 'Enable'} ${token.TokenId}`} disabled={change.isPending} onClick={() => change.mutate({ verb: 'UpdateToken', body: { TokenId: token.TokenId, Status: token.Status === 'Active' ? 'Inactive' : 'Active' } })}>
                  {token.Status === 'Active' ? 'Disable' : 'Enable'}
                </Button>
              )}
              {may('fluoro:DeleteToken') && (
                <Button variant="inline-link" ariaLabel={`Delete ${token.TokenId}`} onClick={() => setDeleting(token)}>
                  Delete
                </Button>
              )}
            </span>,
          ],
        })}
      />
      {making && (
        <NewCredential
          what="Create a token"
          action="fluoro:CreateToken"
          ask={[
            ['UserName', 'User', 'Whose rights the token has.'],
            ['Description', 'Description', 'What it is for.'],
            ['scopes', 'Scopes', 'Actions that it may use, such as xray:PutSpans; * and ? as in policies; empty for all of the user.'],
            ['days', 'Days', 'How long it is valid; empty for no end.'],
          ]}
          busy={make.isPending}
          error={make.error}
          onClose={() => setMaking(false)}
          onMake={({ UserName, Description, scopes, days }) => {
            const list = (scopes ?? '').split(',').map((name) => name.trim()).filter(Boolean);
            const end = Number(days) > 0 ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : undefined;
            make.mutate({ verb: 'CreateToken', body: { UserName, ...(Description ? { Description } : {}), ...(list.length > 0 ? { Scopes: list } : {}), ...(end ? { Expires: end } : {}) } });
          }}
        />
      )}
      {deleting && (
        <Confirm title={`Delete ${deleting.TokenId}?`} act="Delete" action="fluoro:DeleteToken" busy={change.isPending} error={change.error} onClose={() => setDeleting(null)} onAct={() => change.mutate({ verb: 'DeleteToken', body: { TokenId: deleting.TokenId } })}>
          Whoever uses this token is refused at once.
        </Confirm>
      )}
      {secret && <Secret onClose={() => setSecret(null)} parts={[['Token', secret.Token ?? '']]} />}
    </>
  );
}
