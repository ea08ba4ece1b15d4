package wire_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// objects lists the keys of a bucket.
func objects(t *testing.T, moto, bucket string) (keys []string) {
	t.Helper()
	res, err := http.Get(moto + "/" + bucket + "?list-type=2")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`<Key>([^<]*)</Key>`).FindAllStringSubmatch(string(b), -1) {
		keys = append(keys, m[1])
	}
	return keys
}

// Records go to a file and to S3, in CloudTrail's layout, each once, also over a kill.
func TestAudit_streams(t *testing.T) {
	moto := harness.Moto(t)
	r, err := http.NewRequest(http.MethodPut, moto+"/trail", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(r); err != nil || res.Body.Close() != nil || res.StatusCode != 200 {
		t.Fatal(err, res)
	}
	out := filepath.Join(t.TempDir(), "audit.jsonl")
	flags := []string{"--audit", "on", "--audit-streams", "file://" + out + ",s3://trail/logs?region=us-east-1&interval=1s&endpoint=" + moto}
	s := harness.Start(t, flags...)
	const id = "1-0a0a0a0a-0a0a0a0a0a0a0a0a0a0a0a0a"
	for range 3 {
		s.Post("/Traces", m{"TraceIds": []string{id}})
	}
	s.Kill()
	s.Restart(flags...)
	for range 3 {
		s.Post("/Traces", m{"TraceIds": []string{id}})
	}
	want := 6
	lines := func() map[string]int {
		seen := map[string]int{}
		b, _ := os.ReadFile(out)
		for line := range strings.Lines(string(b)) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.EventName == "BatchGetTraces" {
				seen[e.EventID]++
			}
		}
		return seen
	}
	stored := func() map[string]int {
		seen := map[string]int{}
		for _, key := range objects(t, moto, "trail") {
			if !regexp.MustCompile(`^logs/AWSLogs/000000000000/CloudTrail/us-east-1/\d{4}/\d\d/\d\d/000000000000_CloudTrail_us-east-1_\d{8}T\d{4}Z_[A-Z2-7]{16}\.json\.gz$`).MatchString(key) {
				t.Fatalf("key %s", key)
			}
			res, err := http.Get(moto + "/trail/" + key)
			if err != nil {
				t.Fatal(err)
			}
			var in io.Reader = res.Body
			if !res.Uncompressed {
				if in, err = gzip.NewReader(res.Body); err != nil {
					t.Fatal(err)
				}
			}
			var file struct{ Records []event }
			if err := json.NewDecoder(in).Decode(&file); err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			for _, e := range file.Records {
				if e.EventName == "BatchGetTraces" {
					seen[e.EventID]++
				}
			}
		}
		return seen
	}
	harness.Eventually(t, "the file and the bucket have all", func() bool { return len(lines()) == want && len(stored()) == want })
	for name, seen := range map[string]map[string]int{"file": lines(), "bucket": stored()} {
		for id, n := range seen {
			if n != 1 {
				t.Errorf("the %s has %s %d times", name, id, n)
			}
		}
	}
	next := s.Metric(`fluoro_audit_stream_next_record{stream="0 file://` + out + `"}`)
	if next < 7 {
		t.Errorf("the metric says %v", next)
	}
}
