import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useQuota, type Quota } from '../../api/tenant';
import { Loading } from '../../components/Loading';
import { SimpleTable } from '../../components/SimpleTable';
import { Permitted, Trouble } from '../../components/Trouble';
import { formatBytes, formatCount } from '../../lib/format';

const limits: [keyof Quota['limits'], string][] = [
  ['spans', 'Segments and spans a second'],
  ['bytes', 'Bytes a second'],
  ['series', 'Names of services and calls in a day'],
  ['queries', 'Questions a second'],
  ['scans', 'Questions over many traces at once'],
];

function Quotas() {
  const quota = useQuota();
  const { data } = quota;
  const used: Partial<Record<keyof Quota['limits'], number>> = data ? { series: data.series, scans: data.scans } : {};
  const figure = (name: keyof Quota['limits'], value: number | undefined): string =>
    value === undefined ? '–' : name === 'bytes' ? formatBytes(value) : formatCount(value);
  return (
    <>
      {quota.isPending && <Loading what="quotas" lines={3} />}
      {quota.error && <Trouble error={quota.error} what="see quotas" action="fluoro:GetQuota" onRetry={() => void quota.refetch()} />}
      {data && <p className="fl-hint">{data.own ? 'Set for this account.' : 'The defaults of the server.'}</p>}
      {data && (
        <SimpleTable
          caption="Quotas"
          heads={['Quota', 'Limit', 'In use', 'Refused']}
          numbers={['Limit', 'In use', 'Refused']}
          rows={limits.map(([name, text]) => ({
            key: name,
            cells: [text, data.limits[name] ? figure(name, data.limits[name]) : 'none', figure(name, used[name]), formatCount(data.refused[name] ?? 0)],
          }))}
        />
      )}
    </>
  );
}

/** The quotas of the account, what is used of them, and what was refused. */
export function QuotaBox() {
  return (
    <Container header={<Header variant="h2">Quotas</Header>}>
      <Permitted what="see quotas" action="fluoro:GetQuota">
        <Quotas />
      </Permitted>
    </Container>
  );
}
