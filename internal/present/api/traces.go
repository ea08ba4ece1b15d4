package api

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// traceIDs parses a request that names traces; it refuses a NextToken.
func traceIDs(body []byte) ([]string, error) {
	var q wire.BatchGetTracesRequest
	if err := parse(body, &q); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(q.TraceIds))
	for _, id := range q.TraceIds {
		ids = append(ids, *id)
	}
	if q.NextToken != nil {
		return nil, trace.Errorf(trace.KindInvalid, "NextToken is currently not supported")
	}
	return ids, nil
}

func (a *API) batchGetTraces(ctx context.Context, r *request) (any, error) {
	ids, err := traceIDs(r.body)
	if err != nil {
		return nil, err
	}
	traces, unread, err := a.Query.Traces(ctx, r.reader, ids)
	if err != nil {
		return nil, err
	}
	answer := wire.BatchGetTracesResult{Traces: []wire.Trace{}, UnprocessedTraceIds: []string{}}
	for _, t := range traces {
		docs, duration, known := assemble.Documents(t)
		out := wire.Trace{Id: t.ID.String(), LimitExceeded: t.LimitExceeded, Segments: []wire.Segment{}}
		if known {
			out.Duration = seconds(&duration)
		}
		for _, d := range docs {
			out.Segments = append(out.Segments, wire.Segment{Document: string(d.JSON), Id: d.ID})
		}
		answer.Traces = append(answer.Traces, out)
	}
	for _, id := range unread {
		answer.UnprocessedTraceIds = append(answer.UnprocessedTraceIds, id.String())
	}
	return answer, nil
}

var clocks = map[string]trace.Clock{"TraceId": trace.ClockTraceID, "Event": trace.ClockEvent, "Service": trace.ClockService}

func (a *API) getTraceSummaries(ctx context.Context, r *request) (any, error) {
	var q wire.GetTraceSummariesRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	rate, err := fixedRate(&q)
	if err != nil {
		return nil, err
	}
	ask := query.SummariesRequest{Window: window(q.StartTime, q.EndTime), Clock: clocks[value(q.TimeRangeType)], Filter: value(q.FilterExpression), Token: value(q.NextToken), Rate: rate}
	page, err := a.Query.Summaries(ctx, r.reader, ask)
	if err != nil {
		return nil, err
	}
	answer := wire.GetTraceSummariesResult{
		ApproximateTime: timestamp(page.ReachedTime), TraceSummaries: []wire.TraceSummary{}, TracesProcessedCount: page.Examined, NextToken: text(page.Token),
	}
	for _, s := range page.Summaries {
		answer.TraceSummaries = append(answer.TraceSummaries, summary(s, ask.Clock))
	}
	return answer, nil
}

// fixedRate returns the share of traces that a sampling strategy requests, nil for all.
// PartialScan lets the native service stop early; here it examines all traces.
func fixedRate(q *wire.GetTraceSummariesRequest) (*float64, error) {
	s := q.SamplingStrategy
	if q.Sampling == nil || !*q.Sampling || s == nil || value(s.Name) != "FixedRate" {
		return nil, nil
	}
	if s.Value == nil || !(*s.Value >= 0 && *s.Value <= 1) {
		return nil, trace.Errorf(trace.KindInvalid, "sampling rate must be specified and its value must be between [0, 1]")
	}
	if typ := value(q.TimeRangeType); typ != "Event" {
		if typ == "" {
			typ = "TraceId"
		}
		return nil, trace.Errorf(trace.KindInvalid, "Cannot use FixedRate with input time range type: %s. Please try using time range type: Event", typ)
	}
	return s.Value, nil
}

func summary(s *trace.Summary, clock trace.Clock) wire.TraceSummary {
	out := wire.TraceSummary{
		Annotations: map[string][]wire.ValueWithServiceIds{}, AnnotationsCut: s.AnnotationsCut, AvailabilityZones: []wire.AvailabilityZoneDetail{}, Duration: milliseconds(s.Duration),
		ErrorRootCauses: rootCauses(s.ErrorCauses), FaultRootCauses: rootCauses(s.FaultCauses), ResponseTimeRootCauses: responseCauses(s.ResponseCauses),
		HasError: s.HasError, HasFault: s.HasFault, HasThrottle: s.HasThrottle, Id: s.ID.String(), InstanceIds: []wire.InstanceIdDetail{}, IsPartial: s.Partial,
		Http:         wire.Http{ClientIp: text(s.HTTP.ClientIP), HttpMethod: text(s.HTTP.Method), HttpURL: text(s.HTTP.URL), UserAgent: text(s.HTTP.UserAgent)},
		ResourceARNs: []wire.ResourceARNDetail{}, ResponseTime: milliseconds(s.ResponseTime), Revision: s.Revision, ServiceIds: []wire.ServiceId{},
		StartTime: timestamp(s.Start.FloorSecond()), Users: []wire.TraceUser{},
	}
	if s.HTTP.Status != 0 {
		out.Http.HttpStatus = &s.HTTP.Status
	}
	if clock != trace.ClockTraceID {
		at := timestamp(s.Updated.FloorSecond())
		out.MatchedEventTime = &at
	}
	if s.EntryPoint != nil {
		id := serviceID(*s.EntryPoint)
		out.EntryPoint = &id
	}
	for _, v := range s.Services {
		out.ServiceIds = append(out.ServiceIds, serviceID(v))
	}
	for _, u := range s.Users {
		out.Users = append(out.Users, wire.TraceUser{UserName: u})
	}
	for _, v := range s.ResourceARNs {
		out.ResourceARNs = append(out.ResourceARNs, wire.ResourceARNDetail{ARN: v})
	}
	for _, v := range s.InstanceIDs {
		out.InstanceIds = append(out.InstanceIds, wire.InstanceIdDetail{Id: v})
	}
	for _, v := range s.Zones {
		out.AvailabilityZones = append(out.AvailabilityZones, wire.AvailabilityZoneDetail{Name: v})
	}
	for _, an := range s.Annotations {
		for _, v := range an.Values {
			out.Annotations[an.Key] = append(out.Annotations[an.Key], wire.ValueWithServiceIds{AnnotationValue: annotationValue(v)})
		}
	}
	return out
}

func annotationValue(v trace.Value) wire.AnnotationValue {
	switch v.Kind {
	case trace.NumberValue:
		return wire.AnnotationValue{NumberValue: &v.Number}
	case trace.BoolValue:
		return wire.AnnotationValue{BooleanValue: &v.Bool}
	}
	return wire.AnnotationValue{StringValue: &v.String}
}

func rootCauses(causes []trace.RootCause) []wire.FaultRootCause {
	out := []wire.FaultRootCause{}
	for _, c := range causes {
		rc := wire.FaultRootCause{ClientImpacting: c.ClientImpacting, Services: []wire.FaultRootCauseService{}}
		for _, s := range c.Services {
			service := wire.FaultRootCauseService{AccountId: text(s.Account), EntityPath: []wire.FaultRootCauseEntity{}, Inferred: s.Inferred, Name: s.Name, Names: []string{s.Name}, Type: text(s.Type)}
			for _, e := range s.Entities {
				entity := wire.FaultRootCauseEntity{Exceptions: []wire.RootCauseException{}, Name: e.Name, Remote: e.Remote}
				for _, x := range e.Exceptions {
					entity.Exceptions = append(entity.Exceptions, wire.RootCauseException{Message: text(x.Message), Name: text(x.Type)})
				}
				service.EntityPath = append(service.EntityPath, entity)
			}
			rc.Services = append(rc.Services, service)
		}
		out = append(out, rc)
	}
	return out
}

func responseCauses(causes []trace.RootCause) []wire.ResponseTimeRootCause {
	out := []wire.ResponseTimeRootCause{}
	for _, c := range causes {
		rc := wire.ResponseTimeRootCause{ClientImpacting: c.ClientImpacting, Services: []wire.ResponseTimeRootCauseService{}}
		for _, s := range c.Services {
			service := wire.ResponseTimeRootCauseService{AccountId: text(s.Account), EntityPath: []wire.ResponseTimeRootCauseEntity{}, Inferred: s.Inferred, Name: s.Name, Names: []string{s.Name}, Type: text(s.Type)}
			for _, e := range s.Entities {
				service.EntityPath = append(service.EntityPath, wire.ResponseTimeRootCauseEntity{Coverage: e.Coverage, Name: e.Name, Remote: e.Remote})
			}
			rc.Services = append(rc.Services, service)
		}
		out = append(out, rc)
	}
	return out
}

func serviceID(s trace.Service) wire.ServiceId {
	return wire.ServiceId{AccountId: text(s.Account), Name: s.Name, Names: []string{s.Name}, Type: text(s.Type)}
}

// window makes a window of two times; neither may be nil.
func window(start, end *wire.Timestamp) trace.Window {
	return trace.Window{Start: trace.FromSeconds(float64(*start)), End: trace.FromSeconds(float64(*end))}
}

func timestamp(t trace.Time) wire.Timestamp { return wire.Timestamp(t.Seconds()) }

// seconds converts a duration to the form of the API; nil stays nil.
func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	s := d.Seconds()
	return &s
}

// milliseconds converts a duration of a summary to seconds, rounded to milliseconds.
func milliseconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	rounded := d.Round(time.Millisecond)
	return seconds(&rounded)
}

// text returns a pointer to a string, nil if it is empty.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// value returns the string that s points to, "" if s is nil.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
