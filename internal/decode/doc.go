// Package decode is the second room of a segment's life: bytes become
// trace.Segment. There are two sources, X-Ray segment documents (document.go and
// one file a section) and OpenTelemetry spans (otlp.go and its neighbours), and
// one vocabulary behind them.
//
// Decoding never loses anything: a Segment keeps the bytes it was made of, and
// Restore makes it again from them.
package decode
