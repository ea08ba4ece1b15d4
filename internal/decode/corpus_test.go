package decode_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// corpusFiles lists the files that match a pattern below the corpus; it is an error if
// there are none.
func corpusFiles(t testing.TB, pattern ...string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(append([]string{corpus(t)}, pattern...)...))
	if err != nil || len(paths) == 0 {
		t.Fatalf("corpus: no %s: %v", filepath.Join(pattern...), err)
	}
	return paths
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// walk calls f for an entity and all entities below it.
func walk(e *trace.Entity, f func(*trace.Entity)) {
	f(e)
	for _, child := range e.Subsegments {
		walk(child, f)
	}
}

// accepted decodes one document, which must be a single segment, and restores it.
func accepted(t *testing.T, doc []byte) *trace.Segment {
	t.Helper()
	segments, refusal := decode.Document(doc, at)
	if refusal != nil || len(segments) != 1 {
		t.Fatalf("%d segments, %v: %.300s", len(segments), refusal, doc)
	}
	checkRestores(t, segments[0])
	return segments[0]
}

// checkRestores checks that the stored form of a segment restores an equal segment.
func checkRestores(t *testing.T, s *trace.Segment) {
	t.Helper()
	again, err := decode.Restore(s.Source, slices.Clone(s.Raw), s.Scope, s.Part, s.ReceivedAt)
	if err != nil {
		t.Fatal(err)
	}
	// As text if it may contain NaN, which differs from itself.
	if !reflect.DeepEqual(again, s) && (s.Source == trace.SourceDocument || entityText(again.Entity) != entityText(s.Entity)) {
		t.Fatalf("restored as\n%+v\nwant\n%+v", again, s)
	}
}

func TestCorpus_developerGuide(t *testing.T) {
	refused := map[string]string{"custom-subsegment-with-metadata.json": "MissingTraceId"} // that page shows only a part of a document
	for _, path := range corpusFiles(t, "xray-docs", "devguide", "*.json") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if code := refused[filepath.Base(path)]; code != "" {
				if _, refusal := decode.Document(readFile(t, path), at); refusal == nil || refusal.Code != code || *refusal.ID != "0e58d2918e9038e8" {
					t.Errorf("got %v, want %s", refusal, code)
				}
				return
			}
			checkAgainstJSON(t, readFile(t, path))
		})
	}
}

// checkAgainstJSON compares an accepted document with the result of encoding/json.
func checkAgainstJSON(t *testing.T, doc []byte) *trace.Segment {
	t.Helper()
	s := accepted(t, doc)
	var want plainEntity
	if err := json.Unmarshal(doc, &want); err != nil {
		t.Fatal(err)
	}
	if s.TraceID.String() != want.TraceID || s.Independent != (want.Type == "subsegment") {
		t.Errorf("trace id %s, independent %v: %.200s", s.TraceID, s.Independent, doc)
	}
	if want.ParentID != "" && s.ParentID.String() != want.ParentID {
		t.Errorf("parent %s, want %s", s.ParentID, want.ParentID)
	}
	compareEntity(t, &s.Entity, want)
	return s
}

// plainEntity is an entity as encoding/json decodes it.
type plainEntity struct {
	ID          string                     `json:"id"`
	Name        string                     `json:"name"`
	TraceID     string                     `json:"trace_id"`
	ParentID    string                     `json:"parent_id"`
	Type        string                     `json:"type"`
	Start       float64                    `json:"start_time"`
	End         float64                    `json:"end_time"`
	InProgress  bool                       `json:"in_progress"`
	Namespace   string                     `json:"namespace"`
	Origin      string                     `json:"origin"`
	User        string                     `json:"user"`
	ResourceARN string                     `json:"resource_arn"`
	Error       bool                       `json:"error"`
	Fault       bool                       `json:"fault"`
	Throttle    bool                       `json:"throttle"`
	Annotations map[string]json.RawMessage `json:"annotations"`
	HTTP        struct {
		Request  struct{ Method, URL string }
		Response struct{ Status json.Number }
	} `json:"http"`
	AWS struct {
		Operation string
		Region    string
		TableName string `json:"table_name"`
	} `json:"aws"`
	Cause       json.RawMessage `json:"cause"`
	Subsegments []plainEntity   `json:"subsegments"`
}

func compareEntity(t *testing.T, e *trace.Entity, want plainEntity) {
	t.Helper()
	status := "0"
	if want.HTTP.Response.Status != "" {
		status = want.HTTP.Response.Status.String()
	}
	var cause struct {
		Exceptions []struct{ ID, Type, Message string }
	}
	_ = json.Unmarshal(want.Cause, &cause) // a cause that is not an object has none
	var exceptions []struct{ ID, Type, Message string }
	for _, x := range e.Cause.Exceptions {
		exceptions = append(exceptions, struct{ ID, Type, Message string }{x.ID, x.Type, x.Message})
	}
	aws := trace.AWS{}
	if e.AWS != nil {
		aws = *e.AWS
	}
	got := []any{e.ID.String(), e.Name, e.InProgress, e.Namespace, e.Origin, e.User, e.ResourceARN, e.Error, e.Fault, e.Throttle, fmt.Sprint(e.HTTP.Status), e.HTTP.Method, e.HTTP.URL, aws.Operation, aws.Region, aws.TableName, exceptions, annotationTexts(e)}
	expect := []any{want.ID, want.Name, want.InProgress, want.Namespace, want.Origin, want.User, want.ResourceARN, want.Error, want.Fault, want.Throttle, status, want.HTTP.Request.Method, want.HTTP.Request.URL, want.AWS.Operation, want.AWS.Region, want.AWS.TableName, cause.Exceptions, scalars(want.Annotations)}
	if len(cause.Exceptions) == 0 {
		expect[16] = exceptions[:0:0]
	}
	if !reflect.DeepEqual(got, expect) {
		t.Errorf("entity %s\ngot  %v\nwant %v", want.ID, got, expect)
	}
	if math.Abs(e.Start.Seconds()-want.Start) > 1e-6 || math.Abs(e.End.Seconds()-want.End) > 1e-6 {
		t.Errorf("entity %s: %f to %f, want %f to %f", want.ID, e.Start.Seconds(), e.End.Seconds(), want.Start, want.End)
	}
	if len(e.Subsegments) != len(want.Subsegments) {
		t.Fatalf("entity %s: %d subsegments, want %d", want.ID, len(e.Subsegments), len(want.Subsegments))
	}
	for i, child := range e.Subsegments {
		if child.ParentID != e.ID || !child.Subsegment {
			t.Errorf("%s is not below %s", child.ID, e.ID)
		}
		compareEntity(t, child, want.Subsegments[i])
	}
}

// annotationTexts returns the values of annotations as JSON.
func annotationTexts(e *trace.Entity) map[string]any {
	out := map[string]any{}
	for _, a := range e.Annotations {
		switch a.Value.Kind {
		case trace.StringValue:
			out[a.Key] = a.Value.String
		case trace.NumberValue:
			out[a.Key] = a.Value.Number
		case trace.BoolValue:
			out[a.Key] = a.Value.Bool
		}
	}
	return out
}

func scalars(in map[string]json.RawMessage) map[string]any {
	out := map[string]any{}
	for key, raw := range in {
		var value any
		if json.Unmarshal(raw, &value) == nil {
			switch value.(type) {
			case string, float64, bool:
				out[key] = value
			}
		}
	}
	return out
}

// TestCorpus_collectorReceiver compares entities with the spans that the collector's
// awsxrayreceiver makes of the same document. The receiver refuses two of the inputs. We
// accept one of them, whose cause is a number, because the service refuses no document
// for a member it does not need.
func TestCorpus_collectorReceiver(t *testing.T) {
	errorsThere := map[string]string{"contrib-minCauseIsInvalid": "", "devguide-custom-subsegment-with-metadata": "MissingTraceId"}
	for _, path := range corpusFiles(t, "xray-to-otel", "*", "input.segment.json") {
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			doc := readFile(t, path)
			if _, err := os.Stat(filepath.Join(dir, "expected.error.json")); err == nil {
				code, known := errorsThere[name]
				_, refusal := decode.Document(doc, at)
				if !known || refusal == nil && code != "" || refusal != nil && refusal.Code != code {
					t.Errorf("got %v, want %q", refusal, code)
				}
				return
			}
			s := checkAgainstJSON(t, doc)
			compareSpans(t, s, filepath.Join(dir, "expected.otlp.json"))
		})
	}
}

func compareSpans(t *testing.T, s *trace.Segment, path string) {
	t.Helper()
	var want struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct {
					TraceID           string `json:"traceId"`
					SpanID            string `json:"spanId"`
					ParentSpanID      string `json:"parentSpanId"`
					Name              string
					StartTimeUnixNano json.Number `json:"startTimeUnixNano"`
					EndTimeUnixNano   json.Number `json:"endTimeUnixNano"`
					Events            []struct{ Name string }
				}
			}
		}
	}
	readJSON(t, path, &want)
	type span struct {
		trace, parent, name string
		exceptions          int
	}
	got, expect := map[string]span{}, map[string]span{}
	times := map[string][2]trace.Time{}
	walk(&s.Entity, func(e *trace.Entity) {
		parent := ""
		if !e.ParentID.IsZero() {
			parent = e.ParentID.String()
		}
		got[e.ID.String()] = span{s.TraceID.Hex(), parent, e.Name, len(e.Cause.Exceptions)}
		times[e.ID.String()] = [2]trace.Time{e.Start, e.End}
	})
	for _, resource := range want.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, x := range scope.Spans {
				exceptions := 0
				for _, event := range x.Events {
					if event.Name == "exception" {
						exceptions++
					}
				}
				expect[x.SpanID] = span{x.TraceID, x.ParentSpanID, x.Name, exceptions}
				start, _ := x.StartTimeUnixNano.Int64()
				end, _ := x.EndTimeUnixNano.Int64()
				// The receiver converts to float64, exact to 200 ns.
				if d := times[x.SpanID]; math.Abs(float64(d[0]-trace.Time(start))) > 500 || math.Abs(float64(d[1]-trace.Time(end))) > 500 {
					t.Errorf("span %s: %d to %d, want %d to %d", x.SpanID, d[0], d[1], start, end)
				}
			}
		}
	}
	if !maps.Equal(got, expect) {
		t.Errorf("got  %v\nwant %v", got, expect)
	}
}

// TestCorpus_awsTraces sends recorded documents of applications and compares the counts
// with those of the corpus.
func TestCorpus_awsTraces(t *testing.T) {
	for _, path := range append(corpusFiles(t, "xray-traces", "servitrace", "*", "input.documents.json"), corpusFiles(t, "xray-traces", "awscli-scorekeep", "input.documents.json")...) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			var docs []json.RawMessage
			readJSON(t, path, &docs)
			counts := map[string]int{"error": 0, "fault": 0, "throttle": 0, "in_progress": 0}
			entities, first, last := 0, trace.MaxTime, trace.MinTime
			for _, doc := range docs {
				s := checkAgainstJSON(t, doc)
				walk(&s.Entity, func(e *trace.Entity) {
					entities++
					first, last = min(first, e.Start), max(last, e.End)
					for name, is := range map[string]bool{"error": e.Error, "fault": e.Fault, "throttle": e.Throttle, "in_progress": e.InProgress} {
						if is {
							counts[name]++
						}
					}
				})
			}
			var want struct {
				Segments, Inferred, Entities int
				MinStart                     float64        `json:"min_start"`
				MaxEnd                       float64        `json:"max_end"`
				EntitiesWith                 map[string]int `json:"entities_with"`
			}
			summary := filepath.Join(filepath.Dir(path), "expected.summary.json")
			if _, err := os.Stat(summary); err != nil {
				return // the AWS CLI example has no expectations
			}
			readJSON(t, summary, &want)
			if len(docs) != want.Segments-want.Inferred || !maps.Equal(counts, want.EntitiesWith) {
				t.Errorf("%d documents with %v, want %+v", len(docs), counts, want)
			}
			// Inferred segments are entities without subsegments.
			if entities != want.Entities-want.Inferred {
				t.Errorf("%d entities, want %d of which %d inferred", entities, want.Entities, want.Inferred)
			}
			if math.Abs(first.Seconds()-want.MinStart) > 1e-6 || math.Abs(last.Seconds()-want.MaxEnd) > 1e-6 {
				t.Errorf("from %f to %f, want %f to %f", first.Seconds(), last.Seconds(), want.MinStart, want.MaxEnd)
			}
		})
	}
}

func TestCorpus_datagrams(t *testing.T) {
	var verdicts []struct {
		File    string
		Bytes   int
		Accepts bool `json:"daemon_accepts"`
		Body    *int `json:"forwarded_body_bytes"`
	}
	dir := filepath.Join(corpus(t), "udp-datagrams")
	readJSON(t, filepath.Join(dir, "expected.json"), &verdicts)
	if files := corpusFiles(t, "udp-datagrams", "*.bin"); len(files) != len(verdicts) {
		t.Errorf("%d datagrams, %d verdicts", len(files), len(verdicts))
	}
	codes := map[string]string{"header-version-2.bin": "InvalidHeader", "no-newline.bin": "MissingHeader"}
	after := map[string]string{"plain.bin": "1 segment", "body-not-json.bin": "ParseError", "otlp-sampled-shared.bin": "1 segment"}
	for _, v := range verdicts {
		t.Run(v.File, func(t *testing.T) {
			body, refusal := decode.Datagram(readFile(t, dir, v.File))
			if (refusal == nil) != v.Accepts {
				t.Fatalf("%v, the daemon accepts: %v", refusal, v.Accepts)
			}
			if refusal != nil {
				if refusal.Code != codes[v.File] || refusal.Message == "" || refusal.ID != nil {
					t.Errorf("%+v", refusal)
				}
				return
			}
			if len(body) != *v.Body {
				t.Errorf("body of %d bytes, want %d", len(body), *v.Body)
			}
			segments, refusal := decode.Document(body, at)
			got := fmt.Sprintf("%d segment", len(segments))
			if refusal != nil {
				got = refusal.Code
			}
			for _, s := range segments {
				checkRestores(t, s)
			}
			if got != after[v.File] {
				t.Errorf("then %s, want %s", got, after[v.File])
			}
		})
	}
}

// captureFacts has the form of expected.json of a recording of an X-Ray SDK.
type captureFacts struct {
	Datagrams []struct {
		File       string
		Kind       string
		TraceID    string `json:"trace_id"`
		ID, Name   string
		ParentID   *string `json:"parent_id"`
		Entities   int
		MaxDepth   int  `json:"max_depth"`
		InProgress bool `json:"in_progress"`
	}
	Traces []struct {
		TraceID     string `json:"trace_id"`
		Documents   int
		Entities    int
		Users       []string
		Annotations map[string][]any
		AnyFault    bool `json:"any_fault"`
		AnyError    bool `json:"any_error"`
		AnyThrottle bool `json:"any_throttle"`
		Exceptions  int
		Duration    float64 `json:"duration_seconds"`
		Segments    []struct {
			ID                     string
			Status                 *int `json:"http_status"`
			Fault, Error, Throttle bool
		}
		Calls []struct{ ID, Name, Namespace string } `json:"downstream_calls"`
	}
}

func TestCorpus_sdkCaptures(t *testing.T) {
	for _, path := range corpusFiles(t, "sdk-captures", "xray-sdk-*", "expected.json") {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			var want captureFacts
			readJSON(t, path, &want)
			traces := map[string][]*trace.Segment{}
			for _, d := range want.Datagrams {
				body, refusal := decode.Datagram(readFile(t, filepath.Dir(path), d.File))
				if refusal != nil {
					t.Fatalf("%s: %v", d.File, refusal)
				}
				s := checkAgainstJSON(t, body)
				parent := s.ParentID.String()
				if d.ParentID == nil {
					d.ParentID = new(string)
					parent = strings.Trim(parent, "0")
				}
				kind := map[bool]string{false: "segment", true: "subsegment"}[s.Independent]
				if kind != d.Kind || s.TraceID.String() != d.TraceID || s.ID.String() != d.ID || s.Name != d.Name || parent != *d.ParentID || count(&s.Entity) != d.Entities || depth(&s.Entity) != d.MaxDepth || s.InProgress != d.InProgress {
					t.Errorf("%+v is no %+v", s, d)
				}
				traces[d.TraceID] = append(traces[d.TraceID], s)
			}
			if files := len(corpusFiles(t, "sdk-captures", filepath.Base(filepath.Dir(path)), "*.bin")); files != len(want.Datagrams) || len(traces) != len(want.Traces) {
				t.Errorf("%d datagrams and %d traces, want %d and %d", files, len(traces), len(want.Datagrams), len(want.Traces))
			}
			for i := range want.Traces {
				compareCapture(t, traces[want.Traces[i].TraceID], &want, i)
			}
		})
	}
}

// compareCapture compares the entities of trace i with its facts.
func compareCapture(t *testing.T, segments []*trace.Segment, facts *captureFacts, i int) {
	t.Helper()
	want := &facts.Traces[i]
	entities, exceptions := 0, 0
	var fault, failed, throttle bool
	users := []string{}
	annotations := map[string][]any{}
	byID := map[string]*trace.Entity{}
	first, last := trace.MaxTime, trace.MinTime
	for _, s := range segments {
		walk(&s.Entity, func(e *trace.Entity) {
			entities++
			exceptions += len(e.Cause.Exceptions)
			fault, failed, throttle = fault || e.Fault, failed || e.Error, throttle || e.Throttle
			first, last = min(first, e.Start), max(last, e.End)
			byID[e.ID.String()] = e
			if e.User != "" {
				users = append(users, e.User)
			}
			for key, value := range annotationTexts(e) {
				annotations[key] = append(annotations[key], value)
			}
		})
	}
	got := []any{len(segments), entities, exceptions, fault, failed, throttle, users, annotations}
	expect := []any{want.Documents, want.Entities, want.Exceptions, want.AnyFault, want.AnyError, want.AnyThrottle, want.Users, want.Annotations}
	if !reflect.DeepEqual(got, expect) {
		t.Errorf("trace %s\ngot  %v\nwant %v", want.TraceID, got, expect)
	}
	if math.Abs(float64(last-first)/1e9-want.Duration) > 2e-6 {
		t.Errorf("trace %s took %d ns, want %f s", want.TraceID, last-first, want.Duration)
	}
	for _, x := range want.Segments {
		if x.Status == nil {
			x.Status = new(int)
		}
		if e := byID[x.ID]; e == nil || e.HTTP.Status != *x.Status || e.Fault != x.Fault || e.Error != x.Error || e.Throttle != x.Throttle {
			t.Errorf("segment %+v is %+v", x, e)
		}
	}
	for _, x := range want.Calls {
		if e := byID[x.ID]; e == nil || e.Name != x.Name || e.Namespace != x.Namespace || !e.Remote() {
			t.Errorf("call %+v is %+v", x, e)
		}
	}
}

func depth(e *trace.Entity) int {
	n := 0
	for _, child := range e.Subsegments {
		n = max(n, 1+depth(child))
	}
	return n
}
