// Package facts defines what an engine may know about a trace without loading it: the
// facts that filter.Bounds prune by. Each engine stores them in its own way; their
// meaning is defined here, once.
package facts

import (
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Facts are the simple facts of a trace.
type Facts struct {
	Start, End      trace.Time // End is 0 while no entity is completed
	First, Updated  trace.Time // first and last receipt
	Response        *time.Duration
	Duration        *time.Duration
	Fault, Error    bool
	Throttle        bool
	InProgress      bool
	EndsBeforeStart bool // some entity ends before the trace starts
}

// Of returns the facts of a trace; the outline of its summary is enough.
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

// Touches tells whether an entity of a trace may have been completed in a window.
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

// Sink receives the facts that a trace may have many of.
type Sink interface {
	// Value receives a value of an annotation or of an attribute of a span, possibly
	// more than once. It returns true.
	Value(key string, v trace.Value) bool
	// Resource receives the attributes of a resource, which many traces share.
	Resource(a trace.Attributes)
	// User receives a user.
	User(user string)
	// Failed receives an outcome of an entity of a service. The service may have
	// others.
	Failed(service string, o trace.Outcome)
	// Before tells whether the sink has already received the values of an attribute,
	// given in encoded form: they need not be passed again.
	Before(encoded []byte) bool
}

// Each passes all such facts of a trace to a sink.
func Each(t *trace.Trace, s *trace.Summary, to Sink) {
	for i := range s.Annotations {
		of := &s.Annotations[i]
		for _, v := range of.Values {
			to.Value(of.Key, v)
		}
	}
	before, value := to.Before, to.Value // taken once, as each method value is an allocation
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
