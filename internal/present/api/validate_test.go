package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// exceptionOf returns the name and text of an error, "" for none.
func exceptionOf(err error) string {
	if err == nil {
		return ""
	}
	e := toException(err)
	return e.name + ": " + e.message
}

func TestValidate_form(t *testing.T) {
	const client = `"ClientID":"0123456789abcdef01234567"`
	for _, c := range []struct{ operation, body, want string }{
		{"GetSamplingRules", ``, `{}`},
		{"GetSamplingRules", " \n", `{}`},
		{"GetSamplingRules", `null`, `{}`},
		{"GetSamplingRules", `{"NextToken":null}`, `{}`},
		{"GetEncryptionConfig", `{"Unknown":[[{}]]}`, `{}`},
		{"BatchGetTraces", `{"traceids":[7],"TraceIds":[7],"\u0054raceIds":["a","\u0062"],"NextToken":null}`, `{"TraceIds":["a","\u0062"]}`},
		{"GetServiceGraph", `{"StartTime":1.79014967E9,"EndTime":1700000000123}`, `{"StartTime":1790149670,"EndTime":1700000000.123}`},
		{"GetServiceGraph", `{"StartTime":"2026-01-02T03:04:05.5Z","EndTime":"2026-01-02T03:04:05"}`, `{"StartTime":1767323045.5,"EndTime":1767323045}`},
		{"GetServiceGraph", `{"StartTime":-1,"EndTime":1e11}`, `{"StartTime":-1,"EndTime":100000000000}`},
		{"PutTelemetryRecords", `{"TelemetryRecords":[{"Timestamp":0,"SegmentsSentCount":9e99,"SegmentsReceivedCount":3.9,"SegmentsRejectedCount":-1e400,"SegmentsSpilloverCount":2147483648}]}`,
			`{"TelemetryRecords":[{"Timestamp":0,"SegmentsReceivedCount":3,"SegmentsSentCount":2147483647,"SegmentsSpilloverCount":2147483647,"SegmentsRejectedCount":-2147483648}]}`},
		{"GetSamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"a",` + client + `,"Timestamp":1,"SampleCount":4}]}`,
			`{"SamplingStatisticsDocuments":[{"RuleName":"a",` + client + `,"Timestamp":1,"SampledCount":4}]}`},
		{"GetSamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"a",` + client + `,"Timestamp":1,"SampledCount":5,"SampleCount":4}]}`,
			`{"SamplingStatisticsDocuments":[{"RuleName":"a",` + client + `,"Timestamp":1,"SampledCount":5}]}`},
		{"UpdateSamplingRule", `{"SamplingRuleUpdate":{"Attributes":{"a":"x","b":"y","a":"z"},"SamplingRateBoost":null,"Priority":-1,"FixedRate":1e-5}}`,
			`{"SamplingRuleUpdate":{"Priority":-1,"FixedRate":1e-5,"Attributes":{"a":"z","b":"y"}}}`},
	} {
		got, err := validate(wire.Inputs[c.operation], []byte(c.body))
		if err != nil || string(got) != c.want {
			t.Errorf("%s %s\ngot  %s, %v\nwant %s", c.operation, c.body, got, err, c.want)
		}
	}
}

func TestValidate_wrongTypes(t *testing.T) {
	for _, c := range []struct{ operation, body, want string }{
		{"GetGroups", `{`, "request body is not JSON: unexpected end at byte 1"},
		{"GetGroups", `{"NextToken":NaN}`, `request body is not JSON: unexpected 'N' at byte 13`},
		{"GetGroups", `{"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, "request body is not JSON: nested deeper than 512 levels at byte 516"},
		{"GetGroups", `7`, "request body must be a JSON object"},
		{"GetGroups", `[]`, "Start of list found where not expected"},
		{"GetGroups", `{"NextToken":1}`, "NUMBER_VALUE can not be converted to a String"},
		{"GetGroups", `{"NextToken":true}`, "TRUE_VALUE can not be converted to a String"},
		{"GetGroups", `{"NextToken":{}}`, "Start of structure or map found where not expected."},
		{"BatchGetTraces", `{"TraceIds":"a"}`, "Expected list or null"},
		{"BatchGetTraces", `{"TraceIds":["a",false]}`, "FALSE_VALUE can not be converted to a String"},
		{"CreateGroup", `{"InsightsConfiguration":"x"}`, "Expected null"},
		{"CreateGroup", `{"InsightsConfiguration":{"InsightsEnabled":"true"}}`, "STRING_VALUE can not be converted to a Boolean"},
		{"CreateSamplingRule", `{"SamplingRule":{"Attributes":7}}`, "Expected map or null"},
		{"CreateSamplingRule", `{"SamplingRule":{"Attributes":{"a":1}}}`, "NUMBER_VALUE can not be converted to a String"},
		{"CreateSamplingRule", `{"SamplingRule":{"Priority":"1"}}`, "STRING_VALUE can not be converted to an Integer"},
		{"CreateSamplingRule", `{"SamplingRule":{"FixedRate":"NaN"}}`, "STRING_VALUE can not be converted to a Double"},
		{"CreateSamplingRule", `{"SamplingRule":{"FixedRate":1e999}}`, "NUMBER_VALUE can not be converted to a Double"},
		{"GetServiceGraph", `{"StartTime":"1700000000"}`, "STRING_VALUE can not be converted to milliseconds since epoch"},
		{"GetServiceGraph", `{"StartTime":"NaN"}`, "STRING_VALUE can not be converted to milliseconds since epoch"},
		{"GetServiceGraph", `{"StartTime":1e300}`, "NUMBER_VALUE can not be converted to milliseconds since epoch"},
		{"GetServiceGraph", `{"StartTime":-1e999}`, "NUMBER_VALUE can not be converted to milliseconds since epoch"},
		{"GetServiceGraph", `{"StartTime":true}`, "TRUE_VALUE can not be converted to milliseconds since epoch"},
	} {
		got, err := validate(wire.Inputs[c.operation], []byte(c.body))
		if want := "SerializationException: " + c.want; exceptionOf(err) != want || got != nil {
			t.Errorf("%s %.100s\ngot  %s\nwant %s", c.operation, c.body, exceptionOf(err), want)
		}
	}
}

func TestValidate_violations(t *testing.T) {
	const length, value = "Member must have length ", "Member must have value "
	for _, c := range []struct {
		operation, body string
		want            []string
	}{
		{"GetInsight", `{}`, []string{"null at 'insightId': Member must not be null"}},
		{"GetInsight", `{"InsightId":"A"}`, []string{"'A' at 'insightId': Member must satisfy regular expression pattern: [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"}},
		{"DeleteResourcePolicy", `{"PolicyName":""}`, []string{"'' at 'policyName': " + length + "greater than or equal to 1", `'' at 'policyName': Member must satisfy regular expression pattern: [\w+=,.@-]+`}},
		{"PutEncryptionConfig", `{"Type":"kms"}`, []string{"'kms' at 'type': Member must satisfy enum value set: [NONE, KMS]"}},
		{"GetInsightEvents", `{"InsightId":"11111111-1111-4111-8111-111111111111","MaxResults":99999999999}`, []string{"'2147483647' at 'maxResults': " + value + "less than or equal to 50"}},
		{"UpdateSamplingRule", `{"SamplingRuleUpdate":{"SamplingRateBoost":{"MaxRate":-0.00001,"CooldownWindowMinutes":0}}}`, []string{
			"'-1.0E-5' at 'samplingRuleUpdate.samplingRateBoost.maxRate': " + value + "greater than or equal to 0",
			"'0' at 'samplingRuleUpdate.samplingRateBoost.cooldownWindowMinutes': " + value + "greater than or equal to 1"}},
		{"UpdateSamplingRule", `{"SamplingRuleUpdate":{"Attributes":{"0":"v","1":"v","2":"v","3":"v","4":"v","5":"v"}}}`, []string{
			"'{0=v, 1=v, 2=v, 3=v, 4=v, 5=v}' at 'samplingRuleUpdate.attributes': " + length + "less than or equal to 5"}},
		{"UpdateSamplingRule", `{"SamplingRuleUpdate":{"Attributes":{"":"v"}}}`, []string{
			"'{=v}' at 'samplingRuleUpdate.attributes': Map keys must satisfy constraint: [" + length + "less than or equal to 32, " + length + "greater than or equal to 1]"}},
		{"UpdateSamplingRule", `{"SamplingRuleUpdate":{"Attributes":{"a":"","b":null}}}`, []string{
			"'{a=, b=null}' at 'samplingRuleUpdate.attributes': Map value must satisfy constraint: [" + length + "less than or equal to 32, " + length + "greater than or equal to 1, Member must not be null]"}},
		{"StartTraceRetrieval", `{"TraceIds":["",null,"a"],"StartTime":1,"EndTime":2}`, []string{
			"'[, null, a]' at 'traceIds': Member must satisfy constraint: [" + length + "less than or equal to 35, " + length + "greater than or equal to 1, Member must not be null]"}},
		{"TagResource", `{"ResourceARN":"a","Tags":[{"Key":"a","Value":""},{"Key":""},null]}`, []string{
			"'' at 'tags.2.member.key': " + length + "greater than or equal to 1", "null at 'tags.2.member.value': Member must not be null", "null at 'tags.3.member': Member must not be null"}},
		{"UpdateIndexingRule", `{"Name":"Default","Rule":{"Other":{}}}`, []string{"'{Other={}}' at 'rule': Member must have exactly one member"}},
		{"GetGroup", `{"GroupName":"` + strings.Repeat("ä", 33) + `"}`, []string{"'" + strings.Repeat("ä", 33) + "' at 'groupName': " + length + "less than or equal to 32"}},
		{"GetGroup", `{"GroupName":"` + strings.Repeat("ä", 32) + `"}`, nil},
	} {
		errors, want := "errors", ""
		if len(c.want) == 1 {
			errors = "error"
		}
		for i, w := range c.want {
			c.want[i] = "Value " + strings.Replace(w, "': ", "' failed to satisfy constraint: ", 1)
		}
		if c.want != nil {
			want = fmt.Sprintf("ValidationException: %d validation %s detected: %s", len(c.want), errors, strings.Join(c.want, "; "))
		}
		_, err := validate(wire.Inputs[c.operation], []byte(c.body))
		if got := exceptionOf(err); got != want {
			t.Errorf("%s %.200s\ngot  %s\nwant %s", c.operation, c.body, got, want)
		}
	}
}

// TestValidate_boundsItsAnswer checks that a request of 1 MB does not cause a larger
// answer.
func TestValidate_boundsItsAnswer(t *testing.T) {
	for operation, body := range map[string]string{
		"PutTelemetryRecords": `{"TelemetryRecords":[` + strings.Repeat("{},", 250_000) + `{}]}`,
		"BatchGetTraces":      `{"TraceIds":[` + strings.Repeat(`"",`, 250_000) + `null]}`,
		"GetGroup":            `{"GroupName":"` + strings.Repeat("ß", 500_000) + `"}`,
		"TagResource":         `{"ResourceARN":"a","Tags":[` + strings.Repeat("null,", 200_000) + `null]}`,
		"UpdateSamplingRule":  `{"SamplingRuleUpdate":{"Attributes":{"` + strings.Repeat("k", 1_000_000) + `":"v"}}}`,
	} {
		_, err := validate(wire.Inputs[operation], []byte(body))
		if text := exceptionOf(err); !strings.HasPrefix(text, "ValidationException") || len(text) > 200*maxShown || !json.Valid(mustEncode(t, text)) {
			t.Errorf("%s: %d bytes: %.300s", operation, len(text), text)
		}
	}
	_, err := validate(wire.Inputs["PutTelemetryRecords"], []byte(`{"TelemetryRecords":[`+strings.Repeat("{},", 249)+`{}]}`))
	if text := exceptionOf(err); !strings.Contains(text, "250 validation errors") || !strings.HasSuffix(text, "; and 150 more") {
		t.Errorf("%s", text)
	}
}

func mustEncode(t *testing.T, v any) []byte {
	b, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJavaDouble(t *testing.T) {
	for f, want := range map[float64]string{0: "0.0", 1.1: "1.1", 2: "2.0", -0.5: "-0.5", 0.001: "0.001", 0.0001: "1.0E-4", 1e7: "1.0E7", 9999999: "9999999.0", 1790149670: "1.79014967E9", 1e300: "1.0E300"} {
		if got := javaDouble(f); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}

// FuzzValidate checks that the validator fails only in the words of the API, that every
// body it accepts becomes JSON which it returns unchanged when it validates it again,
// and that handlers can read it.
func FuzzValidate(f *testing.F) {
	for i, body := range []string{
		``, `{}`, `null`, `{"TraceIds":["1-5759e988-bd862e3fe1be46a994272793"],"NextToken":null}`, `{"StartTime":1.79E9,"EndTime":"2026-01-02T03:04:05Z"}`,
		`{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"0123456789abcdef01234567","Timestamp":1700000000000,"SampleCount":1e40}]}`,
		`{"SamplingRule":{"RuleName":"a","Priority":1,"FixedRate":-0.5,"Attributes":{"a":"b","\u0000":null}}}`, `{"Rule":{"Probabilistic":{"DesiredSamplingPercentage":5e-400}},"Name":"\ud800"}`,
		`{"TelemetryRecords":[{"Timestamp":0,"BackendConnectionErrors":{"HTTPCode4XXCount":-1e999}}]}`,
	} {
		f.Add(uint8(i*5), []byte(body))
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		operation := wire.Operations[int(n)%len(wire.Operations)].Name
		out, err := validate(wire.Inputs[operation], body)
		if err != nil {
			var s *decode.SerializationError
			var e *exception
			if !errors.As(err, &s) && !(errors.As(err, &e) && e.name == "ValidationException") {
				t.Fatalf("%s: %v", operation, err)
			}
			if len(err.Error()) > 1<<20 {
				t.Fatalf("%s: a text of %d bytes", operation, len(err.Error()))
			}
			return
		}
		again, err := validate(wire.Inputs[operation], out)
		if err != nil || string(again) != string(out) {
			t.Fatalf("%s %q became %s, that %s, %v", operation, body, out, again, err)
		}
		for _, request := range []any{&wire.BatchGetTracesRequest{}, &wire.GetTraceSummariesRequest{}, &wire.GetSamplingTargetsRequest{}, &wire.PutTelemetryRecordsRequest{}, &wire.GetServiceGraphRequest{}} {
			if strings.HasSuffix(fmt.Sprintf("%T", request), "."+operation+"Request") {
				if err := parse(out, request); err != nil {
					t.Fatalf("%s %s: %v", operation, out, err)
				}
			}
		}
	})
}
