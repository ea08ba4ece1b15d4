package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/present/api"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// room admits every request.
type room struct{ *receive.Intake }

func (room) Documents(context.Context, trace.Account, string, [][]byte) ([]decode.Refusal, error) {
	return nil, nil
}

// sampling is an API with its sampling operations and a clock.
type sampling struct {
	*api.API
	t   testing.TB
	now time.Time
}

func newSampling(t testing.TB) *sampling {
	t.Helper()
	store, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s := &sampling{t: t, now: time.Unix(1_700_000_000, 250e6)}
	s.API = api.New(api.Options{Intake: room{receive.New(receive.Options{})}, Sampler: sample.New(store), Control: api.Control{Tags: tag.New(store)}, Now: func() time.Time { return s.now }})
	return s
}

// post sends a body and returns status, exception and body of the answer.
func (s *sampling) post(path, body string) (int, string, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return w.Code, w.Header().Get("x-amzn-errortype"), w.Body.String()
}

// ask sends a body that must succeed.
func (s *sampling) ask(path, body string) string {
	s.t.Helper()
	status, _, answer := s.post(path, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s %s: status %d: %s", path, body, status, answer)
	}
	return answer
}

func (s *sampling) want(path, body, want string) {
	s.t.Helper()
	if got := s.ask(path, body); got != want {
		s.t.Errorf("%s %s:\n got %s\nwant %s", path, body, got, want)
	}
}

// create makes a rule with further members.
func (s *sampling) create(name, more string) string {
	s.t.Helper()
	return s.ask("/CreateSamplingRule", fmt.Sprintf(`{"SamplingRule":{"RuleName":%q,"Priority":7,"FixedRate":0.25,"ReservoirSize":3,"Host":"h","HTTPMethod":"GET","ResourceARN":"*","ServiceName":"s","ServiceType":"*","URLPath":"/p","Version":1%s}}`, name, more))
}

const defaultRecord = `{"CreatedAt":0,"ModifiedAt":0,"SamplingRule":{"Attributes":{},"FixedRate":0.05,"HTTPMethod":"*","Host":"*","Priority":10000,"ReservoirSize":1,"ResourceARN":"*","RuleARN":"arn:aws:xray:us-east-1:000000000000:sampling-rule/Default","RuleName":"Default","ServiceName":"*","ServiceType":"*","URLPath":"*","Version":1}}`

// The bodies that the pollers of the SDKs send: Go {"NextToken":null}, Node {}, ADOT
// for Python an empty body, Java {"NextToken":null} too; none of them signed.
func TestGetSamplingRules_pollers(t *testing.T) {
	s := newSampling(t)
	for _, body := range []string{``, `{}`, `{"NextToken":null}`, `{"NextToken":"x"}`, `{"Unknown":[1]}`, " {}\n"} {
		s.want("/GetSamplingRules", body, `{"NextToken":null,"SamplingRuleRecords":[`+defaultRecord+`]}`)
		s.want("/SamplingStatisticSummaries", body, `{"NextToken":null,"SamplingStatisticSummaries":[]}`)
	}
}

func TestSamplingRules(t *testing.T) {
	s := newSampling(t)
	record := func(name, created, modified, priority, more string) string {
		return fmt.Sprintf(`{"CreatedAt":%s,"ModifiedAt":%s,"SamplingRule":{"Attributes":{},"FixedRate":0.25,"HTTPMethod":"GET","Host":"h","Priority":%s,"ReservoirSize":3,"ResourceARN":"*","RuleARN":"arn:aws:xray:us-east-1:000000000000:sampling-rule/%s","RuleName":"%s",%s"ServiceName":"s","ServiceType":"*","URLPath":"/p","Version":1}}`, created, modified, priority, name, name, more)
	}
	boost := `"SamplingRateBoost":{"CooldownWindowMinutes":1,"MaxRate":0.5},`
	b := record("b", "1700000000", "1700000000", "7", boost)
	if got := s.create("b", `,"SamplingRateBoost":{"MaxRate":0.5,"CooldownWindowMinutes":1},"Unknown":true`); got != `{"SamplingRuleRecord":`+b+`}` {
		t.Errorf("created %s", got)
	}
	a := record("a", "1700000000", "1700000000", "7", "")
	if got := s.create("a", `,"Attributes":null,"SamplingRateBoost":null`); got != `{"SamplingRuleRecord":`+a+`}` {
		t.Errorf("created %s", got)
	}
	s.want("/GetSamplingRules", "", `{"NextToken":null,"SamplingRuleRecords":[`+a+`,`+b+`,`+defaultRecord+`]}`)

	s.now = s.now.Add(5 * time.Second)
	b = record("b", "1700000000", "1700000005", "9", "")
	s.want("/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleARN":"arn:aws:xray:us-east-1:000000000000:sampling-rule/b","Priority":9,"Version":2}}`, `{"SamplingRuleRecord":`+b+`}`)
	s.want("/DeleteSamplingRule", `{"RuleName":"b"}`, `{"SamplingRuleRecord":`+b+`}`)
	s.want("/GetSamplingRules", "", `{"NextToken":null,"SamplingRuleRecords":[`+a+`,`+defaultRecord+`]}`)
}

func TestSamplingRules_refusals(t *testing.T) {
	s := newSampling(t)
	for i := range 25 {
		s.create(fmt.Sprint(i), "")
	}
	rule := func(members string) string {
		return `{"SamplingRule":{"Priority":7,"FixedRate":1,"ReservoirSize":1,"Host":"","HTTPMethod":"","ResourceARN":"","ServiceName":"","ServiceType":"","URLPath":"","Version":1,` + members + `}}`
	}
	for _, c := range []struct{ path, body, exception, answer string }{
		{"/CreateSamplingRule", rule(`"RuleName":"3"`), "InvalidRequestException", `{"Message":"Sampling rule already exists"}`},
		{"/CreateSamplingRule", rule(`"RuleName":"x","Version":2`), "InvalidRequestException", `{"Message":"Sampling rule version must be 1"}`},
		{"/CreateSamplingRule", rule(`"RuleName":"x"`), "RuleLimitExceededException", `{"Message":"Sampling rule limit exceeded: there are 25"}`},
		{"/CreateSamplingRule", rule(`"RuleName":"x","RuleARN":"y"`), "InvalidRequestException", `{"Message":"Request cannot contain both sampling rule name and sampling rule ARN"}`},
		{"/CreateSamplingRule", rule(`"FixedRate":1`), "InvalidRequestException", `{"Message":"Request must contain either sampling rule name or sampling rule ARN"}`},
		{"/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleName":"x"}}`, "InvalidRequestException", `{"Message":"Sampling rule does not exist"}`},
		{"/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleName":"3","FixedRate":0.5,"Priority":-1}}`, "InvalidRequestException", `{"Message":"Invalid update request for sampling rule"}`},
		{"/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleName":"Default","Host":"x"}}`, "InvalidRequestException", `{"Message":"Invalid update request for default sampling rule"}`},
		{"/DeleteSamplingRule", `{"RuleName":"x"}`, "InvalidRequestException", `{"Message":"Sampling rule does not exist"}`},
		{"/DeleteSamplingRule", `{"RuleName":"Default"}`, "InvalidRequestException", `{"Message":"Invalid delete request for default sampling rule"}`},
		{"/DeleteSamplingRule", ``, "InvalidRequestException", `{"Message":"Request must contain either sampling rule name or sampling rule ARN"}`},
	} {
		status, exception, answer := s.post(c.path, c.body)
		if status != http.StatusBadRequest || exception != c.exception || answer != c.answer {
			t.Errorf("%s %s: %d %s %s", c.path, c.body, status, exception, answer)
		}
	}
}

func document(rule, client, more string) string {
	return fmt.Sprintf(`{"RuleName":%q,"ClientID":%q,"Timestamp":1700000000%s}`, rule, client, more)
}

const client = "0123456789abcdef01234567"

func TestGetSamplingTargets(t *testing.T) {
	s := newSampling(t)
	target := func(rule, rate string, quota int) string {
		return fmt.Sprintf(`{"FixedRate":%s,"Interval":10,"ReservoirQuota":%d,"ReservoirQuotaTTL":1700000300,"RuleName":"%s"}`, rate, quota, rule)
	}
	all := func(changed, targets, more, unprocessed string) string {
		return fmt.Sprintf(`{"LastRuleModification":%s,"SamplingTargetDocuments":[%s],%s"UnprocessedStatistics":[%s]}`, changed, targets, more, unprocessed)
	}
	s.want("/SamplingTargets", `{"SamplingStatisticsDocuments":[]}`, all("0", "", "", ""))
	s.want("/SamplingTargets", `{"SamplingStatisticsDocuments":[`+document("Default", client, "")+`],"SamplingBoostStatisticsDocuments":[]}`, all("0", target("Default", "0.05", 1), "", ""))
	s.create("r", "")
	unknown := `{"ErrorCode":"400","Message":"Unknown rule","RuleName":"gone"}`
	// The rule was made at 1700000000.25: a client that polled at 1700000000.1 must
	// notice that it has to poll again.
	s.want("/SamplingTargets", `{"SamplingStatisticsDocuments":[`+document("r", client, `,"RequestCount":9,"SampledCount":3,"BorrowCount":5`)+`,`+document("gone", client, "")+`,`+document("r", client, "")+`]}`,
		all("1700000001", target("r", "0.25", 3)+","+target("r", "0.25", 3), "", unknown))
	anomaly := func(rule string) string {
		return fmt.Sprintf(`{"RuleName":%q,"ServiceName":"s","Timestamp":1700000000.5,"AnomalyCount":1,"TotalCount":2,"SampledAnomalyCount":0,"ClientID":"%s"}`, rule, client) // ADOT for Python adds the ClientID
	}
	s.want("/SamplingTargets", `{"SamplingStatisticsDocuments":[],"SamplingBoostStatisticsDocuments":[`+anomaly("r")+`]}`, all("1700000001", "", `"UnprocessedBoostStatistics":[],`, ""))
	s.want("/SamplingTargets", `{"SamplingStatisticsDocuments":[],"SamplingBoostStatisticsDocuments":[`+anomaly("r")+`,`+anomaly("gone")+`]}`, all("1700000001", "", `"UnprocessedBoostStatistics":[`+unknown+`],`, ""))
}

func TestGetSamplingTargets_boost(t *testing.T) {
	s := newSampling(t)
	s.create("r", `,"SamplingRateBoost":{"MaxRate":0.5,"CooldownWindowMinutes":1}`)
	body := `{"SamplingStatisticsDocuments":[` + document("r", client, "") + `],"SamplingBoostStatisticsDocuments":[{"RuleName":"r","ServiceName":"s","Timestamp":1700000000,"AnomalyCount":900,"TotalCount":1000,"SampledAnomalyCount":0}]}`
	if got := s.ask("/SamplingTargets", body); strings.Contains(got, "SamplingBoost\"") {
		t.Errorf("at first: %s", got)
	}
	s.now = s.now.Add(10 * time.Second)
	if got, want := s.ask("/SamplingTargets", body), `"RuleName":"r","SamplingBoost":{"BoostRate":0.5,"BoostRateTTL":1700000030}}`; !strings.Contains(got, want) {
		t.Errorf("ten seconds later: %s", got)
	}
}

// counted returns the summary of a rule after its window is closed.
func (s *sampling) counted(rule string) string {
	s.t.Helper()
	s.now = s.now.Add(sample.Interval)
	var answer struct {
		SamplingStatisticSummaries []struct {
			RuleName                                string
			Timestamp                               float64
			RequestCount, SampledCount, BorrowCount int64
		}
	}
	if err := json.Unmarshal([]byte(s.ask("/SamplingStatisticSummaries", "{}")), &answer); err != nil {
		s.t.Fatal(err)
	}
	for _, w := range answer.SamplingStatisticSummaries {
		if w.RuleName == rule {
			if w.Timestamp != float64(s.now.Truncate(sample.Interval).Add(-sample.Interval).Unix()) {
				s.t.Errorf("window of %v at %v", w.Timestamp, s.now.Unix())
			}
			return fmt.Sprintf("%d/%d/%d", w.RequestCount, w.SampledCount, w.BorrowCount)
		}
	}
	return "none"
}

// Documents as SDKs send them, and the counts that they add to the window.
func TestGetSamplingTargets_quirks(t *testing.T) {
	for name, c := range map[string]struct{ document, want string }{
		"all":                 {`"Timestamp":%d,"RequestCount":73,"SampledCount":17,"BorrowCount":1`, "73/17/1"},
		"X-Ray and OTel Java": {`"Timestamp":%d000,"RequestCount":73,"SampledCount":17,"BorrowCount":1`, "73/17/1"},
		"ADOT Python":         {`"Timestamp":%d.3,"RequestCount":73,"SampleCount":17,"BorrowCount":1`, "73/17/1"},
		"as text":             {`"Timestamp":"2023-11-14T22:13:20Z","RequestCount":1,"Unused":%d`, "1/0/0"},
		"no counts":           {`"Timestamp":%d`, "0/0/0"},
		"null counts":         {`"Timestamp":%d,"RequestCount":null,"SampledCount":null,"BorrowCount":null`, "0/0/0"},
		"borrowed included":   {`"Timestamp":%d,"RequestCount":110,"SampledCount":20,"BorrowCount":10`, "110/20/10"},
		"borrowed excluded":   {`"Timestamp":%d,"RequestCount":10,"SampledCount":0,"BorrowCount":10`, "10/0/10"},
		"more than requests":  {`"Timestamp":%d,"RequestCount":1,"SampledCount":5`, "1/5/0"},
		"fractions, huge":     {`"Timestamp":%d,"RequestCount":1e300,"SampledCount":5.9`, "2147483647/5/0"},
		"stale":               {`"Timestamp":1600000000,"RequestCount":1,"Unused":%d`, "0/0/0"},
		"from the future":     {`"Timestamp":4000000000,"RequestCount":1,"Unused":%d`, "0/0/0"},
		"before 1970":         {`"Timestamp":-1e10,"RequestCount":1,"Unused":%d`, "0/0/0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSampling(t)
			s.create("r", "")
			body := fmt.Sprintf(`{"RuleName":"r","ClientID":"`+client+`",`+c.document+`}`, s.now.Unix())
			if got := s.ask("/SamplingTargets", `{"SamplingStatisticsDocuments":[`+body+`]}`); !strings.Contains(got, `"ReservoirQuota":3`) {
				t.Errorf("target %s", got)
			}
			if got := s.counted("r"); got != c.want {
				t.Errorf("counted %s, want %s", got, c.want)
			}
			if got := s.counted("r"); got != "0/0/0" {
				t.Errorf("a window later %s", got)
			}
		})
	}
}

// Many clients together count more than SDKs can read.
func TestGetSamplingStatisticSummaries_saturates(t *testing.T) {
	s := newSampling(t)
	d := document("Default", client, `,"RequestCount":2147483647`)
	s.ask("/SamplingTargets", `{"SamplingStatisticsDocuments":[`+d+`,`+d+`]}`)
	if got := s.counted("Default"); got != "2147483647/0/0" {
		t.Errorf("counted %s", got)
	}
}

// Go, Node, Python and OTel Java send all due rules in one call: 26 with
// Default. Natively that is one too many.
func TestGetSamplingTargets_manyDocuments(t *testing.T) {
	s := newSampling(t)
	for _, n := range []int{26, 1000} {
		docs := strings.Join(slices.Repeat([]string{document("Default", client, "")}, n), ",")
		if got := s.ask("/SamplingTargets", `{"SamplingStatisticsDocuments":[`+docs+`]}`); strings.Count(got, `"ReservoirQuota"`) != n {
			t.Errorf("%d documents: %d targets", n, strings.Count(got, `"ReservoirQuota"`))
		}
	}
	docs := strings.Join(slices.Repeat([]string{document("Default", client, "")}, 1001), ",")
	if status, exception, _ := s.post("/SamplingTargets", `{"SamplingStatisticsDocuments":[`+docs+`]}`); status != http.StatusBadRequest || exception != "ValidationException" {
		t.Errorf("1001 documents: %d %s", status, exception)
	}
}

// Tags given when a rule is created belong to the rule, whatever its name, and are
// deleted with it.
func TestSamplingRules_tags(t *testing.T) {
	s := newSampling(t)
	for _, name := range []string{"r", "a/b", "DEBUG – history updates"} {
		arn := "arn:aws:xray:us-east-1:000000000000:sampling-rule/" + name
		resource := fmt.Sprintf(`{"ResourceARN":%q}`, arn)
		body := fmt.Sprintf(`{"SamplingRule":{"RuleName":%q,"Priority":7,"FixedRate":1,"ReservoirSize":1,"Host":"","HTTPMethod":"","ResourceARN":"","ServiceName":"","ServiceType":"","URLPath":"","Version":1},"Tags":[{"Key":"z","Value":""},{"Key":"a","Value":"1"}]}`, name)
		s.ask("/CreateSamplingRule", body)
		s.want("/ListTagsForResource", resource, `{"NextToken":null,"Tags":[{"Key":"z","Value":""},{"Key":"a","Value":"1"}]}`)
		s.ask("/DeleteSamplingRule", fmt.Sprintf(`{"RuleARN":%q}`, arn))
		if status, exception, _ := s.post("/ListTagsForResource", resource); status != http.StatusNotFound || exception != "ResourceNotFoundException" {
			t.Errorf("tags of %s after its end: %d %s", name, status, exception)
		}
		s.create(name, "")
		s.want("/ListTagsForResource", resource, `{"NextToken":null,"Tags":[]}`)
	}
}

// Rules survive the process.
func TestSamplingRules_survive(t *testing.T) {
	dir := t.TempDir()
	ask := func(path, body string) string {
		store, err := sqlite.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		s := &sampling{t: t}
		s.API = api.New(api.Options{Intake: room{receive.New(receive.Options{})}, Sampler: sample.New(store)})
		if path == "" {
			return s.create("r", "")
		}
		return s.ask(path, body)
	}
	created := ask("", "")
	record := strings.TrimSuffix(strings.TrimPrefix(created, `{"SamplingRuleRecord":`), "}")
	if got := ask("/GetSamplingRules", ""); !strings.Contains(got, record) {
		t.Errorf("created %s, later %s", created, got)
	}
}

func BenchmarkSampling(b *testing.B) {
	s := newSampling(b)
	for i := range 25 {
		s.create(fmt.Sprint(i), "")
	}
	b.Run("GetSamplingRules", func(b *testing.B) {
		for range b.N {
			s.ask("/GetSamplingRules", "")
		}
	})
	b.Run("GetSamplingTargets", func(b *testing.B) {
		body := `{"SamplingStatisticsDocuments":[` + document("Default", client, `,"RequestCount":9,"SampledCount":3,"BorrowCount":5`) + `]}`
		for range b.N {
			s.ask("/SamplingTargets", body)
		}
	})
}

// No body causes an internal error, and the rules stay readable.
func FuzzSampling(f *testing.F) {
	paths := []string{"/CreateSamplingRule", "/UpdateSamplingRule", "/DeleteSamplingRule", "/GetSamplingRules", "/SamplingTargets", "/SamplingStatisticSummaries"}
	for i, body := range []string{
		`{"SamplingRule":{"RuleName":"r","Priority":7,"FixedRate":0.25,"ReservoirSize":3,"Version":1,"Attributes":{"a":"b"},"SamplingRateBoost":{"MaxRate":0.5,"CooldownWindowMinutes":1}},"Tags":[{"Key":"k","Value":"v"}]}`,
		`{"SamplingRuleUpdate":{"RuleARN":"arn:aws:xray:us-east-1:000000000000:sampling-rule/Default","FixedRate":1e-9}}`,
		`{"RuleName":"r"}`, `{"NextToken":null}`,
		`{"SamplingStatisticsDocuments":[` + document("Default", client, `,"RequestCount":9`) + `,null],"SamplingBoostStatisticsDocuments":[{"RuleName":"Default"}]}`,
	} {
		f.Add(uint8(i), []byte(body))
	}
	s := newSampling(f)
	f.Fuzz(func(t *testing.T, op uint8, body []byte) {
		s.t = t
		status, exception, answer := s.post(paths[int(op)%len(paths)], string(body))
		if status != http.StatusOK && status/100 != 4 || !json.Valid([]byte(answer)) || (status == http.StatusOK) != (exception == "") {
			t.Fatalf("%d %s %s", status, exception, answer)
		}
		var rules struct{ SamplingRuleRecords []json.RawMessage }
		if err := json.NewDecoder(bytes.NewBufferString(s.ask("/GetSamplingRules", ""))).Decode(&rules); err != nil || len(rules.SamplingRuleRecords) < 1 || len(rules.SamplingRuleRecords) > 26 {
			t.Fatalf("%d rules, %v", len(rules.SamplingRuleRecords), err)
		}
	})
}
