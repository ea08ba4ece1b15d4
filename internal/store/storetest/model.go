package storetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// model answers according to the contract, in the simplest way.
type model struct {
	accounts map[trace.Account]map[trace.ID][]*trace.Segment
}

func newModel() *model {
	return &model{accounts: map[trace.Account]map[trace.ID][]*trace.Segment{}}
}

func (m *model) append(account trace.Account, batch []*trace.Segment) {
	if m.accounts[account] == nil {
		m.accounts[account] = map[trace.ID][]*trace.Segment{}
	}
	for _, s := range batch {
		m.accounts[account][s.TraceID] = append(m.accounts[account][s.TraceID], s)
	}
}

func (m *model) ids(account trace.Account) []trace.ID {
	var ids []trace.ID
	for id := range m.accounts[account] {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b trace.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func (m *model) traces(account trace.Account, see sight.Sight, ids ...trace.ID) []*trace.Trace {
	var list []*trace.Trace
	for _, id := range ids {
		segments := m.accounts[account][id]
		if len(segments) == 0 {
			continue
		}
		t := assemble.Trace(id, segments)
		if err := assemble.Render(t, render.Text); err != nil {
			panic(err) // the cases append only traces that can be rendered
		}
		if t = masked(t, see); t != nil {
			list = append(list, t)
		}
	}
	return list
}

func (m *model) summaries(account trace.Account, q *answer.SummaryQuery) []*trace.Summary {
	var list []*trace.Summary
	for id, segments := range m.accounts[account] {
		whole := assemble.Trace(id, segments)
		t := masked(whole, q.Sight)
		if t == nil {
			continue
		}
		s := assemble.Summary(t)
		s.Start, s.Updated = whole.Start, whole.Updated
		if q.Clock == trace.ClockService {
			if !q.Filter.MatchService(t, s, q.Window) {
				continue
			}
		} else if !q.Window.Contains(q.Clock.Of(s)) || !q.Filter.Match(t, s) {
			continue
		}
		if q.After != nil && comparePlace(q.Clock, s, q.After) >= 0 {
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *trace.Summary) int {
		return -comparePlace(q.Clock, a, &answer.Cursor{Time: q.Clock.Of(b), ID: b.ID})
	})
	return list
}

func comparePlace(c trace.Clock, s *trace.Summary, at *answer.Cursor) int {
	return cmp.Or(cmp.Compare(c.Of(s), at.Time), bytes.Compare(s.ID[:], at.ID[:]))
}

// each calls add for every trace with observations of a group.
func (m *model) each(account trace.Account, see sight.Sight, group *answer.Group, add func(*trace.Trace, assemble.Member)) {
	for id, segments := range m.accounts[account] {
		t := masked(assemble.Trace(id, segments), see)
		if t == nil {
			continue
		}
		if member, any := group.Member(t, assemble.Summary(t)); any {
			add(t, member)
		}
	}
}

func (m *model) series(account trace.Account, q answer.SeriesQuery) *trace.Series {
	b := assemble.NewSeries(q.Window, q.Period, q.Of)
	m.each(account, q.Sight, q.Group, b.Add)
	return b.Series()
}

func (m *model) graph(account trace.Account, q answer.GraphQuery) *trace.Graph {
	b := assemble.NewGraph(&q.Window)
	m.each(account, q.Sight, q.Group, b.Add)
	for _, id := range b.Linked() {
		if segments := m.accounts[account][id]; segments != nil {
			if t := masked(assemble.Trace(id, segments), q.Sight); t != nil {
				b.Resolve(t)
			}
		}
	}
	return b.Graph()
}

// describeTrace returns a trace as text, so complete that different traces give
// different texts.
func describeTrace(t *trace.Trace) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s start=%d end=%d open=%v partial=%v revision=%d first=%d updated=%d root=%s", t.ID, t.Start, t.End, t.InProgress, t.Partial, t.Revision, t.FirstReceived, t.Updated, name(t.Root))
	var entity func(e *trace.Entity, depth int)
	entity = func(e *trace.Entity, depth int) {
		fmt.Fprintf(&b, "\n%s%s %s %d-%d received=%d parent=%s gap=%d %s", strings.Repeat(" ", depth), e.ID, e.Name, e.Start, e.End, e.ReceivedAt, name(e.Parent), e.Gap, e.Raw)
		for _, s := range e.Subsegments {
			entity(s, depth+1)
		}
	}
	for _, s := range t.Segments {
		entity(s, 1)
	}
	for _, h := range t.Hidden {
		fmt.Fprintf(&b, "\nhidden %d %s %s %s %d-%d", h.Segments, h.Entity.ID, h.Entity.ParentID, h.Entity.Name, h.Entity.Start, h.Entity.End)
	}
	for _, n := range t.Nodes {
		fmt.Fprintf(&b, "\nnode %+v %s %d", n.Service, n.State, len(n.Entities))
	}
	for _, e := range t.Edges {
		fmt.Fprintf(&b, "\nedge %+v %+v %d", e.From.Service, e.To.Service, len(e.Calls))
	}
	return b.String()
}

func name(e *trace.Entity) string {
	if e == nil {
		return "-"
	}
	return e.ID.String()
}

func describeSummary(s *trace.Summary) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a Summary is plain data
	}
	return string(b)
}

func describeSeries(s *trace.Series) string {
	var b strings.Builder
	fmt.Fprintf(&b, "old=%v", s.OldGroupVersions)
	for _, p := range s.Points {
		fmt.Fprintf(&b, "\n%d %+v %v", p.End, p.Statistics, p.ResponseTimes.Entries())
	}
	return b.String()
}

func describeGraph(g *trace.Graph) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d-%d old=%v", g.Start, g.End, g.OldGroupVersions)
	for _, s := range g.Services {
		fmt.Fprintf(&b, "\n%+v %s root=%v %d-%d %+v %v %v", s.Service, s.State, s.Root, s.Start, s.End, s.Statistics, s.Durations.Entries(), s.ResponseTimes.Entries())
		for _, e := range s.Edges {
			fmt.Fprintf(&b, "\n  to %+v link=%v %d-%d %+v %v %v %v", e.To.Service, e.Link, e.Start, e.End, e.Statistics, e.ResponseTimes.Entries(), e.EventAges.Entries(), e.Aliases)
		}
	}
	return b.String()
}
