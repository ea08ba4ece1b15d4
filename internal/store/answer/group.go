package answer

import (
	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Group tells which observations belong to a group: those that matched the group's
// filter at the time of their receipt. They stay in the group permanently (X-Ray
// developer guide, "Configuring groups").
type Group struct{ Versions []GroupVersion }

// GroupVersion is the filter that a group had during a window of receipts.
type GroupVersion struct {
	// ID is unique among all versions of all groups of an account and never reused; ""
	// if the engine was not told of the version.
	ID       string
	Name     string // of the group
	Filter   *filter.Expr
	Received trace.Window
	Old      bool // whether the filter is not the group's present one
}

// Member returns a function that tells which observations of the trace belong to the
// group. any is false if none does. A nil group contains everything.
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

// Has tells whether the observations that were received while the version was valid
// belong to the group.
func (v *GroupVersion) Has(t *trace.Trace, s *trace.Summary) bool {
	return v.Received.Start <= t.Updated && v.Received.End > t.FirstReceived && v.Filter.Match(t, s)
}
