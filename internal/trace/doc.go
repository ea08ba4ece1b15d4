// Package trace is the vocabulary of Fluoro: trace and segment ids, received
// segments, assembled traces, summaries, service graphs, time windows and kinds of
// error. Every other package uses it; it imports none of them.
//
// The nouns, in the order of a segment's life:
//
//	Segment   one received document (or OTLP span) of one trace, decoded
//	Entity    a segment or a subsegment: one node of a segment's tree
//	Trace     all entities of one trace id joined into one tree, with its
//	          Nodes and Edges
//	Summary   what GetTraceSummaries says about a Trace
//	Graph     nodes and edges of many traces, with statistics
//
// One rule holds everywhere: all times are [Time], nanoseconds since the Unix
// epoch, and never derived from the digits of a trace id.
package trace
