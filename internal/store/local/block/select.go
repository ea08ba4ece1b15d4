package block

import (
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Selector prunes by an account and a filter's bounds. It says yes to every
// trace that the filter can select. It is for one goroutine.
type Selector struct {
	x        *index
	account  int // -1: none of this block
	bounds   filter.Bounds
	services *named
	keys     *named
	tokens   []uint32
	slow     []slowService
	either   [][]*Selector
}

// slowService is the number of a name, and how slow the service must have been.
type slowService struct {
	name uint32
	code uint8
}

// Select prepares a selector for this block.
func (b *Block) Select(account trace.Account, bounds filter.Bounds) *Selector {
	s := b.index.selector(bounds)
	s.account = slices.Index(b.index.accounts, account)
	return s
}

func (x *index) selector(bounds filter.Bounds) *Selector {
	s := &Selector{x: x, bounds: bounds, services: x.having(bounds.Services), keys: x.having(bounds.AnnotationKeys)}
	var tokens Tokens
	for _, a := range bounds.Annotations {
		tokens.Annotation(a.Key, a.Value)
	}
	for _, u := range bounds.Users {
		tokens.User(u)
	}
	s.tokens = tokens.List
	for _, slow := range bounds.Slow {
		if n := slices.Index(x.names, slow.Name); n >= 0 { // else services says no
			s.slow = append(s.slow, slowService{uint32(n), Slow(slow.Least)})
		}
	}
	for _, alternatives := range bounds.Either {
		var list []*Selector
		for _, b := range alternatives {
			list = append(list, x.selector(b))
		}
		s.either = append(s.either, list)
	}
	return s
}

// named finds the sets that have all of some names; nil allows all. There may be
// about as many sets as traces: each is looked at when it is first asked for.
type named struct {
	x       *index
	names   []uint32
	missing bool   // no set has some name
	known   []byte // of each set: 0, no or yes
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
		i := slices.Index(x.names, name)
		if i < 0 {
			n.missing = true
			return n
		}
		n.names = append(n.names, uint32(i))
	}
	return n
}

// in says whether a set has all the names.
func (n *named) in(set uint32) bool {
	if n == nil || n.known[set] == yes {
		return true
	}
	if n.missing || n.known[set] == no {
		return false
	}
	n.known[set] = yes
	for _, name := range n.names {
		if _, ok := slices.BinarySearch(n.x.sets.of(set), name); !ok {
			n.known[set] = no
		}
	}
	return n.known[set] == yes
}

// Nothing says that no entry of the block can be selected.
func (s *Selector) Nothing() bool {
	return s.account < 0 || s.services != nil && s.services.missing && !s.x.unnamed || s.keys != nil && s.keys.missing
}

// Account says whether an entry is of the account.
func (s *Selector) Account(e *Entry) bool { return int(e.account) == s.account }

// Entries is the only entries that Match can select, ascending, if they are few and
// can be found without a look at the others.
func (s *Selector) Entries() (entries []uint32, ok bool) {
	for _, token := range s.tokens {
		if found := s.x.postings().find(token); !ok || len(found) < len(entries) {
			entries, ok = found, true
		}
	}
	return entries, ok
}

// Match says whether the filter can select the entry of a number.
func (s *Selector) Match(i int) bool {
	e := &s.x.entries[i]
	if e.Flags&Named != 0 && !s.services.in(e.services) || !s.keys.in(e.keys) {
		return false
	}
	b := &s.bounds
	if !inside(e.Response, b.MinResponse, b.MaxResponse) || !inside(e.Duration, b.MinDuration, b.MaxDuration) ||
		!agrees(b.Fault, e.Flags&Fault) || !agrees(b.Error, e.Flags&Error) || !agrees(b.Throttle, e.Flags&Throttle) {
		return false
	}
	if s.slow != nil || s.tokens != nil {
		slow, tokens := s.x.factsOf(i)
		for _, want := range s.slow {
			if at, ok := slices.BinarySearch(s.x.sets.of(e.services), want.name); ok && slow[at] < want.code && e.Flags&Named != 0 {
				return false
			}
		}
		for _, want := range s.tokens {
			if e.Flags&Many == 0 && !hasToken(tokens, want) {
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
