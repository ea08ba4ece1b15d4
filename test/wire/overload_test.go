//go:build linux

package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
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

// peakMB is the most memory that a server has had (VmHWM).
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

// overload is what many senders at once did to a server.
type overload struct {
	s       *harness.Server
	mu      sync.Mutex
	acked   map[string]int // traces that were acknowledged, and of how many segments
	refused map[string]int // by protocol
	wrong   []string       // answers that are neither
	next    atomic.Uint64
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

// traceID makes an id that no other sender has.
func (o *overload) traceID() (id [16]byte, text string) {
	binary.BigEndian.PutUint32(id[:], uint32(time.Now().Unix()))
	binary.BigEndian.PutUint64(id[8:], o.next.Add(1))
	return id, fmt.Sprintf("1-%x-%x", id[:4], id[4:])
}

// spans is an OTLP request of n spans of one trace, each with pad bytes of text.
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
		panic(err) // our own message
	}
	return body, id
}

// documents are n segment documents of one trace.
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
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"[rand.Uint32N(64)]
	}
	return string(b)
}

// shape is how large a sender's n-th request is: most have many small spans, some
// few of half a megabyte, some very many tiny ones.
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

// raw is a codec for what is marshalled already.
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
	if n%16 == 10 { // one document of very many subsegments
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

// run sends with n senders of each protocol until ctx ends, and is how many
// datagrams were sent.
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
	all.Go(func() {
		for ctx.Err() == nil {
			docs, id := o.documents(40, 1000)
			for _, d := range docs {
				if _, err := socket.Write([]byte("{\"format\":\"json\",\"version\":1}\n" + d)); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("datagram: %v", err)
				}
				datagrams++
			}
			_ = id
		}
	})
	all.Wait()
	return datagrams
}

func TestOverload_probe(t *testing.T) {
	mem := os.Getenv("PROBE")
	if mem == "" {
		t.Skip()
	}
	s := harness.Start(t, "--memory", mem, "--settle", "1s")
	o := &overload{s: s, acked: map[string]int{}, refused: map[string]int{}}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	t.Logf("idle: %d MB", peakMB(t, s))
	go func() {
		for ctx.Err() == nil {
			time.Sleep(2 * time.Second)
			t.Logf("peak %d MB, in flight %v, open %v", peakMB(t, s), s.Metric("fluoro_receive_in_flight_bytes"), s.Metric("fluoro_store_open_traces"))
		}
	}()
	sent := o.run(ctx, t, 8)
	segments := 0
	for _, n := range o.acked {
		segments += n
	}
	t.Logf("peak %d MB; %d traces of %d segments acknowledged, refused %v, %d datagrams, wrong %v", peakMB(t, s), len(o.acked), segments, o.refused, sent, o.wrong)
}
