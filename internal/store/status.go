package store

import "github.com/fluoro-io/fluoro/internal/trace"

// Status tells what a shelf holds.
type Status struct {
	Traces   int64 // that exist
	Segments int64 // documents and spans stored
	// ReadOnly is "" while the shelf can write, else why it cannot.
	ReadOnly string
	// Gauges are figures of the engine itself, for operators.
	Gauges []Gauge
	// Keys tells which keys of annotations and attributes are found more slowly.
	Keys KeyStatus
	// Damage names what was found damaged, with file and offset, at most some hundred
	// places; Damaged is how many places there are. Everything else is served.
	Damage  []string
	Damaged int64
	// Notes are what an operator may want to look at or tidy up. They are no damage.
	Notes []string
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

// KeyStatus tells which keys of annotations and attributes are over their budget
// since the shelf was opened: a question for one reads more traces.
type KeyStatus struct {
	Keys         int   // that were counted, of all accounts
	TracesBeyond int64 // settled with a key for which there was no room
	// Over are keys with more distinct values than their budget, at most some.
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

// EntityBytes is about what an entity takes in memory, strings included.
const EntityBytes = 700

// TextBytes is about what n bytes of received text take in memory.
func TextBytes(n int) int64 { return int64(n) * 3 / 2 }
