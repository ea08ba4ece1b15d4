package block_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"syscall"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

type made struct {
	info    block.Info
	records []block.Record
}

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// make traces of OTLP spans as test/bench does: about 8 spans, 7 attributes.
func someTraces(t testing.TB, n int) (list []made, spans int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	now := trace.TimeOf(time.Unix(1_760_000_000, 0))
	scopes := make([]*trace.OTLPScope, 25)
	for i := range scopes {
		scopes[i] = &trace.OTLPScope{Resource: fmt.Appendf(nil, "resource of service %d", i), Scope: []byte("scope"), ScopeSchema: "https://schema"}
	}
	names := []string{"GET /items/{id}", "POST /orders", "GET /search", "PUT /cart", "List", "Lookup", "Reserve"}
	for i := range n {
		var id trace.ID
		binary.BigEndian.PutUint32(id[:], 1_760_000_000)
		binary.BigEndian.PutUint64(id[4:], rnd.Uint64())
		start := now + trace.Time(i)*trace.Time(time.Millisecond)
		m := made{info: block.Info{Account: "000000000000", ID: id, LSN: uint64(i + 1), Start: start, End: start + 1e9, Updated: start + 2e9, First: start + 2e9, Response: time.Second, Duration: time.Second, Services: []string{"a", "b"}, Keys: []string{"user"}}}
		user, order := fmt.Sprintf("user-%d", rnd.IntN(100_000)), fmt.Sprintf("order-%x", rnd.Uint64())
		var parent []byte
		for range 1 + rnd.IntN(16) {
			self := binary.BigEndian.AppendUint64(nil, rnd.Uint64()|1)
			begin := uint64(start) + uint64(rnd.IntN(1e9))
			raw, err := proto.Marshal(&otlptrace.Span{TraceId: id[:], SpanId: self, ParentSpanId: parent, Name: names[rnd.IntN(len(names))],
				Kind: otlptrace.Span_SpanKind(2 + rnd.IntN(2)), StartTimeUnixNano: begin, EndTimeUnixNano: begin + uint64(rnd.IntN(1e8)),
				Attributes: []*common.KeyValue{text("http.request.method", "GET"), text("http.route", "/items/{id}"), text("url.full", fmt.Sprintf("https://shop.example.com/items/%d", rnd.IntN(10_000))),
					text("user.id", user), text("order.id", order), text("client.address", fmt.Sprintf("10.0.%d.%d", rnd.IntN(256), rnd.IntN(256))), text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)")},
				Flags: 0x101})
			if err != nil {
				t.Fatal(err)
			}
			m.records = append(m.records, block.Record{TraceID: id, Source: trace.SourceOTLP, ReceivedAt: start + 2e9, Scope: scopes[rnd.IntN(25)], Raw: raw})
			parent = self
			spans++
		}
		list = append(list, m)
	}
	return list, spans
}

func write(t testing.TB, dir string, level block.Level, list []made) *block.Block {
	codec, err := block.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	w, err := block.Create(block.WriterOptions{FS: vfs.OS{}, Dir: dir, Number: 1, Codec: codec, Level: level})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if err := w.Add(&list[i].info, list[i].records); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecords_comeBackByteForByte(t *testing.T) {
	list, _ := someTraces(t, 500)
	odd := &list[3]
	odd.records = append(odd.records,
		block.Record{TraceID: odd.info.ID, Source: trace.SourceDocument, ReceivedAt: odd.info.First, Raw: []byte(` {"id":"1"}`)},
		block.Record{TraceID: odd.info.ID, Source: trace.SourceOTLP, Part: 1, ReceivedAt: odd.info.First, Scope: odd.records[0].Scope, Raw: odd.records[0].Raw},
		block.Record{TraceID: odd.info.ID, Source: trace.SourceOTLP, ReceivedAt: -5, Scope: &trace.OTLPScope{}, Raw: []byte{0x0a, 0x01, 0x07, 0xff}},
		block.Record{TraceID: odd.info.ID, Source: trace.SourceOTLP, ReceivedAt: 1, Raw: append([]byte{0x2a, 0x00}, odd.records[0].Raw...)})
	b := write(t, t.TempDir(), block.Fast, list)
	defer b.Release()
	var memo block.Memo
	for i := range list {
		got, err := b.Records(i, &memo)
		if err != nil {
			t.Fatal(err)
		}
		want := list[i].records
		if len(got) != len(want) {
			t.Fatalf("trace %d has %d records, want %d", i, len(got), len(want))
		}
		for n := range want {
			g, w := got[n], want[n]
			if !bytes.Equal(g.Raw, w.Raw) || g.Source != w.Source || g.Part != w.Part || g.ReceivedAt != w.ReceivedAt || g.TraceID != w.TraceID || (g.Scope == nil) != (w.Scope == nil) {
				t.Fatalf("trace %d record %d is %+v, want %+v", i, n, g, w)
			}
			if w.Scope != nil && (!bytes.Equal(g.Scope.Resource, w.Scope.Resource) || !bytes.Equal(g.Scope.Scope, w.Scope.Scope) || g.Scope.ScopeSchema != w.Scope.ScopeSchema || g.Scope.ResourceSchema != w.Scope.ResourceSchema) {
				t.Fatalf("trace %d record %d has scope %+v, want %+v", i, n, g.Scope, w.Scope)
			}
		}
	}
}

// copied copies a block, as a merge does.
func copied(t testing.TB, from *block.Block, dir string) *block.Block {
	codec, err := block.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	w, err := block.Create(block.WriterOptions{FS: vfs.OS{}, Dir: dir, Number: 2, Codec: codec, Level: block.Small})
	if err != nil {
		t.Fatal(err)
	}
	var memo block.Memo
	for i := range from.Len() {
		if err := w.Copy(from, i, &memo); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCopy_keepsEverything(t *testing.T) {
	for _, documents := range []bool{false, true} {
		list, _ := load(10_000, documents)
		first := write(t, t.TempDir(), block.Fast, list)
		second := copied(t, first, t.TempDir())
		for i := range list {
			got, err := second.Records(i, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, list[i].records) || !reflect.DeepEqual(first.Info(i), second.Info(i)) {
				t.Fatalf("trace %d is not what was copied", i)
			}
		}
		first.Release()
		second.Release()
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, documents := range []bool{false, true} {
		list, spans := load(100_000, documents)
		from := write(b, b.TempDir(), block.Fast, list)
		b.Run(fmt.Sprintf("documents=%t", documents), func(b *testing.B) {
			before := cpu(b)
			for b.Loop() {
				copied(b, from, b.TempDir()).Release()
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N*spans), "cpu-ns/span")
		})
		from.Release()
	}
}

// cpu returns the CPU time of the process, which depends less on the load of the machine
// than the clock.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name      string
		documents bool
		level     block.Level
	}{{"spans", false, block.Fast}, {"documents", true, block.Fast}, {"spans/small", false, block.Small}, {"documents/small", true, block.Small}} {
		list, spans := load(100_000, c.documents)
		b.Run(c.name, func(b *testing.B) {
			var size int64
			before := cpu(b)
			for b.Loop() {
				done := write(b, b.TempDir(), c.level, list)
				size = done.Size()
				done.Release()
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N*spans), "cpu-ns/span")
			b.ReportMetric(float64(size)/float64(spans), "B/span")
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	list, _ := load(100_000, false)
	done := write(b, b.TempDir(), block.Fast, list)
	defer done.Release()
	i, before := 0, cpu(b)
	for b.Loop() {
		i = (i + 7919) % len(list)
		if _, err := done.Records(i, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkScan(b *testing.B) {
	list, spans := load(100_000, false)
	done := write(b, b.TempDir(), block.Fast, list)
	defer done.Release()
	before := cpu(b)
	for b.Loop() {
		var memo block.Memo
		for i := range list {
			if _, err := done.Records(i, &memo); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N*spans), "cpu-ns/span")
}
