package block

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// row is a row of the table entities: what was received as one segment
// document or one span (docs/formats/store.md). Its fields are the columns, in
// this order.
type row struct {
	Account      string   `parquet:"account,dict"`
	TraceID      [16]byte `parquet:"trace_id,dict"`
	SpanID       [8]byte  `parquet:"span_id"`
	Parent       int32    `parquet:"parent,delta"`
	ParentEntity int32    `parquet:"parent_entity,delta"`
	ParentID     []byte   `parquet:"parent_span_id,optional"`
	Source       int32    `parquet:"source,delta"`
	Part         int32    `parquet:"part,delta"`
	Service      string   `parquet:"service,dict,optional"`
	Name         string   `parquet:"name,dict,optional"`
	Kind         int32    `parquet:"kind,delta"`
	Origin       string   `parquet:"origin,dict,optional"`
	Start        int64    `parquet:"start,delta,timestamp(nanosecond)"`
	Duration     int64    `parquet:"duration,delta"`
	Received     int64    `parquet:"received,delta,timestamp(nanosecond)"`
	InProgress   bool     `parquet:"in_progress"`
	Fault        bool     `parquet:"fault"`
	Error        bool     `parquet:"error"`
	Throttle     bool     `parquet:"throttle"`
	Method       string   `parquet:"http_method,dict,optional"`
	URL          string   `parquet:"http_url,optional"`
	Route        string   `parquet:"http_route,dict,optional"`
	Status       int32    `parquet:"http_status,delta"`
	User         string   `parquet:"user,dict,optional"`
	Attributes   []pair   `parquet:"attributes,list"`
	Scope        []byte   `parquet:"scope,dict,optional"`
	Template     []byte   `parquet:"template,dict,optional"`
	Rest         []byte   `parquet:"rest,optional"`
	Raw          []byte   `parquet:"raw,optional"`
}

// pair is an attribute of a span or an annotation of a document.
type pair struct {
	Key   string `parquet:"key,dict"`
	Value string `parquet:"value"`
}

// entity says where in a trace an id is: which row, and 0 for the row's own or
// the number of an embedded subsegment.
type entity struct {
	id     uint64
	row    int
	number int
}

// rowMaker takes the records of traces apart.
type rowMaker struct {
	splitter splitter
	joiner   joiner
	entities []entity
	places   map[uint64]entity
	scopes   map[*trace.OTLPScope]scopeColumns
}

type scopeColumns struct {
	encoded []byte
	service string
}

// forget says that the rows made so far are not needed any more.
func (m *rowMaker) forget() {
	m.splitter.forget()
	clear(m.scopes)
}

// add adds the rows of a trace to others. Until forget they are valid.
func (m *rowMaker) add(rows []row, account trace.Account, id trace.ID, records []Record) []row {
	first := len(rows)
	m.entities = m.entities[:0]
	for i := range records {
		r := &records[i]
		rows = append(rows, row{})
		out := &rows[len(rows)-1]
		m.row(out, account, id, r)
		m.entities = append(m.entities, entity{binary.BigEndian.Uint64(out.SpanID[:]), i, 0})
		for n, id := range m.splitter.ids {
			m.entities = append(m.entities, entity{id, i, n + 1})
		}
	}
	m.link(rows[first:])
	return rows
}

// row takes one record apart, or keeps it raw when that would lose something.
func (m *rowMaker) row(out *row, account trace.Account, id trace.ID, r *Record) {
	m.common(out, account, id, r)
	s := &m.splitter
	s.reset(out, r.Raw)
	ok := false
	switch r.Source {
	case trace.SourceDocument:
		if ok = s.document(); ok {
			out.Service = out.Name
		}
	case trace.SourceOTLP:
		ok = s.span()
	}
	if ok {
		out.Template, out.Rest, out.Attributes = s.template, s.rest, s.pairs
		m.joiner.reset()
		if m.joiner.add(out) == nil && bytes.Equal(m.joiner.out, r.Raw) {
			out.Template = s.keep(s.template)
			if len(s.rest) > 0 {
				out.Rest = s.keep(s.rest)
			} else {
				out.Rest = nil
			}
			at := len(s.pairsOf)
			s.pairsOf = append(s.pairsOf, s.pairs...)
			out.Attributes = s.pairsOf[at:len(s.pairsOf):len(s.pairsOf)]
			return
		}
	}
	s.ids = s.ids[:0]
	*out = row{Raw: r.Raw}
	m.common(out, account, id, r)
}

// common fills what every row has.
func (m *rowMaker) common(out *row, account trace.Account, id trace.ID, r *Record) {
	out.Account, out.TraceID, out.Source, out.Part, out.Received = string(account), id, int32(r.Source), int32(r.Part), int64(r.ReceivedAt)
	if r.Scope != nil {
		s := m.scope(r.Scope)
		out.Scope, out.Service = s.encoded, s.service
	}
}

// fewEntities is up to how many are looked through one by one.
const fewEntities = 24

// link replaces the ids of parents that are in the trace by where they are.
func (m *rowMaker) link(rows []row) {
	find := func(id uint64) (entity, bool) {
		for i := range m.entities {
			if m.entities[i].id == id {
				return m.entities[i], true
			}
		}
		return entity{}, false
	}
	if len(m.entities) > fewEntities {
		if m.places == nil {
			m.places = map[uint64]entity{}
		}
		clear(m.places)
		for _, e := range m.entities {
			if _, has := m.places[e.id]; !has {
				m.places[e.id] = e
			}
		}
		find = func(id uint64) (entity, bool) { e, ok := m.places[id]; return e, ok }
	}
	for i := range rows {
		r := &rows[i]
		if len(r.ParentID) != 8 {
			continue
		}
		if e, ok := find(binary.BigEndian.Uint64(r.ParentID)); ok && e.row != i {
			r.Parent, r.ParentEntity, r.ParentID = int32(i-e.row), int32(e.number), nil
		}
	}
}

// scope is the encoded form of a scope, made once for a row group.
func (m *rowMaker) scope(s *trace.OTLPScope) scopeColumns {
	c, ok := m.scopes[s]
	if !ok {
		c = scopeColumns{appendScope(nil, s), serviceOf(s.Resource)}
		if m.scopes == nil {
			m.scopes = map[*trace.OTLPScope]scopeColumns{}
		}
		m.scopes[s] = c
	}
	return c
}

// scopeOf reads what appendScope wrote.
func scopeOf(b []byte) (*trace.OTLPScope, error) {
	d := &Decoder{buf: b, end: len(b)}
	s := &trace.OTLPScope{Resource: bytes.Clone(d.Blob()), Scope: bytes.Clone(d.Blob()), ResourceSchema: string(d.Blob()), ScopeSchema: string(d.Blob())}
	return s, d.err
}

// recordsOf puts the records of one trace together. They share nothing with
// the rows, so that keeping one does not keep its row group.
func recordsOf(rows []row, id trace.ID) ([]Record, error) {
	var j joiner
	size := 0
	for i := range rows {
		r := &rows[i]
		if r.TraceID != id {
			return nil, fmt.Errorf("found trace %s in its place", trace.ID(r.TraceID))
		}
		size += len(r.Raw) + len(r.Template) + len(r.Rest) + len(r.URL) + 16*len(r.Attributes) + 128
	}
	j.out = make([]byte, 0, size)
	for i := range rows {
		if err := j.add(&rows[i]); err != nil {
			return nil, err
		}
	}
	if err := j.finish(); err != nil {
		return nil, err
	}
	records := make([]Record, len(rows))
	scopes := map[string]*trace.OTLPScope{}
	for i := range rows {
		r := &rows[i]
		records[i] = Record{TraceID: r.TraceID, Source: trace.Source(r.Source), Part: uint8(r.Part), ReceivedAt: trace.Time(r.Received), Raw: j.raw(i)}
		if len(r.Scope) == 0 { // parquet-go writes some nulls behind values as empty texts
			continue
		}
		s := scopes[string(r.Scope)]
		if s == nil {
			var err error
			if s, err = scopeOf(r.Scope); err != nil {
				return nil, fmt.Errorf("scope: %w", err)
			}
			scopes[string(r.Scope)] = s
		}
		records[i].Scope = s
	}
	return records, nil
}

// readRows reads rows of a row group, all columns or only those that received
// bytes are made of. They own their memory.
func readRows(group parquet.RowGroup, first, n int, all bool) ([]row, error) {
	if first < 0 || n < 0 || int64(first)+int64(n) > group.NumRows() {
		return nil, fmt.Errorf("rows %d to %d of %d", first, first+n, group.NumRows())
	}
	rows := make([]row, n)
	r := reader{rows: rows, first: first, values: make([]parquet.Value, 128)}
	for column, chunk := range group.ColumnChunks() {
		if !all && derived[column] {
			continue
		}
		if err := r.column(chunk, column); err != nil {
			return nil, fmt.Errorf("column %d: %w", column, err)
		}
	}
	return rows, nil
}

// derived are the columns that are only for others to read.
var derived = map[int]bool{0: true, 8: true, 10: true, 11: true, 15: true, 16: true, 17: true, 18: true}

type reader struct {
	rows   []row
	first  int
	values []parquet.Value
	space  []byte
	pair   int
}

// own copies bytes out of a page.
func (x *reader) own(b []byte) []byte {
	if cap(x.space)-len(x.space) < len(b) {
		x.space = make([]byte, 0, max(min(len(x.rows)*64, spaceBytes), len(b)))
	}
	at := len(x.space)
	x.space = append(x.space, b...)
	return x.space[at:len(x.space):len(x.space)]
}

func (x *reader) column(chunk parquet.ColumnChunk, column int) error {
	pages := chunk.Pages()
	defer func() { _ = pages.Close() }() // it was only read
	if err := pages.SeekToRow(int64(x.first)); err != nil {
		return err
	}
	at := -1
	for at < len(x.rows) {
		page, err := pages.ReadPage()
		if err != nil {
			if at == len(x.rows)-1 {
				return nil // the row group ends here
			}
			return err
		}
		reader := page.Values()
		for at < len(x.rows) {
			n, err := reader.ReadValues(x.values)
			for i := range n {
				if x.values[i].RepetitionLevel() == 0 {
					if at++; at == len(x.rows) {
						break
					}
				}
				if at < 0 {
					parquet.Release(page)
					return errTemplate
				}
				x.set(&x.rows[at], column, x.values[i])
			}
			if err != nil || n == 0 {
				break // the page's end, or the next page says what is wrong
			}
		}
		parquet.Release(page)
		if at == len(x.rows)-1 && column != columnKey && column != columnValue {
			return nil
		}
	}
	return nil
}

const columnKey, columnValue = 24, 25

func (x *reader) set(r *row, column int, v parquet.Value) {
	if v.IsNull() {
		return
	}
	text := func() string {
		return stringOf(x.own(v.ByteArray()))
	}
	switch column {
	case 0:
		r.Account = text()
	case 8:
		r.Service = text()
	case 10:
		r.Kind = v.Int32()
	case 11:
		r.Origin = text()
	case 15:
		r.InProgress = v.Boolean()
	case 16:
		r.Fault = v.Boolean()
	case 17:
		r.Error = v.Boolean()
	case 18:
		r.Throttle = v.Boolean()
	case 1:
		copy(r.TraceID[:], v.ByteArray())
	case 2:
		copy(r.SpanID[:], v.ByteArray())
	case 3:
		r.Parent = v.Int32()
	case 4:
		r.ParentEntity = v.Int32()
	case 5:
		r.ParentID = x.own(v.ByteArray())
	case 6:
		r.Source = v.Int32()
	case 7:
		r.Part = v.Int32()
	case 9:
		r.Name = text()
	case 12:
		r.Start = v.Int64()
	case 13:
		r.Duration = v.Int64()
	case 14:
		r.Received = v.Int64()
	case 19:
		r.Method = text()
	case 20:
		r.URL = text()
	case 21:
		r.Route = text()
	case 22:
		r.Status = v.Int32()
	case 23:
		r.User = text()
	case columnKey:
		r.Attributes = append(r.Attributes, pair{Key: text()})
	case columnValue:
		// The keys are there: their column comes first.
		if v.RepetitionLevel() == 0 {
			x.pair = 0
		}
		if x.pair < len(r.Attributes) {
			r.Attributes[x.pair].Value = text()
		}
		x.pair++
	case 26:
		r.Scope = x.own(v.ByteArray())
	case 27:
		r.Template = x.own(v.ByteArray())
	case 28:
		r.Rest = x.own(v.ByteArray())
	case 29:
		r.Raw = x.own(v.ByteArray())
	}
}
