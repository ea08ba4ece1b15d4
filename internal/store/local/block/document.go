package block

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/decode/pieces"
)

// document splits a segment document into columns and a template. It returns false for
// text that is not UTF-8, not a JSON object, or nests too deep. Only values that have one
// spelling leave the template, so that the joiner writes the same bytes.
func (s *splitter) document() bool {
	if !utf8.Valid(s.from) {
		return false
	}
	r, d := s.row, &s.doc
	r.InProgress = true
	for d.Reset(s.from); d.Next(); {
		start, end := d.Start, d.End
		b, taken := s.from[start:end], false
		switch d.Field {
		case pieces.Subsegment:
			s.cut(start)
			continue
		case pieces.Annotation:
			s.annotation(d)
			continue
		case pieces.CallDetail:
			taken = len(b) < asideCall // it stays in the template
		case pieces.ID:
			if id, ok := idOf(b); ok && !s.hasID {
				s.hasID, taken = true, true
				binary.BigEndian.PutUint64(r.SpanID[:], id)
				s.hole(start, end, opSpanHex)
			}
		case pieces.ParentID:
			if id, ok := idOf(b); ok && r.ParentID == nil {
				taken = true
				r.ParentID = s.made(binary.BigEndian.AppendUint64(s.space, id))
				s.hole(start, end, opParentHex)
			}
		case pieces.TraceID:
			taken = s.traceID(start, end)
		case pieces.StartTime, pieces.EndTime:
			taken = s.time(start, end)
		case pieces.Name:
			taken = s.text(colName, start, end)
		case pieces.User:
			taken = s.text(colUser, start, end)
		case pieces.URL:
			taken = s.text(colURL, start, end)
		case pieces.Method: // methods and statuses have few values: the template may keep them
			s.text(colMethod, start, end)
			continue
		case pieces.Status:
			s.text(colStatus, start, end)
			continue
		case pieces.Origin:
			r.Origin = stringOf(b)
			continue
		case pieces.SubsegmentID:
			if id, ok := idOf(b); ok {
				taken = true
				s.hole(start, end, opRestID)
				s.idBytes = binary.BigEndian.AppendUint64(s.idBytes, id)
				s.ids = append(s.ids, id)
			}
		case pieces.SubsegmentStart, pieces.SubsegmentEnd:
			taken = s.subsegmentTime(start, end)
		case pieces.Error:
			r.Error = true
			continue
		case pieces.Fault:
			r.Fault = true
			continue
		case pieces.Throttle:
			r.Throttle = true
			continue
		}
		if !taken {
			s.aside(start, end, kindOf(d.Key))
		}
	}
	if !d.Whole() {
		return false
	}
	s.finish()
	r.Throttle = r.Throttle || r.Status == 429
	r.Fault = r.Fault || r.Status >= 500 && r.Status < 600
	r.Error = (r.Error || r.Status >= 400 && r.Status < 500) && !r.Throttle
	if r.InProgress {
		r.Duration = 0
	}
	return true
}

// text moves a piece into a column that is free.
func (s *splitter) text(column byte, start, end int) bool {
	if !s.put(column, s.from[start:end]) {
		return false
	}
	s.hole(start, end, opText, column)
	return true
}

// annotation moves an annotation, with its key, into the next pair.
func (s *splitter) annotation(d *pieces.Document) {
	s.pairs = append(s.pairs, pair{stringOf(d.Key), stringOf(s.from[d.Start:d.End])})
	if d.Quoted {
		s.hole(d.Start-len(d.Key)-len(`"":"`), d.End+len(`"`), opTextPair)
	} else {
		s.hole(d.Start-len(d.Key)-len(`"":`), d.End, opNumberPair)
	}
}

// traceID replaces the row's trace id, in X-Ray's form or in 32 digits.
func (s *splitter) traceID(start, end int) bool {
	b, id := s.from[start:end], s.row.TraceID[:]
	switch {
	case len(b) == 35 && string(b[:2]) == "1-" && b[10] == '-' && isHexOf(b[2:10], id[:4]) && isHexOf(b[11:], id[4:]):
		s.hole(start, end, opTraceText)
	case isHexOf(b, id):
		s.hole(start, end, opTraceHex)
	default:
		return false
	}
	return true
}

// time moves the segment's first start or first end into its column.
func (s *splitter) time(start, end int) bool {
	r := s.row
	at, decimals, ok := seconds(s.from[start:end])
	switch {
	case !ok:
		return false
	case s.doc.Field == pieces.StartTime && r.Start == 0:
		if !r.InProgress { // the end came first: it is in Duration
			r.Duration -= at
		}
		r.Start, s.start = at, at
		s.hole(start, end, opStartText, decimals)
	case s.doc.Field == pieces.EndTime && r.InProgress:
		r.Duration, r.InProgress = at-r.Start, false
		s.hole(start, end, opEndText, decimals)
	default:
		return false
	}
	return true
}

// subsegmentTime stores a time as its difference to the previous start.
func (s *splitter) subsegmentTime(start, end int) bool {
	at, decimals, ok := seconds(s.from[start:end])
	unit := powers[9-decimals]
	if !ok || (at-s.start)%unit != 0 {
		return false
	}
	s.times = binary.AppendVarint(s.times, (at-s.start)/unit)
	if s.doc.Field == pieces.SubsegmentEnd {
		s.hole(start, end, opRestEnd, decimals)
		return true
	}
	s.hole(start, end, opRestStart, decimals)
	s.start = at
	return true
}

// powers holds the powers of ten.
var powers = [...]int64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// asideCall is the length from which a detail of a call leaves the template: keys of
// objects and ids of requests are longer.
const asideCall = 16

// kindOf numbers keys, so that the dictionary keeps values of one key together. Two keys
// may share a number.
func kindOf(key []byte) byte {
	n := byte(len(key))
	for _, c := range key {
		n = n*31 + c
	}
	return n % kinds
}

// idOf reads 16 lower-case hexadecimal digits.
func idOf(b []byte) (id uint64, ok bool) {
	if len(b) != 16 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			id = id<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			id = id<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return id, true
}

// isHexOf says whether text is id in lower-case hexadecimal digits.
func isHexOf(text, id []byte) bool {
	const digits = "0123456789abcdef"
	if len(text) != 2*len(id) {
		return false
	}
	for i, c := range id {
		if text[2*i] != digits[c>>4] || text[2*i+1] != digits[c&15] {
			return false
		}
	}
	return true
}
