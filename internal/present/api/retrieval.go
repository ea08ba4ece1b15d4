package api

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// retrieval returns the handlers of the operations on trace retrievals.
func (a *API) retrieval() map[string]handler {
	return map[string]handler{
		"StartTraceRetrieval":     a.startTraceRetrieval,
		"ListRetrievedTraces":     a.listRetrievedTraces,
		"GetRetrievedTracesGraph": a.getRetrievedTracesGraph,
		"CancelTraceRetrieval":    a.cancelTraceRetrieval,
	}
}

func (a *API) startTraceRetrieval(_ context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.StartTraceRetrievalRequest) (any, error) {
		ids := make([]string, 0, len(q.TraceIds))
		for _, id := range q.TraceIds {
			ids = append(ids, value(id))
		}
		token, err := a.Retrievals.Start(r.reader, ids, window(q.StartTime, q.EndTime))
		return wire.StartTraceRetrievalResult{RetrievalToken: token}, err
	})
}

func (a *API) cancelTraceRetrieval(_ context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.CancelTraceRetrievalRequest) (any, error) {
		return struct{}{}, a.Retrievals.Cancel(r.owner.Account, value(q.RetrievalToken))
	})
}

func (a *API) listRetrievedTraces(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.ListRetrievedTracesRequest) (any, error) {
		format := query.FormatXRay
		if value(q.TraceFormat) == query.FormatOTel.Name {
			format = query.FormatOTel
		}
		page, err := a.Retrievals.Traces(ctx, r.reader, value(q.RetrievalToken), value(q.NextToken), format)
		if err != nil {
			return nil, err
		}
		answer := wire.ListRetrievedTracesResult{NextToken: text(page.Token), RetrievalStatus: string(page.State), TraceFormat: format.Name, Traces: []wire.RetrievedTrace{}}
		for _, t := range page.Traces {
			out := wire.RetrievedTrace{Duration: seconds(t.Duration), Id: t.ID.String(), Spans: []wire.Span{}}
			for _, d := range t.Spans {
				out.Spans = append(out.Spans, wire.Span{Document: string(d.JSON), Id: d.ID})
			}
			answer.Traces = append(answer.Traces, out)
		}
		return answer, nil
	})
}

func (a *API) getRetrievedTracesGraph(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.GetRetrievedTracesGraphRequest) (any, error) {
		page, err := a.Retrievals.Graph(ctx, r.reader, value(q.RetrievalToken), value(q.NextToken))
		if err != nil {
			return nil, err
		}
		answer := wire.GetRetrievedTracesGraphResult{NextToken: text(page.Token), RetrievalStatus: string(page.State), Services: []wire.RetrievedService{}}
		if page.Graph == nil {
			return answer, nil
		}
		for i, s := range services(page.Graph, page.First, page.Last, true) {
			out := wire.RetrievedService{Links: []wire.GraphLink{}, Service: s}
			for _, l := range page.Links[page.Graph.Services[page.First+i].Service] {
				link := wire.GraphLink{DestinationTraceIds: []string{}, ReferenceType: "parent", SourceTraceId: l.Source.String()}
				if l.Child {
					link.ReferenceType = "child"
				}
				for _, id := range l.Destinations {
					link.DestinationTraceIds = append(link.DestinationTraceIds, id.String())
				}
				out.Links = append(out.Links, link)
			}
			answer.Services = append(answer.Services, out)
		}
		return answer, nil
	})
}
