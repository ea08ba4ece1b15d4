// Package decode is the second room of a segment's life: bytes become
// trace.Segment. This package reads X-Ray segment documents (document.go and one
// file a section), datagrams and PutTraceSegments bodies; package otlp below it
// reads OpenTelemetry spans.
//
// Decoding loses nothing: a Segment keeps its received bytes, and Restore decodes it
// again from them.
package decode
