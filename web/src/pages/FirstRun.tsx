import Box from '@cloudscape-design/components/box';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Tabs from '@cloudscape-design/components/tabs';
import { useEffect, useState } from 'react';
import { useStatus } from '../api/queries';
import type { Refused, Status } from '../api/shapes';
import { Copy } from '../components/Copy';
import { formatTime, formatUtc } from '../lib/format';
import '../components/code.css';
import './FirstRun.css';

/** The address to send to, as seen from this browser: a listener on all interfaces gets the page's host name. */
function reachable(address: string | undefined, fallbackPort: number): string {
  const match = /^(.*):(\d+)$/.exec(address ?? '');
  const host = match?.[1] ?? '';
  const port = match?.[2] ?? String(fallbackPort);
  const anywhere = host === '' || host === '0.0.0.0' || host === '[::]' || host === '*';
  return `${anywhere ? window.location.hostname : host}:${port}`;
}

function listener(status: Status | undefined, protocol: string): string | undefined {
  return status?.listeners?.find((entry) => entry.protocol === protocol)?.address;
}

function Code({ text, label }: { text: string; label: string }) {
  return (
    <div className="fl-code">
      <pre tabIndex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
      <Copy text={text} label={`Copy: ${label}`}>
        Copy
      </Copy>
    </div>
  );
}

function Way({ number, title, text, code, label }: { number: number; title: string; text: string; code: string; label: string }) {
  return (
    <section className="fl-way">
      <span className="fl-way-number" aria-hidden="true">
        {number}
      </span>
      <div>
        <h2>{title}</h2>
        <p>{text}</p>
        <Code text={code} label={label} />
      </div>
    </section>
  );
}

/** One line about the newest refused packet. */
function LastRefused({ refused }: { refused: Refused | undefined }) {
  if (!refused) {
    return <p className="fl-wait-note">Nothing has been refused so far.</p>;
  }
  return (
    <p className="fl-wait-note fl-wait-refused" data-testid="last-refused">
      Last refused{' '}
      <time dateTime={formatUtc(refused.time)} title={formatUtc(refused.time)}>
        {formatTime(refused.time)}
      </time>
      : {refused.protocol} from <code>{refused.source}</code>, <strong>{refused.reason}</strong>
      {refused.message ? `: ${refused.message}` : ''}
    </p>
  );
}

function elapsedText(seconds: number): string {
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The first screen of a new installation: three ways to send a trace, and a line that waits for it. */
export default function FirstRun() {
  const status = useStatus(1500);
  const [since] = useState(() => Date.now());
  const [now, setNow] = useState(since);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const udp = reachable(listener(status.data, 'udp'), 2000);
  const http = reachable(listener(status.data, 'http'), 2000);
  // The SDKs take one address for both, or one for each.
  const daemon = udp === http ? udp : `'tcp:${http} udp:${udp}'`;
  const otlpHttp = reachable(listener(status.data, 'otlp-http'), 4318);
  const otlpGrpc = reachable(listener(status.data, 'otlp-grpc'), 4317);
  const otlp = (endpoint: string, protocol: string): string =>
    `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${endpoint}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=${protocol}\nexport OTEL_TRACES_EXPORTER=otlp\nexport OTEL_SERVICE_NAME=my-service`;
  return (
    <div className="fl-first" data-testid="first-run">
      <div className="fl-hero">
        <h1>Send your first trace</h1>
        <p>Fluoro is running and listening. Point an app at it with one of these; nothing in the app has to change.</p>
      </div>
      <div className="fl-wait" role="status" data-testid="waiting">
        <span className="fl-wait-pulse" aria-hidden="true" />
        <div>
          <p className="fl-wait-line">
            {status.isError ? 'The server does not answer.' : `Waiting for the first trace, ${elapsedText(Math.max(0, Math.round((now - since) / 1000)))}`}
          </p>
          {!status.isError && <LastRefused refused={status.data?.refused?.[0]} />}
        </div>
      </div>
      <Container header={<Header variant="h2">Three ways</Header>} disableContentPaddings={false}>
        <div className="fl-ways">
          <Way
            number={1}
            title="An app with an AWS X-Ray SDK"
            text="The SDKs send to the address of the X-Ray daemon. Point them at Fluoro instead:"
            code={`export AWS_XRAY_DAEMON_ADDRESS=${daemon}`}
            label="X-Ray SDK environment"
          />
          <section className="fl-way">
            <span className="fl-way-number" aria-hidden="true">
              2
            </span>
            <div>
              <h2>An app with OpenTelemetry</h2>
              <p>Any OpenTelemetry SDK or collector exports here:</p>
              <Tabs
                tabs={[
                  {
                    id: 'http',
                    label: 'OTLP over HTTP',
                    content: <Code text={otlp(otlpHttp, 'http/protobuf')} label="OpenTelemetry environment, HTTP" />,
                  },
                  {
                    id: 'grpc',
                    label: 'OTLP over gRPC',
                    content: <Code text={otlp(otlpGrpc, 'grpc')} label="OpenTelemetry environment, gRPC" />,
                  },
                ]}
              />
            </div>
          </section>
          <Way
            number={3}
            title="No app yet"
            text="The demo is a small shop of several services, with load, that you can break on purpose:"
            code="fluoro demo"
            label="Demo command"
          />
        </div>
      </Container>
      <Box color="text-body-secondary" fontSize="body-s" margin={{ top: 's' }} textAlign="center">
        When the first trace arrives, this page becomes the trace map.
      </Box>
    </div>
  );
}
