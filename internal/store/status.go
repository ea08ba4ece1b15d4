package store

import "github.com/fluoro-io/fluoro/internal/trace"

// Status describes the contents and the state of a shelf.
type Status struct {
	Traces   int64 // that exist
	Segments int64 // documents and spans stored
	// ReadOnly is "" while the shelf can write, else the reason why it cannot.
	ReadOnly string
	// Gauges are figures of the engine itself, for operators.
	Gauges []Gauge
	// Keys names the keys of annotations and attributes with slower searches.
	Keys KeyStatus
	// Locked lists accounts that cannot be read or written now, because the key of their
	// encrypted data cannot be used.
	Locked []Locked
	// Damage lists damaged places, with file and offset, at most a few hundred;
	// Damaged counts all of them. All other data is served.
	Damage  []string
	Damaged int64
	// Notes list harmless things that an operator may want to check or tidy up.
	Notes []string
}

// Locked is an account that cannot be read or written now.
type Locked struct {
	Account trace.Account
	Reason  string // names the key
}

// Gauge is a figure of an engine. Name is in snake case, with the unit at its end.
type Gauge struct {
	Name  string
	Help  string // a sentence
	Value int64
}

// Gauge returns the figure with a name; 0 if the engine has none.
func (s *Status) Gauge(name string) int64 {
	for _, g := range s.Gauges {
		if g.Name == name {
			return g.Value
		}
	}
	return 0
}

// KeyStatus tells which keys of annotations and attributes exceeded their budget of
// distinct values since the shelf was opened: a query for such a key reads more
// traces.
type KeyStatus struct {
	Keys         int   // counted keys, of all accounts
	TracesBeyond int64 // traces settled with a key that was not counted, for lack of room
	// Over lists some of the keys with more distinct values than their budget.
	Over []OverBudget
}

// OverBudget names a key of an account.
type OverBudget struct {
	Account trace.Account
	Key     string
}

// Memory returns about how many bytes of memory a decoded segment takes.
func Memory(s *trace.Segment) int64 {
	entities := int64(1)
	stack := append(make([]*trace.Entity, 0, 16), s.Subsegments...)
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], e.Subsegments...)
		entities++
	}
	return entities*EntityBytes + TextBytes(len(s.Raw))
}

// EntityBytes is about how many bytes of memory an entity takes, strings included.
const EntityBytes = 700

// TextBytes returns about how many bytes of memory n bytes of received text take.
func TextBytes(n int) int64 { return int64(n) * 3 / 2 }
