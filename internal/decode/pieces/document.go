// Package pieces finds the values of an accepted segment document or span by their
// meaning, without decoding it again, for a store that keeps them in columns. All bytes
// between the values repeat from document to document.
package pieces

import (
	"encoding/binary"
	"math/bits"
)

// Field says which value of a segment document (X-Ray developer guide, "Segment
// documents") or span a piece holds.
type Field uint8

// The fields of pieces. The segment is the outermost entity, which may be an independent
// subsegment; a subsegment is an embedded one.
const (
	few Field = iota // the value repeats from document to document, so it is no piece

	Other      // any other string or number
	CallDetail // a string or number in aws of a subsegment that differs from call to call
	Annotation // an annotation of the segment: a string, a number or a literal
	Subsegment // the opening brace of a subsegment

	// Strings of the segment.
	ID
	ParentID
	TraceID
	Name
	User
	Origin
	Method // http.request.method
	URL    // http.request.url

	// Numbers of the segment.
	StartTime
	EndTime
	Status // http.response.status

	// Flags of the segment that are true.
	Error
	Fault
	Throttle

	// Members of a subsegment: a string and two numbers.
	SubsegmentID
	SubsegmentStart
	SubsegmentEnd

	// Fields that only spans have.
	Kind
	Attribute // with a value of a basic type
	Failed    // a status with the code of an error
	Route     // the attribute http.route
)

// maxDepth is how deep values may be nested.
const maxDepth = 64

// Document iterates over the pieces of a segment document, the values that differ from
// document to document; the text between them repeats.
//
//	for d.Reset(text); d.Next(); {
//		… d.Field, text[d.Start:d.End]
//	}
//	if d.Whole() …
//
// It finds structure and does not validate: it is for documents that package decode has
// accepted. In other text it may find pieces that mean nothing, but they still lie inside
// the text, in order and without overlap. A Document may be used again and allocates
// nothing.
type Document struct {
	Field Field
	// Quoted says that the piece is the content of a string without escapes; the quotes
	// stand outside. The piece of a string with escapes includes its quotes.
	Quoted bool
	// Key is the key of the piece, as written, without quotes. Elements of an array have
	// the array's key.
	Key []byte
	// Start and End are the offsets of the piece. The key of an Annotation stands just
	// before it: "key":piece or "key":"piece", without white space.
	Start, End int

	text  []byte
	at    int  // the next byte to read
	first bool // at is the place just after an opening bracket
	depth int  // number of open containers, 0 at the end, -1 after Next gave up
	inner container
	outer [maxDepth + 1]container // the containers around inner, by their depth
}

// container is an open object or array.
type container struct {
	in      object
	closing byte
	key     []byte // the key of an array
}

// object says which object of a document holds a value, directly or in an array.
type object uint8

const (
	inOther object = iota
	inSegment
	inSubsegment
	inHTTP
	inRequest
	inResponse
	inAnnotations
	inFixed // aws or service: most values repeat
	inCall  // aws of a subsegment: describes a call
)

// Reset begins with another document. Key shares its memory.
func (d *Document) Reset(text []byte) {
	d.text, d.at, d.depth = text, skipBlank(text, 0), -1
	if d.at < len(text) && text[d.at] == '{' {
		d.at, d.depth, d.first = d.at+1, 1, true
		d.inner = container{in: inSegment, closing: '}'}
	}
}

// Whole says whether Next read the document to its end. It did not if it met text that is
// not a JSON object, or values that are nested more than 64 deep.
func (d *Document) Whole() bool { return d.depth == 0 && skipBlank(d.text, d.at) == len(d.text) }

func (d *Document) push(in object, closing byte, key []byte) {
	d.outer[d.depth] = d.inner
	d.inner = container{in, closing, key}
	d.depth++
	d.first = true
}

func (d *Document) giveUp() bool {
	d.depth = -1
	return false
}

// Next moves to the next piece. It returns false after the last one, and where it gives
// up. It is one function because calls for each member and value made it 8 % slower.
func (d *Document) Next() bool {
	b, i := d.text, d.at
	for d.depth > 0 {
		c := &d.inner
		if i = skipBlank(b, i); i >= len(b) {
			return d.giveUp()
		}
		if b[i] == c.closing {
			d.depth--
			d.inner, d.first = d.outer[d.depth], false
			i++
			d.at = i
			continue
		}
		if !d.first {
			if b[i] != ',' {
				return d.giveUp()
			}
			i = skipBlank(b, i+1)
		}
		d.first = false

		key, annotation := c.key, false
		if c.closing == '}' {
			if i >= len(b) || b[i] != '"' {
				return d.giveUp()
			}
			end, escaped := stringEnd(b, i)
			if end == 0 {
				return d.giveUp()
			}
			key = b[i+1 : end-1]
			if i = skipBlank(b, end); i >= len(b) || b[i] != ':' {
				return d.giveUp()
			}
			i = skipBlank(b, i+1)
			annotation = c.in == inAnnotations && !escaped && i == end+1
		}
		if i >= len(b) || d.depth > maxDepth {
			return d.giveUp()
		}

		start, end, field, quoted := i, i+1, few, false
		switch b[i] {
		case '{':
			in := c.in.object(key)
			d.push(in, '}', nil)
			if in == inSubsegment {
				field = Subsegment
			}
		case '[':
			d.push(c.in, ']', key)
		case '"':
			var escaped bool
			if end, escaped = stringEnd(b, i); end == 0 {
				return d.giveUp()
			}
			quoted = !escaped
			switch {
			case quoted && annotation:
				field = Annotation
			case quoted:
				field = c.in.text(key)
			case c.in != inFixed:
				field = Other
			}
		default:
			if end = tokenEnd(b, i); end == i {
				return d.giveUp()
			}
			switch {
			case annotation:
				field = Annotation
			case b[i] == '-' || b[i] >= '0' && b[i] <= '9':
				field = c.in.number(key)
			case c.in == inSegment && string(b[i:end]) == "true":
				field = flag(key)
			}
		}
		i = end
		if field == few {
			continue
		}
		if quoted {
			start, end = start+1, end-1
		}
		d.Field, d.Quoted, d.Key, d.Start, d.End, d.at = field, quoted, key, start, end, i
		return true
	}
	return false
}

// object returns the object that a key of this object has, or an array under that key.
func (in object) object(key []byte) object {
	switch in {
	case inFixed, inCall:
		return in
	case inSegment:
		switch string(key) {
		case "http":
			return inHTTP
		case "annotations":
			return inAnnotations
		case "aws", "service":
			return inFixed
		case "subsegments":
			return inSubsegment
		}
	case inSubsegment:
		switch string(key) {
		case "aws":
			return inCall
		case "service":
			return inFixed
		case "subsegments":
			return inSubsegment
		}
	case inHTTP:
		switch string(key) {
		case "request":
			return inRequest
		case "response":
			return inResponse
		}
	}
	return inOther
}

// text returns the field of a string without escapes.
func (in object) text(key []byte) Field {
	switch in {
	case inSegment:
		switch string(key) {
		case "id":
			return ID
		case "parent_id":
			return ParentID
		case "trace_id":
			return TraceID
		case "name":
			return Name
		case "user":
			return User
		case "origin":
			return Origin
		}
	case inSubsegment:
		if string(key) == "id" {
			return SubsegmentID
		}
	case inRequest:
		switch string(key) {
		case "method":
			return Method
		case "url":
			return URL
		}
	}
	return in.other(key)
}

// number returns the field of a number.
func (in object) number(key []byte) Field {
	switch in {
	case inSegment:
		switch string(key) {
		case "start_time":
			return StartTime
		case "end_time":
			return EndTime
		}
	case inSubsegment:
		switch string(key) {
		case "start_time":
			return SubsegmentStart
		case "end_time":
			return SubsegmentEnd
		}
	case inResponse:
		if string(key) == "status" {
			return Status
		}
	}
	return in.other(key)
}

// other returns the field of a string or number that text and number do not know.
func (in object) other(key []byte) Field {
	switch in {
	case inFixed:
		if string(key) != "request_id" && string(key) != "message_id" {
			return few
		}
	case inCall:
		switch string(key) {
		case "operation", "region", "table_name", "bucket_name", "queue_url", "topic_arn", "function_name",
			"namespace", "type", "origin", "method", "status":
			return few
		}
		return CallDetail
	}
	switch string(key) {
	case "namespace", "type", "origin", "method", "status":
		return few
	}
	return Other
}

// flag returns the field of a flag of the segment.
func flag(key []byte) Field {
	switch string(key) {
	case "error":
		return Error
	case "fault":
		return Fault
	case "throttle":
		return Throttle
	}
	return few
}

// skipBlank returns the place of the first byte from i on that is not white space.
func skipBlank(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// tokenEnd returns where the number or literal ends that begins at i.
func tokenEnd(b []byte, i int) int {
	for i < len(b) && !endsToken[b[i]] {
		i++
	}
	return i
}

// endsToken says which bytes end a number or literal: white space, control characters, a
// comma, a closing bracket.
var endsToken = func() (is [256]bool) {
	for c := range is {
		is[c] = c <= ' ' || c == ',' || c == '}' || c == ']'
	}
	return is
}()

// stringEnd returns where the string ends that begins at i, after its closing quote, and
// whether it has escapes. end is 0 if nothing closes the string.
func stringEnd(b []byte, i int) (end int, escaped bool) {
	for i++; i < len(b); i++ {
		if i+8 <= len(b) { // eight bytes at once, up to the first that counts
			m := quoteOrBackslash(binary.LittleEndian.Uint64(b[i:]))
			if m == 0 {
				i += 7
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
		}
		switch b[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			i++
		}
	}
	return 0, false
}

// quoteOrBackslash sets the high bit of the first byte that is one of them. Bits above
// that one mean nothing.
func quoteOrBackslash(word uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := word^(ones*'"'), word^(ones*'\\')
	return ((quote-ones)&^quote | (backslash-ones)&^backslash) & highs
}
