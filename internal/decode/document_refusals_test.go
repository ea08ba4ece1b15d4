package decode_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
)

// Messages of the native service (X-Ray API, PutTraceSegments).
const (
	segmentError    = "Invalid segment. ErrorCode: %s"
	subsegmentError = "Invalid subsegment. ErrorCode: %s, Cause: null"
	entityError     = "Invalid entity. ErrorCode: %s"
	noID            = "none"
)

// refusals lists documents that are refused.
var refusals = []struct {
	name, doc, code, message string
	id                       string // "" is docID
}{
	{"empty", "", "ParseError", segmentError, noID},
	{"blanks", " \n", "ParseError", segmentError, noID},
	{"open brace", "{", "ParseError", segmentError, noID},
	{"cut short", edited(nil)[:100], "ParseError", segmentError, noID},
	{"two documents", edited(nil) + edited(nil), "ParseError", segmentError, noID},
	{"trailing comma", strings.Replace(edited(nil), "}", ",}", 1), "ParseError", segmentError, noID},
	{"array", "[" + edited(nil) + "]", "ParseError", entityError, noID},
	{"empty array", "[]", "ParseError", entityError, noID},
	{"string", `"segment"`, "ParseError", entityError, noID},
	{"number", "42", "ParseError", entityError, noID},
	{"true", "true", "ParseError", entityError, noID},
	{"null", "null", "ParseError", entityError, noID},
	{"byte order mark", "\xef\xbb\xbf" + edited(nil), "ParseError", segmentError, noID},
	{"NaN in metadata", edited(edit{"metadata": `{"default":{"x":NaN}}`}), "ParseError", segmentError, noID},
	{"infinite time", edited(edit{"end_time": `Infinity`}), "ParseError", segmentError, noID},
	{"minus infinity", edited(edit{"start_time": `-Infinity`}), "ParseError", segmentError, noID},
	{"invalid UTF-8", edited(edit{"user": "\"\xff\xfe\""}), "ParseError", segmentError, noID},
	{"UTF-8 of a surrogate", edited(edit{"user": "\"\xed\xa0\x80\""}), "ParseError", segmentError, noID},
	{"overlong UTF-8", edited(edit{"user": "\"\xc0\xaf\""}), "ParseError", segmentError, noID},
	{"control character", edited(edit{"user": "\"a\x00b\""}), "ParseError", segmentError, noID},

	{"unknown type", edited(edit{"type": `"other"`}), "UnknownType", entityError, ""},
	{"type in capitals", edited(edit{"type": `"Subsegment"`}), "UnknownType", entityError, ""},
	{"type is empty", edited(edit{"type": `""`}), "UnknownType", entityError, ""},
	{"type is a number", edited(edit{"type": `7`}), "UnknownType", entityError, ""},
	{"type before everything", `{"type":"other"}`, "UnknownType", entityError, noID},

	{"nothing", "{}", "MissingId", segmentError, noID},
	{"no id", edited(edit{"id": ""}), "MissingId", segmentError, noID},
	{"id is null", edited(edit{"id": "null"}), "MissingId", segmentError, noID},
	{"id is a number", edited(edit{"id": "42"}), "MissingId", segmentError, noID},
	{"id is empty", edited(edit{"id": `""`}), "MissingId", segmentError, "\x00"},
	{"id is short", edited(edit{"id": `"bad"`}), "InvalidId", segmentError, "bad"},
	{"id is long", edited(edit{"id": `"70de5b6f19ff9a0a0"`}), "InvalidId", segmentError, "70de5b6f19ff9a0a0"},
	{"id is not hex", edited(edit{"id": `"70de5b6f19ff9a0g"`}), "InvalidId", segmentError, "70de5b6f19ff9a0g"},
	{"id with an escape", edited(edit{"id": `"b\u0061d\n"`}), "InvalidId", segmentError, "bad\n"},

	{"no name", edited(edit{"name": ""}), "MissingName", segmentError, ""},
	{"name is null", edited(edit{"name": "null"}), "MissingName", segmentError, ""},
	{"name is a number", edited(edit{"name": "42"}), "MissingName", segmentError, ""},
	{"name is empty", edited(edit{"name": `""`}), "MissingName", segmentError, ""},

	{"no trace id", edited(edit{"trace_id": ""}), "MissingTraceId", segmentError, ""},
	{"trace id is a number", edited(edit{"trace_id": "1"}), "MissingTraceId", segmentError, ""},
	{"trace id is empty", edited(edit{"trace_id": `""`}), "MissingTraceId", segmentError, ""},
	{"trace id in W3C form", edited(edit{"trace_id": `"581cf771a006649127e371903a2de979"`}), "InvalidTraceId", segmentError, ""},
	{"trace id of another version", edited(edit{"trace_id": `"2-581cf771-a006649127e371903a2de979"`}), "InvalidTraceId", segmentError, ""},
	{"trace id is not hex", edited(edit{"trace_id": `"1-581cf771-a006649127e371903a2de97z"`}), "InvalidTraceId", segmentError, ""},
	{"trace id with moved dash", edited(edit{"trace_id": `"1-581cf7710-a06649127e371903a2de979"`}), "InvalidTraceId", segmentError, ""},

	{"no start", edited(edit{"start_time": ""}), "MissingStartTime", segmentError, ""},
	{"start is text", edited(edit{"start_time": `"1478293361.271"`}), "MissingStartTime", segmentError, ""},
	{"start is null", edited(edit{"start_time": "null"}), "MissingStartTime", segmentError, ""},
	{"no end", edited(edit{"end_time": ""}), "MissingEndTime", segmentError, ""},
	{"end is text", edited(edit{"end_time": `"1478293361.449"`}), "MissingEndTime", segmentError, ""},
	{"end is null", edited(edit{"end_time": `null`}), "MissingEndTime", segmentError, ""},
	{"no end, in_progress false", edited(edit{"end_time": "", "in_progress": "false"}), "MissingEndTime", segmentError, ""},
	{"no end, in_progress text", edited(edit{"end_time": "", "in_progress": `"true"`}), "MissingEndTime", segmentError, ""},
	{"in progress with end", edited(edit{"in_progress": "true"}), "InProgressSegmentHasEndTime", segmentError, ""},
	{"year 292277026596", edited(edit{"start_time": "9223372036854775807"}), "InvalidStartTime",
		"Invalid segment. ErrorCode: InvalidStartTime: 9223372036854775807 is not between the years 1677 and 2262", ""},
	{"end in year 292277026596", edited(edit{"end_time": "9.223372036854775807e18"}), "InvalidEndTime",
		"Invalid segment. ErrorCode: InvalidEndTime: 9.223372036854775807e18 is not between the years 1677 and 2262", ""},
	{"milliseconds", edited(edit{"start_time": "1478293361271"}), "InvalidStartTime",
		"Invalid segment. ErrorCode: InvalidStartTime: 1478293361271 is not between the years 1677 and 2262", ""},
	{"long time is cut in the message", edited(edit{"start_time": strings.Repeat("9", 100)}), "InvalidStartTime",
		"Invalid segment. ErrorCode: InvalidStartTime: " + strings.Repeat("9", 40) + " is not between the years 1677 and 2262", ""},
	{"infinite exponent", edited(edit{"start_time": "1e999999999"}), "InvalidStartTime",
		"Invalid segment. ErrorCode: InvalidStartTime: 1e999999999 is not between the years 1677 and 2262", ""},

	{"parent id is short", edited(edit{"parent_id": `"bad"`}), "InvalidParentId", segmentError, ""},
	{"parent id is a number", edited(edit{"parent_id": `1`}), "InvalidParentId", segmentError, ""},

	{"subsegment: no id", streamed(edit{"id": ""}), "MissingId", subsegmentError, noID},
	{"subsegment: id is empty", streamed(edit{"id": `""`}), "MissingId", subsegmentError, "\x00"},
	{"subsegment: invalid id", streamed(edit{"id": `"70de"`}), "InvalidId", subsegmentError, "70de"},
	{"subsegment: no name", streamed(edit{"name": ""}), "MissingName", subsegmentError, ""},
	{"subsegment: no trace id", streamed(edit{"trace_id": ""}), "MissingTraceId", subsegmentError, ""},
	{"subsegment: invalid trace id", streamed(edit{"trace_id": `"x"`}), "InvalidTraceId", subsegmentError, ""},
	{"subsegment: no start", streamed(edit{"start_time": ""}), "MissingStartTime", subsegmentError, ""},
	{"subsegment: no end", streamed(edit{"end_time": ""}), "MissingEndTime", subsegmentError, ""},
	{"subsegment: in progress with end", streamed(edit{"in_progress": "true"}), "InProgressSubsegmentHasEndTime", subsegmentError, ""},
	{"subsegment: no parent", streamed(edit{"parent_id": ""}), "MissingParentId", subsegmentError, ""},
	{"subsegment: parent is empty", streamed(edit{"parent_id": `""`}), "MissingParentId", subsegmentError, ""},
	{"subsegment: trace id is empty", streamed(edit{"trace_id": `""`}), "MissingTraceId", subsegmentError, ""},
	{"subsegment: parent is null", streamed(edit{"parent_id": "null"}), "MissingParentId", subsegmentError, ""},
	{"subsegment: parent is a number", streamed(edit{"parent_id": "1"}), "MissingParentId", subsegmentError, ""},
	{"subsegment: invalid parent", streamed(edit{"parent_id": `"x"`}), "InvalidParentId", subsegmentError, ""},
	{"subsegment: far time", streamed(edit{"end_time": "1e11"}), "InvalidEndTime",
		"Invalid subsegment. ErrorCode: InvalidEndTime, Cause: 1e11 is not between the years 1677 and 2262", ""},

	{"embedded: no id", embedded(edit{"id": ""}), "MissingId", subsegmentError, ""},
	{"embedded: id is empty", embedded(edit{"id": `""`}), "MissingId", subsegmentError, ""},
	{"embedded: name is empty", embedded(edit{"name": `""`}), "MissingName", subsegmentError, ""},
	{"embedded: invalid id", embedded(edit{"id": `"bad"`}), "InvalidId", subsegmentError, ""},
	{"embedded: no name", embedded(edit{"name": ""}), "MissingName", subsegmentError, ""},
	{"embedded: name is a number", embedded(edit{"name": "42"}), "MissingName", subsegmentError, ""},
	{"embedded: no start", embedded(edit{"start_time": ""}), "MissingStartTime", subsegmentError, ""},
	{"embedded: no end", embedded(edit{"end_time": ""}), "MissingEndTime", subsegmentError, ""},
	{"embedded: in progress with end", embedded(edit{"in_progress": "true"}), "InProgressSubsegmentHasEndTime", subsegmentError, ""},
	{"embedded: a number", edited(edit{"subsegments": "[42]"}), "ParseError", entityError, ""},
	{"embedded: null", edited(edit{"subsegments": "[null]"}), "ParseError", entityError, ""},
	{"embedded: the last of three", edited(edit{"subsegments": `[{"id":"53995c3f42cd8ad9","name":"a","start_time":1,"end_time":2},{"id":"53995c3f42cd8ada","name":"a","start_time":1,"in_progress":true},[]]`}), "ParseError", entityError, ""},
	{"embedded: in an embedded one", embedded(edit{"subsegments": `[{"id":"53995c3f42cd8ad9","start_time":1,"end_time":2}]`}), "MissingName", subsegmentError, ""},
}

func TestDocument_refusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			want := &decode.Refusal{Code: c.code, Message: c.message}
			if strings.Contains(c.message, "%s") {
				want.Message = fmt.Sprintf(c.message, c.code)
			}
			switch c.id {
			case noID:
			case "":
				want.ID = ptr(docID)
			case "\x00":
				want.ID = ptr("")
			default:
				want.ID = ptr(c.id)
			}
			checkRefused(t, c.doc, want)
		})
	}
}

func ptr(s string) *string { return &s }

// checkRefused compares everything except Detail, which is free text.
func checkRefused(t *testing.T, doc string, want *decode.Refusal) {
	t.Helper()
	segments, refusal := decode.Document([]byte(doc), at)
	if refusal == nil {
		t.Fatalf("accepted as %+v: %.300s", segments[0], doc)
	}
	if segments != nil {
		t.Errorf("refused, and yet %d segments", len(segments))
	}
	got := *refusal
	got.Detail = ""
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("%.300s\ngot  %s\nwant %s", doc, refusalText(&got), refusalText(want))
	}
}

func refusalText(r *decode.Refusal) string {
	id := "no id"
	if r.ID != nil {
		id = fmt.Sprintf("%q", *r.ID)
	}
	return fmt.Sprintf("%s, %s, %q", id, r.Code, r.Message)
}
