package wire_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// The views of package assemble's cases, made from answers of the API.

type apiService struct {
	Name      string
	Names     []string
	Type      *string
	AccountId *string
}

// identity returns "name|type", and checks the other members.
func (s apiService) identity(t *testing.T) string {
	t.Helper()
	if len(s.Names) != 1 || s.Names[0] != s.Name || s.AccountId != nil || s.Type != nil && *s.Type == "" {
		t.Errorf("service %+v: Names must be [Name], unknown members null", s)
	}
	if s.Type == nil {
		return s.Name + "|"
	}
	return s.Name + "|" + *s.Type
}

func (r *ruleRun) documents(t *testing.T, id string) any {
	t.Helper()
	var answer struct {
		NextToken           *string
		UnprocessedTraceIds []string
		Traces              []struct {
			Id            string
			Duration      any
			LimitExceeded *bool
			Segments      []struct{ Id, Document string }
		}
	}
	r.s.Ask("/Traces", map[string]any{"TraceIds": []string{id}}, &answer)
	if len(answer.Traces) != 1 || answer.Traces[0].Id != id || answer.NextToken != nil || answer.UnprocessedTraceIds == nil {
		t.Fatalf("BatchGetTraces: %+v", answer)
	}
	list := []any{}
	for _, s := range answer.Traces[0].Segments {
		var doc map[string]any
		if err := json.Unmarshal([]byte(s.Document), &doc); err != nil || doc["id"] != s.Id {
			t.Fatalf("document %s: %v: %s", s.Id, err, s.Document)
		}
		list = append(list, doc)
	}
	return map[string]any{"duration": answer.Traces[0].Duration, "documents": list}
}

type apiCause struct {
	ClientImpacting bool
	Services        []struct {
		apiService
		Inferred   bool
		EntityPath []struct {
			Name       string
			Remote     bool
			Coverage   *float64
			Exceptions []struct{ Name, Message *string }
		}
	}
}

func (r *ruleRun) summary(t *testing.T, id string) any {
	t.Helper()
	type valued struct {
		AnnotationValue struct {
			StringValue  *string
			NumberValue  *float64
			BooleanValue *bool
		}
	}
	var answer struct {
		TraceSummaries []struct {
			Id                                                       string
			StartTime                                                float64
			Duration, ResponseTime                                   any
			HasFault, HasError, HasThrottle, IsPartial               bool
			Revision                                                 float64
			EntryPoint                                               *apiService
			Http                                                     struct{ HttpURL, HttpMethod, UserAgent, ClientIp, HttpStatus any }
			ServiceIds                                               []apiService
			Users                                                    []struct{ UserName string }
			ResourceARNs                                             []struct{ ARN string }
			InstanceIds                                              []struct{ Id string }
			AvailabilityZones                                        []struct{ Name string }
			Annotations                                              map[string][]valued
			FaultRootCauses, ErrorRootCauses, ResponseTimeRootCauses []apiCause
			MatchedEventTime                                         any
		}
		NextToken *string
	}
	request := map[string]any{"StartTime": 0, "EndTime": time.Now().Unix() + 60}
	for {
		answer.NextToken = nil
		r.s.Ask("/TraceSummaries", request, &answer)
		for i := range answer.TraceSummaries {
			s := &answer.TraceSummaries[i]
			if s.Id != id {
				continue
			}
			if s.MatchedEventTime != nil {
				t.Errorf("MatchedEventTime is %v, want null for the clock TraceId", s.MatchedEventTime)
			}
			annotations := map[string]any{}
			for k, values := range s.Annotations {
				list := []any{}
				for _, v := range values {
					switch a := v.AnnotationValue; {
					case a.NumberValue != nil && a.StringValue == nil && a.BooleanValue == nil:
						list = append(list, *a.NumberValue)
					case a.BooleanValue != nil && a.StringValue == nil && a.NumberValue == nil:
						list = append(list, *a.BooleanValue)
					case a.StringValue != nil && a.BooleanValue == nil && a.NumberValue == nil:
						list = append(list, *a.StringValue)
					default:
						t.Errorf("annotation %s has not one value", k)
					}
				}
				annotations[k] = list
			}
			var entry any
			if s.EntryPoint != nil {
				entry = s.EntryPoint.identity(t)
			}
			orEmpty := func(v any) any {
				if v == nil {
					return ""
				}
				return v
			}
			status := s.Http.HttpStatus
			if status == nil {
				status = 0.0
			}
			return map[string]any{
				"entryPoint": entry, "start": s.StartTime, "duration": s.Duration, "responseTime": s.ResponseTime, "fault": s.HasFault, "error": s.HasError,
				"throttle": s.HasThrottle, "partial": s.IsPartial, "revision": s.Revision,
				"http":        map[string]any{"url": orEmpty(s.Http.HttpURL), "method": orEmpty(s.Http.HttpMethod), "agent": orEmpty(s.Http.UserAgent), "ip": orEmpty(s.Http.ClientIp), "status": status},
				"services":    sorted(s.ServiceIds, func(v apiService) string { return v.identity(t) }),
				"users":       sorted(s.Users, func(v struct{ UserName string }) string { return v.UserName }),
				"arns":        sorted(s.ResourceARNs, func(v struct{ ARN string }) string { return v.ARN }),
				"instances":   sorted(s.InstanceIds, func(v struct{ Id string }) string { return v.Id }),
				"zones":       sorted(s.AvailabilityZones, func(v struct{ Name string }) string { return v.Name }),
				"annotations": annotations, "faultCauses": viewCauses(t, s.FaultRootCauses), "errorCauses": viewCauses(t, s.ErrorRootCauses), "responseCauses": viewCauses(t, s.ResponseTimeRootCauses),
			}
		}
		if answer.NextToken == nil {
			t.Fatalf("there is no summary of %s", id)
		}
		request["NextToken"] = *answer.NextToken
	}
}

func sorted[T any](list []T, text func(T) string) []any {
	texts := []string{}
	for _, v := range list {
		texts = append(texts, text(v))
	}
	slices.Sort(texts)
	out := []any{}
	for _, v := range texts {
		out = append(out, v)
	}
	return out
}

func viewCauses(t *testing.T, causes []apiCause) any {
	t.Helper()
	if causes == nil {
		t.Error("root causes are null, want a list")
	}
	out := []any{}
	for _, c := range causes {
		services := []any{}
		for _, s := range c.Services {
			path := []any{}
			for _, e := range s.EntityPath {
				text := e.Name
				if e.Coverage != nil {
					text += " " + strconv.FormatFloat(*e.Coverage, 'g', 6, 64)
				} else if e.Exceptions == nil {
					t.Errorf("exceptions of %s are null, want a list", e.Name)
				}
				for _, x := range e.Exceptions {
					text += " (" + deref(x.Name) + ": " + deref(x.Message) + ")"
				}
				if e.Remote {
					text += " remote"
				}
				path = append(path, text)
			}
			services = append(services, map[string]any{"service": s.identity(t), "inferred": s.Inferred, "path": path})
		}
		out = append(out, map[string]any{"clientImpacting": c.ClientImpacting, "services": services})
	}
	return out
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type apiStatistics struct {
	OkCount, TotalCount, TotalResponseTime float64
	ErrorStatistics                        struct{ ThrottleCount, OtherCount, TotalCount float64 }
	FaultStatistics                        struct{ OtherCount, TotalCount float64 }
}

type apiHistogram []struct{ Value, Count float64 }

type apiGraph struct {
	StartTime, EndTime       *float64
	ContainsOldGroupVersions bool
	NextToken                *string
	Services                 []struct {
		apiService
		ReferenceId                              int
		State                                    string
		Root                                     *bool
		StartTime, EndTime                       *float64
		SummaryStatistics                        *apiStatistics
		DurationHistogram, ResponseTimeHistogram apiHistogram
		Edges                                    []struct {
			ReferenceId                                      int
			StartTime, EndTime                               *float64
			EdgeType                                         *string
			Aliases                                          []apiService
			SummaryStatistics                                *apiStatistics
			ResponseTimeHistogram, ReceivedEventAgeHistogram apiHistogram
		}
	}
}

// graph asks GetServiceGraph and, if the case is about one complete trace,
// GetTraceGraph: they must agree on everything but times.
func (r *ruleRun) graph(t *testing.T, id string) any {
	t.Helper()
	start, end := float64(time.Now().Add(-time.Minute).Unix()), float64(time.Now().Unix()+60)
	if len(r.Window) == 2 {
		start, end = r.moment(r.Window[0]), r.moment(r.Window[1])
	}
	var g apiGraph
	r.s.Ask("/ServiceGraph", map[string]any{"StartTime": start, "EndTime": end}, &g)
	if g.NextToken != nil || g.ContainsOldGroupVersions {
		t.Errorf("NextToken %v, ContainsOldGroupVersions %v", g.NextToken, g.ContainsOldGroupVersions)
	}
	view := g.view(t, true)
	if len(r.Window) == 0 && len(r.ids) == 1 {
		var one apiGraph
		r.s.Ask("/TraceGraph", map[string]any{"TraceIds": []string{id}}, &one)
		services := view["services"].(map[string]any)
		trace := one.view(t, false)["services"].(map[string]any)
		open := len(trace) == 0 && r.rootIsOpen()
		if !open && !slices.Equal(slices.Sorted(maps.Keys(services)), slices.Sorted(maps.Keys(trace))) {
			t.Errorf("the trace graph has other nodes: %v, not %v", slices.Sorted(maps.Keys(trace)), slices.Sorted(maps.Keys(services)))
		}
		for name, s := range trace {
			if diffs := harness.Differences("trace graph: "+name, s, untimed(services[name])); len(diffs) > 0 {
				t.Error(strings.Join(diffs, "\n"))
			}
		}
	}
	return view
}

// rootIsOpen reports whether a document without parent is in progress.
func (r *ruleRun) rootIsOpen() bool {
	return slices.ContainsFunc(r.Documents, func(d json.RawMessage) bool { return has(d, "in_progress") && !has(d, "parent_id") })
}

// untimed returns a view of a service without the times that the trace graph lacks.
func untimed(v any) any {
	o, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, m := range o {
		if k != "start" && k != "end" {
			out[k] = untimed(m)
		}
	}
	return out
}

// moment returns a time after everything received before a time of the case.
func (r *ruleRun) moment(at float64) float64 {
	n, last := 0, -1.0
	for _, received := range r.Received {
		if received < at && received != last {
			n, last = n+1, received
		}
	}
	m := time.Now().Add(-time.Minute)
	if n > 0 {
		m = r.sent[n-1].Add(20 * time.Millisecond)
	}
	return float64(m.UnixMilli()) / 1e3
}

func (g *apiGraph) view(t *testing.T, timed bool) map[string]any {
	t.Helper()
	at := func(v *float64) any {
		if (v != nil) != timed {
			t.Errorf("a time is %v", v)
		}
		if v == nil {
			return 0.0
		}
		return *v
	}
	names := map[int]string{}
	for _, s := range g.Services {
		if names[s.ReferenceId] != "" {
			t.Errorf("reference %d is there twice", s.ReferenceId)
		}
		names[s.ReferenceId] = s.identity(t)
	}
	services := map[string]any{}
	for _, s := range g.Services {
		edges := map[string]any{}
		if s.Edges == nil {
			t.Errorf("edges of %s are null", s.Name)
		}
		for _, e := range s.Edges {
			key := names[e.ReferenceId]
			if e.EdgeType != nil {
				key += " " + *e.EdgeType
			}
			if e.Aliases == nil || e.SummaryStatistics == nil {
				t.Errorf("edge %s to %s: aliases or statistics are null", s.Name, key)
				continue
			}
			v := map[string]any{"responses": e.ResponseTimeHistogram.view(), "ages": e.ReceivedEventAgeHistogram.view(), "start": at(e.StartTime), "end": at(e.EndTime),
				"aliases": sorted(e.Aliases, func(a apiService) string { return a.identity(t) })}
			e.SummaryStatistics.add(t, v)
			edges[key] = v
		}
		v := map[string]any{"state": s.State, "root": s.Root != nil, "start": at(s.StartTime), "end": at(s.EndTime), "edges": edges}
		if s.Root != nil && !*s.Root {
			t.Errorf("Root of %s is false, want null", s.Name)
		}
		if s.SummaryStatistics != nil {
			s.SummaryStatistics.add(t, v)
			v["responses"], v["durations"] = s.ResponseTimeHistogram.view(), s.DurationHistogram.view()
		}
		services[names[s.ReferenceId]] = v
	}
	out := map[string]any{"services": services, "start": 0.0, "end": 0.0}
	if g.StartTime != nil && g.EndTime != nil {
		out["start"], out["end"] = *g.StartTime, *g.EndTime
	}
	return out
}

func (s *apiStatistics) add(t *testing.T, view map[string]any) {
	t.Helper()
	view["ok"], view["error"], view["fault"], view["throttle"], view["total"] = s.OkCount, s.ErrorStatistics.OtherCount, s.FaultStatistics.OtherCount, s.ErrorStatistics.ThrottleCount, s.TotalResponseTime
	if s.ErrorStatistics.TotalCount != s.ErrorStatistics.OtherCount+s.ErrorStatistics.ThrottleCount || s.FaultStatistics.TotalCount != s.FaultStatistics.OtherCount ||
		s.TotalCount != s.OkCount+s.ErrorStatistics.TotalCount+s.FaultStatistics.TotalCount {
		t.Errorf("statistics do not add up: %+v", s)
	}
}

func (h apiHistogram) view() any {
	if h == nil {
		return nil
	}
	out := map[string]any{}
	for _, e := range h {
		out[strconv.FormatFloat(e.Value, 'f', -1, 64)] = e.Count
	}
	return out
}
