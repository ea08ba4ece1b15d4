package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Every row returns its bytes, with any members and fields in its neighbours: encoders
// of Parquet go wrong at columns that are null in one row and not in the next.
func TestRows_ofAllKindsSideBySide(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		codec, err := NewCodec()
		if err != nil {
			t.Fatal(err)
		}
		fs := vfs.NewMem()
		if err := fs.MkdirAll("d"); err != nil {
			t.Fatal(err)
		}
		w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: 1, Codec: codec, Level: []Level{Fast, Small}[seed%2]})
		if err != nil {
			t.Fatal(err)
		}
		var want [][]Record
		for n := range 200 {
			var id trace.ID
			binary.BigEndian.PutUint64(id[:], uint64(n))
			var records []Record
			for i := range 1 + rnd.IntN(5) {
				records = append(records, anyRecord(t, rnd, id, i))
			}
			want = append(want, records)
			if err := w.Add(&Info{ID: id}, records); err != nil {
				t.Fatal(err)
			}
		}
		b, err := w.Finish(nil)
		if err != nil {
			t.Fatal(err)
		}
		var memo Memo
		for n, records := range want {
			got, err := b.Records(n, []Keeper{nil, &memo}[n%2])
			if err != nil {
				t.Fatalf("seed %d, trace %d: %v", seed, n, err)
			}
			for i := range records {
				if !bytes.Equal(got[i].Raw, records[i].Raw) || fmt.Sprint(got[i].Scope) != fmt.Sprint(records[i].Scope) || got[i].Source != records[i].Source {
					t.Fatalf("seed %d, trace %d, record %d:\n got %q\nwant %q", seed, n, i, got[i].Raw, records[i].Raw)
				}
			}
		}
		b.Release()
	}
}

func anyRecord(t *testing.T, rnd *rand.Rand, id trace.ID, i int) Record {
	t.Helper()
	r := Record{TraceID: id, ReceivedAt: trace.Time(rnd.Int64N(1e15))}
	some := func(text string) string {
		if rnd.IntN(2) == 0 {
			return ""
		}
		return text
	}
	switch rnd.IntN(4) {
	case 0: // no form of its own
		r.Source, r.Raw = trace.SourceDocument, []byte(some(`{"id":1}`)+some("\xff"))
	case 1:
		r.Source = trace.SourceOTLP
		r.Raw = []byte(some("no span"))
		r.Scope = []*trace.OTLPScope{{}, {Resource: []byte("r")}}[rnd.IntN(2)]
	case 2:
		r.Source = trace.SourceDocument
		r.Raw = fmt.Appendf(nil, `{"id":"%016x"`, i+1)
		for _, member := range []string{`,"name":"n"`, `,"name":""`, fmt.Sprintf(`,"trace_id":%q`, id), `,"parent_id":"00000000000000ff"`, `,"parent_id":"0000000000000001"`, `,"origin":"AWS::EC2::Instance"`, `,"origin":""`,
			`,"start_time":1780000000.25,"end_time":1780000001`, `,"start_time":1.5e3`, `,"in_progress":true`, `,"fault":true`, `,"user":"u"`, `,"user":""`,
			`,"http":{"request":{"method":"GET","url":"http://x/"},"response":{"status":200}}`, `,"http":{"request":{"url":""}}`, `,"annotations":{"a":"b","n":1.50,"t":true,"e":""}`, `,"annotations":{}`,
			`,"subsegments":[{"id":"00000000000000aa","name":"s","namespace":"remote"}]`, `,"metadata":{"default":{"k":[1,null,"é\u00e9"]}}`} {
			r.Raw = append(r.Raw, some(member)...)
		}
		r.Raw = append(r.Raw, '}')
	default:
		span := &otlptrace.Span{Name: some("op"), Kind: otlptrace.Span_SpanKind(rnd.IntN(6)), StartTimeUnixNano: rnd.Uint64N(1e18), TraceState: some("a=b")}
		span.TraceId, span.SpanId = id[:], binary.BigEndian.AppendUint64(nil, uint64(i+1))
		if rnd.IntN(2) == 0 {
			span.ParentSpanId = binary.BigEndian.AppendUint64(nil, uint64(rnd.IntN(8)))
		}
		if rnd.IntN(2) == 0 {
			span.EndTimeUnixNano = span.StartTimeUnixNano + 5
		}
		for _, key := range []string{"http.request.method", "url.full", "http.route", "user.id", "x", ""} {
			if rnd.IntN(2) == 0 {
				span.Attributes = append(span.Attributes, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: some("v")}}})
			}
		}
		if rnd.IntN(3) == 0 {
			span.Status = &otlptrace.Status{Code: otlptrace.Status_StatusCode(rnd.IntN(3)), Message: some("m")}
		}
		raw, err := proto.Marshal(span)
		if err != nil {
			t.Fatal(err)
		}
		r.Source, r.Raw = trace.SourceOTLP, raw
		r.Scope = []*trace.OTLPScope{{}, {Resource: []byte("r")}, {Scope: []byte("s"), ScopeSchema: "x"}}[rnd.IntN(3)]
	}
	return r
}

// Bytes that are almost a span or a document come back as they were, too: nothing compares
// them after they are split into columns.
func TestRows_ofWhatIsNearlyRight(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		id := trace.ID{1: 2}
		var want []Record
		for i := range 100 {
			r := anyRecord(t, rnd, id, i)
			for range rnd.IntN(4) {
				r.Raw = mutated(rnd, r.Raw)
			}
			want = append(want, r)
		}
		_, got, err := roundTrip(id, want)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range want {
			if !bytes.Equal(got[i].Raw, want[i].Raw) {
				t.Fatalf("seed %d, record %d:\n got %q\nwant %q", seed, i, got[i].Raw, want[i].Raw)
			}
		}
	}
}

// mutated changes, repeats or drops some bytes.
func mutated(rnd *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	from := rnd.IntN(len(b))
	to := from + rnd.IntN(min(24, len(b)-from)+1)
	out := bytes.Clone(b)
	switch rnd.IntN(5) {
	case 0:
		out[from] = byte(rnd.Uint32())
	case 4: // as a length: the same, in two bytes
		out = append(append(out[:from:from], b[from]|0x80, 0), b[from+1:]...)
	case 1:
		out[from] += byte(rnd.IntN(3)) - 1
	case 2:
		out = append(append(out[:to:to], b[from:to]...), b[to:]...)
	default:
		out = append(out[:from:from], b[to:]...)
	}
	return out
}
