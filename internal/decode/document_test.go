package decode_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	docID    = "70de5b6f19ff9a0a"
	docTrace = "1-581cf771-a006649127e371903a2de979"
)

// edited returns the smallest valid segment with the members of edits replaced; ""
// removes a member.
func edited(edits map[string]string) string {
	members := map[string]string{
		"id": `"` + docID + `"`, "name": `"api"`, "trace_id": `"` + docTrace + `"`, "start_time": "1478293361.271", "end_time": "1478293361.449",
	}
	for name, value := range edits {
		members[name] = value
	}
	return object(members)
}

// streamed is like edited, for an independent subsegment.
func streamed(edits map[string]string) string {
	members := map[string]string{"type": `"subsegment"`, "parent_id": `"53995c3f42cd8ad8"`}
	for name, value := range edits {
		members[name] = value
	}
	return edited(members)
}

// embedded returns a valid segment with an edited subsegment.
func embedded(edits map[string]string) string {
	members := map[string]string{"id": `"53995c3f42cd8ad9"`, "name": `"call"`, "start_time": "1478293361.3", "end_time": "1478293361.4"}
	for name, value := range edits {
		members[name] = value
	}
	return edited(map[string]string{"subsegments": "[" + object(members) + "]"})
}

func object(members map[string]string) string {
	var list []string
	for name, value := range members {
		if value != "" {
			list = append(list, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

type edit = map[string]string

// TestDocument_firstFaultWins breaks two members at a time: the one that
// PutTraceSegments checks first determines the refusal.
func TestDocument_firstFaultWins(t *testing.T) {
	type fault struct{ member, value, code string }
	order := [][]fault{
		{{"type", `"other"`, "UnknownType"}},
		{{"id", "", "MissingId"}, {"id", `""`, "MissingId"}, {"id", `"bad"`, "InvalidId"}},
		{{"name", "", "MissingName"}, {"name", "42", "MissingName"}},
		{{"trace_id", "", "MissingTraceId"}, {"trace_id", `"bad"`, "InvalidTraceId"}},
		{{"start_time", "", "MissingStartTime"}, {"start_time", "1e30", "InvalidStartTime"}},
		{{"end_time", "", "MissingEndTime"}, {"end_time", "1e30", "InvalidEndTime"}, {"in_progress", "true", "InProgressSubsegmentHasEndTime"}},
		{{"parent_id", "", "MissingParentId"}, {"parent_id", `"bad"`, "InvalidParentId"}},
		{{"subsegments", "[42]", "ParseError"}},
	}
	for i, firsts := range order {
		for _, first := range firsts {
			for _, seconds := range order[i+1:] {
				for _, second := range seconds {
					doc := streamed(edit{first.member: first.value, second.member: second.value})
					if _, r := decode.Document([]byte(doc), at); r == nil || r.Code != first.code {
						t.Errorf("%s before %s: got %v", first.code, second.code, r)
					}
				}
			}
		}
	}
}

func TestDocument_detailSaysWhere(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{`{"id":1,}`, `Invalid segment. ErrorCode: ParseError (unexpected '}' where a member name must stand at byte 8)`},
		{`[]`, `Invalid entity. ErrorCode: ParseError (a document is a JSON object)`},
		{edited(edit{"subsegments": "[42]"}), `Invalid entity. ErrorCode: ParseError (an element of subsegments is no JSON object)`},
		{edited(edit{"id": ""}), `Invalid segment. ErrorCode: MissingId`},
	} {
		_, r := decode.Document([]byte(c.doc), at)
		if r == nil || r.Error() != c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.doc, r, c.want)
		}
	}
}

// TestDocument_accepted lists documents that look wrong and are accepted.
func TestDocument_accepted(t *testing.T) {
	for name, doc := range map[string]string{
		"least":                         edited(nil),
		"blanks around":                 "\t\r\n " + edited(nil) + " \n",
		"type segment":                  edited(edit{"type": `"segment"`}),
		"type null":                     edited(edit{"type": `null`}),
		"in progress":                   edited(edit{"in_progress": "true", "end_time": ""}),
		"in progress, end null":         edited(edit{"in_progress": "true", "end_time": "null"}),
		"in_progress false":             edited(edit{"in_progress": "false"}),
		"capitals in ids":               edited(edit{"id": `"70DE5B6F19FF9A0A"`, "trace_id": `"1-581CF771-A006649127E371903A2DE979"`}),
		"id of zeros":                   edited(edit{"id": `"0000000000000000"`}),
		"trace id of the no-op segment": edited(edit{"trace_id": `"1-00000000-000000000000000000000000"`}),
		"trace id of the far future":    edited(edit{"trace_id": `"1-ffffffff-a006649127e371903a2de979"`}),
		"ends before it starts":         edited(edit{"end_time": "1"}),
		"times of 1970 and before":      edited(edit{"start_time": "-1.5", "end_time": "0"}),
		"parent null":                   edited(edit{"parent_id": "null"}),
		"parent empty":                  edited(edit{"parent_id": `""`}),
		"parent":                        edited(edit{"parent_id": `"53995c3f42cd8ad8"`}),
		"subsegments object":            edited(edit{"subsegments": `{"id":1}`}),
		"subsegments text":              edited(edit{"subsegments": `"x"`}),
		"subsegments null":              edited(edit{"subsegments": `null`}),
		"subsegments empty":             edited(edit{"subsegments": `[ ]`}),
		"unknown members":               edited(edit{"Dummy": `false`, "Sampled": `true`, "": `[{}]`}),
		"wrong types":                   edited(edit{"http": `1`, "aws": `"x"`, "sql": `[]`, "cause": `200`, "annotations": `[1]`, "links": `{}`, "fault": `"yes"`, "user": `{}`, "service": `3`, "metadata": `0`, "origin": `null`, "precursor_ids": `{}`}),
		"streamed":                      streamed(nil),
		"streamed in progress":          streamed(edit{"in_progress": "true", "end_time": ""}),
		"embedded":                      embedded(nil),
		"embedded of unknown type":      embedded(edit{"type": `"other"`}),
		"embedded with a bad trace id":  embedded(edit{"trace_id": `"bad"`, "parent_id": `"bad"`}),
		"embedded in progress":          embedded(edit{"in_progress": "true", "end_time": ""}),
		"66,000 bytes":                  edited(edit{"metadata": `{"d":"` + strings.Repeat("x", 66_000) + `"}`}),
		"lone surrogate":                edited(edit{"user": `"a\ud800b"`}),
	} {
		segments, refusal := decode.Document([]byte(doc), at)
		if refusal != nil || len(segments) != 1 {
			t.Errorf("%s: %v: %.200s", name, refusal, doc)
			continue
		}
		if s := segments[0]; s.Source != trace.SourceDocument || string(s.Raw) != strings.TrimSpace(doc) || s.ReceivedAt != at || string(s.Entity.Raw) != string(s.Raw) || s.Entity.ReceivedAt != at {
			t.Errorf("%s: not kept as received: %+v", name, s)
		}
	}
}

func TestDocument_decodes(t *testing.T) {
	doc := `{"name":"api","id":"70de5b6f19ff9a0a","trace_id":"1-581cf771-a006649127e371903a2de979","start_time":1478293361.271,"end_time":1478293361.449000123,
 "parent_id":"53995C3F42CD8AD8","origin":"AWS::ECS::Fargate","resource_arn":"arn:aws:ecs:x","user":"u\u002d1","service":{"version":"1.2"},"inferred":true,
 "http":{"request":{"method":"GET","url":"https:\/\/a.example","client_ip":"203.0.113.5","x_forwarded_for":true,"user_agent":"curl","traced":true},"response":{"status":200,"content_length":86}},
 "aws":{"account_id":"1234","operation":"GetItem","region":"eu-west-1","table_name":"t","bucket_name":"b","queue_url":"q","topic_arn":"a","function_name":"f","ec2":{"instance_id":"i-1","availability_zone":"z1"},"ecs":{"availability_zone":"z2"},"xray":{"sampling_rule_name":"Default","sdk":"X-Ray for Go"}},
 "sql":{"url":"u@h","database_type":"pg","user":"me","sanitized_query":"SELECT ?","preparation":"call"},
 "annotations":{"plan":"gold","retry":2,"o\u006b":true,"none":null,"list":[1],"map":{},"huge":1e999},"metadata":{"default":{"subsegments":[{}]}},
 "error":true,"fault":false,"throttle":true,
 "cause":{"working_directory":"/srv","paths":[],"exceptions":[{"id":"aaaaaaaaaaaaaaaa","type":"E","message":"m","remote":true,"truncated":0,"cause":"bbbbbbbbbbbbbbbb","stack":[{"path":"a.go","line":1,"label":"f"}]},7,{"id":"bbbbbbbbbbbbbbbb"}]},
 "links":[{"trace_id":"1-581cf771-a006649127e371903a2de970","id":"0123456789abcdef","attributes":{}},{"trace_id":"bad","id":"0123456789abcdef"},3],
 "subsegments":[{"id":"53995c3f42cd8ad9","name":"DynamoDB","namespace":"aws","parent_id":"ffffffffffffffff","start_time":1478293361,"in_progress":true,"traced":true,"cause":"aaaaaaaaaaaaaaaa","aws":{"xray":{"rule_name":"r"},"ecs":{"availability_zone":"z2"}},
   "subsegments":[{"id":"53995c3f42cd8ada","name":"deep","start_time":-0.5,"end_time":1e0,"http":{"response":{"status":"503"}},"cause":{"id":"aaaaaaaaaaaaaaab"}}]},
  {"id":"53995c3f42cd8adb","name":"last","start_time":2.0000000019,"end_time":2.5e-1}]}`
	segments, refusal := decode.Document([]byte(doc), at)
	if refusal != nil {
		t.Fatal(refusal)
	}
	id := func(s string) trace.SegmentID {
		id, err := trace.ParseSegmentID(s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	traceID := func(s string) trace.ID {
		id, err := trace.ParseID(s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	raw := func(from, to string) []byte {
		i := strings.Index(doc, from)
		return []byte(doc[i : i+strings.Index(doc[i:], to)+len(to)])
	}
	deep := &trace.Entity{
		ID: id("53995c3f42cd8ada"), ParentID: id("53995c3f42cd8ad9"), Name: "deep", Subsegment: true, Start: -500_000_000, End: 1_000_000_000,
		HTTP: trace.HTTP{Status: 503}, Cause: trace.Cause{Ref: "aaaaaaaaaaaaaaab"}, Raw: raw(`{"id":"53995c3f42cd8ada"`, `b"}}`),
	}
	dynamo := &trace.Entity{
		ID: id("53995c3f42cd8ad9"), ParentID: id(docID), Name: "DynamoDB", Namespace: "aws", Subsegment: true, Start: 1478293361_000_000_000, InProgress: true,
		HTTP: trace.HTTP{Traced: true}, AWS: &trace.AWS{SamplingRule: "r", AvailabilityZone: "z2"}, Cause: trace.Cause{Ref: "aaaaaaaaaaaaaaaa"},
		Subsegments: []*trace.Entity{deep}, Raw: raw(`{"id":"53995c3f42cd8ad9"`, `}}]}`),
	}
	last := &trace.Entity{ID: id("53995c3f42cd8adb"), ParentID: id(docID), Name: "last", Subsegment: true, Start: 2_000_000_001, End: 250_000_000, Raw: raw(`{"id":"53995c3f42cd8adb"`, `}`)}
	want := &trace.Segment{
		TraceID: traceID(docTrace), Source: trace.SourceDocument, Raw: []byte(doc), ReceivedAt: at,
		Entity: trace.Entity{
			ID: id(docID), ParentID: id("53995c3f42cd8ad8"), Name: "api", Origin: "AWS::ECS::Fargate", User: "u-1", ResourceARN: "arn:aws:ecs:x", Version: "1.2", Inferred: true,
			Start: 1478293361_271_000_000, End: 1478293361_449_000_123, Error: true, Throttle: true,
			HTTP:  trace.HTTP{URL: "https://a.example", Method: "GET", UserAgent: "curl", ClientIP: "203.0.113.5", Status: 200, Length: 86, Traced: true},
			AWS:   &trace.AWS{AccountID: "1234", Operation: "GetItem", Region: "eu-west-1", TableName: "t", BucketName: "b", QueueURL: "q", TopicARN: "a", FunctionName: "f", InstanceID: "i-1", AvailabilityZone: "z1", SamplingRule: "Default"},
			SQL:   &trace.SQL{URL: "u@h", DatabaseType: "pg", User: "me", SanitizedQuery: "SELECT ?"},
			Cause: trace.Cause{Exceptions: []trace.Exception{{ID: "aaaaaaaaaaaaaaaa", Type: "E", Message: "m", Remote: true, Cause: "bbbbbbbbbbbbbbbb"}, {ID: "bbbbbbbbbbbbbbbb"}}},
			Annotations: []trace.Annotation{
				{Key: "plan", Value: trace.Value{Kind: trace.StringValue, String: "gold"}}, {Key: "retry", Value: trace.Value{Kind: trace.NumberValue, Number: 2}}, {Key: "ok", Value: trace.Value{Kind: trace.BoolValue, Bool: true}},
			},
			Links:       []trace.Link{{TraceID: traceID("1-581cf771-a006649127e371903a2de970"), ID: id("0123456789abcdef")}},
			Subsegments: []*trace.Entity{dynamo, last}, Raw: []byte(doc), ReceivedAt: at,
		},
	}
	if !reflect.DeepEqual(segments, []*trace.Segment{want}) {
		t.Errorf("got  %s\nwant %s", asText(segments[0]), asText(want))
	}
}

func asText(s *trace.Segment) string {
	c := *s
	c.Raw, c.Entity.Raw = nil, nil
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestDocument_nameIsCutAt200Characters(t *testing.T) {
	for _, c := range []struct{ unit string }{{"x"}, {"é"}, {"😀"}} {
		segments, refusal := decode.Document([]byte(edited(edit{"name": `"` + strings.Repeat(c.unit, 300) + `"`})), at)
		if refusal != nil || segments[0].Name != strings.Repeat(c.unit, 200) {
			t.Errorf("%s: %v", c.unit, refusal)
		}
		segments, refusal = decode.Document([]byte(edited(edit{"name": `"` + strings.Repeat(c.unit, 200) + `"`})), at)
		if refusal != nil || segments[0].Name != strings.Repeat(c.unit, 200) {
			t.Errorf("%s: %v", c.unit, refusal)
		}
	}
}

// TestDocument_lastOfDuplicateMembersCounts also writes names with escapes, which are
// the same names.
func TestDocument_lastOfDuplicateMembersCounts(t *testing.T) {
	valid := edited(nil)
	for _, c := range []struct{ more, want string }{
		{`"name":"second"`, "second 0 []"},
		{`"n\u0061me":"escaped"`, "escaped 0 []"},
		{`"http":{"response":{"status":200,"status":500}}`, "api 500 []"},
		{`"http":{"response":{"status":503.0}}`, "api 503 []"},
		{`"http":{"response":{"status":5.03e2}}`, "api 503 []"},
		{`"http":{"response":{"status":"503"}}`, "api 503 []"},
		{`"http":{"response":{"status":"503 Service Unavailable"}}`, "api 503 []"},
		{`"http":{"response":{"status":"HTTP/1.1 503 Service Unavailable"}}`, "api 503 []"},
		{`"http":{"response":{"status":" 404.0 "}}`, "api 404 []"},
		{`"http":{"response":{"status":503.5}}`, "api 0 []"},
		{`"http":{"response":{"status":-1}}`, "api 0 []"},
		{`"http":{"response":{"status":1e300}}`, "api 0 []"},
		{`"http":{"response":{"status":"5xx"}}`, "api 0 []"},
		{`"http":{"response":{"status":"OK"}}`, "api 0 []"},
		{`"http":{"response":{"status":""}}`, "api 0 []"},
		{`"http":{"response":{"status":[503]}}`, "api 0 []"},
		{`"http":{"response":{"status":200}},"http":{"\u0072esponse":{"st\u0061tus":404}}`, "api 404 []"},
		{`"http":{"response":{"status":200}},"http":{}`, "api 0 []"},
		{`"http":{"response":{"status":200}},"http":null`, "api 0 []"},
		{`"cause":{"exceptions":[{"id":"a"}],"exceptions":[{"id":"b"}]}`, "api 0 [b]"},
		{`"cause":{"exceptions":[{"id":"a"}]},"cause":{}`, "api 0 []"},
		{`"subsegments":[{"id":"53995c3f42cd8ad9","name":"a","start_time":1,"end_time":1}],"subsegments":[]`, "api 0 []"},
		{`"subsegments":[{}],"subsegments":[]`, "api 0 []"},
	} {
		segments, refusal := decode.Document([]byte(valid[:len(valid)-1]+","+c.more+"}"), at)
		if refusal != nil {
			t.Errorf("%s: %v", c.more, refusal)
			continue
		}
		s := segments[0]
		var exceptions []string
		for _, e := range s.Cause.Exceptions {
			exceptions = append(exceptions, e.ID)
		}
		if got := fmt.Sprintf("%s %d %v", s.Name, s.HTTP.Status, exceptions); got != c.want || len(s.Subsegments) > 0 {
			t.Errorf("%s: got %s, %d subsegments, want %s", c.more, got, len(s.Subsegments), c.want)
		}
	}
	checkRefused(t, valid[:len(valid)-1]+`,"id":"bad"}`, &decode.Refusal{ID: ptr("bad"), Code: "InvalidId", Message: "Invalid segment. ErrorCode: InvalidId"})
	checkRefused(t, valid[:len(valid)-1]+`,"id":7}`, &decode.Refusal{Code: "MissingId", Message: "Invalid segment. ErrorCode: MissingId"})
	checkRefused(t, valid[:len(valid)-1]+`,"trace_id":null}`, &decode.Refusal{ID: ptr(docID), Code: "MissingTraceId", Message: "Invalid segment. ErrorCode: MissingTraceId"})
}

func TestDocument_lastRequestBlockCounts(t *testing.T) {
	segments, refusal := decode.Document([]byte(edited(edit{"http": `{"response":{"status":201},"request":{"method":"GET","traced":true},"request":{"url":"x"}}`})), at)
	if refusal != nil || segments[0].HTTP != (trace.HTTP{URL: "x", Status: 201}) {
		t.Errorf("%v: %+v", refusal, segments)
	}
}

// TestDocument_lastOfDuplicateAnnotationsCounts has more keys than a linear search
// handles.
func TestDocument_lastOfDuplicateAnnotationsCounts(t *testing.T) {
	for _, n := range []int{1, 2, 31, 32, 33, 100} {
		var first, second []string
		for i := range n {
			first = append(first, fmt.Sprintf(`"k%d":"old"`, i))
			second = append(second, fmt.Sprintf(`"k%d":%s`, i, []string{"1", "null", `"new"`}[i%3]))
		}
		segments, refusal := decode.Document([]byte(edited(edit{"annotations": "{" + strings.Join(first, ",") + "," + strings.Join(second, ",") + "}"})), at)
		if refusal != nil {
			t.Fatal(refusal)
		}
		var want []trace.Annotation
		for i := range n {
			switch key := fmt.Sprintf("k%d", i); i % 3 {
			case 0:
				want = append(want, trace.Annotation{Key: key, Value: trace.Value{Kind: trace.NumberValue, Number: 1}})
			case 2:
				want = append(want, trace.Annotation{Key: key, Value: trace.Value{Kind: trace.StringValue, String: "new"}})
			}
		}
		if got := segments[0].Annotations; !reflect.DeepEqual(got, want) {
			t.Errorf("%d keys: got %v, want %v", n, got, want)
		}
	}
}

func TestDocument_loneSurrogates(t *testing.T) {
	doc := edited(edit{"user": `"a\ud800b\udc00\ud83d\ude00\ud83d\u0041"`})
	segments, refusal := decode.Document([]byte(doc), at)
	if refusal != nil || segments[0].User != "a\ufffdb\ufffd😀\ufffdA" || string(segments[0].Raw) != doc {
		t.Errorf("%v: %+v", refusal, segments)
	}
}

func TestDocument_times(t *testing.T) {
	for _, c := range []struct {
		text string
		want trace.Time // 0, false: refused
		ok   bool
	}{
		{"0", 0, true}, {"-0", 0, true}, {"-0.0", 0, true}, {"1", 1e9, true},
		{"1478293361.271", 1478293361_271_000_000, true}, {"1478293361.123456789", 1478293361_123_456_789, true}, {"1478293361.1234567899999", 1478293361_123_456_789, true},
		{"1.478293361271E9", 1478293361_271_000_000, true}, {"14782933612710e-4", 1478293361_271_000_000, true}, {"1478293361.271e+0", 1478293361_271_000_000, true},
		{"-1.5", -1_500_000_000, true}, {"-1478293361.000000001", -1478293361_000_000_001, true}, {"0.0000000009", 0, true},
		{"9223372036.854775807", trace.MaxTime, true}, {"-9223372036.854775808", trace.MinTime, true}, {"9223372036.854775808", 0, false}, {"-9223372036.854775809", 0, false},
		{"9223372035.999999999", 9223372035_999_999_999, true}, {"9223372037", 0, false}, {"-9223372037", 0, false}, {"9223372036854775807", 0, false},
		{"31556889864403199", 0, false}, {"1e308", 0, false}, {"1e309", 0, false}, {"-1e309", 0, false}, {"1e-400000000", 0, true}, {"0e999999999", 0, true}, {"0." + strings.Repeat("0", 500_000) + "1", 0, true},
		{"1" + strings.Repeat("0", 500_000), 0, false}, {"1" + strings.Repeat("0", 30) + "e-30", 1e9, true}, {"1." + strings.Repeat("0", 500_000) + "e0", 1e9, true},
	} {
		segments, refusal := decode.Document([]byte(edited(edit{"start_time": c.text})), at)
		switch {
		case refusal != nil && c.ok, refusal == nil && !c.ok:
			t.Errorf("%.60s: %v", c.text, refusal)
		case refusal != nil && refusal.Code != "InvalidStartTime":
			t.Errorf("%.60s: %s", c.text, refusal)
		case refusal == nil && segments[0].Start != c.want:
			t.Errorf("%.60s: got %d, want %d", c.text, segments[0].Start, c.want)
		}
	}
}

func TestDocument_otlp(t *testing.T) {
	pb := readFile(t, "otlp", "testdata", "019-grpc-client-and-server", "input.otlp.pb")
	text := base64.StdEncoding.EncodeToString(pb)
	for _, c := range []struct {
		doc      string
		segments int
	}{{"T1S" + text, 2}, {"T1" + text, 2}, {"T1U" + text, 0}, {"T1S", 0}, {"T1U", 0}} {
		segments, refusal := decode.Document([]byte(c.doc), at)
		if refusal != nil || len(segments) != c.segments {
			t.Errorf("%.20s: %d segments, %v", c.doc, len(segments), refusal)
		}
		for _, s := range segments {
			if s.Source != trace.SourceOTLP || s.ReceivedAt != at {
				t.Errorf("%.20s: %+v", c.doc, s)
			}
		}
	}
	for _, c := range []struct{ doc, detail string }{
		{"T1S!!!!", "OTLP document is not base64: illegal base64 data at input byte 0"},
		{"T1S" + text[:len(text)-1], "OTLP document is not base64"},
		{"T1U" + base64.StdEncoding.EncodeToString([]byte("\x0a\xff")), "OTLP document: "},
		{"T1S" + base64.StdEncoding.EncodeToString(pb[:len(pb)-3]), "OTLP document: "},
	} {
		checkRefused(t, c.doc, &decode.Refusal{Code: "ParseError", Message: "Invalid entity. ErrorCode: ParseError"})
		if _, r := decode.Document([]byte(c.doc), at); !strings.HasPrefix(r.Detail, c.detail) {
			t.Errorf("%.20s: %q", c.doc, r.Detail)
		}
	}
	for _, doc := range []string{"T", "T1", "T2S", "t1S"} {
		checkRefused(t, doc, &decode.Refusal{Code: "ParseError", Message: "Invalid segment. ErrorCode: ParseError"})
	}
}

func TestRestore_errors(t *testing.T) {
	for _, c := range []struct {
		source trace.Source
		raw    string
		part   uint8
		want   string
	}{
		{trace.SourceDocument, "{", 0, "restore segment document: Invalid segment. ErrorCode: ParseError (unexpected end at byte 1)"},
		{trace.SourceDocument, edited(nil), 1, "restore segment: part 1 of 1 does not exist"},
		{trace.SourceOTLP, "\xff", 0, "restore span: "},
		{9, "", 0, "restore segment: unknown source 9"},
	} {
		if s, err := decode.Restore(c.source, []byte(c.raw), nil, c.part, at); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%d %s: %v, %v, want %s", c.source, c.raw, s, err, c.want)
		}
	}
}

// TestDocument_nativeCase sends the documents of a recording of the native service, in
// their order, and compares the answers with the recorded ones.
func TestDocument_nativeCase(t *testing.T) {
	text := string(readFile(t, filepath.Dir(corpus(t)), "native", "cases", "put-embedded-subsegment-rejects.json"))
	text = strings.NewReplacer(`"{{T0}}"`, "1478293360", `"{{T0+1}}"`, "1478293361", `"{{T0+2}}"`, "1478293362", `"{{T0+4}}"`, "1478293364", "{{P}}", "p", "{{TID:1}}", docTrace).Replace(text)
	if strings.Contains(text, "{{") {
		t.Fatal("the case has variables this test does not know")
	}
	var c struct {
		Steps []struct {
			Input  struct{ TraceSegmentDocuments []json.RawMessage }
			Expect struct {
				UnprocessedTraceSegments []struct{ ID, ErrorCode, Message string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	want := c.Steps[0].Expect.UnprocessedTraceSegments
	for _, doc := range c.Steps[0].Input.TraceSegmentDocuments {
		_, refusal := decode.Document(doc, at)
		if refusal == nil {
			continue
		}
		if len(want) == 0 {
			t.Fatalf("refused what is accepted: %s", refusal)
		}
		if refusal.ID == nil || *refusal.ID != want[0].ID || refusal.Code != want[0].ErrorCode || refusal.Message != want[0].Message {
			t.Errorf("got %s, want %+v", refusalText(refusal), want[0])
		}
		want = want[1:]
	}
	if len(want) > 0 {
		t.Errorf("accepted what is refused: %+v", want)
	}
}
