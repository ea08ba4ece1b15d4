import { useState, type ReactNode } from 'react';
import type { Json, JsonObject } from '../api/shapes';
import { annotationFilter, keywordFilter, serviceFilter } from '../lib/filter';
import { formatBytes, formatDuration, formatFullTime, formatUtc } from '../lib/format';
import { href } from '../lib/router';
import { objectOf, statusOf, textOf, type Entity, type TraceModel } from '../lib/tracemodel';
import { CompactTabs } from './CompactTabs';
import { Copy } from './Copy';
import { Filterable } from './Filterable';
import { JsonTree } from './JsonTree';
import { OutcomeText } from './Outcome';
import './code.css';
import './RawJson.css';
import './SegmentDetails.css';

interface Row {
  label: string;
  value: ReactNode;
}

function Rows({ rows }: { rows: Row[] }) {
  return (
    <dl className="fl-details">
      {rows.map(({ label, value }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** The scalars of an object as rows, nested objects flattened to dotted labels, arrays as JSON. */
function flatRows(object: JsonObject, prefix = '', depth = 0): Row[] {
  return Object.entries(object).flatMap(([key, value]): Row[] => {
    const label = prefix ? `${prefix}.${key}` : key;
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && depth < 6) {
      return flatRows(value, label, depth + 1);
    }
    return [{ label, value: <Filterable value={typeof value === 'string' ? value : JSON.stringify(value)} mono /> }];
  });
}

function Overview({ entity, model, onSelect }: { entity: Entity; model: TraceModel; onSelect: (id: string) => void }) {
  const document = entity.document;
  const owner = model.rows[entity.segment];
  const parent = model.rows[entity.parent];
  const service = objectOf(document['service']);
  const sdk = objectOf(objectOf(document['aws'])['xray']);
  const rows: Row[] = [
    {
      label: 'Name',
      value:
        entity.hidden > 0 ? (
          <span>{entity.name}</span>
        ) : entity.kind === 'segment' ? (
          <Filterable value={entity.name} filter={serviceFilter({ name: entity.name, type: entity.origin || null })} />
        ) : (
          <Filterable value={entity.name} />
        ),
    },
    { label: 'Outcome', value: <OutcomeText outcome={entity.outcome} /> },
    { label: 'Start', value: <span title={formatUtc(entity.start)}>{formatFullTime(entity.start)}</span> },
    { label: 'After trace start', value: formatDuration(entity.start - model.start) },
    { label: 'Duration', value: entity.end === null ? 'In progress' : formatDuration(entity.end - entity.start) },
    {
      label: 'Kind',
      value: entity.hidden > 0
        ? 'Placeholder: your permissions do not include these segments; its times are those of the segments around it'
        : entity.missing
        ? 'Placeholder: the segment was not received'
        : entity.inferred
        ? 'Inferred segment: made from the call, because the callee sent none'
        : `${entity.kind === 'segment' ? 'Segment' : 'Subsegment'}${entity.namespace ? `, ${entity.namespace}` : ''}`,
    },
    { label: 'Id', value: <Filterable value={textOf(document['id'])} mono /> },
  ];
  if (entity.missing) {
    rows.push({ label: 'Why', value: <span>{entity.missing}</span> });
  }
  const add = (label: string, value: string, filter?: string): void => {
    if (value) {
      rows.push({ label, value: <Filterable value={value} {...(filter === undefined ? {} : { filter })} /> });
    }
  };
  if (entity.kind === 'subsegment' && owner && owner !== entity) {
    rows.push({ label: 'Part of segment', value: <Jump entity={owner} onSelect={onSelect} /> });
  }
  if (parent) {
    rows.push({ label: 'Parent', value: <Jump entity={parent} onSelect={onSelect} /> });
  } else if (entity.orphan) {
    rows.push({ label: 'Parent', value: <span>{textOf(document['parent_id'])} (not in this trace)</span> });
  }
  add('Origin', entity.origin);
  const user = textOf(document['user']);
  add('User', user, keywordFilter('user', user));
  const arn = textOf(document['resource_arn']);
  add('Resource ARN', arn, keywordFilter('resource.arn', arn));
  add('Version', textOf(service['version']));
  add('Runtime', [textOf(service['runtime']), textOf(service['runtime_version'])].filter(Boolean).join(' '));
  add('SDK', [textOf(sdk['sdk']), textOf(sdk['sdk_version'])].filter(Boolean).join(' '));
  add('Sampling rule', textOf(sdk['sampling_rule_name']) || textOf(sdk['rule_name']));
  return (
    <>
      <Rows rows={rows} />
      <Links links={document['links']} />
    </>
  );
}

function Jump({ entity, onSelect }: { entity: Entity; onSelect: (id: string) => void }) {
  return (
    <button type="button" className="fl-link" onClick={() => onSelect(entity.id)}>
      {entity.name}
    </button>
  );
}

function Links({ links }: { links: Json | undefined }) {
  const linked = (Array.isArray(links) ? links : []).map(objectOf).filter((link) => textOf(link['trace_id']) !== '');
  if (linked.length === 0) {
    return null;
  }
  return (
    <section className="fl-section">
      <h3>Linked traces</h3>
      <ul>
        {linked.map((link, i) => (
          <li key={`${textOf(link['trace_id'])} ${i}`}>
            <a className="fl-mono" href={href(`/traces/${textOf(link['trace_id'])}`, { segment: textOf(link['id']) || null })}>
              {textOf(link['trace_id'])}
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface Frame {
  path: string;
  line: string;
  label: string;
}

function framesOf(exception: JsonObject): Frame[] {
  const stack = exception['stack'];
  return (Array.isArray(stack) ? stack : []).map(objectOf).map((frame) => ({
    path: textOf(frame['path']),
    line: typeof frame['line'] === 'number' || typeof frame['line'] === 'string' ? String(frame['line']) : '',
    label: textOf(frame['label']),
  }));
}

function stackText(exception: JsonObject): string {
  const head = `${textOf(exception['type'])}: ${textOf(exception['message'])}`;
  return [head, ...framesOf(exception).map((frame) => `  at ${frame.label} (${frame.path}:${frame.line})`)].join('\n');
}

/** Library code: shown fainter, so that the app's own frames stand out. */
function isLibrary(path: string): boolean {
  return /node_modules|site-packages|dist-packages|\/usr\/lib|\/go\/pkg\/mod|(^|\/)(java|javax|sun|jdk)[./]|^node:|org\/(apache|springframework)/.test(path);
}

const framesShown = 30;

function ExceptionView({ exception }: { exception: JsonObject }) {
  const [all, setAll] = useState(false);
  const frames = framesOf(exception);
  const truncated = exception['truncated'];
  return (
    <section className="fl-exception">
      <header>
        <strong>{textOf(exception['type']) || 'Exception'}</strong>
        {exception['remote'] === true && <span className="fl-flag">remote</span>}
        <Copy text={() => stackText(exception)} label="Copy the exception" />
      </header>
      {textOf(exception['message']) !== '' && <p className="fl-exception-message">{textOf(exception['message'])}</p>}
      {frames.length > 0 && (
        <ol className="fl-stack">
          {(all ? frames : frames.slice(0, framesShown)).map((frame, i) => (
            <li key={i} className={isLibrary(frame.path) ? 'fl-library' : undefined}>
              <span className="fl-frame-label">{frame.label || '(anonymous)'}</span>
              <span className="fl-frame-path">
                {frame.path}
                {frame.line ? `:${frame.line}` : ''}
              </span>
            </li>
          ))}
        </ol>
      )}
      {frames.length > framesShown && !all && (
        <button type="button" className="fl-link" onClick={() => setAll(true)}>
          {frames.length - framesShown} more frames
        </button>
      )}
      {typeof truncated === 'number' && truncated > 0 && <p className="fl-hint">{truncated} more frames were dropped by the sender.</p>}
    </section>
  );
}

/** Finds the entity with an exception; a cause may be only the exception's id. */
function findException(model: TraceModel, id: string): Entity | undefined {
  return model.rows.find((entity) => {
    const exceptions = objectOf(entity.document['cause'])['exceptions'];
    return Array.isArray(exceptions) && exceptions.some((exception) => textOf(objectOf(exception)['id']) === id);
  });
}

function Exceptions({ entity, model, onSelect }: { entity: Entity; model: TraceModel; onSelect: (id: string) => void }) {
  const cause = entity.document['cause'];
  const causeId = textOf(cause) || textOf(objectOf(cause)['id']);
  const exceptions = objectOf(cause)['exceptions'];
  const list = (Array.isArray(exceptions) ? exceptions : []).map(objectOf);
  const owner = causeId && list.length === 0 ? findException(model, causeId) : undefined;
  return (
    <>
      {owner && (
        <p>
          The exception was raised in <Jump entity={owner} onSelect={onSelect} />.
        </p>
      )}
      {causeId && list.length === 0 && !owner && (
        <p>
          Caused by exception <code>{causeId}</code>, which is not in this trace.
        </p>
      )}
      {textOf(objectOf(cause)['message']) !== '' && <p>{textOf(objectOf(cause)['message'])}</p>}
      {list.map((exception, i) => (
        <ExceptionView key={i} exception={exception} />
      ))}
      {textOf(objectOf(cause)['working_directory']) !== '' && (
        <Rows rows={[{ label: 'Working directory', value: <Filterable value={textOf(objectOf(cause)['working_directory'])} mono /> }]} />
      )}
    </>
  );
}

function Http({ document }: { document: JsonObject }) {
  const http = objectOf(document['http']);
  const request = objectOf(http['request']);
  const response = objectOf(http['response']);
  const status = statusOf(document);
  const filters: Record<string, string> = { url: 'http.url', method: 'http.method', client_ip: 'http.clientip', user_agent: 'http.useragent' };
  const rows: Row[] = Object.entries(request).map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const keyword = filters[key];
    return { label: `Request ${key.replaceAll('_', ' ')}`, value: <Filterable value={text} {...(keyword ? { filter: keywordFilter(keyword, text) } : {})} /> };
  });
  for (const [key, value] of Object.entries(response)) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    if (key === 'status' && status !== null) {
      rows.push({ label: 'Response status', value: <Filterable value={text} filter={keywordFilter('http.status', status)} /> });
    } else if (key === 'content_length' && typeof value === 'number' && value >= 1024) {
      rows.push({ label: 'Response content length', value: <Filterable value={`${text} (${formatBytes(value)})`} /> });
    } else {
      rows.push({ label: `Response ${key.replaceAll('_', ' ')}`, value: <Filterable value={text} /> });
    }
  }
  return <Rows rows={rows} />;
}

function Sql({ document }: { document: JsonObject }) {
  const { sanitized_query: query, ...rest } = objectOf(document['sql']);
  return (
    <>
      {textOf(query) !== '' && (
        <div className="fl-code">
          <pre tabIndex={0} aria-label="Query">
            <code>{textOf(query)}</code>
          </pre>
          <Copy text={textOf(query)} label="Copy the query">
            Copy
          </Copy>
        </div>
      )}
      <Rows rows={flatRows(rest)} />
    </>
  );
}

function Annotations({ document }: { document: JsonObject }) {
  return (
    <Rows
      rows={Object.entries(objectOf(document['annotations'])).map(([key, value]) => {
        const scalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
        return {
          label: key,
          value: <Filterable value={typeof value === 'string' ? value : JSON.stringify(value)} {...(scalar ? { filter: annotationFilter(key, value) } : {})} />,
        };
      })}
    />
  );
}

function RawDocument({ document }: { document: JsonObject }) {
  return (
    <>
      <div className="fl-raw-tools">
        <Copy text={() => JSON.stringify(document, null, 2)} label="Copy the document">
          Copy document
        </Copy>
      </div>
      <JsonTree value={document} />
    </>
  );
}

interface Props {
  entity: Entity;
  model: TraceModel;
  onSelect: (id: string) => void;
}

/** Shows one segment or subsegment, with a tab for each section of its document. */
export function SegmentDetails({ entity, model, onSelect }: Props) {
  const [tab, setTab] = useState('overview');
  const { document } = entity;
  const has = (key: string): boolean => Object.keys(objectOf(document[key])).length > 0;
  const exceptions = objectOf(document['cause'])['exceptions'];
  const count = Array.isArray(exceptions) ? exceptions.length : 0;
  const tabs = [
    { id: 'overview', label: 'Overview', content: <Overview entity={entity} model={model} onSelect={onSelect} /> },
    ...(document['cause'] !== undefined && document['cause'] !== null
      ? [{ id: 'exceptions', label: `Exceptions${count > 0 ? ` (${count})` : ''}`, content: <Exceptions entity={entity} model={model} onSelect={onSelect} /> }]
      : []),
    ...(has('http') ? [{ id: 'http', label: 'HTTP', content: <Http document={document} /> }] : []),
    ...(has('sql') ? [{ id: 'sql', label: 'SQL', content: <Sql document={document} /> }] : []),
    ...(has('aws') ? [{ id: 'resources', label: 'Resources', content: <Rows rows={flatRows(objectOf(document['aws']))} /> }] : []),
    ...(has('annotations') ? [{ id: 'annotations', label: 'Annotations', content: <Annotations document={document} /> }] : []),
    ...(has('metadata') ? [{ id: 'metadata', label: 'Metadata', content: <JsonTree value={objectOf(document['metadata'])} /> }] : []),
    { id: 'raw', label: 'Raw', content: <RawDocument document={document} /> },
  ];
  // The chosen tab stays open for the next segment; a segment without it shows its overview.
  const active = tabs.some(({ id }) => id === tab) ? tab : 'overview';
  return (
    <div data-testid="segment-drawer" className="fl-drawer">
      <CompactTabs label="Sections of the document" tabs={tabs} active={active} onChange={setTab} />
    </div>
  );
}
