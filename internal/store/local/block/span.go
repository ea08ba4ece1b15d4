package block

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/decode/pieces"
)

// asideFrom is the size from which a field without a column leaves the template.
const asideFrom = 32

// span splits a span into columns and a template. It returns false for text that is no
// protobuf message.
func (s *splitter) span() bool {
	r, p := s.row, &s.spans
	var endTime int64
	failed, hasStart, hasEnd := false, false, false
	for p.Reset(s.from); p.Next(); {
		value, end := p.Value, p.End
		b := s.from[value:end]
		switch p.Field {
		case pieces.TraceID:
			if string(b) == string(r.TraceID[:]) {
				s.hole(value, end, opTraceRaw)
				continue
			}
		case pieces.ID:
			if !s.hasID {
				s.hasID = true
				copy(r.SpanID[:], b)
				s.hole(value, end, opSpanRaw)
				continue
			}
		case pieces.ParentID:
			if r.ParentID == nil {
				r.ParentID = b
				s.hole(value, end, opParentRaw)
				continue
			}
		case pieces.Name:
			if s.put(colName, b) {
				s.hole(p.Start+1, end, opMessageText, colName)
				continue
			}
		case pieces.Kind:
			r.Kind = int32(p.Number)
		case pieces.StartTime:
			if !hasStart {
				hasStart = true
				r.Start = int64(p.Number)
				s.hole(value, end, opStartFixed)
			}
		case pieces.EndTime:
			if !hasEnd {
				hasEnd = true
				endTime = int64(p.Number)
				s.hole(value, end, opEndFixed)
			}
		case pieces.Attribute:
			s.attribute(p.Start, end, &p.Attribute)
			continue
		case pieces.Failed:
			failed = true
			if len(b) < asideFrom {
				continue
			}
		}
		if end-p.Start >= asideFrom {
			s.aside(p.Start, end, s.from[p.Start]%kinds)
		}
	}
	if !p.Whole() {
		return false
	}
	r.Duration = endTime - r.Start
	s.finish()
	r.Throttle = r.Status == 429
	r.Error = r.Status >= 400 && r.Status < 500 && !r.Throttle
	r.Fault = r.Status >= 500 && r.Status < 600 || failed && !r.Error && !r.Throttle
	return true
}

// spanColumns are the columns of attributes of spans.
var spanColumns = [...]byte{pieces.Method: colMethod, pieces.URL: colURL, pieces.Route: colRoute, pieces.User: colUser, pieces.Status: colStatus}

// attribute moves an attribute, whose field is from[start:end], into a column or a pair.
func (s *splitter) attribute(start, end int, a *pieces.SpanAttribute) {
	text := a.Text
	switch a.Type {
	case pieces.IntValue:
		text = s.made(strconv.AppendInt(s.space, int64(a.Bits), 10))
	case pieces.BoolValue:
		text = s.made(strconv.AppendBool(s.space, a.Bits == 1))
	case pieces.DoubleValue:
		text = s.made(strconv.AppendFloat(s.space, math.Float64frombits(a.Bits), 'g', -1, 64))
	}
	if field := a.Field(); field != pieces.Other {
		if c := spanColumns[field]; s.put(c, text) {
			s.hole(start, end, opSpanColumn, byte(a.Type), c)
			s.template = binary.AppendUvarint(s.template, uint64(len(a.Key)))
			s.template = append(s.template, a.Key...)
			return
		}
	}
	s.hole(start, end, opSpanPair, byte(a.Type))
	s.pairs = append(s.pairs, pair{stringOf(a.Key), stringOf(text)})
}

// attribute writes the field of an attribute of a span.
func (j *joiner) attribute(kind byte, key, text string) {
	as, bits := pieces.ValueType(kind), uint64(0)
	switch as {
	case pieces.IntValue:
		n, _ := strconv.ParseInt(text, 10, 64)
		bits = uint64(n)
	case pieces.BoolValue:
		if text == "true" {
			bits = 1
		}
	case pieces.DoubleValue:
		f, _ := strconv.ParseFloat(text, 64)
		bits = math.Float64bits(f)
	}
	j.out = pieces.AppendAttribute(j.out, key, as, text, bits)
}
