import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useMakeReport, type Met, type Report } from '../../api/tenant';
import { useMay } from '../../api/session';
import { SimpleTable } from '../../components/SimpleTable';
import { Permitted, Trouble } from '../../components/Trouble';
import { formatFullTime } from '../../lib/format';

const classes: Record<Met, string> = { met: 'fl-met', 'not met': 'fl-not-met', 'not evaluated': 'fl-faint' };

function State({ state }: { state: Met }) {
  return <span className={classes[state]}>{state}</span>;
}

/** Saves a text as a file of the user. */
function save(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function Points({ report }: { report: Report }) {
  const facts = report.facts ?? [];
  return (
    <SimpleTable
      caption="Points of the report"
      heads={['Point', 'State', 'Facts', 'GDPR', 'HIPAA', 'PCI DSS']}
      rows={report.points.map((point) => ({
        key: point.topic,
        cells: [
          <span key="topic" className="fl-point">
            {point.topic}
          </span>,
          <State key="state" state={point.state} />,
          <ul key="facts" className="fl-point-facts">
            {facts
              .filter(({ area }) => (point.areas ?? []).includes(area))
              .map((fact) => (
                <li key={`${fact.area} ${fact.name}`}>
                  <State state={fact.state} />: {fact.area}: {fact.name}: {fact.value}
                </li>
              ))}
            {point.note && <li className="fl-faint">{point.note}</li>}
          </ul>,
          point.gdpr,
          point.hipaa,
          point.pciDss,
        ],
      }))}
    />
  );
}

/** Makes the compliance report, shows it, and gives it as signed JSON or HTML. */
export function ComplianceBox() {
  const make = useMakeReport();
  const may = useMay();
  const { data } = make;
  const report = data?.signed.report;
  return (
    <Container
      header={
        <Header
          variant="h2"
          description="Retention, encryption, access, audit and scrubbing against points of GDPR, HIPAA and PCI DSS"
          actions={
            <Button loading={make.isPending} disabled={!may('fluoro:GetComplianceReport')} onClick={() => make.mutate()}>
              {data ? 'Make a new report' : 'Make a report'}
            </Button>
          }
        >
          Compliance
        </Header>
      }
    >
      {make.error && <Trouble error={make.error} what="make compliance reports" action="fluoro:GetComplianceReport" />}
      {!data && !make.error && (
        <Permitted what="make compliance reports" action="fluoro:GetComplianceReport">
          <p className="fl-hint">A report states how the service is set up at this moment. It is dated and signed.</p>
        </Permitted>
      )}
      {data && report && (
        <div className="fl-form" data-testid="compliance">
          <p role="status">
            Made {formatFullTime(Date.parse(report.made) / 1000)} for account {report.account}. <span className="fl-faint">{report.notice}</span>
          </p>
          <div className="fl-form-buttons">
            <Button onClick={() => save(`compliance-${report.account}.json`, 'application/json', data.json)}>Download JSON (signed)</Button>
            <Button onClick={() => save(`compliance-${report.account}.html`, 'text/html', data.html)}>Download HTML</Button>
          </div>
          <Points report={report} />
        </div>
      )}
    </Container>
  );
}
