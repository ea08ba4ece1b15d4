package api

import (
	"context"
	"encoding/json"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// noteRequest records the parameters of a valid request. Documents are never recorded.
func noteRequest(ctx context.Context, e *Endpoint, body []byte) {
	d := audit.Of(ctx)
	if d == nil || e.segments || e.op.Name == "PutTelemetryRecords" {
		return
	}
	values := audit.Camel(body)
	d.Request(values)
	switch ids, _ := values["traceIds"].([]any); e.op.Name {
	case "GetTraceGraph", "StartTraceRetrieval":
		for _, id := range ids {
			if text, ok := id.(string); ok {
				d.Traces(text)
			}
		}
	}
}

// noteDocuments records the trace ids of documents, as natively, and nothing else of
// them.
func noteDocuments(ctx context.Context, docs [][]byte) {
	d := audit.Of(ctx)
	if d == nil {
		return
	}
	for _, doc := range docs {
		var id struct {
			TraceID string `json:"trace_id"`
		}
		if json.Unmarshal(doc, &id) == nil && id.TraceID != "" {
			d.Traces(id.TraceID)
		}
	}
}

// noteAnswer records what a request read, and the response of one that changed
// something.
func noteAnswer(ctx context.Context, operation string, answer any) {
	d := audit.Of(ctx)
	if d == nil {
		return
	}
	switch a := answer.(type) {
	case wire.BatchGetTracesResult:
		for _, t := range a.Traces {
			d.Traces(t.Id)
		}
		d.Set("unprocessedTraces", len(a.UnprocessedTraceIds))
	case wire.GetTraceSummariesResult:
		for i := range a.TraceSummaries {
			d.Traces(a.TraceSummaries[i].Id)
		}
		d.Set("tracesProcessed", a.TracesProcessedCount)
	case wire.ListRetrievedTracesResult:
		for i := range a.Traces {
			d.Traces(a.Traces[i].Id)
		}
	case wire.GetTraceGraphResult:
		d.Set("services", len(a.Services))
	case wire.GetServiceGraphResult:
		d.Set("services", len(a.Services))
	case wire.GetRetrievedTracesGraphResult:
		d.Set("services", len(a.Services))
	case wire.GetTimeSeriesServiceStatisticsResult:
		d.Set("buckets", len(a.TimeSeriesServiceStatistics))
	case wire.PutTraceSegmentsResult:
		d.Set("unprocessedSegments", len(a.UnprocessedTraceSegments))
	}
	switch {
	case !d.Changes():
	case operation == "DeleteGroup":
		d.Respond(map[string]any{"groupARN": d.Resource()}) // as natively
	default:
		if b, err := encode(answer); err == nil {
			if values := audit.Camel(b); values != nil {
				d.Respond(values)
			}
		}
	}
}
