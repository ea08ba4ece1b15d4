package wire_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// residentMB returns the server's resident memory.
func residentMB(t *testing.T, s *harness.Server) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	var kb int
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}

// alive checks that a server answers, still has the one good trace, and stays within
// its memory.
func alive(t *testing.T, s *harness.Server) {
	t.Helper()
	if got := s.Trace(goodID); len(got) != 1 {
		t.Errorf("the good trace has %d segments", len(got))
	}
	if mb := residentMB(t, s); mb > 1500 {
		t.Errorf("%d MB resident", mb)
	}
	if strings.Contains(s.Log(), "panic") {
		t.Errorf("a panic:\n%s", s.Log())
	}
}

const (
	goodID = "1-6560a0f0-00000000000000000000600d"
	good   = `{"trace_id":"` + goodID + `","id":"600d600d600d600d","name":"good","start_time":1700831472.5,"end_time":1700831473}`
)

func document(members string) string {
	return `{"trace_id":"1-6560a0f0-0000000000000000000000bad","id":"0bad0bad0bad0bad","name":"bad","start_time":1700831472,"end_time":1700831473` + members + `}`
}

// Bad documents are refused alone, with X-Ray's codes; the good one between them is
// kept.
func TestHostile_documents(t *testing.T) {
	valid := func(members string) string {
		return strings.Replace(document(members), "-0000000000000000000000bad", "-000000000000000000000bad", 1)
	}
	many := strings.Repeat(`{"id":"1111111111111111","name":"s","start_time":1,"end_time":2},`, 100_000)
	cases := []struct{ name, doc, code string }{
		{"not JSON", `hello`, "ParseError"},
		{"cut", good[:len(good)-9], "ParseError"},
		{"an array", `[` + good + `]`, "ParseError"},
		{"a bad trace id", document(""), "InvalidTraceId"},
		{"no id", strings.Replace(good, `"id":"600d600d600d600d",`, "", 1), "MissingId"},
		{"no name", strings.Replace(good, `"name":"good",`, "", 1), "MissingName"},
		{"a start that is text", strings.Replace(good, "1700831472.5", `"x"`, 1), "MissingStartTime"},
		{"NaN", strings.Replace(good, "1700831472.5", `NaN`, 1), "ParseError"},
		{"the year 292277026596", strings.Replace(good, "1700831473", `9223372036854775807`, 1), "InvalidEndTime"},
		{"invalid UTF-8", strings.Replace(good, "good", "go\xffod", 1), "ParseError"},
		{"depth 10,000", valid(`,"metadata":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)), "ParseError"},
		{"100,000 subsegments of one id", valid(`,"subsegments":[` + strings.TrimSuffix(many, ",") + `]`), "*"},
		{"10 MB", valid(`,"metadata":{"x":"` + strings.Repeat("y", 10<<20) + `"}`), "*"},
	}
	s := harness.Start(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// Go's encoder would repair invalid UTF-8.
			body := []byte(`{"TraceSegmentDocuments":[`)
			for i, doc := range []string{c.doc, good} {
				if i > 0 {
					body = append(body, ',')
				}
				q, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				body = append(body, bytes.ReplaceAll(q, []byte(`\ufffd`), []byte("\xff"))...)
			}
			began := time.Now()
			status, _, answer := s.Post("/TraceSegments", append(body, "]}"...))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			text := string(answer)
			switch {
			case c.name == "invalid UTF-8" || c.name == "10 MB": // the request itself is refused, or the document
				if status != 200 && status != 400 && status != 413 || status == 200 && !strings.Contains(text, `"ErrorCode"`) && c.name != "10 MB" {
					t.Errorf("status %d: %.300s", status, text)
				}
				if status == 200 {
					return
				}
				s.Put(good)
			case status != 200:
				t.Errorf("status %d: %.300s", status, text)
			case c.code == "*":
			case !strings.Contains(text, `"ErrorCode":"`+c.code+`"`) || !strings.Contains(text, `"Message":"`):
				t.Errorf("not refused with %s: %.300s", c.code, text)
			}
			if status == 200 && strings.Contains(text, `"Id":"600d600d600d600d","Message"`) && !strings.Contains(c.doc, "600d600d") {
				t.Errorf("the good document is refused: %.300s", text)
			}
			alive(t, s)
		})
	}
}

func gzipped(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.CopyN(w, zeros{}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Malformed bodies are refused in the form of their protocol.
func TestHostile_bodies(t *testing.T) {
	s := harness.Start(t)
	s.Put(good)
	bomb := gzipped(t, 2<<30)
	cases := []struct {
		name, url, kind, encoding string
		body                      []byte
		statuses                  string
	}{
		{"not JSON", s.URL("/TraceSegments"), "application/json", "", []byte("{"), "400"},
		{"a wrong type", s.URL("/TraceSegments"), "application/json", "", []byte(`{"TraceSegmentDocuments":7}`), "400"},
		{"invalid UTF-8", s.URL("/TraceSummaries"), "application/json", "", []byte("{\"FilterExpression\":\"\xff\"}"), "400"},
		{"nested without end", s.URL("/Traces"), "application/json", "", bytes.Repeat([]byte("["), 1<<20), "400"},
		{"too large", s.URL("/TraceSegments"), "application/json", "", bytes.Repeat([]byte(" "), 80<<20), "400 413"},
		{"a gzip bomb", s.URL("/TraceSegments"), "application/json", "gzip", bomb, "400 413 415"},
		{"a gzip bomb of spans", "http://" + s.OTLP + "/v1/traces", "application/x-protobuf", "gzip", bomb, "400 413"},
		{"a gzip bomb of JSON spans", s.URL("/v1/traces"), "application/json", "gzip", bomb, "400 413"},
		{"damaged gzip", "http://" + s.OTLP + "/v1/traces", "application/x-protobuf", "gzip", []byte("\x1f\x8bnothing"), "400"},
		{"protobuf that is none", "http://" + s.OTLP + "/v1/traces", "application/x-protobuf", "", []byte("\xff\xff\xff"), "400"},
		{"spans as text", "http://" + s.OTLP + "/v1/traces", "text/plain", "", []byte("x"), "415"},
		{"an unknown encoding", "http://" + s.OTLP + "/v1/traces", "application/x-protobuf", "br", []byte("x"), "400 415"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, c.url, bytes.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.kind)
			if c.encoding != "" {
				req.Header.Set("Content-Encoding", c.encoding)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				// A server may close the connection while a too large body is being
				// sent.
				if c.name == "too large" {
					alive(t, s)
					return
				}
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if !strings.Contains(c.statuses, fmt.Sprint(res.StatusCode)) {
				t.Errorf("status %d, not %s: %.300s", res.StatusCode, c.statuses, body)
			}
			if len(body) == 0 {
				t.Error("no explanation")
			}
			alive(t, s)
		})
	}
}

// Half a datagram, an empty one, the largest one and noise are counted.
func TestHostile_datagrams(t *testing.T) {
	s := harness.Start(t)
	s.Put(good)
	header := `{"format":"json","version":1}` + "\n"
	for _, d := range []string{
		header + good[:len(good)/2], header, header[:9], "\n", "\x00\xff\xfe", header + "T1S!!!", header + "T1Snotbase64", strings.Repeat("x", 65_000),
		header + document(`,"metadata":"`+strings.Repeat("z", 64_000)+`"`),
	} {
		sendDatagram(t, s, []byte(d))
	}
	harness.Eventually(t, "all are counted as rejected", func() bool {
		res, err := http.Get(s.URL("/metrics"))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		rejected := 0.0
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), `fluoro_receive_segments_total{outcome="rejected",protocol="udp"`) {
				var n float64
				_, rest, _ := strings.Cut(lines.Text(), "} ")
				if _, err := fmt.Sscan(rest, &n); err == nil {
					rejected += n
				}
			}
		}
		return math.Abs(rejected-9) < 0.5
	})
	alive(t, s)
}

// A thousand idle connections and endless bodies do not block others.
func TestHostile_connections(t *testing.T) {
	s := harness.Start(t)
	s.Put(good)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range 1000 {
		addr := []string{s.HTTP, s.OTLP, s.GRPC}[i%3]
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		open = append(open, c)
	}
	for range 50 {
		c, err := net.Dial("tcp", s.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		fmt.Fprintf(c, "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{")
	}
	began := time.Now()
	alive(t, s)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a request took %v", took)
	}
}
