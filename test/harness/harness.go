// Package harness starts the real binary for black-box tests and sends it requests
// over the network. The binary is $FLUORO_BIN, or built once per test package.
package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Server is a running `fluoro serve`.
type Server struct {
	// HTTP, UDP, GRPC and OTLP are host:port.
	HTTP, UDP, GRPC, OTLP string
	Data                  string
	Ready                 time.Duration // from start to /readyz

	t   testing.TB
	cmd *exec.Cmd
	log *buffer
}

// Root returns the repository's root directory.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Shared returns the directory with corpora. If it is missing, the test is skipped;
// in CI it fails.
func Shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("FLUORO_SHARED")
	if dir == "" {
		dir = filepath.Join(Root(), "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "corpus", "INDEX.md")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the corpus is missing: %v", err)
		}
		t.Skipf("no corpus at %s (set FLUORO_SHARED to its directory)", dir)
	}
	return dir
}

var build = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("FLUORO_BIN"); bin != "" {
		return bin, nil
	}
	dir, err := os.MkdirTemp("", "fluoro-test-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "fluoro")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/fluoro")
	cmd.Dir, cmd.Env = Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build fluoro: %v\n%s", err, out)
	}
	return bin, nil
})

// Binary returns the path of the binary under test.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Tests that run at the same time make many outgoing connections. Systems take their
// ports from a range above this one.
const (
	firstPort = 15_000
	ports     = 17_000
)

// lastPort counts the ports that this process tried; it begins anywhere.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(ports)) }

// FreePort returns a TCP and UDP port of 127.0.0.1 that was free a moment ago. No other
// call in this process returns it, and no outgoing connection takes it.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.Add(1)%ports)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			u.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// Start runs a server with an empty directory and the given flags. It stops when the
// test ends.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := &Server{t: t, Data: filepath.Join(t.TempDir(), "data")}
	s.HTTP = FreePort(t)
	s.UDP = s.HTTP // one port for both, as SDKs expect
	s.GRPC, s.OTLP = FreePort(t), FreePort(t)
	s.Restart(flags...)
	t.Cleanup(s.Stop)
	return s
}

// Args returns the arguments with which Start runs the binary.
func (s *Server) Args(flags ...string) []string {
	return append([]string{"serve", "--data", s.Data, "--http", s.HTTP, "--udp", s.UDP, "--otlp-grpc", s.GRPC, "--otlp-http", s.OTLP}, flags...)
}

// Restart runs the server again on the same data and addresses.
func (s *Server) Restart(flags ...string) {
	s.t.Helper()
	s.log = &buffer{}
	s.cmd = exec.Command(Binary(s.t), s.Args(flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for time.Since(began) < 20*time.Second {
		if res, err := http.Get(s.URL("/readyz")); err == nil {
			res.Body.Close()
			s.Ready = time.Since(began)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	s.t.Fatalf("server not ready after 20 s:\n%s", s.Log())
}

// Stop ends the server with SIGTERM; it must exit 0.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.wait(30 * time.Second); err != nil {
		s.t.Errorf("server stopped by SIGTERM: %v\n%s", err, s.Log())
	}
	s.cmd = nil
}

// Kill ends the server with SIGKILL, like a crash.
func (s *Server) Kill() {
	s.t.Helper()
	_ = s.cmd.Process.Kill()
	_ = s.wait(10 * time.Second)
	s.cmd = nil
}

func (s *Server) wait(limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("still running after %v", limit)
	}
}

// PID returns the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log returns the server's output so far.
func (s *Server) Log() string { return s.log.String() }

// URL returns the address of a path on the main port.
func (s *Server) URL(path string) string { return "http://" + s.HTTP + path }

// Post sends JSON to an operation's path and returns status, headers and body.
func (s *Server) Post(path string, body any) (int, http.Header, []byte) {
	s.t.Helper()
	b, ok := body.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	res, err := http.Post(s.URL(path), "application/x-amz-json-1.1", bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header, answer
}

// Ask calls Post and decodes the answer; any status but 200 fails the test.
func (s *Server) Ask(path string, body, answer any) {
	s.t.Helper()
	status, _, b := s.Post(path, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s: status %d: %s", path, status, b)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, b)
	}
}

// Put sends segment documents, which must all be accepted.
func (s *Server) Put(docs ...string) {
	s.t.Helper()
	var answer struct{ UnprocessedTraceSegments []any }
	s.Ask("/TraceSegments", map[string]any{"TraceSegmentDocuments": docs}, &answer)
	if len(answer.UnprocessedTraceSegments) > 0 {
		s.t.Fatalf("refused: %v", answer.UnprocessedTraceSegments)
	}
}

// Metric returns the value of one series of /metrics, 0 if it is absent.
func (s *Server) Metric(series string) float64 {
	s.t.Helper()
	res, err := http.Get(s.URL("/metrics"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			_, _ = fmt.Sscan(rest, &v)
			return v
		}
	}
	return 0
}

// Node is a subsegment or segment of a document.
type Node struct {
	Name        string         `json:"name"`
	ID          string         `json:"id"`
	ParentID    string         `json:"parent_id"`
	TraceID     string         `json:"trace_id"`
	Namespace   string         `json:"namespace"`
	Origin      string         `json:"origin"`
	User        string         `json:"user"`
	Inferred    bool           `json:"inferred"`
	InProgress  bool           `json:"in_progress"`
	Fault       bool           `json:"fault"`
	Error       bool           `json:"error"`
	Start       float64        `json:"start_time"`
	End         float64        `json:"end_time"`
	HTTP        map[string]any `json:"http"`
	AWS         map[string]any `json:"aws"`
	SQL         map[string]any `json:"sql"`
	Cause       any            `json:"cause"`
	Annotations map[string]any `json:"annotations"`
	Metadata    map[string]any `json:"metadata"`
	Subsegments []*Node        `json:"subsegments"`
}

// Each calls f for the node and all nodes below it.
func (n *Node) Each(f func(*Node)) {
	f(n)
	for _, s := range n.Subsegments {
		s.Each(f)
	}
}

// Trace returns the documents of a trace, by BatchGetTraces; nil if it does not
// exist.
func (s *Server) Trace(id string) []*Node {
	s.t.Helper()
	var answer struct {
		Traces []struct{ Segments []struct{ Document string } }
	}
	s.Ask("/Traces", map[string]any{"TraceIds": []string{id}}, &answer)
	var out []*Node
	for _, t := range answer.Traces {
		for _, seg := range t.Segments {
			n := &Node{}
			if err := json.Unmarshal([]byte(seg.Document), n); err != nil {
				s.t.Fatalf("document of %s: %v: %s", id, err, seg.Document)
			}
			out = append(out, n)
		}
	}
	return out
}

// Summary has some members of a summary in GetTraceSummaries.
type Summary struct {
	Id                              string
	Duration, ResponseTime          *float64
	HasFault, HasError, HasThrottle bool
	IsPartial                       bool
	EntryPoint                      *struct{ Name, Type string }
	Annotations                     map[string]any
	Users                           []struct{ UserName string }
	ServiceIds                      []struct{ Name, Type string }
	Http                            struct {
		HttpURL, HttpMethod string
		HttpStatus          int
	}
}

// Summaries lists all traces received in the last hour that match a filter.
func (s *Server) Summaries(filter string) []Summary {
	s.t.Helper()
	var out []Summary
	token := any(nil)
	now := time.Now() // a token is valid only for its window
	for {
		var answer struct {
			TraceSummaries []Summary
			NextToken      *string
		}
		s.Ask("/TraceSummaries", map[string]any{"StartTime": now.Add(-time.Hour).Unix(), "EndTime": now.Add(time.Hour).Unix(), "TimeRangeType": "Event", "FilterExpression": filter, "NextToken": token}, &answer)
		out = append(out, answer.TraceSummaries...)
		if answer.NextToken == nil {
			return out
		}
		token = *answer.NextToken
	}
}

// Eventually waits up to 20 s for a condition.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// buffer is written by the process and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
