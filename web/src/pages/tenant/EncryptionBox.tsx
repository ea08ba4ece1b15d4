import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useState, type ReactNode } from 'react';
import { useDataKeys, useEncryption, usePutEncryption, type DataKeys, type EncryptionConfig } from '../../api/tenant';
import { useMay } from '../../api/session';
import { Confirm } from '../../components/Dialog';
import { Facts } from '../../components/Facts';
import { Choice, TextField } from '../../components/Field';
import { Loading } from '../../components/Loading';
import { Permitted, Trouble } from '../../components/Trouble';
import { formatCount, formatFullTime } from '../../lib/format';

function Keys({ keys }: { keys: DataKeys }) {
  const wrappers = Object.entries(keys.wrapped_by ?? {});
  const facts: [string, ReactNode][] = [
    ['New data', keys.encrypts ? 'is encrypted' : 'is stored in the clear'],
    ['Data keys', formatCount(keys.data_keys)],
    ...(keys.newest_created ? [['Newest', formatFullTime(Date.parse(keys.newest_created) / 1000)] as [string, string]] : []),
    ...(wrappers.length > 0 ? [['Wrapped by', wrappers.map(([key, n]) => `${key} (${formatCount(n)})`).join(', ')] as [string, string]] : []),
    ...(keys.destroyed ? [['Older keys', `destroyed ${formatFullTime(Date.parse(keys.destroyed) / 1000)}`] as [string, string]] : []),
  ];
  return (
    <>
      {keys.problem && (
        <Alert type="error" header="The keys cannot be used">
          {keys.problem}
        </Alert>
      )}
      {keys.pending && (
        <Alert type="warning" header="Some old keys are not under the present key yet">
          {keys.pending}
        </Alert>
      )}
      <Facts facts={facts} />
    </>
  );
}

/** Changes the key, after a question. */
function Switch({ config }: { config: EncryptionConfig }) {
  const [type, setType] = useState<string>(config.Type);
  const [key, setKey] = useState(config.KeyId ?? '');
  const [asking, setAsking] = useState(false);
  const put = usePutEncryption();
  const to = type === 'KMS' ? { Type: 'KMS' as const, KeyId: key.trim() } : { Type: 'NONE' as const };
  const same = type === config.Type && (type === 'NONE' || key.trim() === (config.KeyId ?? ''));
  return (
    <>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          put.reset();
          setAsking(true);
        }}
      >
        <div className="fl-form-row">
          <Choice
            label="Key"
            value={type}
            onChange={setType}
            options={[
              ['NONE', 'Key of the server'],
              ['KMS', 'Key of the KMS'],
            ]}
          />
          <TextField label="Alias, id or ARN" value={key} onChange={setKey} disabled={type === 'NONE'} placeholder="alias/traces" />
          <div>
            <Button formAction="submit" disabled={same || (type === 'KMS' && key.trim() === '')}>
              Change the key
            </Button>
          </div>
        </div>
      </form>
      {asking && (
        <Confirm
          title="Change the encryption key?"
          act="Change"
          onAct={() => put.mutate(to, { onSuccess: () => setAsking(false) })}
          onClose={() => setAsking(false)}
          busy={put.isPending}
          error={put.error}
          action="xray:PutEncryptionConfig"
        >
          <p>
            {type === 'KMS' ? (
              <>
                New data of this account goes under <code>{key.trim()}</code>, and its data keys are wrapped again.
              </>
            ) : (
              'The account returns to the key of the server.'
            )}{' '}
            If the key is disabled or deleted later, nobody can read what is under it.
          </p>
        </Confirm>
      )}
    </>
  );
}

function Setting() {
  const config = useEncryption();
  const may = useMay();
  return (
    <>
      {config.isPending && <Loading what="encryption" lines={2} />}
      {config.error && <Trouble error={config.error} what="see the encryption setting" action="xray:GetEncryptionConfig" onRetry={() => void config.refetch()} />}
      {config.data && (
        <Facts
          facts={[
            ['Setting', config.data.Type === 'KMS' ? <code>{config.data.KeyId}</code> : 'Key of the server'],
            ['Status', config.data.Status],
          ]}
        />
      )}
      {config.data && may('xray:PutEncryptionConfig') && <Switch key={`${config.data.Type} ${config.data.KeyId ?? ''}`} config={config.data} />}
    </>
  );
}

function KeyState() {
  const keys = useDataKeys();
  return (
    <>
      {keys.isPending && <Loading what="data keys" lines={2} />}
      {keys.error && <Trouble error={keys.error} what="see data keys" action="fluoro:GetDataKeys" onRetry={() => void keys.refetch()} />}
      {keys.data && <Keys keys={keys.data} />}
    </>
  );
}

/** How the account is encrypted, and a form to change its key. */
export function EncryptionBox() {
  return (
    <Container header={<Header variant="h2">Encryption at rest</Header>}>
      <div className="fl-form" data-testid="encryption">
        <Permitted what="see data keys" action="fluoro:GetDataKeys">
          <KeyState />
        </Permitted>
        <Permitted what="see the encryption setting" action="xray:GetEncryptionConfig">
          <Setting />
        </Permitted>
      </div>
    </Container>
  );
}
