package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// blinkers is a sight that hides services, the values of an annotation, or everything
// outside a group.
type blinkers struct {
	services   []string
	key, value string
	group      string
}

// randomSight returns nil a third of the time.
func randomSight(rnd *rand.Rand) sight.Sight {
	names := []string{"front", "orders", "payments", "pending", "worker", "cache", assemble.Other.Name}
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	switch rnd.IntN(9) {
	case 0, 1, 2:
		return nil
	case 3:
		return &blinkers{key: "tier", value: []string{"gold", "silver"}[rnd.IntN(2)]}
	case 4:
		return &blinkers{group: []string{"two", "Default", "none"}[rnd.IntN(3)]}
	}
	return &blinkers{services: names[:1+rnd.IntN(3)]}
}

// Sees implements sight.Sight.
func (b *blinkers) Sees(s *sight.Segment) bool {
	return !slices.Contains(b.services, s.Service) && (b.key == "" || !slices.Contains(s.Annotation(b.key), b.value)) && (b.group == "" || slices.Contains(s.Groups, b.group))
}

// NeedsGroups implements sight.Sight.
func (b *blinkers) NeedsGroups() bool { return b.group != "" }

// Fingerprint implements sight.Sight.
func (b *blinkers) Fingerprint() string { return fmt.Sprintf("%+v", *b) }

// masked returns what a reader sees of a trace, decided in the simplest way, nil if
// nothing. The model knows no groups besides Default.
func masked(t *trace.Trace, see sight.Sight) *trace.Trace {
	b, limited := see.(*blinkers)
	if !limited {
		return t
	}
	return assemble.Mask(t, func(s *trace.Entity) bool {
		if s.Gap != trace.NoGap && (s.Name == "missing segment" || s.Name == "unknown_service") || slices.Contains(b.services, s.Name) || b.group != "" && b.group != "Default" {
			return false
		}
		for e := range assemble.Within(s) {
			for _, a := range e.Annotations {
				if a.Key == b.key && a.Value.String == b.value {
					return false
				}
			}
		}
		return true
	})
}
