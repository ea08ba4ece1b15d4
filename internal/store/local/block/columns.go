package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// row is a row of the table entities: what was received as one segment
// document or one span (docs/formats/store.md). Its fields are the columns, in
// this order.
type row struct {
	Trace    int32    `parquet:"trace,delta"`
	Form     int32    `parquet:"form,delta"`
	Source   int32    `parquet:"source,delta"`
	Part     int32    `parquet:"part,delta"`
	Received int64    `parquet:"received,delta,timestamp(nanosecond)"`
	Scope    []byte   `parquet:"scope,dict,optional"`
	TraceID  [16]byte `parquet:"trace_id,dict"`
	SpanID   [8]byte  `parquet:"span_id"`
	ParentID []byte   `parquet:"parent_span_id,optional"`
	Name     string   `parquet:"name,dict,optional"`
	Kind     int32    `parquet:"kind,delta"`
	Start    int64    `parquet:"start,delta,timestamp(nanosecond)"`
	Duration int64    `parquet:"duration,delta"`
	Fields   []byte   `parquet:"fields,optional"`
	Document string   `parquet:"document,optional"`
	Raw      []byte   `parquet:"raw,optional"`
}

// The forms in which a row holds the received bytes.
const (
	formRaw      = iota // in raw, as they are
	formDocument        // in document
	formSpan            // in the columns of a span; fields has what follows the times
)

// rowOf takes a record of a trace apart. It shares the record's memory.
func rowOf(number int, id trace.ID, r *Record, scratch []byte) (row, []byte) {
	out := row{Trace: int32(number), Source: int32(r.Source), Part: int32(r.Part), Received: int64(r.ReceivedAt), TraceID: id}
	switch {
	case r.Source == trace.SourceDocument && utf8.Valid(r.Raw):
		out.Form, out.Document = formDocument, string(r.Raw)
		return out, scratch
	case r.Source == trace.SourceOTLP:
		span := out
		if span.split(r.Raw) {
			if scratch = span.join(scratch[:0]); bytes.Equal(scratch, r.Raw) {
				span.Form = formSpan
				return span, scratch
			}
		}
	}
	out.Form, out.Raw = formRaw, r.Raw
	return out, scratch
}

// Tags of opentelemetry.proto.trace.v1.Span in the order in which every known
// encoder writes its fields.
const (
	tagTraceID = 1<<3 | 2
	tagSpanID  = 2<<3 | 2
	tagParent  = 4<<3 | 2
	tagName    = 5<<3 | 2
	tagKind    = 6 << 3
	tagStart   = 7<<3 | 1
	tagEnd     = 8<<3 | 1
)

// split fills the columns of a span. What it makes is only good if join gives
// the same bytes: it does not check that what it skips is as join writes it.
func (r *row) split(b []byte) bool {
	if len(b) < 28 || b[0] != tagTraceID || b[1] != 16 || b[18] != tagSpanID || b[19] != 8 {
		return false
	}
	copy(r.SpanID[:], b[20:28])
	b = b[28:]
	if len(b) >= 10 && b[0] == tagParent && b[1] == 8 {
		r.ParentID, b = b[2:10], b[10:]
	}
	if len(b) > 0 && b[0] == tagName {
		n, w := binary.Uvarint(b[1:])
		if w <= 0 || n > uint64(len(b)-1-w) || !utf8.Valid(b[1+w:1+w+int(n)]) {
			return false
		}
		r.Name, b = string(b[1+w:1+w+int(n)]), b[1+w+int(n):]
	}
	if len(b) > 1 && b[0] == tagKind && b[1] < 0x80 {
		r.Kind, b = int32(b[1]), b[2:]
	}
	if len(b) < 18 || b[0] != tagStart || b[9] != tagEnd {
		return false
	}
	r.Start = int64(binary.LittleEndian.Uint64(b[1:]))
	r.Duration = int64(binary.LittleEndian.Uint64(b[10:])) - r.Start
	r.Fields = b[18:]
	return true
}

// join adds the protobuf message of a span.
func (r *row) join(b []byte) []byte {
	b = append(append(b, tagTraceID, 16), r.TraceID[:]...)
	b = append(append(b, tagSpanID, 8), r.SpanID[:]...)
	if len(r.ParentID) > 0 {
		b = append(append(b, tagParent, byte(len(r.ParentID))), r.ParentID...)
	}
	if r.Name != "" {
		b = binary.AppendUvarint(append(b, tagName), uint64(len(r.Name)))
		b = append(b, r.Name...)
	}
	if r.Kind != 0 {
		b = append(b, tagKind, byte(r.Kind))
	}
	b = binary.LittleEndian.AppendUint64(append(b, tagStart), uint64(r.Start))
	b = binary.LittleEndian.AppendUint64(append(b, tagEnd), uint64(r.Start+r.Duration))
	return append(b, r.Fields...)
}

// record puts a record together again, adding its bytes to own.
func (r *row) record(own []byte) (Record, []byte, error) {
	out := Record{TraceID: r.TraceID, Source: trace.Source(r.Source), Part: uint8(r.Part), ReceivedAt: trace.Time(r.Received)}
	at := len(own)
	switch r.Form {
	case formRaw:
		own = append(own, r.Raw...)
	case formDocument:
		own = append(own, r.Document...)
	case formSpan:
		own = r.join(own)
	default:
		return out, own, fmt.Errorf("form %d is not known", r.Form)
	}
	out.Raw = own[at:len(own):len(own)]
	return out, own, nil
}

// scopeOf reads what appendScope wrote.
func scopeOf(b []byte) (*trace.OTLPScope, error) {
	d := &Decoder{buf: b, end: len(b)}
	s := &trace.OTLPScope{Resource: bytes.Clone(d.Blob()), Scope: bytes.Clone(d.Blob()), ResourceSchema: string(d.Blob()), ScopeSchema: string(d.Blob())}
	return s, d.err
}

// readRows reads rows of a row group. They own their memory.
func readRows(group parquet.RowGroup, first, n int) ([]row, error) {
	if first < 0 || n < 0 || int64(first)+int64(n) > group.NumRows() {
		return nil, fmt.Errorf("rows %d to %d of %d", first, first+n, group.NumRows())
	}
	rows := make([]row, n)
	values := make([]parquet.Value, 128)
	for column, chunk := range group.ColumnChunks() {
		if err := readColumn(chunk, column, rows, first, values); err != nil {
			return nil, fmt.Errorf("column %d: %w", column, err)
		}
	}
	return rows, nil
}

func readColumn(chunk parquet.ColumnChunk, column int, rows []row, first int, values []parquet.Value) error {
	pages := chunk.Pages()
	defer func() { _ = pages.Close() }() // it was only read
	if err := pages.SeekToRow(int64(first)); err != nil {
		return err
	}
	for len(rows) > 0 {
		page, err := pages.ReadPage()
		if err != nil {
			return err
		}
		reader := page.Values()
		for len(rows) > 0 {
			n, err := reader.ReadValues(values[:min(len(values), len(rows))])
			for i := range n {
				rows[i].set(column, values[i])
			}
			if rows = rows[n:]; err != nil || n == 0 {
				break // the page's end, or the next page says what is wrong
			}
		}
		parquet.Release(page)
	}
	return nil
}

func (r *row) set(column int, v parquet.Value) {
	if v.IsNull() {
		return
	}
	switch column {
	case 0:
		r.Trace = v.Int32()
	case 1:
		r.Form = v.Int32()
	case 2:
		r.Source = v.Int32()
	case 3:
		r.Part = v.Int32()
	case 4:
		r.Received = v.Int64()
	case 5:
		r.Scope = bytes.Clone(v.ByteArray())
	case 6:
		copy(r.TraceID[:], v.ByteArray())
	case 7:
		copy(r.SpanID[:], v.ByteArray())
	case 8:
		r.ParentID = bytes.Clone(v.ByteArray())
	case 9:
		r.Name = string(v.ByteArray())
	case 10:
		r.Kind = v.Int32()
	case 11:
		r.Start = v.Int64()
	case 12:
		r.Duration = v.Int64()
	case 13:
		r.Fields = bytes.Clone(v.ByteArray())
	case 14:
		r.Document = string(v.ByteArray())
	case 15:
		r.Raw = bytes.Clone(v.ByteArray())
	}
}

// traceRow is a row of the table traces. Nothing of it is read again here: the
// index says the same.
type traceRow struct {
	Account    string   `parquet:"account,dict"`
	TraceID    string   `parquet:"trace_id"`
	Start      int64    `parquet:"start,delta,timestamp(nanosecond)"`
	End        *int64   `parquet:"end,optional,timestamp(nanosecond)"`
	Duration   *int64   `parquet:"duration,optional"`
	Response   *int64   `parquet:"response_time,optional"`
	Fault      bool     `parquet:"fault"`
	Error      bool     `parquet:"error"`
	Throttle   bool     `parquet:"throttle"`
	InProgress bool     `parquet:"in_progress"`
	Segments   int32    `parquet:"segments,delta"`
	First      int64    `parquet:"first_received,delta,timestamp(nanosecond)"`
	Updated    int64    `parquet:"last_received,delta,timestamp(nanosecond)"`
	LSN        int64    `parquet:"lsn,delta"`
	Services   []string `parquet:"services,dict,list"`
	Keys       []string `parquet:"annotation_keys,dict,list"`
}

func traceRowOf(in *Info) traceRow {
	r := traceRow{
		Account: string(in.Account), TraceID: in.ID.String(), Start: int64(in.Start), Segments: int32(in.Segments),
		Fault: in.Flags&Fault != 0, Error: in.Flags&Error != 0, Throttle: in.Flags&Throttle != 0, InProgress: in.Flags&InProgress != 0,
		First: int64(in.First), Updated: int64(in.Updated), LSN: int64(in.LSN), Services: in.Services, Keys: in.Keys,
	}
	if in.End != 0 {
		end := int64(in.End)
		r.End = &end
	}
	if in.Duration != Unknown {
		d := int64(in.Duration)
		r.Duration = &d
	}
	if in.Response != Unknown {
		d := int64(in.Response)
		r.Response = &d
	}
	return r
}
