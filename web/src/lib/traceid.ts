const xray = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/i;
const w3c = /^([0-9a-f]{8})([0-9a-f]{24})$/i;

/** The X-Ray form (`1-8hex-24hex`) of a trace id in either notation, or null. */
export function toXRayId(text: string): string | null {
  const trimmed = text.trim();
  if (xray.test(trimmed)) {
    return trimmed.toLowerCase();
  }
  const match = w3c.exec(trimmed);
  return match ? `1-${match[1]}-${match[2]}`.toLowerCase() : null;
}

/** The W3C form (32 hex digits) of an X-Ray trace id; other text comes back as it is. */
export function toW3CId(id: string): string {
  const match = xray.exec(id);
  return match ? `${match[1]}${match[2]}` : id;
}

/**
 * The trace id inside pasted text: an id in either notation, an
 * `X-Amzn-Trace-Id` header (`Root=1-…`) or a `traceparent`.
 */
export function findTraceId(text: string): string | null {
  const match = /(?:^|[^0-9a-f])(1-[0-9a-f]{8}-[0-9a-f]{24}|[0-9a-f]{32})(?![0-9a-f])/i.exec(text);
  return match ? toXRayId(match[1] ?? '') : null;
}
