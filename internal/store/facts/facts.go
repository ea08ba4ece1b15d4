// Package facts says what an engine may know about a trace without loading it: the
// facts that filter.Bounds prune by. Engines store them in their own way; what they
// are is said here, once.
package facts

import (
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Facts are the simple facts of a trace.
type Facts struct {
	Start, End      trace.Time // End is 0 while nothing is completed
	First, Updated  trace.Time // first and last receipt
	Response        *time.Duration
	Duration        *time.Duration
	Fault, Error    bool
	Throttle        bool
	InProgress      bool
	EndsBeforeStart bool // some entity ends before the trace starts
}

// Of returns the facts of a trace; of its summary the outline is enough.
func Of(t *trace.Trace, s *trace.Summary) Facts {
	return Facts{
		Start: t.Start, End: t.End, First: t.FirstReceived, Updated: t.Updated, Response: s.ResponseTime, Duration: s.Duration,
		Fault: s.HasFault, Error: s.HasError, Throttle: s.HasThrottle, InProgress: t.InProgress, EndsBeforeStart: EndsBeforeStart(t),
	}
}

// EndsBeforeStart tells whether some entity ends before the trace starts.
func EndsBeforeStart(t *trace.Trace) bool {
	for e := range assemble.All(t) {
		if !e.InProgress && e.End < t.Start {
			return true
		}
	}
	return false
}

// Touches tells whether something of a trace can have been completed in a window.
func Touches(w trace.Window, start, end trace.Time, endsBeforeStart bool) bool {
	return end != 0 && end >= w.Start && (start < w.End || endsBeforeStart)
}

// Slowest returns how long the slowest completed entity of a node took.
func Slowest(n *trace.Node) time.Duration {
	var d time.Duration
	for _, e := range n.Entities {
		if !e.InProgress {
			d = max(d, time.Duration(e.Duration()))
		}
	}
	return d
}

// Sink takes the facts of which a trace may have many.
type Sink interface {
	// Value takes a value of an annotation or of an attribute of a span. It may come
	// more than once. It returns true.
	Value(key string, v trace.Value) bool
	// Resource takes the attributes of a resource, which many traces share.
	Resource(a trace.Attributes)
	// User takes a user.
	User(user string)
	// Failed says that an entity of a service had an outcome. It may have had others.
	Failed(service string, o trace.Outcome)
	// Before tells whether the encoded form of an attribute was given before: its
	// values need not be given again.
	Before(encoded []byte) bool
}

// Each gives all such facts of a trace to a sink.
func Each(t *trace.Trace, s *trace.Summary, to Sink) {
	for i := range s.Annotations {
		of := &s.Annotations[i]
		for _, v := range of.Values {
			to.Value(of.Key, v)
		}
	}
	before, value := to.Before, to.Value // once, as each is an allocation
	var last trace.Attributes
	for e := range assemble.All(t) {
		seg := e.Received
		if seg == nil || seg.Attributes == nil {
			continue
		}
		seg.Attributes.OfSpan(seg.Raw, before, value)
		if seg.Attributes != last {
			last = seg.Attributes
			to.Resource(last)
		}
	}
	for _, u := range s.Users {
		to.User(u)
	}
	for _, n := range t.Nodes {
		for _, e := range n.Entities {
			if e.HasFault() {
				to.Failed(n.Name, trace.Fault)
			}
			if e.Error || e.HasError() {
				to.Failed(n.Name, trace.Error)
			}
			if e.HasThrottle() {
				to.Failed(n.Name, trace.Throttle)
			}
		}
	}
}
