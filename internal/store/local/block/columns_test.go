package block

import (
	"bytes"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// roundTrip splits records into columns, writes them as a row group, reads it and makes
// the records again.
func roundTrip(id trace.ID, records []Record) ([]row, []Record, error) {
	codec, err := NewCodec()
	if err != nil {
		return nil, nil, err
	}
	m := rowMaker{to: entities.NewWriter(codec.encoders[Fast])}
	m.add("1", id, records)
	m.to.EndPage()
	b, group, err := m.to.EndGroup(len(records), int64(len(columnar.Head())))
	if err != nil {
		return nil, nil, err
	}
	places := group.Places()
	p, err := readPages(&places, b, codec.decoder, rowRange{0, len(records), true})
	if err != nil {
		return nil, nil, err
	}
	rows, err := p.take(0, len(records))
	if err != nil {
		return nil, nil, err
	}
	back, err := recordsOf(rows, id)
	return rows, back, err
}

const (
	segmentText = `{"name":"shop","id":"00000000000000aa","trace_id":"1-00020000-000000000000000000000000","start_time":1700000000.123456,"end_time":1700000000.5,"fault":true,` +
		`"http":{"request":{"method":"GET","url":"http://a/b"},"response":{"status":503}},"user":"ann","annotations":{"cart":5,"tier":"gold","on":true,"odd":"\n"},` +
		`"origin":"AWS::EC2::Instance","subsegments":[{"name":"db","id":"00000000000000ab","start_time":1700000000.2,"end_time":1700000000.3,"namespace":"remote"}]}`
	childText = `{"name":"cart", "id":"00000000000000ac","trace_id":"00020000000000000000000000000000","parent_id":"00000000000000ab","end_time":1700000001,"start_time":1700000000.25}`
)

// Every record comes back byte by byte, also if no usual encoder wrote it.
func FuzzRow(f *testing.F) {
	id := trace.ID{1: 2}
	span := append(append([]byte{0x0a, 16}, id[:]...), 0x12, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 8, 8, 7, 6, 5, 4, 3, 2, 1, 0x2a, 3, 'G', 'E', 'T', 0x30, 2,
		0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x41, 9, 0, 0, 0, 0, 0, 0, 0, 0x4a, 9, 0x0a, 1, 'a', 0x12, 4, 0x0a, 2, 'b', 'c', 0x4a, 7, 0x0a, 1, 'n', 0x12, 2, 0x18, 5)
	later := bytes.Clone(span) // with other times and another id
	for i := range later {
		if later[i] == 9 || later[i] == 8 && i > 30 {
			later[i]++
		}
	}
	for _, raw := range [][]byte{span, span[:len(span)-3], append([]byte{0x2a, 0x81, 0x00}, span...), append(span[:len(span):len(span)], later...), append([]byte("\x5b\x08\x01\x5c\xca\x00\x00"), span...)} {
		f.Add(uint8(trace.SourceOTLP), raw, []byte{})
		f.Add(uint8(trace.SourceCollector), raw, []byte{})
	}
	for _, raw := range []string{segmentText, childText, callsText, `{"id":"\ud800"}`, "\xff", `{"name":"a","name":"b","annotations":{"a" :1}}`, `{"start_time":1e9,"end_time":01.5}`} {
		f.Add(uint8(trace.SourceDocument), []byte(raw), []byte(childText))
	}
	f.Fuzz(func(t *testing.T, source uint8, one, two []byte) {
		in := []Record{{TraceID: id, Source: trace.Source(source), Raw: two}, {TraceID: id, Source: trace.Source(source), ReceivedAt: 7, Raw: one}, {TraceID: id, Source: trace.SourceOTLP, Part: 1, Raw: two}}
		rows, back, err := roundTrip(id, in)
		if err != nil || len(back) != len(in) {
			t.Fatalf("%q, %q: %v", one, two, err)
		}
		for i := range in {
			if !bytes.Equal(back[i].Raw, in[i].Raw) || back[i].Source != in[i].Source || back[i].Part != in[i].Part || back[i].ReceivedAt != in[i].ReceivedAt {
				t.Fatalf("%q came back as %q (%+v)", in[i].Raw, back[i].Raw, rows[i])
			}
		}
	})
}

// A damaged row with right checksums is an error or gives some bytes, and does not
// panic.
func FuzzTemplate(f *testing.F) {
	rows, _, err := roundTrip(trace.ID{1: 2}, []Record{{Source: trace.SourceDocument, Raw: []byte(segmentText)}, {Source: trace.SourceDocument, Raw: []byte(childText)}})
	if err != nil {
		f.Fatal(err)
	}
	for i := range rows {
		f.Add(bytes.Join(rows[i].Template, nil), rows[i].IDs, rows[i].Times, int64(5), int64(-9), int32(1), int32(2))
	}
	f.Fuzz(func(_ *testing.T, template, ids, times []byte, start, duration int64, parent, number int32) {
		r := row{TraceID: trace.ID{1: 2}, Template: [][]byte{template, ids}, IDs: ids, Times: times, Rest: [][]byte{ids, {}}, Start: start, Duration: duration, Parent: parent, ParentEntity: number, Attributes: []pair{{"a", "b"}, {"c", "5"}}}
		_, _ = recordsOf([]row{{TraceID: r.TraceID}, r}, r.TraceID)
	})
}

func TestRow_documentIsTakenApart(t *testing.T) {
	id := trace.ID{1: 2}
	rows, back, err := roundTrip(id, []Record{{Source: trace.SourceDocument, Raw: []byte(segmentText)}, {Source: trace.SourceDocument, Raw: []byte(childText)}})
	if err != nil || string(back[0].Raw) != segmentText || string(back[1].Raw) != childText {
		t.Fatalf("%v: %s, %s", err, back[0].Raw, back[1].Raw)
	}
	r := rows[0]
	if r.Service != "shop" || r.Name != "shop" || r.SpanID != [8]byte{7: 0xaa} || r.Start != 1700000000123456000 || r.Duration != 376544000 || !r.Fault || r.InProgress ||
		r.Method != "GET" || r.URL != "http://a/b" || r.Status != 503 || r.User != "ann" || r.Origin != "AWS::EC2::Instance" || r.Raw != nil {
		t.Errorf("%+v", r)
	}
	if len(r.Attributes) != 3 || r.Attributes[0] != (pair{"cart", "5"}) || r.Attributes[1] != (pair{"tier", "gold"}) || r.Attributes[2] != (pair{"on", "true"}) {
		t.Errorf("annotations %v", r.Attributes)
	}
	if c := rows[1]; c.Parent != 1 || c.ParentEntity != 1 || c.ParentID != nil || c.Duration != 750000000 || c.InProgress {
		t.Errorf("%+v", c)
	}
}

func TestRow_spanIsTakenApart(t *testing.T) {
	id := trace.ID{1: 2}
	head := append(append([]byte{0x0a, 16}, id[:]...), 0x12, 8)
	span := append(append(head[:len(head):len(head)], 0, 0, 0, 0, 0, 0, 0, 1, 0x22, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0x2a, 3, 'G', 'E', 'T', 0x30, 2, 0x39), 5, 0, 0, 0, 0, 0, 0, 0, 0x41, 14, 0, 0, 0, 0, 0, 0, 0)
	span = append(span, "\x4a\x1b\x0a\x13http.request.method\x12\x04\x0a\x02PU\x4a\x0f\x0a\x08order.id\x12\x03\x0a\x01x"...)
	span = append(span, "\x4a\x20\x0a\x19http.response.status_code\x12\x03\x18\xf4\x03"...)
	parent := append(head[:len(head):len(head)], 0, 0, 0, 0, 0, 0, 0, 2)
	rows, back, err := roundTrip(id, []Record{{Source: trace.SourceOTLP, Raw: span}, {Source: trace.SourceCollector, Raw: parent}})
	if err != nil || !bytes.Equal(back[0].Raw, span) || !bytes.Equal(back[1].Raw, parent) {
		t.Fatalf("%v: %x, %x", err, back[0].Raw, back[1].Raw)
	}
	r := rows[0]
	if r.Name != "GET" || r.Kind != 2 || r.Start != 5 || r.Duration != 9 || r.Parent != -1 || r.ParentID != nil || r.Method != "PU" || r.Status != 500 || !r.Fault || r.Raw != nil {
		t.Errorf("%+v", r)
	}
	if len(r.Attributes) != 1 || r.Attributes[0] != (pair{"order.id", "x"}) {
		t.Errorf("attributes %v", r.Attributes)
	}
	if r := rows[1]; r.Raw != nil || r.SpanID[7] != 2 || back[1].Source != trace.SourceCollector {
		t.Errorf("a span of the collector's mapping: %+v", r)
	}
}
