package block

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"unicode/utf8"
)

// within says which object of a segment document is being read.
type within uint8

const (
	inOther within = iota
	inSegment
	inSubsegment
	inHTTP
	inRequest
	inResponse
	inAnnotations
	inFixed // aws, service: little of it differs from document to document
	inCall  // aws of a subsegment: what was called
)

// maxDepth is how deep a document may be nested; deeper ones are kept raw.
const maxDepth = 64

// document takes a segment document apart, which need not be a valid one. Only
// what is written in one way alone leaves the template: a joiner makes the same
// bytes.
func (s *splitter) document() bool {
	if !utf8.Valid(s.from) {
		return false
	}
	s.row.InProgress = true
	i := s.blank(0)
	if i, ok := s.value(i, nil, inOther, 0); !ok || s.blank(i) != len(s.from) {
		return false
	}
	s.finish()
	r := s.row
	r.Throttle = r.Throttle || r.Status == 429
	r.Fault = r.Fault || r.Status >= 500 && r.Status < 600
	r.Error = (r.Error || r.Status >= 400 && r.Status < 500) && !r.Throttle
	if r.InProgress {
		r.Duration = 0
	}
	return true
}

func (s *splitter) blank(i int) int {
	for i < len(s.from) && s.from[i] <= ' ' && (s.from[i] == ' ' || s.from[i] == '\n' || s.from[i] == '\t' || s.from[i] == '\r') {
		i++
	}
	return i
}

// text is where the string ends that begins at i, and whether it has escapes.
func (s *splitter) text(i int) (end int, escaped, ok bool) {
	for i++; i < len(s.from); i++ {
		for i+8 <= len(s.from) { // eight bytes at once, up to the first that counts
			m := quoteOrBackslash(binary.LittleEndian.Uint64(s.from[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i == len(s.from) {
			break
		}
		switch s.from[i] {
		case '"':
			return i + 1, escaped, true
		case '\\':
			escaped = true
			i++
		}
	}
	return 0, false, false
}

// quoteOrBackslash has the high bit of the first byte set that is one of them.
// Bits above that one mean nothing.
func quoteOrBackslash(word uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := word^(ones*'"'), word^(ones*'\\')
	return ((quote-ones)&^quote | (backslash-ones)&^backslash) & highs
}

// value reads the value at i, a member of in with a key, and is where it ends.
func (s *splitter) value(i int, key []byte, in within, depth int) (int, bool) {
	if i >= len(s.from) || depth > maxDepth {
		return 0, false
	}
	switch c := s.from[i]; c {
	case '{':
		to := objectIn(key, in, depth)
		if to == inSubsegment {
			s.cut(i)
		}
		return s.object(i, to, depth)
	case '[':
		return s.array(i, key, in, depth)
	case '"':
		end, escaped, ok := s.text(i)
		if ok && !escaped {
			s.scalar(i+1, end-1, key, in, true)
		} else if ok && in != inFixed {
			s.aside(i, end, kindOf(key))
		}
		return end, ok
	default:
		end := i
		for end < len(s.from) && s.from[end] > ' ' && s.from[end] != ',' && s.from[end] != '}' && s.from[end] != ']' {
			end++
		}
		if c == '-' || c >= '0' && c <= '9' {
			s.scalar(i, end, key, in, false)
		} else if in == inSegment && string(s.from[i:end]) == "true" {
			s.flag(key)
		}
		return end, end > i
	}
}

func (s *splitter) flag(key []byte) {
	switch string(key) {
	case "error":
		s.row.Error = true
	case "fault":
		s.row.Fault = true
	case "throttle":
		s.row.Throttle = true
	}
}

// objectIn says what an object is that is a member of another.
func objectIn(key []byte, in within, depth int) within {
	if depth == 0 {
		return inSegment
	}
	switch {
	case in == inFixed || in == inCall:
		return in
	case in == inSegment || in == inSubsegment:
		switch string(key) {
		case "aws":
			if in == inSubsegment {
				return inCall
			}
			return inFixed
		case "service":
			return inFixed
		case "subsegments":
			return inSubsegment
		}
		if in == inSegment {
			switch string(key) {
			case "http":
				return inHTTP
			case "annotations":
				return inAnnotations
			}
		}
	case in == inHTTP:
		switch string(key) {
		case "request":
			return inRequest
		case "response":
			return inResponse
		}
	}
	return inOther
}

func (s *splitter) object(i int, in within, depth int) (int, bool) {
	i = s.blank(i + 1)
	if i < len(s.from) && s.from[i] == '}' {
		return i + 1, true
	}
	for i < len(s.from) && s.from[i] == '"' {
		end, escaped, ok := s.text(i)
		if !ok {
			return 0, false
		}
		key, at := s.from[i+1:end-1], s.blank(end)
		if at >= len(s.from) || s.from[at] != ':' {
			return 0, false
		}
		at = s.blank(at + 1)
		if in == inAnnotations && !escaped && s.annotation(i, end, at, key, &at) {
			// taken
		} else if at, ok = s.value(at, key, in, depth+1); !ok {
			return 0, false
		}
		at = s.blank(at)
		if at >= len(s.from) {
			return 0, false
		}
		if s.from[at] == '}' {
			return at + 1, true
		}
		if s.from[at] != ',' {
			return 0, false
		}
		i = s.blank(at + 1)
	}
	return 0, false
}

func (s *splitter) array(i int, key []byte, in within, depth int) (int, bool) {
	i = s.blank(i + 1)
	if i < len(s.from) && s.from[i] == ']' {
		return i + 1, true
	}
	for {
		at, ok := s.value(i, key, in, depth+1)
		if !ok {
			return 0, false
		}
		if at = s.blank(at); at >= len(s.from) {
			return 0, false
		}
		if s.from[at] == ']' {
			return at + 1, true
		}
		if s.from[at] != ',' {
			return 0, false
		}
		i = s.blank(at + 1)
	}
}

// annotation takes an annotation whose name begins at i, ends at end and has
// its value at the place at: text without escapes, a number or a boolean.
func (s *splitter) annotation(i, end, at int, key []byte, after *int) bool {
	if at != end+1 || at >= len(s.from) {
		return false // white space
	}
	to, operation := at, opNumberPair
	switch c := s.from[at]; {
	case c == '"':
		e, escaped, ok := s.text(at)
		if !ok || escaped {
			return false
		}
		s.hole(i, e, opTextPair)
		s.pairs = append(s.pairs, pair{stringOf(key), stringOf(s.from[at+1 : e-1])})
		*after = e
		return true
	case c == '{' || c == '[':
		return false
	}
	for to < len(s.from) && s.from[to] > ' ' && s.from[to] != ',' && s.from[to] != '}' && s.from[to] != ']' {
		to++
	}
	s.hole(i, to, operation)
	s.pairs = append(s.pairs, pair{stringOf(key), stringOf(s.from[at:to])})
	*after = to
	return true
}

// scalar takes a number or the text of a string, from[i:end].
func (s *splitter) scalar(i, end int, key []byte, in within, quoted bool) {
	b := s.from[i:end]
	switch {
	case in == inSegment && s.ofSegment(i, end, key, quoted):
		return
	case in == inSubsegment && s.ofSubsegment(i, end, key, quoted):
		return
	case in == inRequest && quoted && string(key) == "method" && s.put(colMethod, b):
		s.hole(i, end, opText, colMethod)
		return
	case in == inRequest && quoted && string(key) == "url" && s.put(colURL, b):
		s.hole(i, end, opText, colURL)
		return
	case in == inResponse && !quoted && string(key) == "status" && s.put(colStatus, b):
		s.hole(i, end, opText, colStatus)
		return
	case in == inFixed && string(key) != "request_id" && string(key) != "message_id":
		return
	case in == inCall && (len(b) < asideCall || fewOf(key)):
		return
	}
	switch string(key) {
	case "namespace", "type", "origin", "method", "status":
		return
	}
	s.aside(i, end, kindOf(key))
}

func (s *splitter) ofSegment(i, end int, key []byte, quoted bool) bool {
	b, r := s.from[i:end], s.row
	switch string(key) {
	case "name":
		if ok := quoted && s.put(colName, b); ok {
			s.hole(i, end, opText, colName)
			return true
		}
	case "user":
		if ok := quoted && s.put(colUser, b); ok {
			s.hole(i, end, opText, colUser)
			return true
		}
	case "origin":
		if quoted {
			r.Origin = stringOf(b)
		}
	case "id":
		if id, ok := idOf(b); ok && quoted && !s.hasID {
			s.hasID = true
			binary.BigEndian.PutUint64(r.SpanID[:], id)
			s.hole(i, end, opSpanHex)
			return true
		}
	case "parent_id":
		if id, ok := idOf(b); ok && quoted && r.ParentID == nil {
			r.ParentID = s.made(binary.BigEndian.AppendUint64(s.space, id))
			s.hole(i, end, opParentHex)
			return true
		}
	case "trace_id":
		if quoted && len(b) == 35 && string(b[:2]) == "1-" && b[10] == '-' && isHexOf(b[2:10], r.TraceID[:4]) && isHexOf(b[11:], r.TraceID[4:]) {
			s.hole(i, end, opTraceText)
			return true
		}
		if quoted && isHexOf(b, r.TraceID[:]) {
			s.hole(i, end, opTraceHex)
			return true
		}
	case "start_time":
		if at, decimals, ok := seconds(b); ok && !quoted && r.Start == 0 {
			if !r.InProgress { // the end came first: it is in Duration
				r.Duration -= at
			}
			r.Start, s.start = at, at
			s.hole(i, end, opStartText, decimals)
			return true
		}
	case "end_time":
		if at, decimals, ok := seconds(b); ok && !quoted && r.InProgress {
			r.Duration, r.InProgress = at-r.Start, false
			s.hole(i, end, opEndText, decimals)
			return true
		}
	}
	return false
}

func (s *splitter) ofSubsegment(i, end int, key []byte, quoted bool) bool {
	b := s.from[i:end]
	switch string(key) {
	case "id":
		if id, ok := idOf(b); ok && quoted {
			s.hole(i, end, opRestID)
			s.idBytes = binary.BigEndian.AppendUint64(s.idBytes, id)
			s.ids = append(s.ids, id)
			return true
		}
	case "start_time", "end_time":
		at, decimals, ok := seconds(b)
		if unit := powers[9-decimals]; ok && !quoted && (at-s.start)%unit == 0 {
			operation := opRestEnd
			if key[0] == 's' {
				operation = opRestStart
			}
			s.hole(i, end, operation, decimals)
			s.times = binary.AppendVarint(s.times, (at-s.start)/unit)
			if key[0] == 's' {
				s.start = at
			}
			return true
		}
	}
	return false
}

// powers are those of ten.
var powers = [...]int64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// asideCall is from which length on what was called leaves the template: keys of
// objects, ids of requests.
const asideCall = 16

// fewOf says that a member of what was called has few values, though long ones.
func fewOf(key []byte) bool {
	switch string(key) {
	case "operation", "region", "table_name", "bucket_name", "queue_url", "topic_arn", "function_name":
		return true
	}
	return false
}

// kindOf is a number of what has a key: the same for the same key, and for most
// others another one.
func kindOf(key []byte) byte {
	n := byte(len(key))
	for _, c := range key {
		n = n*31 + c
	}
	return n % kinds
}

// idOf reads 16 hexadecimal digits in lower case.
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

// isHexOf says whether text is id in digits.
func isHexOf(text, id []byte) bool {
	var space [32]byte
	return len(text) == 2*len(id) && string(text) == string(hex.AppendEncode(space[:0], id))
}
