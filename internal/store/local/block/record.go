package block

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Record has everything that a block stores of a segment.
type Record = trace.Record

// Encoder writes records. Scopes are written once, behind the records:
//
//	0         u32: offset of the scopes
//	4         records, and what the caller adds between them
//	offset    uvarint number of scopes; each four times uvarint length and bytes:
//	          resource, scope, resource schema, scope schema
//
// A record:
//
//	uvarint   source | part<<4 | same<<12: same is 1 if the raw bytes are those of
//	          the record before (a span that gives rise to two segments)
//	varint    ReceivedAt minus that of the record before (0 for the first)
//	uvarint   scope: 0 none, else its number counted from 1
//	uvarint   length of the raw bytes, and the bytes; both absent if same
type Encoder struct {
	buf     []byte
	scopes  []*trace.OTLPScope
	numbers map[*trace.OTLPScope]uint64
	last    Record
}

const (
	sourceBits = 4
	sameBit    = 12
)

// Reset empties the encoder and makes room for about that many bytes. It reuses its memory,
// unless that is much larger.
func (e *Encoder) Reset(bytes int) {
	buf := e.buf[:0]
	if cap(buf) < bytes || cap(buf) > 4*bytes+64<<10 {
		buf = make([]byte, 0, bytes+4)
	}
	clear(e.scopes)
	clear(e.numbers)
	*e = Encoder{buf: append(buf, 0, 0, 0, 0), scopes: e.scopes[:0], numbers: e.numbers}
}

// Bytes adds bytes.
func (e *Encoder) Bytes(b []byte) { e.buf = append(e.buf, b...) }

// Uvarint adds a number.
func (e *Encoder) Uvarint(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

// Text adds a length and a string.
func (e *Encoder) Text(s string) {
	e.Uvarint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

// Record adds a record, without its trace id.
func (e *Encoder) Record(r *Record) {
	same := e.last.Raw != nil && len(r.Raw) == len(e.last.Raw) && len(r.Raw) > 0 && string(r.Raw) == string(e.last.Raw)
	head := uint64(r.Source) | uint64(r.Part)<<sourceBits
	if same {
		head |= 1 << sameBit
	}
	e.Uvarint(head)
	e.buf = binary.AppendVarint(e.buf, int64(r.ReceivedAt-e.last.ReceivedAt))
	e.Uvarint(e.scope(r.Scope))
	if !same {
		e.Uvarint(uint64(len(r.Raw)))
		e.buf = append(e.buf, r.Raw...)
	}
	e.last = *r
}

// scope returns the number of a scope.
func (e *Encoder) scope(s *trace.OTLPScope) uint64 {
	if s == nil {
		return 0
	}
	n, ok := e.numbers[s]
	if !ok {
		if e.numbers == nil {
			e.numbers = map[*trace.OTLPScope]uint64{}
		}
		e.scopes = append(e.scopes, s)
		n = uint64(len(e.scopes))
		e.numbers[s] = n
	}
	return n
}

func appendScope(b []byte, s *trace.OTLPScope) []byte {
	for _, part := range [...]string{stringOf(s.Resource), stringOf(s.Scope), s.ResourceSchema, s.ScopeSchema} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// Finish adds the scopes and returns everything, which is valid until Reset.
func (e *Encoder) Finish() []byte {
	binary.LittleEndian.PutUint32(e.buf, uint32(len(e.buf)))
	e.Uvarint(uint64(len(e.scopes)))
	for _, s := range e.scopes {
		e.buf = appendScope(e.buf, s)
	}
	return e.buf
}

// Decoder decodes the bytes of an Encoder. After the first error, which Err returns, it
// returns zero values.
type Decoder struct {
	buf    []byte
	end    int // of the records
	at     int
	scopes []*trace.OTLPScope
	last   Record
	err    error
}

var errShort = errors.New("records end early")

// NewDecoder decodes the scopes of b. Everything that the decoder returns shares the
// memory of b.
func NewDecoder(b []byte) (*Decoder, error) {
	if len(b) < 4 {
		return nil, errShort
	}
	end := int(binary.LittleEndian.Uint32(b))
	if end < 4 || end > len(b) {
		return nil, fmt.Errorf("scopes at %d of %d bytes", end, len(b))
	}
	d := &Decoder{buf: b, end: len(b), at: end}
	n := d.Uvarint()
	for range n {
		s := &trace.OTLPScope{Resource: d.Blob(), Scope: d.Blob(), ResourceSchema: string(d.Blob()), ScopeSchema: string(d.Blob())}
		if d.err != nil {
			return nil, d.err
		}
		d.scopes = append(d.scopes, s)
	}
	d.at, d.end = 4, end
	return d, d.err
}

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

// Done tells whether everything was decoded, or an error ended it.
func (d *Decoder) Done() bool { return d.err != nil || d.at >= d.end }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Uvarint decodes a number.
func (d *Decoder) Uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	n, w := binary.Uvarint(d.buf[d.at:d.end])
	if w <= 0 {
		d.fail(errShort)
		return 0
	}
	d.at += w
	return n
}

func (d *Decoder) varint() int64 {
	if d.err != nil {
		return 0
	}
	n, w := binary.Varint(d.buf[d.at:d.end])
	if w <= 0 {
		d.fail(errShort)
		return 0
	}
	d.at += w
	return n
}

// Bytes returns the next n bytes.
func (d *Decoder) Bytes(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(d.end-d.at) {
		d.fail(errShort)
		return nil
	}
	b := d.buf[d.at : d.at+int(n) : d.at+int(n)]
	d.at += int(n)
	return b
}

// Blob decodes a length and returns that many bytes.
func (d *Decoder) Blob() []byte { return d.Bytes(d.Uvarint()) }

// ID decodes a trace id.
func (d *Decoder) ID() (id trace.ID) {
	copy(id[:], d.Bytes(uint64(len(id))))
	return id
}

// Record decodes a record of a trace.
func (d *Decoder) Record(id trace.ID) Record {
	head := d.Uvarint()
	r := Record{TraceID: id, Source: trace.Source(head & (1<<sourceBits - 1)), Part: uint8(head >> sourceBits)}
	r.ReceivedAt = d.last.ReceivedAt + trace.Time(d.varint())
	if n := d.Uvarint(); n > uint64(len(d.scopes)) {
		d.fail(fmt.Errorf("scope %d of %d", n, len(d.scopes)))
	} else if n > 0 {
		r.Scope = d.scopes[n-1]
	}
	if head>>sameBit&1 == 1 {
		r.Raw = d.last.Raw
	} else {
		r.Raw = d.Blob()
	}
	d.last = r
	if d.err != nil {
		return Record{}
	}
	return r
}
