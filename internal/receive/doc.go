// Package receive is the first room of a segment's life: it reads bytes from sockets,
// decides whether there is memory for them, has them decoded and stored, and counts the
// outcome of every document and span. It does not know the meaning of the bytes.
//
// [Intake] is the only way to the store. The listeners pass their data to it: [UDP] the
// datagrams of X-Ray SDKs, [OTLPGRPC] and [OTLPHTTP] the spans of OpenTelemetry,
// package api the documents of PutTraceSegments.
package receive
