package wire_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An account over its quota is refused in the words of each protocol, and told what its
// limit is; another account is not touched.
func TestQuota_limitsOneAccountOnEachListener(t *testing.T) {
	s := startShared(t)
	limits := m{"account": first, "limits": m{"spans": 1}}
	if answer := s.must(operator, "POST", "/api/quota/Put", limits); !strings.Contains(answer, `"spans":1`) {
		t.Fatal(answer)
	}
	at := time.Now()
	documents := func(n int) m {
		var list []string
		for i := range n {
			list = append(list, documentFor(at, sharedID, "flooder", fmt.Sprintf("%016x", i+1)))
		}
		return m{"TraceSegmentDocuments": list}
	}
	// The first request is larger than the quota. It is stored whole, and paid for later.
	s.must(first, "POST", "/TraceSegments", documents(60))
	code, answer := s.call(first, "POST", "http://"+s.http+"/TraceSegments", documents(1))
	if code != http.StatusTooManyRequests || !strings.Contains(answer, "quota of 1 spans a second") {
		t.Errorf("PutTraceSegments: %d %s", code, answer)
	}
	for _, address := range []string{s.http, s.otlp} {
		if code, answer := s.call(first, "POST", "http://"+address+"/v1/traces", s.spansJSON("flooder", 0xb)); code != http.StatusTooManyRequests || !strings.Contains(answer, "quota") {
			t.Errorf("OTLP/HTTP: %d %s", code, answer)
		}
	}
	if err := s.export(first, s.spans("flooder", 0xc)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "quota") {
		t.Errorf("OTLP/gRPC: %v", err)
	}
	s.datagram(first, documentFor(at, datagramID, "flooder", "0e0e0e0e0e0e0e0e"))
	harness.Eventually(t, "the datagram is counted as dropped", func() bool {
		return strings.Contains(s.must(first, "GET", "/console/api/status", nil), `"reason":"Quota"`)
	})
	if use := s.must(first, "POST", "/api/quota/Get", m{}); !strings.Contains(use, `"own":true`) || !strings.Contains(use, `"spans":5`) {
		t.Errorf("use: %s", use)
	}
	// Reading is not limited, and the other account is not.
	s.must(first, "POST", "/Traces", m{"TraceIds": []string{sharedID}})
	s.must(second, "POST", "/TraceSegments", documents(60))
	s.must(second, "POST", "/TraceSegments", documents(1))
	if err := s.export(second, s.spans("other", 0xc)); err != nil {
		t.Error(err)
	}
	s.must(operator, "POST", "/api/quota/Reset", m{"account": first})
	s.must(first, "POST", "/TraceSegments", documents(1))
}

// Too many distinct names are refused one by one; the rest of the request is stored.
func TestQuota_limitsDistinctNames(t *testing.T) {
	s := startShared(t, "--quota", "series=3")
	at := time.Now()
	var list []string
	for i, name := range []string{"web", "api", "web", "db", "user-1", "user-2", "api"} {
		list = append(list, documentFor(at, sharedID, name+"xxxxxx", fmt.Sprintf("%016x", i+1)))
	}
	answer := s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": list})
	if strings.Count(answer, `"ErrorCode":"QuotaExceeded"`) != 2 || !strings.Contains(answer, `"Id":"0000000000000005"`) || !strings.Contains(answer, `"Id":"0000000000000006"`) {
		t.Errorf("%s", answer)
	}
	kept := s.must(first, "POST", "/Traces", m{"TraceIds": []string{sharedID}})
	if strings.Contains(kept, "user-1") || strings.Count(kept, `\"name\":`) != 5 {
		t.Errorf("stored: %s", kept)
	}
	if answer := s.must(first, "POST", "/v1/traces", s.spansJSON("another", 0xb)); !strings.Contains(answer, "partialSuccess") || !strings.Contains(answer, "quota of 3 series") {
		t.Errorf("OTLP: %s", answer)
	}
}

// Questions over the quota wait for their turn, up to a second.
func TestQuota_limitsQuestions(t *testing.T) {
	s := startShared(t, "--quota", "queries=2")
	refused := 0
	began := time.Now()
	for range 40 {
		if code, _ := s.call(first, "POST", "http://"+s.http+"/Traces", m{"TraceIds": []string{sharedID}}); code == http.StatusTooManyRequests {
			refused++
		}
		if time.Since(began) > 4*time.Second {
			break
		}
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("40 questions at 2 a second took %v, %d refused", took, refused)
	}
	s.must(second, "POST", "/Traces", m{"TraceIds": []string{sharedID}})
}
