package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// Everything new after the learning time is a finding, with its trace as evidence.
func TestFindings_nameWhatIsNew(t *testing.T) {
	s := startShared(t, "--findings-learn", "3s", "--findings-every", "1s")
	send := func(id, client, callee string) {
		at := time.Now()
		s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{fmt.Sprintf(
			`{"trace_id":%q,"id":"%016x","name":"web","start_time":%d,"end_time":%d,"http":{"request":{"client_ip":%q}},"subsegments":[{"id":"%016x","name":%q,"namespace":"remote","start_time":%d,"end_time":%d}]}`,
			id, at.UnixNano(), at.Unix()-2, at.Unix()-1, client, at.UnixNano()+1, callee, at.Unix()-2, at.Unix()-1)}})
	}
	began := time.Now()
	for time.Since(began) < 7*time.Second {
		send(traceIDAt(time.Now(), 1), "203.0.113.7", "db.example.com")
		time.Sleep(300 * time.Millisecond)
	}
	if answer := s.must(first, "POST", "/api/findings/List", m{}); !strings.Contains(answer, `"findings":[]`) {
		t.Fatalf("normal traffic: %s", answer)
	}
	odd := traceIDAt(time.Now(), 2)
	send(odd, "192.0.2.1", "evil.example.com")
	harness.Eventually(t, "the findings are listed", func() bool {
		answer := s.must(first, "POST", "/api/findings/List", m{})
		return strings.Contains(answer, `"kind":"new-remote"`) && strings.Contains(answer, `"subject":"192.0.2.0/24"`) && strings.Count(answer, `"trace_id":"`+odd) == 2
	})
	if answer := s.must(second, "POST", "/api/findings/List", m{}); !strings.Contains(answer, `"findings":[]`) {
		t.Errorf("another account sees %s", answer)
	}
}

func traceIDAt(at time.Time, n int) string { return fmt.Sprintf("1-%08x-%024x", at.Unix(), n) }
