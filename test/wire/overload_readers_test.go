//go:build linux

package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// Many readers of large traces at once, during ingest, stay within the memory, too:
// some are told to try again, the others get complete answers.
func TestOverload_readers(t *testing.T) {
	const memoryMB, readers = 256, 64
	s := harness.Start(t, "--memory", fmt.Sprintf("%dMB", memoryMB), "--settle", "1s")
	o := &overload{s: s, acked: map[string]int{}, refused: map[string]int{}}
	var ids []string
	sizes := map[string]int{}
	for n := range 12 {
		var id string
		if n%3 == 2 {
			var body []byte
			body, id = o.spans(4000, 100)
			sizes[id] = 4000
			patiently(t, "http://"+s.OTLP+"/v1/traces", "application/x-protobuf", body)
		} else {
			var docs []string
			docs, id = o.documents(40, 100_000)
			sizes[id] = len(docs)
			for ; len(docs) > 0; docs = docs[10:] {
				body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs[:10]})
				if err != nil {
					t.Fatal(err)
				}
				patiently(t, s.URL("/TraceSegments"), "application/json", body)
			}
		}
		ids = append(ids, id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	for w := range readers {
		all.Go(func() {
			for n := w; ctx.Err() == nil; n++ {
				what, path := "traces", "/Traces"
				asked := []string{ids[n%12], ids[(n+1)%12]}
				body := fmt.Sprintf(`{"TraceIds":["%s","%s"]}`, asked[0], asked[1])
				if w%4 == 3 {
					what, path = "summaries", "/TraceSummaries"
					body = fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"FilterExpression":"http.url CONTAINS \"x\""}`, time.Now().Unix()-600, time.Now().Unix()+60)
				}
				outcome, problem := readLarge(s.URL(path), body, sizes, asked)
				if problem != "" {
					t.Errorf("%s: %s", what, problem)
				}
				mu.Lock()
				counts[what+" "+outcome]++
				mu.Unlock()
			}
		})
	}
	all.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			o.otlpHTTP(n)
		}
	})
	all.Wait()
	t.Logf("peak %d MB; %v", peakMB(t, s), counts)
	for _, w := range o.wrong {
		t.Error(w)
	}
	if counts["traces answered"] == 0 || counts["summaries answered"] == 0 || counts["traces throttled"] == 0 {
		t.Errorf("%v: want some answered and some throttled", counts)
	}
	if mb := peakMB(t, s); mb > memoryMB+slackMB {
		t.Errorf("%d MB were taken of %d MB", mb, memoryMB)
	}
}

// readLarge sends one request: the answer must be complete, or a throttling in the
// API's form.
func readLarge(url, body string, sizes map[string]int, asked []string) (outcome, problem string) {
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return "failed", err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "failed", err.Error()
	case res.StatusCode == http.StatusTooManyRequests:
		if res.Header.Get("x-amzn-errortype") != "ThrottledException" || res.Header.Get("Retry-After") == "" {
			problem = fmt.Sprintf("status 429, headers %v", res.Header)
		}
		return "throttled", problem
	case res.StatusCode != http.StatusOK:
		return "failed", fmt.Sprintf("status %d: %.200q", res.StatusCode, b)
	}
	var answer struct {
		Traces []struct {
			Id       string
			Segments []struct{ Id string }
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return "failed", err.Error()
	}
	if strings.HasSuffix(url, "/Traces") && len(answer.Traces) != len(asked) {
		return "answered", fmt.Sprintf("%d traces of %d", len(answer.Traces), len(asked))
	}
	for _, t := range answer.Traces {
		if len(t.Segments) != sizes[t.Id] {
			return "answered", fmt.Sprintf("trace %s has %d segments of %d", t.Id, len(t.Segments), sizes[t.Id])
		}
	}
	return "answered", ""
}

// patiently sends until there is room.
func patiently(t *testing.T, url, kind string, body []byte) {
	t.Helper()
	harness.Eventually(t, "the server takes a request", func() bool {
		res, err := http.Post(url, kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK && res.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d: %.200q", res.StatusCode, answer)
		}
		return res.StatusCode == http.StatusOK
	})
}
