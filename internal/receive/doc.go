// Package receive is the first room of a segment's life: it takes bytes off
// sockets, decides whether there is room for them, has them decoded and stored,
// and counts what became of every one of them. It knows nothing of what the
// bytes mean.
//
// [Intake] is the one door to the store; the listeners hand it what they read:
// [UDP] the datagrams of X-Ray SDKs, [OTLPGRPC] and [OTLPHTTP] the spans of
// OpenTelemetry, package api the documents of PutTraceSegments.
package receive
