//go:build linux

package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// ready requests /readyz.
func ready(t *testing.T, s *harness.Server) (int, string) {
	t.Helper()
	res, err := http.Get(s.URL("/readyz"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// On a full disk, writes are refused with the reason and reads continue; with free
// space the server recovers. The disk is a tmpfs of 16 MB, which only root can
// mount: otherwise the test is skipped, but fails in CI.
func TestDisk_full(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no tmpfs can be mounted, run this test as root: %v", err)
		}
		t.Skipf("SKIPPED, nothing is known of full disks: no tmpfs can be mounted (run as root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := harness.Start(t, "--data", filepath.Join(dir, "data"))
	now := time.Now().Unix()
	trace := func(n int) string { return fmt.Sprintf("1-%08x-%024x", now, n) }
	doc := func(n int) string {
		return fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"disk","start_time":%d,"end_time":%d.5}`, trace(n), n+1, now-1, now-1)
	}
	s.Put(doc(0))
	// Fill the disk to its last byte from outside.
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := bytes.Repeat([]byte("x"), 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	// The open page of the log may have space for a few more.
	kept := 1
	var status int
	var body []byte
	for ; kept < 500; kept++ {
		if status, _, body = s.Post("/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{doc(kept)}}); status != 200 || !bytes.Contains(body, []byte(`"UnprocessedTraceSegments":[]`)) {
			break
		}
	}
	if !strings.Contains(string(body), "no space left on device") {
		t.Errorf("a full disk: status %d, %s", status, body)
	}
	if code, text := ready(t, s); code != 503 || !strings.Contains(text, "no space left on device") {
		t.Errorf("/readyz on a full disk: %d, %s", code, text)
	}
	refusedWhileFull(t, s)
	deletionWhileFull(t, s, trace(0))
	logWhileFull(t, s, doc)
	for n := range kept {
		if len(s.Trace(trace(n))) != 1 {
			t.Errorf("acknowledged trace %d cannot be read", n)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the server is ready again", func() bool { code, _ := ready(t, s); return code == 200 })
	if v := s.Metric("fluoro_store_read_only"); v != 0 {
		t.Errorf("after the recovery fluoro_store_read_only is %v", v)
	}
	s.Put(doc(1000))
	if len(s.Trace(trace(1000))) != 1 {
		t.Error("what was stored after the recovery cannot be read")
	}
}

// deletionWhileFull checks that a deletion is refused with a clear message, and that
// nothing was deleted.
func deletionWhileFull(t *testing.T, s *harness.Server, id string) {
	t.Helper()
	for range 2 {
		res, err := http.Post(s.URL("/console/api/delete"), "application/json", strings.NewReader(fmt.Sprintf(`{"ids":[%q]}`, id)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !bytes.Contains(text, []byte("no space left on device")) {
			t.Errorf("a deletion on a full disk: status %d, headers %v: %s", res.StatusCode, res.Header, text)
		}
	}
}

// logWhileFull checks that the log reports the same problem once, not once per
// request.
func logWhileFull(t *testing.T, s *harness.Server, doc func(int) string) {
	t.Helper()
	before := strings.Count(s.Log(), "\n")
	for n := range 300 {
		_, _, _ = s.Post("/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{doc(2000 + n)}})
	}
	if lines := strings.Count(s.Log(), "\n") - before; lines > 10 {
		t.Errorf("300 requests on a full disk made %d lines of log", lines)
	}
}

// refusedWhileFull checks that each protocol reports in its own way that nothing can
// be written, why, and when to try again; and that it is counted.
func refusedWhileFull(t *testing.T, s *harness.Server) {
	t.Helper()
	const reason = "no space left on device"
	var id [16]byte
	copy(id[:], "0123456789abcdef")
	body := spansOf(id, 1, 1)
	res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !bytes.Contains(text, []byte(reason)) {
		t.Errorf("OTLP/HTTP on a full disk: status %d, headers %v: %q", res.StatusCode, res.Header, text)
	}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var answer []byte
	st := status.Convert(conn.Invoke(t.Context(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer))
	if st.Code() != codes.Unavailable || !strings.Contains(st.Message(), reason) || len(st.Details()) != 1 {
		t.Errorf("OTLP/gRPC on a full disk: %v, details %v", st.Err(), st.Details())
	}
	sendDatagram(t, s, []byte("{\"format\":\"json\",\"version\":1}\n"+good))
	for _, protocol := range []string{"xray", "otlp-http", "otlp-grpc", "udp"} {
		series := fmt.Sprintf(`fluoro_receive_segments_total{outcome="failed",protocol=%q,reason="StoreFailed"}`, protocol)
		harness.Eventually(t, series+" counts", func() bool { return s.Metric(series) > 0 })
	}
	if v := s.Metric("fluoro_store_read_only"); v != 1 {
		t.Errorf("on a full disk fluoro_store_read_only is %v", v)
	}
}
