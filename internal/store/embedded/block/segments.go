package block

import (
	"encoding/binary"
	"errors"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Restore makes a segment from what was kept of it; see decode.Restore.
type Restore func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error)

var errShort = errors.New("data is cut short")

// AppendSegments appends segments in the form in which log and blocks keep them:
//
//	scopes  count, then resource, scope and both schema URLs of each
//	segments count, then source, part, receipt, scope (0: none), raw of each
//
// Counts, lengths and receipts are varints. A scope that several segments share
// is written once.
func AppendSegments(b []byte, segments []*trace.Segment) []byte {
	var scopes []*trace.OTLPScope
	number := map[*trace.OTLPScope]int{}
	for _, s := range segments {
		if s.Scope != nil && number[s.Scope] == 0 {
			scopes = append(scopes, s.Scope)
			number[s.Scope] = len(scopes)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(scopes)))
	for _, c := range scopes {
		b = appendBytes(b, c.Resource)
		b = appendBytes(b, c.Scope)
		b = appendBytes(b, c.ResourceSchema)
		b = appendBytes(b, c.ScopeSchema)
	}
	b = binary.AppendUvarint(b, uint64(len(segments)))
	for _, s := range segments {
		b = append(b, byte(s.Source), s.Part)
		b = binary.AppendVarint(b, int64(s.ReceivedAt))
		b = binary.AppendUvarint(b, uint64(number[s.Scope]))
		b = appendBytes(b, s.Raw)
	}
	return b
}

func appendBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// ReadSegments restores what AppendSegments wrote and returns what follows. The
// segments hold no part of b.
func ReadSegments(b []byte, restore Restore) ([]*trace.Segment, []byte, error) {
	r := reader{b: b}
	var scopes []*trace.OTLPScope
	for range r.count() {
		scopes = append(scopes, &trace.OTLPScope{Resource: r.copy(), Scope: r.copy(), ResourceSchema: string(r.bytes()), ScopeSchema: string(r.bytes())})
	}
	var out []*trace.Segment
	for range r.count() {
		source, part := trace.Source(r.byte()), r.byte()
		at := trace.Time(r.varint())
		number := r.uvarint()
		raw := r.copy()
		if r.bad || number > uint64(len(scopes)) {
			return nil, nil, errShort
		}
		var scope *trace.OTLPScope
		if number > 0 {
			scope = scopes[number-1]
		}
		s, err := restore(source, raw, scope, part, at)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, s)
	}
	if r.bad {
		return nil, nil, errShort
	}
	return out, r.b, nil
}

// reader reads varints and byte strings; bad is set once something is missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of elements, each of at least a byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// bytes reads a byte string that is part of the data.
func (r *reader) bytes() []byte {
	n := r.count()
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) copy() []byte { return append([]byte(nil), r.bytes()...) }
