import HelpPanel from '@cloudscape-design/components/help-panel';
import type { ReactNode } from 'react';
import type { Page } from './App';
import './Help.css';

function Keys({ rows }: { rows: [string, string][] }) {
  return (
    <table className="fl-keys">
      <tbody>
        {rows.map(([key, text]) => (
          <tr key={key}>
            <th scope="row">
              {key.split(' ').map((part) => (
                <kbd key={part}>{part}</kbd>
              ))}
            </th>
            <td>{text}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const everywhere: [string, string][] = [
  ['g m', 'Trace map'],
  ['g t', 'Traces'],
  ['g s', 'Status'],
  ['g a', 'Audit log'],
  ['?', 'This help'],
];

const pages: Record<Page, { header: string; text: ReactNode; keys: [string, string][] }> = {
  map: {
    header: 'Trace map',
    text: (
      <>
        <p>
          Each circle is a service; its ring shows the shares of ok, error (4xx), fault (5xx) and throttled (429) requests. Inside are the average
          response time and the requests per minute. A dashed circle is inferred: the service sent no segments, only its callers report it.
        </p>
        <p>
          Choose a circle for the figures that a service reported, or a line for those that the caller reported, with network time. The time
          range counts when data was received, and covers at most six hours.
        </p>
      </>
    ),
    keys: [
      ['Tab', 'Into the map'],
      ['← → ↑ ↓', 'Caller, callee, neighbours'],
      ['Enter', 'Open the node'],
      ['+ - 0', 'Zoom in, out, fit'],
      ['Esc', 'Close the panel'],
    ],
  },
  traces: {
    header: 'Traces',
    text: (
      <>
        <p>
          The filter is an X-Ray filter expression. Joined terms mean <em>and</em>. A pasted trace id (X-Ray or W3C form, or a whole trace header)
          opens that trace.
        </p>
        <ul className="fl-examples">
          {[
            'fault',
            'responsetime > 1',
            'http.url CONTAINS "/api/"',
            'http.status = 404',
            'annotation.plan = "gold"',
            'user = "alice"',
            'service("api") { fault }',
            'edge("web", "api")',
          ].map((example) => (
            <li key={example}>
              <code>{example}</code>
            </li>
          ))}
        </ul>
        <p>Fault, error and throttle describe the root segment, that is, the answer to the client.</p>
      </>
    ),
    keys: [
      ['/', 'Filter'],
      ['j k', 'Next, previous trace'],
      ['o', 'Open the trace'],
    ],
  },
  trace: {
    header: 'Trace',
    text: (
      <p>
        The timeline shows segments and their subsegments by time. An inferred segment is made from the call to a service that sent no segment
        itself. An open bar is still in progress. Drag over the overview to zoom in.
      </p>
    ),
    keys: [
      ['j k', 'Next, previous row'],
      ['← →', 'Collapse, expand'],
      ['[ ]', 'Collapse, expand all'],
      ['e', 'Next error'],
      ['Enter', 'Open the segment'],
      ['Esc', 'Close the segment'],
    ],
  },
  status: {
    header: 'Status',
    text: (
      <p>
        The received, refused and dropped documents, by address and reason. A packet that is not counted here did not reach this server: check the
        address the SDK sends to.
      </p>
    ),
    keys: [],
  },
  audit: {
    header: 'Audit log',
    text: (
      <>
        <p>
          Each request of a known caller leaves a record in the form of AWS CloudTrail. The time range above counts. Texts match a part of the
          caller&apos;s name, ARN or key; an action may contain <code>*</code>.
        </p>
        <p>
          You see the records of your own account. The server&apos;s own account may name another one, or <code>*</code> for all.
        </p>
      </>
    ),
    keys: [['Esc', 'Close the record']],
  },
  scrubbing: {
    header: 'Scrubbing',
    text: (
      <>
        <p>
          Rules remove values from segments and spans before they are stored. <em>Keys</em> and <em>paths</em> say where a rule looks,{' '}
          <em>pattern</em> and <em>detectors</em> which part of the text it takes. A change counts from the next request on.
        </p>
        <p>
          A dry run counts and changes nothing. A keyed hash can still be joined: equal values have equal hashes. To remove values that are stored
          already, start a job below the rules.
        </p>
      </>
    ),
    keys: [],
  },
  tenant: {
    header: 'Tenant',
    text: (
      <>
        <p>
          An account is a tenant: its traces, rules and keys are its own. A request over a quota waits up to a second and is then refused; SDKs try
          again.
        </p>
        <p>
          A link shows the traces that a source account receives from then on to the account of a sink. Nothing is copied: a deleted link ends at
          once.
        </p>
      </>
    ),
    keys: [],
  },
  findings: {
    header: 'Security findings',
    text: (
      <p>
        What is new or unusual in the traces: calls, clients and hosts that were never seen, unusual sizes and rates. Each finding has its first trace as
        evidence. Decide about it, so that others know.
      </p>
    ),
    keys: [],
  },
  access: {
    header: 'Access',
    text: (
      <p>
        Users, groups and roles have policies in the language of AWS IAM. Applications sign with access keys or send tokens; people have passwords and
        passkeys. Secrets are shown once.
      </p>
    ),
    keys: [],
  },
  account: {
    header: 'My account',
    text: <p>Your sessions in all browsers, your password and your passkeys. End sessions that you do not know.</p>,
    keys: [],
  },
  unknown: { header: 'Help', text: null, keys: [] },
};

/** The help of a page: its content and its keys. */
export function Help({ page }: { page: Page }) {
  const { header, text, keys } = pages[page];
  return (
    <HelpPanel header={<h2>{header}</h2>}>
      {text}
      <h3>Keys</h3>
      <Keys rows={[...keys, ...everywhere]} />
    </HelpPanel>
  );
}
