package api

import (
	"bytes"
	"context"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

func (a *API) putTraceSegments(ctx context.Context, r *request) (any, error) {
	body := bytes.TrimSpace(r.body)
	if len(body) == 0 {
		body = []byte("{}")
	}
	docs, err := decode.Body(body)
	if err != nil {
		return nil, err
	}
	if docs == nil {
		_, err := validate(wire.Inputs["PutTraceSegments"], nil)
		return nil, err
	}
	if len(docs) == 0 {
		return nil, trace.Errorf(trace.KindInvalid, "Segments can not be empty")
	}
	noteDocuments(ctx, docs)
	refused, err := a.Intake.Documents(ctx, r.owner.Account, r.source, docs)
	if err != nil {
		return nil, err
	}
	answer := wire.PutTraceSegmentsResult{UnprocessedTraceSegments: []wire.UnprocessedTraceSegment{}}
	for _, f := range refused {
		answer.UnprocessedTraceSegments = append(answer.UnprocessedTraceSegments, wire.UnprocessedTraceSegment{ErrorCode: f.Code, Id: f.ID, Message: f.Message})
	}
	return answer, nil
}

// putTelemetryRecords stores nothing: no operation reads the records back.
func (a *API) putTelemetryRecords(_ context.Context, r *request) (any, error) {
	var q wire.PutTelemetryRecordsRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	if len(q.TelemetryRecords) == 0 {
		return nil, trace.Errorf(trace.KindInvalid, "Telemetry records cannot be empty")
	}
	return struct{}{}, nil
}
