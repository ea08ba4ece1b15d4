package api

import (
	"context"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

func (a *API) putTraceSegments(ctx context.Context, r *request) (any, error) {
	docs, err := decode.Body(r.body)
	if err != nil {
		return nil, err
	}
	var v violations
	v.required(docs != nil, "traceSegmentDocuments")
	if err := v.err(); err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, trace.Errorf(trace.KindInvalid, "Segments can not be empty")
	}
	refused, err := a.Intake.Documents(ctx, a.Account, r.source, docs)
	if err != nil {
		return nil, err
	}
	answer := wire.PutTraceSegmentsResult{UnprocessedTraceSegments: []wire.UnprocessedTraceSegment{}}
	for _, f := range refused {
		answer.UnprocessedTraceSegments = append(answer.UnprocessedTraceSegments, wire.UnprocessedTraceSegment{ErrorCode: f.Code, Id: f.ID, Message: f.Message})
	}
	return answer, nil
}

// putTelemetryRecords checks the records; nothing of the API reads them back.
func (a *API) putTelemetryRecords(_ context.Context, r *request) (any, error) {
	var q wire.PutTelemetryRecordsRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	var v violations
	v.required(q.TelemetryRecords != nil, "telemetryRecords")
	v.length(q.EC2InstanceId, "eC2InstanceId", 0, 20)
	v.length(q.Hostname, "hostname", 0, 255)
	v.length(q.ResourceARN, "resourceARN", 0, 500)
	for i, record := range q.TelemetryRecords {
		path := fmt.Sprintf("telemetryRecords.%d.member", i+1)
		if record == nil {
			v.required(false, path)
		} else {
			v.required(record.Timestamp != nil, path+".timestamp")
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if len(q.TelemetryRecords) == 0 {
		return nil, trace.Errorf(trace.KindInvalid, "Telemetry records can not be empty")
	}
	return struct{}{}, nil
}
