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

func (m *model) ids(account trace.Account) []trace.ID { return m.idsFor(account, answer.Reach{}) }

// idsFor lists the traces of all accounts that a reader reads.
func (m *model) idsFor(account trace.Account, reach answer.Reach) []trace.ID {
	all := map[trace.ID]bool{}
	for id := range m.accounts[account] {
		all[id] = true
	}
	for _, l := range reach.Linked {
		for id := range m.accounts[l.Account] {
			all[id] = true
		}
	}
	var ids []trace.ID
	for id := range all {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b trace.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// trace joins what a reader's accounts have of a trace, nil if nothing. start and updated
// are those of all parts, also of segments that were received before a link began.
func (m *model) trace(account trace.Account, reach answer.Reach, id trace.ID) (t *trace.Trace, start, updated trace.Time) {
	var segments []*trace.Segment
	start, updated = trace.MaxTime, trace.MinTime
	for _, l := range append([]trace.Linked{{Account: account, Since: trace.MinTime}}, reach.Linked...) {
		list := m.accounts[l.Account][id]
		part := assemble.Trace(id, list)
		news := map[*trace.Segment]bool{} // segments that were not received before
		for e := range assemble.All(part) {
			news[e.Received] = true
		}
		any := false
		for _, s := range list {
			if s.ReceivedAt < l.Since || list[0].ReceivedAt < l.Since && !news[s] {
				continue
			}
			owned := *s
			if any = true; l.Account != account {
				owned.Account = l.Account
			}
			segments = append(segments, &owned)
		}
		if any {
			start, updated = min(start, part.Start), max(updated, part.Updated)
		}
	}
	if len(segments) == 0 {
		return nil, 0, 0
	}
	return assemble.Trace(id, segments), start, updated
}

func (m *model) traces(account trace.Account, reach answer.Reach, ids ...trace.ID) []*trace.Trace {
	var list []*trace.Trace
	for _, id := range ids {
		t, _, _ := m.trace(account, reach, id)
		if t == nil {
			continue
		}
		if err := assemble.Render(t, render.Text); err != nil {
			panic(err) // the cases append only traces that can be rendered
		}
		if t = masked(t, reach.Sight); t != nil {
			list = append(list, t)
		}
	}
	return list
}

func (m *model) summaries(account trace.Account, q *answer.SummaryQuery) []*trace.Summary {
	var list []*trace.Summary
	for _, id := range m.idsFor(account, q.Reach) {
		whole, start, updated := m.trace(account, q.Reach, id)
		if whole == nil {
			continue
		}
		t := masked(whole, q.Sight)
		if t == nil {
			continue
		}
		s := assemble.Summary(t)
		s.Start, s.Updated = start, updated
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
func (m *model) each(account trace.Account, reach answer.Reach, group *answer.Group, add func(*trace.Trace, assemble.Member)) {
	for _, id := range m.idsFor(account, reach) {
		t, _, _ := m.trace(account, reach, id)
		if t == nil {
			continue
		}
		if t = masked(t, reach.Sight); t == nil {
			continue
		}
		if member, any := group.Member(t, assemble.Summary(t)); any {
			add(t, member)
		}
	}
}

func (m *model) series(account trace.Account, q answer.SeriesQuery) *trace.Series {
	b := assemble.NewSeries(q.Window, q.Period, q.Of)
	m.each(account, q.Reach, q.Group, b.Add)
	return b.Series()
}

func (m *model) graph(account trace.Account, q answer.GraphQuery) *trace.Graph {
	b := assemble.NewGraph(&q.Window)
	m.each(account, q.Reach, q.Group, b.Add)
	for _, id := range b.Linked() {
		if t, _, _ := m.trace(account, q.Reach, id); t != nil {
			if t = masked(t, q.Sight); t != nil {
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
