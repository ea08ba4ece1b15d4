package block

import (
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Selector prunes by an account and a filter's bounds. It may give false positives, never
// false negatives. It is for one goroutine.
type Selector struct {
	block    *Block
	x        *index
	account  int // -1: none of this block
	bounds   filter.Bounds
	services *named
	slow     []slowService
	either   [][]*Selector
	// listed: by the postings only these entries can be selected.
	listed  bool
	entries []uint32
	failed  error
}

// slowService has the numbers of a name, and how slow the service must have been.
type slowService struct {
	names []uint32
	code  uint8
}

// Select makes a selector. An error says that postings cannot be read: the selector works
// all the same, but slower. Damage is a *vfs.CorruptError. It uses values of annotations
// only if the block has those of the choice.
func (b *Block) Select(account trace.Account, bounds filter.Bounds, choice Choice) (*Selector, error) {
	number := slices.Index(b.index.accounts, account)
	if number < 0 {
		return &Selector{block: b, x: b.index, account: number}, nil
	}
	s := b.selector(bounds, b.index.choice.covers(choice))
	s.account = number
	return s, s.failed
}

func (b *Block) selector(bounds filter.Bounds, covered bool) *Selector {
	x := b.index
	s := &Selector{block: b, x: x, bounds: bounds, services: x.having(bounds.Services)}
	if s.unknown() {
		return s
	}
	var t Tokens
	// The rarest first: an empty list ends the search.
	for _, a := range bounds.Annotations {
		if !covered {
			break
		}
		s.require(t.annotation(a.Key, a.Value), t.anyValue(a.Key), t.anyKey())
	}
	for _, u := range bounds.Users {
		s.require(t.user(u), t.anyUser())
	}
	for _, f := range bounds.Failed {
		s.require(t.failed(f.Name, f.Outcome), t.anyFailed())
	}
	for _, key := range bounds.AnnotationKeys {
		if covered && !slices.ContainsFunc(bounds.Annotations, func(a trace.Annotation) bool { return a.Key == key }) {
			s.require(t.key(key), t.anyKey())
		}
	}
	for _, slow := range bounds.Slow {
		if n := x.numbersOf(slow.Name); n != nil { // else services excludes all
			s.slow = append(s.slow, slowService{n, Slow(slow.Least)})
		}
	}
	for _, alternatives := range bounds.Either {
		var list []*Selector
		for _, one := range alternatives {
			list = append(list, b.selector(one, covered))
		}
		s.either = append(s.either, list)
		s.oneOf(list)
	}
	return s
}

// require keeps only the entries that have one of some tokens.
func (s *Selector) require(tokens ...uint32) {
	if s.x.legacy || s.listed && len(s.entries) == 0 {
		return
	}
	have, err := s.block.having(tokens...)
	if err != nil {
		s.failed = err // no entry is excluded
		return
	}
	s.only(have)
}

// oneOf keeps only the entries of alternatives, if all of them have a list.
func (s *Selector) oneOf(alternatives []*Selector) {
	var entries []uint32
	listed := true
	for _, a := range alternatives {
		if a.failed != nil {
			s.failed = a.failed
		}
		if !a.unknown() {
			listed = listed && a.listed
			entries = append(entries, a.entries...)
		}
	}
	if listed {
		slices.Sort(entries)
		s.only(slices.Compact(entries))
	}
}

// only keeps only some entries.
func (s *Selector) only(entries []uint32) {
	if s.listed {
		entries = intersection(s.entries, entries)
	}
	s.listed, s.entries = true, entries
}

// intersection returns the common elements of two ascending lists, in the memory of the
// shorter one.
func intersection(a, b []uint32) []uint32 {
	if len(a) > len(b) {
		a, b = b, a
	}
	both := a[:0]
	for _, v := range a {
		at, found := slices.BinarySearch(b, v)
		if found {
			both = append(both, v)
		}
		b = b[at:]
	}
	return both
}

// named finds the sets that have all of some names; nil allows all. There may be about as
// many sets as traces: it checks each when it is first asked for.
type named struct {
	x       *index
	names   [][]uint32 // of each name its numbers: one is enough
	missing bool       // no set has some name
	known   []byte     // of each set: 0, no or yes
}

const (
	no byte = iota + 1
	yes
)

func (x *index) having(names []string) *named {
	if len(names) == 0 {
		return nil
	}
	n := &named{x: x, known: make([]byte, x.sets.len())}
	for _, name := range names {
		numbers := x.numbersOf(name)
		if numbers == nil {
			n.missing = true
			return n
		}
		n.names = append(n.names, numbers)
	}
	return n
}

// in tells whether a set has all the names.
func (n *named) in(set uint32) bool {
	if n == nil || n.known[set] == yes {
		return true
	}
	if n.missing || n.known[set] == no {
		return false
	}
	n.known[set] = yes
	for _, numbers := range n.names {
		if !slices.ContainsFunc(numbers, func(number uint32) bool {
			_, ok := slices.BinarySearch(n.x.sets.of(set), number)
			return ok
		}) {
			n.known[set] = no
		}
	}
	return n.known[set] == yes
}

// unknown tells that no entry has one of the services.
func (s *Selector) unknown() bool {
	return s.services != nil && s.services.missing && !s.x.unnamed
}

// Nothing tells whether no entry of the block can be selected.
func (s *Selector) Nothing() bool {
	return s.account < 0 || s.unknown() || s.listed && len(s.entries) == 0
}

// Account tells whether an entry belongs to the account.
func (s *Selector) Account(e *Entry) bool { return int(e.account) == s.account }

// Entries returns the entries that Match can select, ascending; ok is false if the
// postings exclude none.
func (s *Selector) Entries() (entries []uint32, ok bool) { return s.entries, s.listed }

// Match tells whether the filter may select an entry.
func (s *Selector) Match(i int) bool {
	e := &s.x.entries[i]
	if e.Flags&Named != 0 && !s.services.in(e.services) {
		return false
	}
	if s.listed {
		if _, ok := slices.BinarySearch(s.entries, uint32(i)); !ok {
			return false
		}
	}
	b := &s.bounds
	if !inside(e.Response, b.MinResponse, b.MaxResponse) || !inside(e.Duration, b.MinDuration, b.MaxDuration) ||
		!agrees(b.Fault, e.Flags&Fault) || !agrees(b.Error, e.Flags&Error) || !agrees(b.Throttle, e.Flags&Throttle) {
		return false
	}
	if s.slow != nil {
		slow := s.x.slow.of(i)
		for _, want := range s.slow {
			known, enough := false, false
			for _, name := range want.names {
				at, ok := slices.BinarySearch(s.x.sets.of(e.services), name)
				known, enough = known || ok, enough || ok && slow[at] >= want.code
			}
			if known && !enough && e.Flags&Named != 0 {
				return false
			}
		}
	}
	for _, alternatives := range s.either {
		if !slices.ContainsFunc(alternatives, func(a *Selector) bool { return a.Match(i) }) {
			return false
		}
	}
	return true
}

func inside(d time.Duration, lowest, highest *time.Duration) bool {
	if lowest == nil && highest == nil {
		return true
	}
	return d != Unknown && (lowest == nil || d >= *lowest) && (highest == nil || d <= *highest)
}

func agrees(want *bool, flag Flags) bool { return want == nil || *want == (flag != 0) }
