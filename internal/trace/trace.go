package trace

import (
	"fmt"
	"time"
)

// Trace is everything known about one trace id, joined into one tree. Package
// assemble builds it; it is immutable afterwards.
type Trace struct {
	ID ID
	// Segments are the top-level entities: every segment, also those with a ParentID
	// and placeholders (Entity.Gap), ordered by start, then id. Every entity of the
	// trace is below one of them.
	Segments []*Entity
	// Root is the segment without ParentID (the earliest if several), or nil.
	Root *Entity
	// Entry is where the trace begins as far as it is known: Root, else the earliest
	// segment whose parent has not arrived, else the earliest placeholder for a
	// missing parent. It is nil only in a trace without entities.
	Entry *Entity
	// Start is the earliest start and End the latest end over all entities; End
	// is 0 when nothing is completed.
	Start, End Time
	// InProgress is true while any entity is in progress.
	InProgress bool
	// Partial is true when some ParentID names an entity that has not arrived.
	Partial bool
	// Refused are the observations that are not shown because they contradict a
	// shown one with the same identity.
	Refused []Refused
	// Hidden stands for the segments that the reader may not see (assemble.Mask). Nothing
	// but documents shows it: for graphs, summaries and filters these segments do not exist.
	Hidden []Hidden
	// LimitExceeded is true if documents were left out because of a size limit.
	LimitExceeded bool
	// Revision is 1 for the first accepted batch and grows by one with each batch
	// that changed the trace.
	Revision int
	// FirstReceived and Updated are the receipt of the first and last document.
	FirstReceived, Updated Time
	// Nodes and Edges are the trace's part of the service graph.
	Nodes []*Node
	Edges []*Edge
}

// Hidden is a placeholder for segments that the reader of a trace may not see. Its
// entity has only an id, a parent, times and a name; all come from segments that the
// reader sees.
type Hidden struct {
	Entity   *Entity
	Segments int // how many segments it stands for
}

// Refused is an observation that contradicts a shown one, which was accepted first, or
// that must not be stored.
type Refused struct {
	Entity *Entity  // as it was received
	In     *Segment // the document that contains it
	Kept   *Entity
	Why    string // it is not stored, for this reason; then Kept is nil
}

// Reason explains the refusal in a sentence.
func (r *Refused) Reason() string {
	if r.Why != "" {
		return r.Why
	}
	return fmt.Sprintf("the trace already has %s %q with the same start and different content; the first one is shown", r.Entity.ID, r.Kept.Name)
}

// Service is the identity of a node of the service graph. It is comparable.
type Service struct {
	Name string
	// Type is the origin of segments, "client", "remote", "Database::SQL" or
	// "AWS::…"; "" if the segment had none.
	Type string
	// Account is "" for the trace's own account.
	Account string
}

// State tells how a node is known.
type State string

// The states of a node.
const (
	StateActive  State = "active"  // sent segments of its own
	StatePassive State = "passive" // inferred from calls with namespace remote
	StateUnknown State = "unknown" // inferred AWS service, or client
)

// Node is one service's part in one trace.
type Node struct {
	Service
	State    State
	Inferred bool
	Root     bool // holds the root segment
	Client   bool // stands for the sender of the request
	// Entities are the entities that statistics and filters look at: the service's
	// segments; for an inferred node the calling subsegments; for the client the
	// root segment.
	Entities []*Entity
}

// Edge is one caller-callee pair in one trace.
type Edge struct {
	From, To *Node
	// Link is true for asynchronous edges made by trace links.
	Link bool
	// Calls are the entities that the edge's statistics look at: the caller's
	// subsegments, or the child segments if there are none, or for the client the
	// root segment.
	Calls []*Entity
	// Aliases are the names that the caller used for the callee.
	Aliases []Service
}

// Summary has the facts that GetTraceSummaries shows about a trace. Durations are
// nanoseconds.
type Summary struct {
	ID            ID
	Start, End    Time           // End is 0 when nothing is completed
	Duration      *time.Duration // nil while any entity is in progress
	ResponseTime  *time.Duration // nil without a completed root
	HasFault      bool
	HasError      bool
	HasThrottle   bool
	Partial       bool
	InProgress    bool
	HTTP          HTTP   // of the root
	Root          string // name of the root segment, "" without one
	EntryPoint    *Service
	Revision      int
	FirstReceived Time
	Updated       Time
	Services      []Service // every node, inferred and client included
	Users         []string
	ResourceARNs  []string
	InstanceIDs   []string
	Zones         []string
	// Annotations are those of documents, then as many attributes as a summary shows
	// (assemble.Summary); AnnotationsCut is true if there are more.
	Annotations    []AnnotationValues
	AnnotationsCut bool
	FaultCauses    []RootCause
	ErrorCauses    []RootCause
	ResponseCauses []RootCause
}

// Of returns the time of a trace that the clock looks at. For ClockService, where an
// entity decides, that is the start, which orders the traces.
func (c Clock) Of(s *Summary) Time {
	if c == ClockEvent {
		return s.Updated
	}
	return s.Start
}

// OfTrace is like Of, for the trace of a summary.
func (c Clock) OfTrace(t *Trace) Time {
	if c == ClockEvent {
		return t.Updated
	}
	return t.Start
}

// AnnotationValues holds the distinct values of one key over a whole trace.
type AnnotationValues struct {
	Key    string
	Values []Value
}

// RootCause is one path from the service where a problem shows to the service where
// it starts.
type RootCause struct {
	Services        []CauseService
	ClientImpacting bool
}

// CauseService is one service on a root-cause path.
type CauseService struct {
	Service
	Inferred bool
	Entities []CauseEntity
}

// CauseEntity is one segment or subsegment on a root-cause path.
type CauseEntity struct {
	Name       string
	Exceptions []Exception // fault and error causes
	Coverage   float64     // response-time causes: share of the root's duration
	Remote     bool
}
