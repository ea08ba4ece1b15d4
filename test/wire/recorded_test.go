package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// Single answers that were recorded from the native service.

const recordedTrace = "1-66669980-%024x"

// recordedSegment returns a segment document of a trace with a number. members
// replace its members, also by null and "".
func recordedSegment(n int, members string) string {
	doc := m{"trace_id": fmt.Sprintf(recordedTrace, n), "id": fmt.Sprintf("%016x", n+1), "name": "front", "start_time": 1.7e9, "end_time": 1.7e9 + 1}
	if err := json.Unmarshal([]byte("{"+members+"}"), &doc); err != nil {
		panic(members)
	}
	b, _ := json.Marshal(doc)
	return string(b)
}

// Empty ids count as missing. The Id in the answer is the sent one.
func TestRecorded_emptyIDs(t *testing.T) {
	s := harness.Start(t)
	sub := `"id":"00000000000000aa","type":"subsegment",`
	cases := []struct{ members, id, code, message string }{
		{`"id":""`, `""`, "MissingId", "Invalid segment. ErrorCode: MissingId"},
		{`"id":null`, `null`, "MissingId", "Invalid segment. ErrorCode: MissingId"},
		{`"id":"x"`, `"x"`, "InvalidId", "Invalid segment. ErrorCode: InvalidId"},
		{`"name":""`, `"0000000000000004"`, "MissingName", "Invalid segment. ErrorCode: MissingName"},
		{`"trace_id":""`, `"0000000000000005"`, "MissingTraceId", "Invalid segment. ErrorCode: MissingTraceId"},
		{sub + `"parent_id":""`, `"00000000000000aa"`, "MissingParentId", "Invalid subsegment. ErrorCode: MissingParentId, Cause: null"},
		{`"subsegments":[{"id":"","name":"x","start_time":1,"end_time":2}]`, `"0000000000000007"`, "MissingId", "Invalid subsegment. ErrorCode: MissingId, Cause: null"},
	}
	var docs, want []any
	for i, c := range cases {
		docs = append(docs, recordedSegment(i, c.members))
		var id any
		_ = json.Unmarshal([]byte(c.id), &id)
		want = append(want, m{"Id": id, "ErrorCode": c.code, "Message": c.message})
	}
	docs = append(docs, recordedSegment(50, `"parent_id":""`)) // a segment without parent
	var answer m
	s.Ask("/TraceSegments", m{"TraceSegmentDocuments": docs}, &answer)
	if got := answer["UnprocessedTraceSegments"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := s.Summaries(`service("front") { root }`); len(got) != 1 {
		t.Errorf("the segment with an empty parent_id is the root of %d traces, want 1", len(got))
	}
}

// Only summaries round durations; a negative duration is unknown.
func TestRecorded_durations(t *testing.T) {
	s := harness.Start(t)
	for i, c := range []struct{ end, summary, batch string }{
		{"1700000000.003707", "0.004", "0.003707"}, {"1700000000.006261", "0.006", "0.006261"}, {"1700000000.414594", "0.415", "0.414594"},
		{"1700000000.034390", "0.034", "0.03439"}, {"1700000000.0004", "0", "0.0004"}, {"1700000000", "0", "0"}, {"1699999999.5", "0", "null"},
	} {
		key := fmt.Sprint("k", i)
		s.Put(recordedSegment(i, fmt.Sprintf(`"start_time":1.7e9,"end_time":%s,"annotations":{%q:1}`, c.end, key)))
		now := time.Now().Unix()
		var page struct {
			TraceSummaries []struct{ Duration, ResponseTime json.RawMessage }
		}
		s.Ask("/TraceSummaries", m{"StartTime": now - 60, "EndTime": now + 60, "TimeRangeType": "Event", "FilterExpression": "annotation." + key}, &page)
		if len(page.TraceSummaries) != 1 || string(page.TraceSummaries[0].Duration) != c.summary || string(page.TraceSummaries[0].ResponseTime) != c.summary {
			t.Errorf("end %s: summaries %s, want both %s", c.end, page.TraceSummaries, c.summary)
		}
		var batch struct {
			Traces []struct{ Duration json.RawMessage }
		}
		s.Ask("/Traces", m{"TraceIds": []string{fmt.Sprintf(recordedTrace, i)}}, &batch)
		if len(batch.Traces) != 1 || string(batch.Traces[0].Duration) != c.batch {
			t.Errorf("end %s: BatchGetTraces has %s, want %s", c.end, batch.Traces, c.batch)
		}
		token := retrieve(t, s, time.Unix(1.7e9-60, 0), time.Unix(1.7e9+60, 0), fmt.Sprintf(recordedTrace, i))
		got := "null"
		if d := pages(t, s, token, "XRAY")[0].Traces[0].Duration; d != nil {
			got = fmt.Sprint(*d)
		}
		if got != c.batch {
			t.Errorf("end %s: ListRetrievedTraces has %s, want %s", c.end, got, c.batch)
		}
	}
	// A filter compares the exact value, not the rounded one.
	for filter, want := range map[string]int{"annotation.k0 AND duration < 0.0038": 1, "annotation.k0 AND duration >= 0.004": 0, "annotation.k0 AND responsetime = 0.003707": 1, "annotation.k0 AND responsetime > 0.0037": 1} {
		if got := len(s.Summaries(filter)); got != want {
			t.Errorf("%s finds %d, want %d", filter, got, want)
		}
	}
}

// A reference to an exception explains only the entities on the path to it; a failed
// call beside that path has its own cause.
func TestRecorded_causesBesideAReference(t *testing.T) {
	s := harness.Start(t)
	below := `"subsegments":[
		{"id":"00000000000000b1","name":"work","start_time":1.7e9,"end_time":1700000000.5,"FLAG":true,"cause":{"exceptions":[{"id":"aaaaaaaaaaaaaaaa","type":"E","message":"m"}]}},
		{"id":"00000000000000b2","name":"db","namespace":"remote","start_time":1.7e9,"end_time":1700000000.9,"FLAG":true,"cause":{"exceptions":[{"id":"bbbbbbbbbbbbbbbb","type":"D","message":"d"}]}}]`
	const (
		work  = `{"ClientImpacting":true,"Services":[{"AccountId":null,"EntityPath":[{"Exceptions":[],"Name":"front","Remote":false},{"Exceptions":[{"Message":"m","Name":"E"}],"Name":"work","Remote":false}],"Inferred":false,"Name":"front","Names":["front"],"Type":null}]}`
		onDB  = `{"ClientImpacting":true,"Services":[{"AccountId":null,"EntityPath":[{"Exceptions":[],"Name":"front","Remote":false},{"Exceptions":[{"Message":"d","Name":"D"}],"Name":"db","Remote":true}],"Inferred":false,"Name":"front","Names":["front"],"Type":null},{"AccountId":null,"EntityPath":[{"Exceptions":[],"Name":"db","Remote":false}],"Inferred":true,"Name":"db","Names":["db"],"Type":"remote"}]}`
		ownDB = `{"ClientImpacting":false,"Services":[{"AccountId":null,"EntityPath":[{"Exceptions":[],"Name":"db","Remote":false}],"Inferred":true,"Name":"db","Names":["db"],"Type":"remote"}]}`
	)
	n := 0
	for _, flag := range []string{"fault", "error"} {
		for _, c := range []struct{ cause, want string }{
			{"aaaaaaaaaaaaaaaa", "[" + work + "," + ownDB + "]"}, // local first, then remote
			{"bbbbbbbbbbbbbbbb", "[" + onDB + "]"},
			{"cccccccccccccccc", "[" + ownDB + "]"}, // nobody holds it
		} {
			n++
			s.Put(recordedSegment(n, fmt.Sprintf(`%q:true,"cause":%q,"annotations":{"n":%d},%s`, flag, c.cause, n, strings.ReplaceAll(below, "FLAG", flag))))
			now := time.Now().Unix()
			var page struct {
				TraceSummaries []struct{ FaultRootCauses, ErrorRootCauses, ResponseTimeRootCauses json.RawMessage }
			}
			s.Ask("/TraceSummaries", m{"StartTime": now - 60, "EndTime": now + 60, "TimeRangeType": "Event", "FilterExpression": fmt.Sprintf("annotation.n = %d", n)}, &page)
			if len(page.TraceSummaries) != 1 {
				t.Fatalf("%d traces", len(page.TraceSummaries))
			}
			got := page.TraceSummaries[0]
			causes, others := got.FaultRootCauses, got.ErrorRootCauses
			if flag == "error" {
				causes, others = others, causes
			}
			if string(causes) != c.want || string(others) != "[]" {
				t.Errorf("%s, cause %s:\ngot  %s and %s\nwant %s", flag, c.cause, causes, others, c.want)
			}
			if !bytes.Contains(got.ResponseTimeRootCauses, []byte(`"Coverage":0.9`)) {
				t.Errorf("%s, cause %s: the response time is explained by %s, want the longest call", flag, c.cause, got.ResponseTimeRootCauses)
			}
		}
	}
}

// Whole seconds decide which buckets of a time series an answer has.
func TestRecorded_bucketsByWholeSeconds(t *testing.T) {
	s := harness.Start(t)
	if second := time.Now().Second(); second > 57 { // receipt and query must be in the same minute
		time.Sleep(time.Duration(60-second) * time.Second)
	}
	s.Put(recordedSegment(1, ""))
	bucket := math.Floor(float64(time.Now().Unix())/60)*60 + 60 // the end of this minute
	for _, c := range []struct {
		start, end float64
		holds      bool
	}{{-60, 60, true}, {0, 1, true}, {0.9, 1, true}, {0.9, 1.9, true}, {-0.5, 0.5, false}, {-0.5, 1, true}, {0, 0.9, false}, {1, 60, false}} {
		var answer struct{ TimeSeriesServiceStatistics []struct{ Timestamp float64 } }
		s.Ask("/TimeSeriesServiceStatistics", m{"StartTime": bucket + c.start, "EndTime": bucket + c.end}, &answer)
		got := len(answer.TimeSeriesServiceStatistics) == 1
		if got != c.holds {
			t.Errorf("from %+g s to %+g s: %v, want the bucket: %v", c.start, c.end, answer.TimeSeriesServiceStatistics, c.holds)
		}
	}
}

// The texts of errors.
func TestRecorded_texts(t *testing.T) {
	s := harness.Start(t)
	var group struct{ Group shownGroup }
	s.Ask("/CreateGroup", m{"GroupName": "g", "FilterExpression": "ok"}, &group)
	var policy m
	s.Ask("/PutResourcePolicy", m{"PolicyName": "p", "PolicyDocument": policyOf("Allow")}, &policy)
	both := m{"GroupName": "g", "GroupARN": group.Group.GroupARN, "FilterExpression": "ok"}
	neither := m{"FilterExpression": "ok"}
	now := time.Now().Unix()
	for _, c := range []struct {
		path            string
		body            m
		exception, text string
	}{
		{"/GetGroup", both, "InvalidRequestException", "Provide either GroupName or GroupARN"},
		{"/GetGroup", neither, "InvalidRequestException", "Provide either GroupName or GroupARN"},
		{"/UpdateGroup", both, "InvalidRequestException", "Provide either GroupName or GroupARN"},
		{"/UpdateGroup", neither, "InvalidRequestException", "Provide either GroupName or GroupARN"},
		{"/DeleteGroup", both, "InvalidRequestException", "Provide either GroupName or GroupARN"},
		{"/DeleteGroup", neither, "InvalidRequestException", "Provide either GroupName or GroupARN"},
		{"/PutResourcePolicy", m{"PolicyName": "q", "PolicyDocument": policyOf("Deny")}, "LockoutPreventionException", "The new resource policy will not allow the caller of this request to call PutResourcePolicy in the future."},
		{"/PutResourcePolicy", m{"PolicyName": "p", "PolicyDocument": policyOf("Allow"), "PolicyRevisionId": "7"}, "InvalidPolicyRevisionIdException", "Another concurrent request has modified the resource policy p"},
		{"/DeleteResourcePolicy", m{"PolicyName": "p", "PolicyRevisionId": "7"}, "InvalidPolicyRevisionIdException", "Another concurrent request has modified or deleted the resource policy p"},
		{"/DeleteResourcePolicy", m{"PolicyName": "nobody", "PolicyRevisionId": "1"}, "InvalidPolicyRevisionIdException", "Another concurrent request has modified or deleted the resource policy nobody"},
		{"/DeleteResourcePolicy", m{"PolicyName": "nobody"}, "InvalidRequestException", "The resource policy nobody does not exist."},
		{"/TagResource", m{"ResourceARN": group.Group.GroupARN, "Tags": []m{{"Key": "aws:x", "Value": "y"}}}, "InvalidRequestException", "Caller is an end user and not allowed to mutate system tags"},
		{"/TelemetryRecords", m{"TelemetryRecords": []m{}}, "InvalidRequestException", "Telemetry records cannot be empty"},
		{"/TraceSummaries", m{"StartTime": now, "EndTime": now, "TimeRangeType": "Now"}, "ValidationException", "1 validation error detected: Value 'Now' at 'timeRangeType' failed to satisfy constraint: Member must satisfy enum value set: [TraceId, Service, Event]"},
		{"/TimeSeriesServiceStatistics", m{"StartTime": now, "EndTime": now, "EntitySelectorExpression": "service()"}, "InvalidRequestException", "Error Location: line 1, position 9 : Invalid input symbol: ')'"},
	} {
		status, header, b := s.Post(c.path, c.body)
		var answer struct{ Message string }
		if err := json.Unmarshal(b, &answer); err != nil || status != 400 || header.Get("x-amzn-errortype") != c.exception || answer.Message != c.text {
			t.Errorf("%s %v: %d %s %s\nwant %s %q", c.path, c.body, status, header.Get("x-amzn-errortype"), b, c.exception, c.text)
		}
	}
	var answer m
	s.Ask("/DeleteResourcePolicy", m{"PolicyName": "p", "PolicyRevisionId": "1"}, &answer)
}

// A policy is returned as it was sent, because Terraform compares the JSON. The one
// recorded exception: a list with one action is returned as that action.
func TestRecorded_policyDocuments(t *testing.T) {
	s := harness.Start(t)
	for _, document := range []string{
		`{"Version":"2012-10-17","Statement":[{"Sid":"b","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::000000000000:root"]},"Action":["xray:PutTraceSegments","xray:GetTraceSummaries","xray:BatchGetTraces"],"Resource":["*"]}]}`,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000","Service":["sns.amazonaws.com"]},"NotAction":["xray:Delete*"],"Resource":"*"},"Id":"z","Version":"2008-10-17"}`,
		`{"Version":"2012-10-17","Statement":[{"Resource":"arn:aws:xray:*:*:group/*","Principal":"*","Effect":"Deny","Action":"xray:Get*","Condition":{"StringEquals":{"aws:SourceAccount":["000000000000"]},"NumericLessThan":{"aws:MultiFactorAuthAge":[3600,1.50,12345678901234567890,1E+2]},"Bool":{"aws:SecureTransport":false},"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:\u00e4<&>"},"Null":{"aws:TokenIssueTime":[]}}}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"a.example.com","CanonicalUser":["b","a"]},"NotResource":["arn:aws:xray:us-east-1:000000000000:group/b/*","*"],"Action":["xray:b","xray:a","xray:b"]},{"Sid":"","Effect":"Allow","NotPrincipal":{"AWS":["*"]},"Action":"*","Resource":"*"}]}`,
	} {
		// With blanks, which need not be returned.
		sent := strings.NewReplacer(`":`, `" : `, `,"`, ",\n  \"").Replace(document)
		var put struct {
			ResourcePolicy struct{ PolicyDocument string }
		}
		s.Ask("/PutResourcePolicy", m{"PolicyName": "p", "PolicyDocument": sent}, &put)
		var list struct {
			ResourcePolicies []struct{ PolicyDocument string }
		}
		s.Ask("/ListResourcePolicies", m{}, &list)
		for _, got := range []string{put.ResourcePolicy.PolicyDocument, list.ResourcePolicies[0].PolicyDocument} {
			// Compared as text, so that the spelling of numbers and escapes counts.
			var compact bytes.Buffer
			if err := json.Compact(&compact, []byte(got)); err != nil || compact.String() != document {
				t.Errorf("got  %s\nwant %s", got, document)
			}
		}
	}
	var put struct {
		ResourcePolicy struct{ PolicyDocument string }
	}
	s.Ask("/PutResourcePolicy", m{"PolicyName": "p", "PolicyDocument": policyOf("Allow")}, &put)
	if want := strings.Replace(policyOf("Allow"), `["xray:PutResourcePolicy"]`, `"xray:PutResourcePolicy"`, 1); put.ResourcePolicy.PolicyDocument != want {
		t.Errorf("got  %s\nwant %s", put.ResourcePolicy.PolicyDocument, want)
	}
}
