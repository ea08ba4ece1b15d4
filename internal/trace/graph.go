package trace

import "time"

// Graph is a service graph over many traces, or of one.
type Graph struct {
	// Start and End are the earliest and latest start of the traces' roots, as whole
	// seconds; both 0 if the graph is empty.
	Start, End Time
	// Services are ordered by name, type and account.
	Services []*GraphService
	// OldGroupVersions is true if part of the graph belongs to the requested group
	// only by an older filter of that group.
	OldGroupVersions bool
}

// Series counts how often and how fast a service or an edge answered over time.
type Series struct {
	Points []*SeriesPoint // newest first; buckets in which nothing was received are absent
	// OldGroupVersions is as in Graph.
	OldGroupVersions bool
	// Next is the end of the window with the older points that did not fit; 0 if all
	// did.
	Next Time
}

// SeriesPoint is one bucket of a Series. Statistics and ResponseTimes are nil if
// nothing received in it was selected.
type SeriesPoint struct {
	End           Time
	Statistics    *Statistics
	ResponseTimes *Histogram
}

// GraphService is a node of a service graph.
type GraphService struct {
	Service
	State      State
	Root       bool
	Start, End Time
	// Statistics and the histograms are nil for client nodes.
	Statistics    *Statistics
	Durations     *Histogram
	ResponseTimes *Histogram
	// Edges are ordered by destination.
	Edges []*GraphEdge
}

// GraphEdge is an outgoing edge of a GraphService.
type GraphEdge struct {
	To            *GraphService
	Link          bool
	Start, End    Time
	Statistics    Statistics
	ResponseTimes *Histogram
	// EventAges is set for link edges: how old messages were when received.
	EventAges *Histogram
	Aliases   []Service
}

// Statistics counts completed entities by outcome.
type Statistics struct {
	OK, Error, Fault, Throttle int64
	// TotalResponseTime is the sum of all durations.
	TotalResponseTime time.Duration
}

// Add counts one completed entity.
func (s *Statistics) Add(o Outcome, d time.Duration) {
	switch o {
	case Throttle:
		s.Throttle++
	case Fault:
		s.Fault++
	case Error:
		s.Error++
	default:
		s.OK++
	}
	s.TotalResponseTime += d
}

// Merge adds the counts of t, times sign: -1 subtracts them.
func (s *Statistics) Merge(t Statistics, sign int64) {
	s.OK += sign * t.OK
	s.Error += sign * t.Error
	s.Fault += sign * t.Fault
	s.Throttle += sign * t.Throttle
	s.TotalResponseTime += time.Duration(sign) * t.TotalResponseTime
}

// Total returns the number of entities counted.
func (s *Statistics) Total() int64 { return s.OK + s.Error + s.Fault + s.Throttle }
