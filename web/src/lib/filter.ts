/** Outcomes in the order X-Ray counts them: throttle before fault before error before ok. */
export type Outcome = 'ok' | 'error' | 'fault' | 'throttle';

/** The identity of a node of the map. */
export interface NodeId {
  name: string;
  type: string | null;
  /** The account of a node of a linked account. */
  account?: string;
}

/** Quotes a string for a filter expression (JSON escapes). */
export function quote(text: string): string {
  return JSON.stringify(text);
}

/** `id(name: "n", type: "t", account.id: "a")`; type and account are left out when the node has none. */
export function nodeSelector(node: NodeId): string {
  const type = node.type === null || node.type === '' ? '' : `, type: ${quote(node.type)}`;
  const account = node.account ? `, account.id: ${quote(node.account)}` : '';
  return `id(name: ${quote(node.name)}${type}${account})`;
}

/** Narrows a node or an edge: outcomes (any of them) and a range of response times in seconds. */
export interface Narrowing {
  outcomes?: Outcome[];
  responseTime?: { from: number; to: number };
}

function body(narrowing: Narrowing): string {
  const outcomes = narrowing.outcomes ?? [];
  const terms: string[] = [];
  if (outcomes.length > 0 && outcomes.length < 4) {
    const any = outcomes.join(' OR ');
    terms.push(outcomes.length > 1 && narrowing.responseTime ? `(${any})` : any);
  }
  if (narrowing.responseTime) {
    const { from, to } = narrowing.responseTime;
    terms.push(`responsetime >= ${number(from)} AND responsetime <= ${number(to)}`);
  }
  return terms.length > 0 ? ` { ${terms.join(' AND ')} }` : '';
}

function number(value: number): string {
  return String(Number(value.toFixed(6)));
}

/** Traces that touch a node: `service(id(name: "n", type: "t")) { fault }`. */
export function serviceFilter(node: NodeId, narrowing: Narrowing = {}): string {
  return `service(${nodeSelector(node)})${body(narrowing)}`;
}

/** Traces with a call between two nodes: `edge(id(…), id(…)) { error }`. */
export function edgeFilter(source: NodeId, target: NodeId, narrowing: Narrowing = {}): string {
  return `edge(${nodeSelector(source)}, ${nodeSelector(target)})${body(narrowing)}`;
}

/** `annotation[key] = value`, with the short dotted form where the key allows it. */
export function annotationFilter(key: string, value: string | number | boolean): string {
  const field = /^[A-Za-z_][A-Za-z0-9_]*$/.test(key)
    ? `annotation.${key}`
    : /^[A-Za-z0-9_.]+$/.test(key)
      ? `annotation[${key}]`
      : `annotation[${quote(key)}]`;
  return `${field} = ${typeof value === 'string' ? quote(value) : String(value)}`;
}

/** `keyword = value` for the string and number keywords (`http.url`, `http.status`, `user`). */
export function keywordFilter(keyword: string, value: string | number): string {
  return `${keyword} = ${typeof value === 'string' ? quote(value) : String(value)}`;
}

/** Adds a clause to an expression; an OR on the top level is bracketed first. */
export function addClause(expression: string, clause: string): string {
  const current = expression.trim();
  if (current === '') {
    return clause;
  }
  if (current === clause || current.endsWith(` AND ${clause}`)) {
    return current;
  }
  return `${bracketed(current)} AND ${bracketed(clause)}`;
}

function bracketed(expression: string): string {
  return hasTopLevelOr(expression) ? `(${expression})` : expression;
}

function hasTopLevelOr(expression: string): boolean {
  let depth = 0;
  for (const token of expression.match(/"(?:[^"\\]|\\.)*"|[(){}[\]]|[^\s(){}[\]"]+/g) ?? []) {
    if ('({['.includes(token)) {
      depth++;
    } else if (')}]'.includes(token)) {
      depth--;
    } else if (depth === 0 && /^or$/i.test(token)) {
      return true;
    }
  }
  return false;
}

/** The 1-based position in an error of the filter language, if its text names one. */
export function errorPosition(message: string): { line: number; position: number } | null {
  const match = /line (\d+), position (\d+)/i.exec(message);
  return match ? { line: Number(match[1]), position: Number(match[2]) } : null;
}
