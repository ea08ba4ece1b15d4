// Package sight limits what a principal may read to segments of some services, groups,
// environments or annotations. Policies make a [Sight] (package policy); everything that
// reads traces applies it to each segment before it counts or shows anything.
package sight

import "fmt"

// Segment describes a segment as policies see it. Subsegments belong to their segment;
// inferred segments belong to the segment that made the call.
type Segment struct {
	Service     string   // name of the segment: condition key fluoro:Service
	Environment string   // deployment environment, "" if unknown: fluoro:Environment
	Groups      []string // names of the groups that have its trace, now or when it was received: fluoro:Group
	// Annotation returns the values of an annotation of the segment or of its
	// subsegments as text: fluoro:Annotation/KEY. Nil for none.
	Annotation func(key string) []string
}

// Sight tells what one principal may see. A nil Sight sees everything. Many goroutines
// may use it at once.
type Sight interface {
	// Sees reports whether the principal may see a segment.
	Sees(s *Segment) bool
	// NeedsGroups tells that Sees uses Segment.Groups.
	NeedsGroups() bool
	// Fingerprint is the same for sights that see the same, for keys of caches.
	Fingerprint() string
}

// OnlyServices reports whether a sight decides by the service of a segment alone. A sight
// that does not say so (it may have a method OnlyServices) counts as one that asks for more:
// what is known only by its service stays hidden from it.
func OnlyServices(s Sight) bool {
	o, says := s.(interface{ OnlyServices() bool })
	return s == nil || says && o.OnlyServices()
}

// Both returns a Sight that sees what both of two see; either may be nil.
func Both(a, b Sight) Sight {
	switch {
	case a == nil:
		return b
	case b == nil || a.Fingerprint() == b.Fingerprint():
		return a
	}
	return both{a, b}
}

type both struct{ a, b Sight }

// Sees reports whether both see a segment.
func (s both) Sees(segment *Segment) bool { return s.a.Sees(segment) && s.b.Sees(segment) }

// NeedsGroups tells that one of them needs groups.
func (s both) NeedsGroups() bool { return s.a.NeedsGroups() || s.b.NeedsGroups() }

// Fingerprint joins the fingerprints.
func (s both) Fingerprint() string {
	return fmt.Sprintf("%q and %q", s.a.Fingerprint(), s.b.Fingerprint())
}

// OnlyServices tells that both decide by the service alone.
func (s both) OnlyServices() bool { return OnlyServices(s.a) && OnlyServices(s.b) }
