package answer

import (
	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Group is which observations belong to a group: a trace is in a group by the
// filter that was the group's when it was received, for ever (X-Ray developer
// guide, "Configuring groups").
type Group struct{ Versions []GroupVersion }

// GroupVersion is a filter that a group had for what was received in a window.
type GroupVersion struct {
	// ID is unique among all versions of all groups of an account, and never
	// used again; "" is of a version that the engine was not told of.
	ID       string
	Filter   *filter.Expr
	Received trace.Window
	Old      bool // not the group's filter of today
}

// Member says which observations of a trace belong to the group. any is false
// when none does. A nil group has everything.
func (g *Group) Member(t *trace.Trace, s *trace.Summary) (member assemble.Member, any bool) {
	if g == nil {
		return nil, true
	}
	var matching []GroupVersion
	for i := range g.Versions {
		if v := &g.Versions[i]; v.Has(t, s) {
			matching = append(matching, *v)
		}
	}
	return func(received trace.Time) (belongs, old bool) {
		for _, v := range matching {
			if v.Received.Contains(received) {
				return true, v.Old
			}
		}
		return false, false
	}, len(matching) > 0
}

// Has says whether what was received of a trace while the version was valid
// belongs to the group, if there is something.
func (v *GroupVersion) Has(t *trace.Trace, s *trace.Summary) bool {
	return v.Received.Start <= t.Updated && v.Received.End > t.FirstReceived && v.Filter.Match(t, s)
}
