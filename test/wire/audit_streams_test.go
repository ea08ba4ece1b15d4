package wire_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/fluoro-io/fluoro/test/harness"
)

// objects returns the objects of a bucket by their keys, decompressed.
func objects(t *testing.T, moto, bucket string) map[string][]byte {
	t.Helper()
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(moto), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, o := range list.Contents {
		res, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key})
		if err != nil {
			t.Fatal(err)
		}
		in, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if out[*o.Key], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	return out
}

// keyForm is the form of the names of CloudTrail's log files.
var keyForm = regexp.MustCompile(`^logs/AWSLogs/000000000000/CloudTrail/us-east-1/\d{4}/\d\d/\d\d/000000000000_CloudTrail_us-east-1_\d{8}T\d{4}Z_[A-Z2-7]{16}\.json\.gz$`)

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
		for key, body := range objects(t, moto, "trail") {
			if !keyForm.MatchString(key) {
				t.Fatalf("key %s", key)
			}
			var file struct{ Records []event }
			if err := json.Unmarshal(body, &file); err != nil {
				t.Fatal(err)
			}
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
