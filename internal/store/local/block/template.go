package block

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/fluoro-io/fluoro/internal/decode/pieces"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A template holds the bytes that many documents or spans share, and between them
// operations that insert values from the row's columns. Rows of one kind share one
// template in the dictionary, so it takes little space. Its form is
//
//	uvarint length, literal bytes, an operation with its operands, and so on
//
// and it ends with a literal. It is cut before each embedded subsegment, because there are
// few kinds of subsegments, but many combinations of them.
type op byte

// The operations. Their numbers are part of the format.
const (
	opTraceRaw    op = iota + 1 // trace_id, 16 bytes
	opTraceText                 // as X-Ray writes it
	opTraceHex                  // 32 digits
	opSpanRaw                   // span_id, 8 bytes
	opSpanHex                   // 16 digits
	opParentRaw                 // 8 bytes: parent_span_id, or the id that parent and parent_entity refer to
	opParentHex                 // 16 digits
	opStartFixed                // start, 8 bytes
	opEndFixed                  // start + duration, 8 bytes
	opStartText                 // decimals: start in seconds
	opEndText                   // decimals
	opMessageText               // column: uvarint length and text
	opText                      // column: text, or the number of http_status
	opSpanColumn                // type, column, uvarint length, key: an attribute of a span, its value is in a column
	opSpanPair                  // type: an attribute of a span, the next pair of the attributes column
	opTextPair                  // an annotation, the next pair of the attributes column: "key":"value"
	opNumberPair                // "key":value
	opRest                      // kind: the next value of rest; values of one kind lie together in the dictionary
	opRestID                    // the next 8 bytes of rest_ids as 16 digits: the id of an embedded subsegment
	opRestStart                 // decimals; the next varint of rest_times: the difference to the previous start (to received for the first one) in units of the last decimal
	opRestEnd                   // the same for an end
)

// kinds is the number of kinds of rest.
const kinds = 64

// Columns whose text a template inserts, as operands.
const (
	colName = iota
	colMethod
	colURL
	colRoute
	colUser
	colStatus
	textColumns
)

// column returns where a row keeps a column's text; nil for colStatus.
func (r *row) column(c byte) *string {
	switch c {
	case colName:
		return &r.Name
	case colMethod:
		return &r.Method
	case colURL:
		return &r.URL
	case colRoute:
		return &r.Route
	case colUser:
		return &r.User
	}
	return nil
}

// put moves a value into a column. It returns false if the column already has one or
// cannot restore the text.
func (s *splitter) put(c byte, text []byte) bool {
	if c == colStatus {
		n, ok := smallNumber(text)
		if ok = ok && s.row.Status == 0 && n > 0; ok {
			s.row.Status = n
		}
		return ok
	}
	place := s.row.column(c)
	if *place != "" || len(text) == 0 {
		return false
	}
	*place = stringOf(text)
	return true
}

// smallNumber reads a number of up to four digits without leading zeros.
func smallNumber(s []byte) (n int32, ok bool) {
	if len(s) == 0 || len(s) > 4 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int32(c-'0')
	}
	return n, true
}

// splitter splits a record into a template and the row's columns. It reuses its buffers.
type splitter struct {
	row      *row
	template []byte
	cuts     []int // offsets in template where a piece begins
	pieces   [][]byte
	idBytes  []byte
	times    []byte
	rest     [][]byte
	kinds    []byte // of the values of rest
	pairs    []pair
	ids      []uint64 // of embedded subsegments
	from     []byte   // the received record
	done     int      // from[:done] is in the template
	start    int64    // the previous start, of the segment or a subsegment
	hasID    bool     // the row has its own id
	space    []byte   // memory of values that from does not contain as such
	doc      pieces.Document
	spans    pieces.Span
}

func (s *splitter) reset(r *row, from []byte) {
	s.row, s.from, s.done, s.start, s.hasID = r, from, 0, r.Received, false
	s.cuts, s.pieces = s.cuts[:0], s.pieces[:0]
	s.template, s.idBytes, s.times, s.rest, s.kinds, s.pairs, s.ids, s.space = s.template[:0], s.idBytes[:0], s.times[:0], s.rest[:0], s.kinds[:0], s.pairs[:0], s.ids[:0], s.space[:0]
}

// made returns the bytes that were appended to s.space. They are valid until reset.
func (s *splitter) made(space []byte) []byte {
	at := len(s.space)
	s.space = space
	return space[at:len(space):len(space)]
}

// stringOf returns a string that shares the memory of b, which nobody may change.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// hole replaces from[start:end] by an operation.
func (s *splitter) hole(start, end int, operation op, operands ...byte) {
	s.literal(start)
	s.template = append(append(s.template, byte(operation)), operands...)
	s.done = end
}

func (s *splitter) literal(until int) {
	s.template = binary.AppendUvarint(s.template, uint64(until-s.done))
	s.template = append(s.template, s.from[s.done:until]...)
	s.done = until
}

// aside moves from[start:end] to the rest.
func (s *splitter) aside(start, end int, kind byte) {
	s.hole(start, end, opRest, kind)
	s.rest, s.kinds = append(s.rest, s.from[start:end]), append(s.kinds, kind)
}

// restKinds appends the kinds that a template gives to the first n values of rest.
func restKinds(to []byte, template [][]byte, n int) []byte {
	for _, piece := range template {
		for t := (cursor{b: piece}); n > 0; {
			t.blob()
			if len(t.b) == 0 || t.short {
				break
			}
			switch op(t.one()) {
			case opRest:
				to = append(to, t.one()%kinds)
				n--
			case opStartText, opEndText, opMessageText, opText, opSpanPair, opRestStart, opRestEnd:
				t.one()
			case opSpanColumn:
				t.bytes(2)
				t.blob()
			}
		}
	}
	return append(to, make([]byte, n)...)
}

// cut begins a new piece of the template at an offset of from.
func (s *splitter) cut(at int) {
	s.literal(at)
	s.cuts = append(s.cuts, len(s.template))
}

func (s *splitter) finish() {
	s.literal(len(s.from))
	at := 0
	for _, cut := range s.cuts {
		s.pieces = append(s.pieces, s.template[at:cut:cut])
		at = cut
	}
	s.pieces = append(s.pieces, s.template[at:])
}

var errTemplate = errors.New("a template does not fit its row")

// joiner restores the records of one trace from their rows.
type joiner struct {
	out     []byte
	bounds  []int      // offsets in out where each row ends
	ids     [][]uint64 // by row: its own id, then the ids of embedded subsegments
	idSpace []uint64
	parents []hole
	number  []byte
}

// hole is a place in the output for the id of an entity of another row.
type hole struct {
	at, row, entity int
	hex             bool
}

// add restores the next row of a trace.
func (j *joiner) add(r *row) error {
	at := len(j.idSpace)
	j.idSpace = append(j.idSpace, binary.BigEndian.Uint64(r.SpanID[:]))
	if len(r.Template) == 0 {
		j.out = append(j.out, r.Raw...)
	} else if err := j.fill(r); err != nil {
		return err
	}
	j.ids = append(j.ids, j.idSpace[at:len(j.idSpace):len(j.idSpace)])
	j.bounds = append(j.bounds, len(j.out))
	return nil
}

// finish fills in the ids of parents in other rows.
func (j *joiner) finish() error {
	for _, h := range j.parents {
		if h.row < 0 || h.row >= len(j.ids) || h.entity < 0 || h.entity >= len(j.ids[h.row]) {
			return fmt.Errorf("the parent is entity %d of row %d of %d", h.entity, h.row, len(j.ids))
		}
		var id [8]byte
		binary.BigEndian.PutUint64(id[:], j.ids[h.row][h.entity])
		if h.hex {
			hex.Encode(j.out[h.at:h.at+16], id[:])
		} else {
			copy(j.out[h.at:], id[:])
		}
	}
	return nil
}

// raw returns the record of row n. Call finish before.
func (j *joiner) raw(n int) []byte {
	from := 0
	if n > 0 {
		from = j.bounds[n-1]
	}
	return j.out[from:j.bounds[n]:j.bounds[n]]
}

func (j *joiner) fill(r *row) error {
	t, ids, times := cursor{b: r.Template[0]}, cursor{b: r.IDs}, cursor{b: r.Times}
	rest, pairs, start := r.Rest, r.Attributes, r.Received
	for piece := 0; ; {
		j.out = append(j.out, t.blob()...)
		if t.short {
			break
		}
		if len(t.b) == 0 {
			if piece++; piece == len(r.Template) {
				break
			}
			t.b = r.Template[piece]
			continue
		}
		switch operation := op(t.one()); operation {
		case opTraceRaw:
			j.out = append(j.out, r.TraceID[:]...)
		case opTraceText:
			j.out = append(j.out, trace.ID(r.TraceID).String()...)
		case opTraceHex:
			j.out = hex.AppendEncode(j.out, r.TraceID[:])
		case opSpanRaw:
			j.out = append(j.out, r.SpanID[:]...)
		case opSpanHex:
			j.out = hex.AppendEncode(j.out, r.SpanID[:])
		case opParentRaw, opParentHex:
			j.parent(r, operation == opParentHex)
		case opStartFixed:
			j.out = binary.LittleEndian.AppendUint64(j.out, uint64(r.Start))
		case opEndFixed:
			j.out = binary.LittleEndian.AppendUint64(j.out, uint64(r.Start+r.Duration))
		case opStartText:
			start = r.Start
			j.out = appendSeconds(j.out, r.Start, t.one())
		case opEndText:
			j.out = appendSeconds(j.out, r.Start+r.Duration, t.one())
		case opMessageText, opText:
			text := j.text(r, t.one())
			if operation == opMessageText {
				j.out = binary.AppendUvarint(j.out, uint64(len(text)))
			}
			j.out = append(j.out, text...)
		case opSpanColumn:
			kind, c := t.one(), t.one()
			j.attribute(kind, stringOf(t.blob()), j.text(r, c))
		case opSpanPair:
			if len(pairs) == 0 {
				return errTemplate
			}
			j.attribute(t.one(), pairs[0].Key, pairs[0].Value)
			pairs = pairs[1:]
		case opTextPair, opNumberPair:
			if len(pairs) == 0 {
				return errTemplate
			}
			p := &pairs[0]
			pairs = pairs[1:]
			j.out = append(append(append(j.out, '"'), p.Key...), '"', ':')
			if operation == opTextPair {
				j.out = append(append(append(j.out, '"'), p.Value...), '"')
			} else {
				j.out = append(j.out, p.Value...)
			}
		case opRest:
			if t.one(); len(rest) == 0 {
				return errTemplate
			}
			j.out, rest = append(j.out, rest[0]...), rest[1:]
		case opRestID:
			if id := ids.bytes(8); id != nil {
				j.idSpace = append(j.idSpace, binary.BigEndian.Uint64(id))
				j.out = hex.AppendEncode(j.out, id)
			}
		case opRestStart, opRestEnd:
			decimals := t.one()
			if decimals > 9 {
				return errTemplate
			}
			at := start + times.varint()*powers[9-decimals]
			if operation == opRestStart {
				start = at
			}
			j.out = appendSeconds(j.out, at, decimals)
		default:
			return fmt.Errorf("operation %d of a template is not known", operation)
		}
		if len(j.out) > maxChunk {
			return fmt.Errorf("a trace of more than %d bytes", maxChunk)
		}
		if t.short || ids.short || times.short {
			break
		}
	}
	if t.short || ids.short || times.short {
		return errTemplate
	}
	return nil
}

// cursor reads a template, ids or times. After the end it returns zeros and sets short.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.b, c.short = nil, true
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) one() byte {
	if len(c.b) == 0 {
		c.short = true
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return b
}

func (c *cursor) blob() []byte {
	if len(c.b) > 0 && c.b[0] < 0x80 { // most are short
		n := uint64(c.b[0])
		c.b = c.b[1:]
		return c.bytes(n)
	}
	n, w := binary.Uvarint(c.b)
	if w <= 0 {
		c.b, c.short = nil, true
		return nil
	}
	c.b = c.b[w:]
	return c.bytes(n)
}

func (c *cursor) varint() int64 {
	n, w := binary.Varint(c.b)
	if w <= 0 {
		c.b, c.short = nil, true
		return 0
	}
	c.b = c.b[w:]
	return n
}

// text returns the text of a column, valid until the next call.
func (j *joiner) text(r *row, c byte) string {
	if p := r.column(c); p != nil {
		return *p
	}
	j.number = strconv.AppendInt(j.number[:0], int64(r.Status), 10)
	return stringOf(j.number)
}

func (j *joiner) parent(r *row, asHex bool) {
	if r.Parent != 0 {
		j.parents = append(j.parents, hole{len(j.out), len(j.bounds) - int(r.Parent), int(r.ParentEntity), asHex})
		j.out = append(j.out, 0, 0, 0, 0, 0, 0, 0, 0)
		if asHex {
			j.out = append(j.out, 0, 0, 0, 0, 0, 0, 0, 0)
		}
		return
	}
	if asHex {
		j.out = hex.AppendEncode(j.out, r.ParentID)
		return
	}
	j.out = append(j.out, r.ParentID...)
}

// appendSeconds appends a time in nanoseconds as seconds with this number of decimals.
func appendSeconds(b []byte, at int64, decimals byte) []byte {
	if at < 0 || decimals > 9 {
		return append(b, '?') // a damaged template: the splitter never writes one
	}
	b = strconv.AppendInt(b, at/1e9, 10)
	if decimals == 0 {
		return b
	}
	b = append(b, '.')
	digits := at % 1e9
	for i, unit := 0, int64(1e8); i < int(decimals); i, unit = i+1, unit/10 {
		b = append(b, byte('0'+digits/unit%10))
	}
	return b
}

// seconds reads a number of seconds that appendSeconds can write with the same digits. at
// is in nanoseconds.
func seconds(b []byte) (at int64, decimals byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		at = 10*at + int64(b[i]-'0')
		if i == 10 {
			return 0, 0, false
		}
	}
	if i == 0 || b[0] == '0' || at > math.MaxInt64/1_000_000_000-1 {
		return 0, 0, false
	}
	at *= 1e9
	if i == len(b) {
		return at, 0, true
	}
	if b[i] != '.' || len(b)-i-1 > 9 || len(b)-i-1 == 0 {
		return 0, 0, false
	}
	unit := int64(1e8)
	for _, c := range b[i+1:] {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		at += unit * int64(c-'0')
		unit /= 10
	}
	return at, byte(len(b) - i - 1), true
}
