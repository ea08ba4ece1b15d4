//go:build linux

package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// peakMB returns the maximum memory of a server so far (VmHWM).
func peakMB(t *testing.T, s *harness.Server) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var kb int64
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}

// overload records the effects of many concurrent senders on a server.
type overload struct {
	s       *harness.Server
	mu      sync.Mutex
	acked   map[string]int // acknowledged traces, and the number of their segments
	refused map[string]int // by protocol
	wrong   []string       // answers that are neither
	next    atomic.Uint64
	// datagrams are the traces sent by UDP.
	datagrams []string
}

func (o *overload) note(protocol, id string, segments int, throttled bool, problem string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case problem != "":
		if len(o.wrong) < 10 {
			o.wrong = append(o.wrong, protocol+": "+problem)
		}
	case throttled:
		o.refused[protocol]++
	default:
		o.acked[id] = segments
	}
}

// traceID makes an id that no other sender uses.
func (o *overload) traceID() (id [16]byte, text string) {
	binary.BigEndian.PutUint32(id[:], uint32(time.Now().Unix()))
	binary.BigEndian.PutUint64(id[8:], o.next.Add(1))
	return id, fmt.Sprintf("1-%x-%x", id[:4], id[4:])
}

// spans returns an OTLP request of n spans of one trace, each with pad bytes of text.
func (o *overload) spans(n, pad int) (body []byte, id string) {
	trace, id := o.traceID()
	now := uint64(time.Now().UnixNano())
	scope := &otlptrace.ScopeSpans{}
	for i := range n {
		span := &otlptrace.Span{
			TraceId: trace[:], SpanId: binary.BigEndian.AppendUint64(nil, uint64(i+1)), Name: "work", Kind: otlptrace.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: now - 1e6, EndTimeUnixNano: now,
		}
		if pad > 0 {
			span.Attributes = []*common.KeyValue{{Key: "app.text", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: noise(pad)}}}}
		}
		scope.Spans = append(scope.Spans, span)
	}
	name := &common.KeyValue{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "overload"}}}
	body, err := proto.Marshal(&coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{name}}, ScopeSpans: []*otlptrace.ScopeSpans{scope},
	}}})
	if err != nil {
		panic(err) // a message of our own always marshals
	}
	return body, id
}

// documents makes n segment documents of one trace.
func (o *overload) documents(n, pad int) (docs []string, id string) {
	_, id = o.traceID()
	now := float64(time.Now().UnixMilli()) / 1000
	for i := range n {
		docs = append(docs, fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"overload","start_time":%.3f,"end_time":%.3f,"metadata":{"x":%q}}`, id, i+1, now-1, now, noise(pad)))
	}
	return docs, id
}

// noise is text that does not compress well.
func noise(n int) string {
	text := noises()
	at := rand.IntN(len(text) - n)
	return text[at : at+n]
}

var noises = sync.OnceValue(func() string {
	b := make([]byte, 4<<20)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"[rand.Uint32N(64)]
	}
	return string(b)
})

// shape returns the size of a sender's n-th request: most have many small spans,
// some few of half a megabyte, some very many tiny ones.
func shape(n int) (segments, pad int) {
	switch n % 16 {
	case 5:
		return 8, 400_000
	case 10:
		return 20_000, 0
	}
	return 500, 300
}

func (o *overload) otlpHTTP(n int) {
	segments, pad := shape(n)
	body, id := o.spans(segments, pad)
	res, err := http.Post("http://"+o.s.OTLP+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		o.note("otlp-http", id, 0, false, err.Error())
		return
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	throttled := res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") != ""
	problem := ""
	if res.StatusCode != http.StatusOK && !throttled {
		problem = fmt.Sprintf("status %d, Retry-After %q: %.200q", res.StatusCode, res.Header.Get("Retry-After"), answer)
	}
	o.note("otlp-http", id, segments, throttled, problem)
}

// raw is a codec for messages that are already marshalled.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (raw) Name() string                       { return "proto" }

func (o *overload) otlpGRPC(conn *grpc.ClientConn, n int) {
	segments, pad := shape(n)
	body, id := o.spans(segments, pad)
	var answer []byte
	err := conn.Invoke(context.Background(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer)
	problem, throttled := "", false
	if err != nil {
		st := status.Convert(err)
		for _, d := range st.Details() {
			info, ok := d.(*errdetails.RetryInfo)
			throttled = throttled || ok && info.GetRetryDelay().AsDuration() > 0
		}
		if throttled = throttled && st.Code() == codes.ResourceExhausted; !throttled {
			problem = fmt.Sprintf("%v, details %v", err, st.Details())
		}
	}
	o.note("otlp-grpc", id, segments, throttled, problem)
}

func (o *overload) put(n int) {
	segments, pad := shape(n)
	docs, id := o.documents(min(segments, 50), pad)
	if n%16 == 10 { // one document with very many subsegments
		doc := docs[0][:len(docs[0])-1] + `,"subsegments":[`
		for i := range 8000 {
			doc += fmt.Sprintf(`{"id":"%016x","name":"s","start_time":1,"end_time":2},`, i+1000)
		}
		docs = []string{doc[:len(doc)-1] + "]}"}
	}
	body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
	if err != nil {
		panic(err)
	}
	res, err := http.Post(o.s.URL("/TraceSegments"), "application/json", bytes.NewReader(body))
	if err != nil {
		o.note("xray", id, 0, false, err.Error())
		return
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	throttled := res.StatusCode == http.StatusTooManyRequests && res.Header.Get("x-amzn-errortype") == "ThrottledException" && res.Header.Get("Retry-After") != ""
	problem := ""
	if !throttled && (res.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"UnprocessedTraceSegments":[]`))) {
		problem = fmt.Sprintf("status %d: %.200q", res.StatusCode, answer)
	}
	o.note("xray", id, len(docs), throttled, problem)
}

// run sends with n senders of each protocol until ctx ends, and returns the number
// of datagrams sent.
func (o *overload) run(ctx context.Context, t *testing.T, n int) (datagrams int64) {
	var all sync.WaitGroup
	each := func(send func(n int)) {
		for w := range n {
			all.Go(func() {
				for i := w; ctx.Err() == nil; i++ {
					send(i)
				}
			})
		}
	}
	each(o.otlpHTTP)
	each(o.put)
	conn, err := grpc.NewClient(o.s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	each(func(n int) { o.otlpGRPC(conn, n) })
	socket, err := net.Dial("udp", o.s.UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				docs, id := o.documents(100, 30_000)
				for _, d := range docs {
					if _, err := socket.Write([]byte("{\"format\":\"json\",\"version\":1}\n" + d)); err != nil {
						t.Errorf("datagram: %v", err)
					}
				}
				o.mu.Lock()
				datagrams += int64(len(docs))
				o.datagrams = append(o.datagrams, id)
				o.mu.Unlock()
			}
		})
	}
	all.Wait()
	return datagrams
}

// slackMB is how far a process may exceed --memory for moments
// (docs/architecture.md).
const slackMB = 48

// Ten times the load that a server with little memory can take, by all protocols at
// once: its memory stays bounded, excess requests are refused in the protocol's own
// form with a hint when to try again, and everything acknowledged exists.
func TestOverload_holdsTheCap(t *testing.T) {
	const memoryMB = 256
	s := harness.Start(t, "--memory", fmt.Sprintf("%dMB", memoryMB), "--settle", "1s")
	o := &overload{s: s, acked: map[string]int{}, refused: map[string]int{}}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	sent := o.run(ctx, t, 12)
	for _, w := range o.wrong {
		t.Error(w)
	}
	for _, protocol := range []string{"otlp-http", "otlp-grpc", "xray"} {
		if o.refused[protocol] == 0 {
			t.Errorf("nothing was refused by %s: this is no overload", protocol)
		}
	}
	t.Logf("peak %d MB; %d traces acknowledged, refused %v, %d datagrams sent", peakMB(t, s), len(o.acked), o.refused, sent)

	// The kernel reports dropped datagrams only with the next one that arrives.
	var accepted, dropped float64
	harness.Eventually(t, "every datagram is stored or counted as dropped", func() bool {
		docs, id := o.documents(1, 10)
		sendDatagram(t, s, []byte("{\"format\":\"json\",\"version\":1}\n"+docs[0]))
		o.datagrams = append(o.datagrams, id)
		sent++
		time.Sleep(100 * time.Millisecond)
		accepted, dropped = s.Metric(fmt.Sprintf(udpSeries, "accepted", "")), 0
		for _, reason := range []string{"QueueFull", "KernelBufferFull", "StoreFull"} {
			dropped += s.Metric(fmt.Sprintf(udpSeries, "dropped", reason))
		}
		return int64(accepted+dropped) == sent
	})
	found := 0
	for _, id := range o.datagrams {
		found += o.count(t, id)
	}
	if found != int(accepted) || dropped == 0 {
		t.Errorf("%d datagrams were sent; %v count as accepted, of which %d are there, and %v as dropped", sent, accepted, found, dropped)
	}
	for id, want := range o.acked {
		if got := o.count(t, id); got != want {
			t.Errorf("trace %s was acknowledged with %d segments, and has %d", id, want, got)
		}
	}
	if mb := peakMB(t, s); mb > memoryMB+slackMB {
		t.Errorf("%d MB were taken of %d MB", mb, memoryMB)
	}
}

// count returns the number of a trace's documents.
func (o *overload) count(t *testing.T, id string) int {
	var answer struct {
		Traces []struct{ Segments []struct{ Id string } }
	}
	o.s.Ask("/Traces", map[string]any{"TraceIds": []string{id}}, &answer)
	if len(answer.Traces) == 0 {
		return 0
	}
	return len(answer.Traces[0].Segments)
}

// Less than the minimum memory is refused.
func TestOverload_leastMemory(t *testing.T) {
	for _, v := range []string{"127MB", "1"} {
		other := &harness.Server{Data: t.TempDir(), HTTP: harness.FreePort(t), UDP: "off", GRPC: "off", OTLP: "off"}
		if code, out := run(t, other.Args("--memory", v)...); code != 2 || !strings.Contains(out, "--memory") || !strings.Contains(out, "at least 128MB") {
			t.Errorf("%s: exit code %d: %s", v, code, out)
		}
	}
	s := harness.Start(t, "--memory", "128MB")
	s.Put(good)
	alive(t, s)
}

// A request that needs more memory than all requests together may use is refused
// permanently, with the reason; it is not told to try again.
func TestOverload_requestThatNeverFits(t *testing.T) {
	s := harness.Start(t, "--memory", "128MB")
	o := &overload{s: s}
	body, _ := o.spans(50_000, 0)
	res, err := http.Post(s.URL("/v1/traces"), "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusRequestEntityTooLarge || res.Header.Get("Retry-After") != "" || !bytes.Contains(text, []byte("--memory")) {
		t.Errorf("OTLP/HTTP: status %d, headers %v: %q", res.StatusCode, res.Header, text)
	}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var answer []byte
	err = conn.Invoke(t.Context(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer)
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || len(st.Details()) > 0 || !strings.Contains(st.Message(), "--memory") {
		t.Errorf("OTLP/gRPC: %v, details %v", err, status.Convert(err).Details())
	}
	docs, _ := o.documents(60, 200_000)
	code, header, b := s.Post("/TraceSegments", map[string]any{"TraceSegmentDocuments": docs})
	if code != http.StatusRequestEntityTooLarge || header.Get("x-amzn-errortype") != "RequestEntityTooLargeException" || header.Get("Retry-After") != "" || !bytes.Contains(b, []byte("--memory")) {
		t.Errorf("PutTraceSegments: status %d, headers %v: %q", code, header, b)
	}
	s.Put(good)
	alive(t, s)
}
