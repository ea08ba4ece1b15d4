//go:build linux

package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// dial connects to a server; the connection is closed when the test ends.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// drip writes a byte every half second until the connection ends.
func drip(ctx context.Context, c net.Conn, b []byte) {
	for ; ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// A hundred senders each of segments, of spans and of spans by gRPC announce a
// megabyte, send a part of it and then a byte at a time. Other senders of each
// protocol are served meanwhile, and the slow ones lose their memory.
func TestSlow_bodiesHoldNothingBack(t *testing.T) {
	const memoryMB = 128
	s := harness.Start(t, "--memory", fmt.Sprintf("%dMB", memoryMB))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for i := range 100 {
		start := bytes.Repeat([]byte(" "), []int{1, 100_000, 200_000}[i%3])
		encoding := []string{"", "Content-Encoding: gzip\r\n"}[i%2]
		for _, head := range []string{
			"POST /TraceSegments HTTP/1.1\r\nHost: " + s.HTTP + "\r\nContent-Type: application/json\r\n",
			"POST /v1/traces HTTP/1.1\r\nHost: " + s.OTLP + "\r\nContent-Type: application/x-protobuf\r\n",
		} {
			addr := s.HTTP
			if strings.Contains(head, s.OTLP) {
				addr = s.OTLP
			}
			c := dial(t, addr)
			all.Go(func() {
				defer c.Close()
				if i%5 == 0 { // of unknown size
					fmt.Fprintf(c, "%s%sTransfer-Encoding: chunked\r\n\r\n100000\r\n", head, encoding)
				} else {
					fmt.Fprintf(c, "%s%sContent-Length: 1000000\r\n\r\n", head, encoding)
				}
				_, _ = c.Write(start)
				drip(ctx, c, []byte(" "))
			})
		}
		c := dial(t, s.GRPC)
		all.Go(func() {
			defer c.Close()
			slowGRPC(ctx, c, start[:min(len(start), 60_000)])
		})
	}
	// The slow senders get time to reserve memory.
	harness.Eventually(t, "bodies are arriving", func() bool { return s.Metric("fluoro_receive_in_flight_bytes") > 4<<20 })
	o := &overload{s: s, acked: map[string]int{}, refused: map[string]int{}}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// New requests may reserve all memory for a moment, until the server sees that
	// they are slow.
	time.Sleep(2 * time.Second)
	sent := 0
	for deadline := time.Now().Add(12 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		began := time.Now()
		o.otlpHTTP(0)
		o.otlpGRPC(conn, 0)
		o.put(0)
		o.put(5) // 8 documents of 400 KB
		sent += 4
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("four requests took %v", took)
		}
	}
	for _, w := range o.wrong {
		t.Error(w)
	}
	if refused := o.refused["otlp-http"] + o.refused["otlp-grpc"] + o.refused["xray"]; len(o.acked) < sent*98/100 {
		t.Errorf("of %d requests %d were acknowledged and %d refused", sent, len(o.acked), refused)
	}
	t.Logf("%d of %d requests were acknowledged, refused %v, peak %d MB", len(o.acked), sent, o.refused, peakMB(t, s))
	harness.Eventually(t, "the slow ones have lost what they held", func() bool { return s.Metric("fluoro_receive_in_flight_bytes") == 0 })
	for _, protocol := range []string{"xray", "otlp-http", "otlp-grpc"} {
		slow := s.Metric(fmt.Sprintf(`fluoro_receive_segments_total{outcome="rejected",protocol=%q,reason="Slow"}`, protocol))
		lost := s.Metric(fmt.Sprintf(`fluoro_receive_segments_total{outcome="throttled",protocol=%q,reason="Throttled"}`, protocol))
		if slow+lost < 100 {
			t.Errorf("%s: %v are counted as slow, %v as throttled, of 100", protocol, slow, lost)
		}
	}
	if mb := peakMB(t, s); mb > memoryMB+slackMB {
		t.Errorf("%d MB were taken of %d MB", mb, memoryMB)
	}
}

// slowGRPC begins an export of a megabyte and continues a byte at a time.
func slowGRPC(ctx context.Context, c net.Conn, start []byte) {
	go io.Copy(io.Discard, c)
	f := http2.NewFramer(c, nil)
	fmt.Fprint(c, http2.ClientPreface)
	_ = f.WriteSettings()
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"}, {":authority", "localhost"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
	prefix := binary.BigEndian.AppendUint32([]byte{0}, 1_000_000)
	for b := append(prefix, start...); ctx.Err() == nil; b = []byte{0} {
		for len(b) > 0 {
			n := min(len(b), 16_000)
			if f.WriteData(1, false, b[:n]) != nil {
				return
			}
			b = b[n:]
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// A body that can never fit is refused as too large before it is sent, however full
// the server is: trying again would not help.
func TestSlow_bodyThatNeverFits(t *testing.T) {
	s := harness.Start(t, "--memory", "128MB")
	for _, c := range []struct{ name, addr, head string }{
		{"segments", s.HTTP, "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16777217\r\n\r\n"},
		{"a question", s.HTTP, "POST /Traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n"},
		{"spans over 64 MB", s.OTLP, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: 67108865\r\n\r\n"},
		{"spans over the room", s.OTLP, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: 17000000\r\n\r\n"},
		{"JSON over the room", s.HTTP, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12000000\r\n\r\n"},
		{"compressed over 64 MB", s.HTTP, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: 67108865\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, c.addr)
			fmt.Fprint(conn, c.head)
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			b := make([]byte, 1000)
			n, err := conn.Read(b)
			if !strings.HasPrefix(string(b[:n]), "HTTP/1.1 413 ") || strings.Contains(string(b[:n]), "Retry-After") {
				t.Errorf("%v: %s", err, b[:n])
			}
		})
	}
	// With gRPC, the size precedes the message.
	c := dial(t, s.GRPC)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	done := make(chan bool, 1)
	go func() {
		f := http2.NewFramer(c, c)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		fmt.Fprint(c, http2.ClientPreface)
		_ = f.WriteSettings()
		var head bytes.Buffer
		e := hpack.NewEncoder(&head)
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"}, {":authority", "localhost"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
			_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
		_ = f.WriteData(1, false, binary.BigEndian.AppendUint32([]byte{0}, 17_000_000))
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				done <- false
				return
			}
			if h, ok := frame.(*http2.MetaHeadersFrame); ok && h.StreamEnded() {
				for _, field := range h.Fields {
					if field.Name == "grpc-status" {
						done <- field.Value == "8" // RESOURCE_EXHAUSTED
						return
					}
				}
			}
		}
	}()
	select {
	case ok := <-done:
		if !ok {
			t.Error("gRPC: not RESOURCE_EXHAUSTED")
		}
	case <-ctx.Done():
		t.Error("gRPC: no answer before the message was sent")
	}
	if got := s.Metric(`fluoro_receive_segments_total{outcome="rejected",protocol="otlp-grpc",reason="TooLarge"}`); got != 1 {
		t.Errorf("%v counted as too large by gRPC", got)
	}
	res, err := http.Get(s.URL("/readyz"))
	if err != nil || res.StatusCode != 200 {
		t.Errorf("afterwards: %v, %v", res, err)
	}
}
