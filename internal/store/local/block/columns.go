package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"github.com/fluoro-io/fluoro/internal/decode/pieces"
	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// row is a row of the table entities: one segment document or one span, as received
// (docs/format/store.md). Its fields are the columns, in this order.
type row struct {
	Account      string   `parquet:"account,dict"`
	TraceID      [16]byte `parquet:"trace_id,dict"`
	SpanID       [8]byte  `parquet:"span_id,uncompressed"`
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
	Template     [][]byte `parquet:"template,dict,list"`
	IDs          []byte   `parquet:"rest_ids,optional,uncompressed"`
	Times        []byte   `parquet:"rest_times,optional"`
	Rest         [][]byte `parquet:"rest,dict,list"`
	Raw          []byte   `parquet:"raw,optional"`
}

// The columns, by number.
const (
	columnAccount = iota
	columnTraceID
	columnSpanID
	columnParent
	columnParentEntity
	columnParentID
	columnSource
	columnPart
	columnService
	columnName
	columnKind
	columnOrigin
	columnStart
	columnDuration
	columnReceived
	columnInProgress
	columnFault
	columnError
	columnThrottle
	columnMethod
	columnURL
	columnRoute
	columnStatus
	columnUser
	columnKey
	columnValue
	columnScope
	columnTemplate
	columnIDs
	columnTimes
	columnRest
	columnRaw
	columns
)

// entities is the table of entities. The columns that other programs search have bounds.
var entities = columnar.TableOf[row]("account", "trace_id", "source", "service", "name", "kind", "origin", "start", "duration", "received", "http_method", "http_status")

// pair is an attribute of a span or an annotation of a document.
type pair struct {
	Key   string `parquet:"key,dict"`
	Value string `parquet:"value,dict"`
}

// entity locates an id in a trace: its row, and 0 for the row itself or the number of an
// embedded subsegment.
type entity struct {
	id     uint64
	row    int
	number int
}

// rowMaker splits the records of traces into columns and adds them to a table as rows.
type rowMaker struct {
	to       *columnar.Writer
	row      row
	splitter splitter
	entities []entity
	places   map[uint64]entity
	parents  []parent
	kinds    []byte
	scopes   map[*trace.OTLPScope]*scopeColumns
	alike    map[uint64]*scopeColumns // by hash of the content
}

// parent is the id of a row's parent, if it has one.
type parent struct {
	id  uint64
	has bool
}

// scopeColumns are the columns that all spans of a scope share, and, once they were
// added, their numbers in the dictionaries.
type scopeColumns struct {
	of                         *trace.OTLPScope
	encoded                    []byte
	service                    string
	added                      bool
	scopeNumber, serviceNumber uint32
}

// forget starts a new row group.
func (m *rowMaker) forget() {
	clear(m.scopes)
	clear(m.alike)
}

// add adds the rows of a trace.
func (m *rowMaker) add(account trace.Account, id trace.ID, records []Record) {
	m.entities, m.parents = m.entities[:0], m.parents[:0]
	for i := range records {
		r := &records[i]
		s := m.take(account, id, r)
		m.put(&m.row, m.splitter.kinds, s)
		p := parent{has: len(m.row.ParentID) == 8}
		if p.has {
			p.id = binary.BigEndian.Uint64(m.row.ParentID)
		}
		m.parents = append(m.parents, p)
		m.entities = append(m.entities, entity{binary.BigEndian.Uint64(m.row.SpanID[:]), i, 0})
		for n, id := range m.splitter.ids {
			m.entities = append(m.entities, entity{id, i, n + 1})
		}
	}
	m.link()
}

// take splits one record into the row, or keeps it raw if it does not have the form of
// its source. The row is valid until the next one, and has no columns of the scope.
func (m *rowMaker) take(account trace.Account, id trace.ID, r *Record) *scopeColumns {
	var of *scopeColumns
	if r.Scope != nil {
		of = m.scope(r.Scope)
	}
	out, s := &m.row, &m.splitter
	m.common(account, id, r)
	s.reset(out, r.Raw)
	ok := false
	switch r.Source {
	case trace.SourceDocument:
		if ok = s.document(); ok {
			out.Service = out.Name
		}
	case trace.SourceOTLP, trace.SourceCollector:
		ok = s.span()
	}
	if ok {
		out.Template, out.IDs, out.Times, out.Rest, out.Attributes = s.pieces, s.idBytes, s.times, s.rest, s.pairs
		return of
	}
	s.ids = s.ids[:0]
	m.common(account, id, r)
	out.Raw = r.Raw
	return of
}

// common begins the row with what every row has.
func (m *rowMaker) common(account trace.Account, id trace.ID, r *Record) {
	m.row = row{Account: string(account), TraceID: id, Source: int32(r.Source), Part: int32(r.Part), Received: int64(r.ReceivedAt)}
}

// put adds a row to all columns but those of its parent. kinds has one kind for each
// piece of the rest.
func (m *rowMaker) put(r *row, kinds []byte, of *scopeColumns) {
	w := m.to
	text := func(column int, s string) {
		if s == "" {
			w.Column(column).Null()
			return
		}
		w.Column(column).Text(s)
	}
	w.Column(columnAccount).Text(r.Account)
	w.Column(columnTraceID).Bytes(r.TraceID[:])
	w.Column(columnSpanID).Bytes(r.SpanID[:])
	w.Column(columnSource).Int(int64(r.Source))
	w.Column(columnPart).Int(int64(r.Part))
	switch {
	case of == nil:
		text(columnScope, stringOf(r.Scope))
		text(columnService, r.Service)
	case of.added:
		w.Column(columnScope).Again(of.scopeNumber)
		if of.service == "" {
			w.Column(columnService).Null()
		} else {
			w.Column(columnService).Again(of.serviceNumber)
		}
	default:
		of.added = true
		of.scopeNumber = w.Column(columnScope).Bytes(of.encoded)
		if of.service == "" {
			w.Column(columnService).Null()
		} else {
			of.serviceNumber = w.Column(columnService).Text(of.service)
		}
	}
	text(columnName, r.Name)
	w.Column(columnKind).Int(int64(r.Kind))
	text(columnOrigin, r.Origin)
	w.Column(columnStart).Int(r.Start)
	w.Column(columnDuration).Int(r.Duration)
	w.Column(columnReceived).Int(r.Received)
	w.Column(columnInProgress).Bool(r.InProgress)
	w.Column(columnFault).Bool(r.Fault)
	w.Column(columnError).Bool(r.Error)
	w.Column(columnThrottle).Bool(r.Throttle)
	text(columnMethod, r.Method)
	text(columnURL, r.URL)
	text(columnRoute, r.Route)
	w.Column(columnStatus).Int(int64(r.Status))
	text(columnUser, r.User)
	for i := range r.Attributes {
		p := &r.Attributes[i]
		key := w.Column(columnKey).Element(i == 0, 0, p.Key)
		w.Column(columnValue).Element(i == 0, key, p.Value) // values of one key are alike
	}
	if len(r.Attributes) == 0 {
		w.Column(columnKey).Null()
		w.Column(columnValue).Null()
	}
	for i, piece := range r.Template {
		w.Column(columnTemplate).Element(i == 0, 0, stringOf(piece))
	}
	if len(r.Template) == 0 {
		w.Column(columnTemplate).Null()
	}
	text(columnIDs, stringOf(r.IDs))
	text(columnTimes, stringOf(r.Times))
	for i, piece := range r.Rest {
		w.Column(columnRest).Element(i == 0, uint32(kinds[i]), stringOf(piece))
	}
	if len(r.Rest) == 0 {
		w.Column(columnRest).Null()
	}
	text(columnRaw, stringOf(r.Raw))
}

// putParent adds the columns of the parent.
func (m *rowMaker) putParent(distance, entity int, id []byte) {
	m.to.Column(columnParent).Int(int64(distance))
	m.to.Column(columnParentEntity).Int(int64(entity))
	if len(id) == 0 {
		m.to.Column(columnParentID).Null()
	} else {
		m.to.Column(columnParentID).Bytes(id)
	}
}

// fewEntities bounds a linear search.
const fewEntities = 24

// link adds the place of each row's parent, or its id if the trace does not have it.
func (m *rowMaker) link() {
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
	for i, p := range m.parents {
		if !p.has {
			m.putParent(0, 0, nil)
		} else if e, ok := find(p.id); ok && e.row != i {
			m.putParent(i-e.row, e.number, nil)
		} else {
			var id [8]byte
			binary.BigEndian.PutUint64(id[:], p.id)
			m.putParent(0, 0, id[:])
		}
	}
}

// scope returns the columns of a scope, made once for a row group. Each request has
// scopes of its own; most of them are alike.
func (m *rowMaker) scope(s *trace.OTLPScope) *scopeColumns {
	c, ok := m.scopes[s]
	if ok {
		return c
	}
	if m.scopes == nil {
		m.scopes, m.alike = map[*trace.OTLPScope]*scopeColumns{}, map[uint64]*scopeColumns{}
	}
	hash := maphash.Bytes(seed, s.Resource) + 3*maphash.Bytes(seed, s.Scope)
	if c = m.alike[hash]; c == nil || !alike(c.of, s) {
		c = &scopeColumns{of: s, encoded: appendScope(nil, s), service: pieces.Service(s.Resource)}
		m.alike[hash] = c
	}
	m.scopes[s] = c
	return c
}

var seed = maphash.MakeSeed()

func alike(a, b *trace.OTLPScope) bool {
	return bytes.Equal(a.Resource, b.Resource) && bytes.Equal(a.Scope, b.Scope) && a.ResourceSchema == b.ResourceSchema && a.ScopeSchema == b.ScopeSchema
}

// scopeOf decodes the bytes of appendScope.
func scopeOf(b []byte) (*trace.OTLPScope, error) {
	d := &Decoder{buf: b, end: len(b)}
	s := &trace.OTLPScope{Resource: bytes.Clone(d.Blob()), Scope: bytes.Clone(d.Blob()), ResourceSchema: string(d.Blob()), ScopeSchema: string(d.Blob())}
	return s, d.err
}

func lengths(list [][]byte) (n int) {
	for _, b := range list {
		n += len(b)
	}
	return n
}

// recordsOf makes the records of one trace. They share no memory with the rows, so that
// keeping a record does not keep its row group.
func recordsOf(rows []row, id trace.ID) ([]Record, error) {
	var j joiner
	size := 0
	for i := range rows {
		r := &rows[i]
		if r.TraceID != id {
			return nil, fmt.Errorf("found trace %s in its place", trace.ID(r.TraceID))
		}
		size += len(r.Raw) + lengths(r.Template) + lengths(r.Rest) + 2*len(r.IDs) + 4*len(r.Times) + len(r.URL) + 16*len(r.Attributes) + 128
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
		if len(r.Scope) == 0 {
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
