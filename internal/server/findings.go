package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/finding"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// evidence answers the questions of findings from the store.
type evidence struct{ server *server }

// Graph returns the service graph of a window.
func (e evidence) Graph(ctx context.Context, account trace.Account, w trace.Window) (*trace.Graph, error) {
	return e.server.store.Graph(ctx, account, answer.GraphQuery{Window: w})
}

// Sample finds a trace with a call. Traces may have begun before the window.
func (e evidence) Sample(ctx context.Context, account trace.Account, w trace.Window, from, to string) (trace.ID, error) {
	quoted := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	expr, err := e.server.questions.Filter(trace.Owner{Account: account}, fmt.Sprintf("edge(%s, %s)", quoted(from), quoted(to)))
	if err != nil {
		return trace.ID{}, nil // a name that a filter cannot have
	}
	w.Start -= trace.Time(10 * time.Minute)
	for s, err := range e.server.store.Summaries(ctx, account, &answer.SummaryQuery{Window: w, Clock: trace.ClockTraceID, Filter: expr}) {
		if err != nil {
			return trace.ID{}, err
		}
		return s.ID, nil
	}
	return trace.ID{}, nil
}

// watch makes the security findings and returns what sees each stored batch; nil if they
// are off.
func (s *server) watch() func(trace.Account, []*trace.Segment) {
	s.findings = finding.New(finding.Options{Store: s.records, Source: &evidence{s}, Learn: s.config.FindingsLearn, Every: s.config.FindingsEvery, Found: s.live.found, Logger: s.log})
	if !s.config.Findings {
		return nil
	}
	return s.findings.Observe
}

// findingRoutes are the rows of security findings.
func findingRoutes() []route {
	type selector struct {
		ID string `json:"id"`
	}
	post := func(verb, action string, make func(*server, *route) endpoint) route {
		return route{on: onHTTP, method: "POST", path: "/api/findings/" + verb, action: action, class: admitAlways, limit: maxRequest, handler: make}
	}
	return []route{
		post("List", "fluoro:ListFindings", func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, _ *struct{}) (any, error) {
				p, err := identity.From(ctx)
				if err != nil {
					return nil, err
				}
				list, err := s.findings.List(ctx, p.Account, p.Sight)
				return map[string]any{"findings": list}, err
			})
		}),
		post("Get", "fluoro:GetFinding", func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *selector) (any, error) {
				p, err := identity.From(ctx)
				if err != nil {
					return nil, err
				}
				return s.findings.Get(ctx, p.Account, p.Sight, q.ID)
			})
		}),
		post("Decide", "fluoro:UpdateFinding", func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *finding.Decision) (any, error) {
				p, err := identity.From(ctx)
				if err != nil {
					return nil, err
				}
				q.By = p.Name
				return s.findings.Decide(ctx, p.Account, p.Sight, *q)
			})
		}),
	}
}
