package api

import (
	"context"
	"math"
	"time"

	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

func (a *API) getTraceGraph(ctx context.Context, r *request) (any, error) {
	ids, err := traceIDs(r.body)
	if err != nil {
		return nil, err
	}
	g, err := a.Query.TraceGraph(ctx, r.reader, ids)
	if err != nil {
		return nil, err
	}
	return wire.GetTraceGraphResult{Services: services(g, 0, len(g.Services), false)}, nil
}

func (a *API) getServiceGraph(ctx context.Context, r *request) (any, error) {
	var q wire.GetServiceGraphRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	page, err := a.Query.ServiceGraph(ctx, r.reader, query.GraphRequest{
		Window: window(q.StartTime, q.EndTime), Group: query.GroupName{Name: value(q.GroupName), ARN: value(q.GroupARN)}, Token: value(q.NextToken),
	})
	if err != nil {
		return nil, err
	}
	g := page.Graph
	answer := wire.GetServiceGraphResult{
		ContainsOldGroupVersions: g.OldGroupVersions, NextToken: text(page.Token), Services: services(g, page.First, page.Last, true),
	}
	if len(g.Services) > 0 {
		start, end := timestamp(g.Start), timestamp(g.End)
		answer.StartTime, answer.EndTime = &start, &end
	}
	return answer, nil
}

// services converts the services first to last-1 of a graph; edges refer to nodes of the
// whole graph by their number. The graph of one trace has no times.
func services(g *trace.Graph, first, last int, times bool) []wire.Service {
	number := map[*trace.GraphService]int{}
	for i, s := range g.Services {
		number[s] = i
	}
	bound := func(t trace.Time) *wire.Timestamp {
		if !times {
			return nil
		}
		at := timestamp(t)
		return &at
	}
	out := []wire.Service{}
	for i := first; i < last; i++ {
		s := g.Services[i]
		v := wire.Service{
			AccountId: text(s.Account), DurationHistogram: histogram(s.Durations), Edges: []wire.Edge{}, EndTime: bound(s.End), Name: s.Name, Names: []string{s.Name},
			ReferenceId: i, ResponseTimeHistogram: histogram(s.ResponseTimes), StartTime: bound(s.Start), State: string(s.State), Type: text(s.Type),
		}
		if s.Root {
			v.Root = &s.Root
		}
		if s.Statistics != nil {
			v.SummaryStatistics = statistics(s.Statistics)
		}
		for _, e := range s.Edges {
			edge := wire.Edge{
				Aliases: []wire.Alias{}, EndTime: bound(e.End), ReferenceId: number[e.To], ResponseTimeHistogram: histogram(e.ResponseTimes),
				StartTime: bound(e.Start), SummaryStatistics: statistics(&e.Statistics),
			}
			if e.Link {
				edge.EdgeType, edge.ReceivedEventAgeHistogram, edge.ResponseTimeHistogram = "link", histogram(e.EventAges), nil
			}
			for _, alias := range e.Aliases {
				edge.Aliases = append(edge.Aliases, wire.Alias{Name: alias.Name, Names: []string{alias.Name}, Type: text(alias.Type)})
			}
			v.Edges = append(v.Edges, edge)
		}
		out = append(out, v)
	}
	return out
}

// histogram converts a histogram; nil becomes null, an empty one an empty list.
func histogram(h *trace.Histogram) []wire.HistogramEntry {
	if h == nil {
		return nil
	}
	out := []wire.HistogramEntry{}
	for _, e := range h.Entries() {
		out = append(out, wire.HistogramEntry{Count: e.Count, Value: e.Value})
	}
	return out
}

func statistics(s *trace.Statistics) *wire.Statistics {
	return &wire.Statistics{
		ErrorStatistics:   wire.ErrorStatistics{OtherCount: s.Error, ThrottleCount: s.Throttle, TotalCount: s.Error + s.Throttle},
		FaultStatistics:   wire.FaultStatistics{OtherCount: s.Fault, TotalCount: s.Fault},
		OkCount:           s.OK,
		TotalCount:        s.Total(),
		TotalResponseTime: math.Round(s.TotalResponseTime.Seconds()*1000) / float64(time.Second/time.Millisecond),
	}
}
