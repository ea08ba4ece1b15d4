package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// samplingCase is a readable case of one sampling rule, in a JSON file with the
// rule's name: calls of operations in order, each with the answer that the rule
// demands. The text "$now+300" stands for a time in seconds, in answers with a
// tolerance of five; "$now*1000" for milliseconds. A step with "within" is repeated
// until the answer is right, for at most that many seconds.
type samplingCase struct {
	Rule   string         `json:"rule"`
	Source string         `json:"source"`
	Steps  []samplingStep `json:"steps"`
}

type samplingStep struct {
	Call    string          `json:"call"`
	Request json.RawMessage `json:"request"`
	Status  int             `json:"status"` // 200 if absent
	Answer  json.RawMessage `json:"answer"`
	Within  float64         `json:"within"`
}

func TestSamplingRules(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "sampling", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c samplingCase
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			if err := d.Decode(&c); err != nil || c.Rule == "" || c.Source == "" || len(c.Steps) == 0 {
				t.Fatalf("read the case: %v", err)
			}
			s := harness.Start(t, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
			for i, step := range c.Steps {
				deadline := time.Now().Add(time.Duration(step.Within * float64(time.Second)))
				for {
					diffs, got := step.ask(t, s)
					if len(diffs) == 0 {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("step %d, %s: %s\n%s\nthe whole answer:\n%s", i+1, step.Call, c.Rule, strings.Join(diffs, "\n"), got)
					}
					time.Sleep(200 * time.Millisecond)
				}
			}
		})
	}
}

// ask sends the request of a step and lists the differences of the answer.
func (step samplingStep) ask(t *testing.T, s *harness.Server) (diffs []string, got string) {
	t.Helper()
	status := step.Status
	if status == 0 {
		status = 200
	}
	var body any
	if len(step.Request) > 0 {
		if err := json.Unmarshal(step.Request, &body); err != nil {
			t.Fatal(err)
		}
		body = withTimes(body)
	}
	code, _, b := s.Post(step.Call, body)
	var have, want any
	if err := json.Unmarshal(b, &have); err != nil {
		t.Fatalf("%s: %v: %s", step.Call, err, b)
	}
	if err := json.Unmarshal(step.Answer, &want); err != nil {
		t.Fatalf("%s: the demanded answer: %v", step.Call, err)
	}
	if code != status {
		diffs = append(diffs, fmt.Sprintf("status %d, want %d", code, status))
	}
	return append(diffs, harness.Differences("answer", have, nearTimes(have, want))...), string(b)
}

var timeText = regexp.MustCompile(`^\$now(?:\+(\d+))?(\*1000)?$`)

// timeOf reads a text that stands for a time.
func timeOf(v any) (seconds float64, ok bool) {
	text, _ := v.(string)
	m := timeText.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	later, _ := strconv.Atoi(m[1])
	at := float64(time.Now().Unix() + int64(later))
	if m[2] != "" {
		at *= 1000
	}
	return at, true
}

// withTimes replaces texts that stand for times with the times.
func withTimes(v any) any {
	if at, ok := timeOf(v); ok {
		return at
	}
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = withTimes(v[k])
		}
	case []any:
		for i := range v {
			v[i] = withTimes(v[i])
		}
	}
	return v
}

// nearTimes replaces expected times with the received ones if they are near.
func nearTimes(got, want any) any {
	if at, ok := timeOf(want); ok {
		if n, number := got.(float64); number && math.Abs(n-at) <= 5 && n == math.Trunc(n) {
			return n
		}
		return at
	}
	switch want := want.(type) {
	case map[string]any:
		have, _ := got.(map[string]any)
		for k := range want {
			want[k] = nearTimes(have[k], want[k])
		}
	case []any:
		have, _ := got.([]any)
		for i := range want {
			if i < len(have) {
				want[i] = nearTimes(have[i], want[i])
			}
		}
	}
	return want
}
