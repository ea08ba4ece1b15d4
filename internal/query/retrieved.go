package query

import (
	"context"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// retrievedTraces, retrievedSpans and retrievedServices are the sizes of pages
	// (X-Ray API model: TraceSpanList, SpanList, RetrievedServicesList).
	retrievedTraces   = 5
	retrievedSpans    = 100
	retrievedServices = 1000
	// retrievedLinks is the maximum number of links of a service (LinksList).
	retrievedLinks = 100
	// retrievedBytes ends a page of large spans early; one span always fits.
	retrievedBytes = 8 << 20
)

// RetrievedTraces is a page of the traces that a retrieval found. A trace of more
// than 100 spans continues on the next page.
type RetrievedTraces struct {
	State  RetrievalState
	Traces []RetrievedTrace // none unless State is RetrievalComplete
	Token  string           // of the next page, "" after the last
}

// RetrievedTrace is a trace, or a part of one.
type RetrievedTrace struct {
	ID trace.ID
	// Duration is from the first start to the last end of the whole trace; nil if no
	// entity is completed, or if the trace ends before it starts.
	Duration *time.Duration
	Spans    []assemble.Document
}

// Traces returns a page of the traces that a job found, in the order of its ids, as
// they are now.
func (r *Retrievals) Traces(ctx context.Context, who Reader, token, page string, format Format) (*RetrievedTraces, error) {
	state, ids, err := r.look(&who, token)
	if err != nil {
		return nil, err
	}
	of := "traces " + format.Name + token
	at, err := openRetrievalPlace(page, of)
	if err != nil {
		return nil, err
	}
	out := &RetrievedTraces{State: state}
	if from := min(int(at.Item), len(ids)); from < len(ids) {
		if err := r.query.admit(ctx, who, ids[from:min(from+retrievedTraces, len(ids))]); err != nil {
			return nil, err
		}
	}
	bytes := 0
	for i := int(at.Item); i < len(ids); i, at = i+1, (retrievalPlace{}) {
		if len(out.Traces) == retrievedTraces || bytes >= retrievedBytes {
			out.Token = retrievalPlace{Item: uint32(i)}.seal(of)
			return out, nil
		}
		for t, err := range readable(r.query.store.Traces(ctx, who.Account, ids[i:i+1], who.Reach), nil) {
			if err != nil {
				return nil, err
			}
			spans, err := format.Spans(t)
			if err != nil {
				return nil, err
			}
			first := at.start(spans)
			last := first
			for last < len(spans) && last < first+retrievedSpans && (bytes == 0 || bytes+len(spans[last].JSON) <= retrievedBytes) {
				bytes += len(spans[last].JSON)
				last++
			}
			if last > first || len(spans) == 0 {
				out.Traces = append(out.Traces, RetrievedTrace{t.ID, duration(t), spans[first:last]})
			}
			if last < len(spans) {
				next := retrievalPlace{Item: uint32(i), Span: uint32(last)}
				if last > 0 {
					next.After, _ = trace.ParseSegmentID(spans[last-1].ID)
				}
				out.Token = next.seal(of)
				return out, nil
			}
		}
	}
	return out, nil
}

// start returns the number of the first span of a page.
func (p retrievalPlace) start(spans []assemble.Document) int {
	if p.Span == 0 {
		return 0
	}
	id := p.After.String()
	if i := slices.IndexFunc(spans, func(d assemble.Document) bool { return d.ID == id }); i >= 0 {
		return i + 1
	}
	return min(int(p.Span), len(spans))
}

func duration(t *trace.Trace) *time.Duration {
	if t.End == 0 || t.End < t.Start { // as in BatchGetTraces
		return nil
	}
	d := t.End.Sub(t.Start)
	return &d
}

// RetrievedGraph is a page of the service graph of the traces that a retrieval
// found.
type RetrievedGraph struct {
	State RetrievalState
	Graph *trace.Graph // the whole graph; nil unless State is RetrievalComplete
	// First and Last are the bounds of this page's services.
	First, Last int
	Links       map[trace.Service][]RetrievedLink
	Token       string // of the next page, "" after the last
}

// RetrievedLink tells that a service's entities in a trace have trace links to other
// traces.
type RetrievedLink struct {
	Source       trace.ID
	Child        bool       // the destinations received from the source, otherwise they sent to it
	Destinations []trace.ID // in the order of the links, each once
}

// Graph returns a page of the service graph of the traces that a job found.
func (r *Retrievals) Graph(ctx context.Context, who Reader, token, page string) (*RetrievedGraph, error) {
	state, ids, err := r.look(&who, token)
	if err != nil {
		return nil, err
	}
	of := "graph " + token
	at, err := openRetrievalPlace(page, of)
	if err != nil || state != RetrievalComplete {
		return &RetrievedGraph{State: state}, err
	}
	if err := r.query.admitEach(ctx, who, ids); err != nil {
		return nil, err
	}
	out := &RetrievedGraph{State: state, Links: map[trace.Service][]RetrievedLink{}}
	b := assemble.NewGraph(nil).Limited(assemble.Limit(r.query.Names))
	for t, err := range readable(r.query.store.Traces(ctx, who.Account, ids, who.Reach), nil) {
		if err != nil {
			return nil, err
		}
		b.Add(t, nil)
		out.link(t)
	}
	for t, err := range readable(r.query.store.Traces(ctx, who.Account, b.Linked(), who.Reach), nil) {
		if err != nil {
			return nil, err
		}
		b.Resolve(t)
	}
	out.Graph = b.Graph()
	n := len(out.Graph.Services)
	out.First = min(int(at.Item), n)
	out.Last = pageEnd(out.Graph, out.First, retrievedServices)
	if out.Last < n {
		out.Token = retrievalPlace{Item: uint32(out.Last)}.seal(of)
	}
	return out, nil
}

// link adds a trace's links to the services that have them.
func (g *RetrievedGraph) link(t *trace.Trace) {
	for e := range assemble.All(t) {
		if e.Segment == nil || len(e.Links) == 0 {
			continue
		}
		service := assemble.Identity(e.Segment)
		links := g.Links[service]
		for _, l := range e.Links {
			at := len(links) - 1
			for at >= 0 && links[at].Source == t.ID && links[at].Child != l.Child {
				at--
			}
			if at < 0 || links[at].Source != t.ID {
				if len(links) == retrievedLinks {
					continue
				}
				at, links = len(links), append(links, RetrievedLink{Source: t.ID, Child: l.Child})
			}
			to := &links[at]
			if len(to.Destinations) < retrievedLinks && !slices.Contains(to.Destinations, l.TraceID) {
				to.Destinations = append(to.Destinations, l.TraceID)
			}
		}
		g.Links[service] = links
	}
}
