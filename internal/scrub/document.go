package scrub

import (
	"bytes"
	"encoding/base64"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Document scrubs one element of TraceSegmentDocuments or the body of a datagram: a
// segment document, or spans in base64 after T1 (package decode). It returns the document
// in new memory if something changed. It returns a malformed document as it is: its
// decoder refuses it without quoting it.
func (p *Program) Document(doc []byte) []byte {
	if p.Empty() || len(doc) > trace.MaxDocument { // the decoder refuses such a document
		return doc
	}
	if len(doc) > 2 && doc[0] == 'T' && doc[1] == '1' {
		return p.encoded(doc)
	}
	w := p.walker()
	defer p.release(w)
	if p.all&^p.defaults == 0 && !w.suspects(doc) {
		return doc
	}
	return w.document(doc)
}

// encoded scrubs the spans of a document such as T1S….
func (p *Program) encoded(doc []byte) []byte {
	head := 2
	if doc[2] == 'S' || doc[2] == 'U' {
		head = 3
	}
	body := make([]byte, base64.StdEncoding.DecodedLen(len(doc)-head))
	n, err := base64.StdEncoding.Decode(body, doc[head:])
	if err != nil {
		return doc
	}
	out := p.Request(body[:n])
	if bytes.Equal(out, body[:n]) {
		return doc
	}
	return base64.StdEncoding.AppendEncode(append([]byte(nil), doc[:head]...), out)
}

// suspectsText is suspects by the unescaped strings: names, which stand before a colon,
// and values.
func (w *walker) suspectsText(doc []byte) bool {
	if jsonscan.Check(doc) != nil {
		return false // its decoder refuses it; escapes may be cut
	}
	for i := 0; i < len(doc); i++ {
		if doc[i] != '"' {
			continue
		}
		start, escaped := i+1, false
		for i = start; i < len(doc) && doc[i] != '"'; i++ {
			if doc[i] == '\\' {
				escaped = true
				i++
			}
		}
		if i >= len(doc) {
			return false // not JSON
		}
		text := doc[start:i]
		if escaped {
			w.scratch = jsonscan.AppendUnquoted(w.scratch[:0], text)
			text = w.scratch
		}
		next := i + 1
		for next < len(doc) && doc[next] <= ' ' {
			next++
		}
		if next < len(doc) && doc[next] == ':' {
			if w.program.byKey(text) != 0 {
				return true
			}
		} else if suspicious(text) {
			return true
		}
	}
	return false
}

// edit replaces a part of a document.
type edit struct {
	part
	with []byte
}

// jsonWalker walks a document and collects edits.
type jsonWalker struct {
	*walker
	r     jsonscan.Reader
	doc   []byte
	edits []edit
}

func (w *walker) document(doc []byte) []byte {
	if w.program.limited != 0 {
		v, err := jsonscan.Parse(doc)
		if err != nil {
			return doc
		}
		if v.Get("type").Text() != "subsegment" { // which does not name its service
			w.rules = w.program.ofService([]byte(v.Get("name").Text()))
		}
	}
	quiet := w.quiet
	j := jsonWalker{walker: w, r: jsonscan.NewReader(doc), doc: doc}
	j.entity()
	if err := j.r.End(); err != nil || len(j.edits) == 0 {
		return doc
	}
	w.quiet = quiet
	out := make([]byte, 0, len(doc)+64)
	at := 0
	for _, e := range j.edits {
		if e.start < at {
			continue // inside of a value that was cut as a whole
		}
		out = append(append(out, doc[at:e.start]...), e.with...)
		at = e.end
	}
	return append(out, doc[at:]...)
}

// members calls each for every member of an object, which must read the value and tells
// whether to drop the member.
func (j *jsonWalker) members(each func(name []byte) (drop bool)) {
	end := j.r.Pos() + 1 // of the brace, then of the last value
	kept, cutComma := false, false
	for more := j.r.Object(); more; more = j.r.NextMember() {
		start, before := j.r.Pos(), len(j.edits)
		if each(j.r.Name()) {
			j.edits = append(j.edits[:before], edit{part: part{end, j.r.Pos()}})
			cutComma = !kept
		} else {
			if cutComma {
				if comma := bytes.IndexByte(j.doc[end:start], ','); comma >= 0 {
					j.edits = append(j.edits, edit{})
					copy(j.edits[before+1:], j.edits[before:])
					j.edits[before] = edit{part: part{end, end + comma + 1}}
				}
			}
			kept, cutComma = true, false
		}
		end = j.r.Pos()
	}
}

// entity walks a segment or subsegment. Its members from which traces are built stay.
func (j *jsonWalker) entity() {
	outer := j.path
	j.path = nil
	j.members(func(name []byte) bool {
		switch string(name) {
		case "subsegments":
			for more := j.r.Array(); more; more = j.r.NextElement() {
				j.entity()
			}
			return false
		case "links":
			j.guarded(name, 0, isLinkID)
			return false
		case "cause":
			return j.guarded(name, j.selects(0, name), isCauseID)
		case "name":
			j.required(name)
			return false
		}
		if protected[string(name)] {
			j.r.Skip()
			return false
		}
		return j.member(name, 0)
	})
	j.path = outer
}

// selects returns the rules for a member whose name is not yet in the path.
func (j *jsonWalker) selects(outer uint64, name []byte) uint64 {
	n := j.into(name)
	sel := j.at(outer, name)
	j.outOf(n)
	return sel
}

// required scrubs a text that an entity needs.
func (j *jsonWalker) required(name []byte) {
	n := j.into(name)
	defer j.outOf(n)
	start := j.r.Pos()
	v := j.r.Skip()
	if v.Kind() != jsonscan.String || len(v) == 2 {
		return
	}
	// The key of the default rules is no reason here: name is no credential.
	out, res := j.text([]byte(v.Text()), j.program.byPath(j.path))
	switch {
	case res == same:
		return
	case res == dropped, len(out) == 0:
		out = []byte(maskedPart)
	}
	j.replace(start, out)
}

// replace replaces the value from start to here by a text.
func (j *jsonWalker) replace(start int, text []byte) {
	j.edits = append(j.edits, edit{part{start, j.r.Pos()}, jsonscan.AppendString(nil, string(text))})
}

func isLinkID(name []byte) bool { return string(name) == "id" || string(name) == "trace_id" }

func isCauseID(name []byte) bool { return string(name) == "id" || string(name) == "cause" }

// guarded walks a member whose objects hold ids at the first two levels.
func (j *jsonWalker) guarded(name []byte, sel uint64, isID func([]byte) bool) (drop bool) {
	n := j.into(name)
	defer j.outOf(n)
	return j.ids(sel, isID, 2)
}

// ids walks a value; of objects that nest at most levels deep it leaves the ids.
func (j *jsonWalker) ids(sel uint64, isID func([]byte) bool, levels int) (drop bool) {
	if drop, done := j.wholeContainer(sel); done {
		return drop
	}
	switch j.r.Kind() {
	case jsonscan.Object:
		j.members(func(name []byte) bool {
			if isID(name) {
				j.r.Skip()
				return false
			}
			n := j.into(name)
			defer j.outOf(n)
			inner := j.at(sel, name)
			if levels > 1 {
				return j.ids(inner, isID, levels-1)
			}
			return j.value(inner)
		})
	case jsonscan.Array:
		for more := j.r.Array(); more; more = j.r.NextElement() {
			j.ids(sel, isID, levels)
		}
	case jsonscan.String:
		if levels == 2 {
			j.r.Skip() // the id of an exception in another entity
			return false
		}
		return j.value(sel)
	default:
		return j.value(sel)
	}
	return false
}

// member walks a member of an object.
func (j *jsonWalker) member(name []byte, sel uint64) (drop bool) {
	n := j.into(name)
	defer j.outOf(n)
	return j.value(j.at(sel, name))
}

// wholeContainer applies a rule that drops or masks whole values to an object or array.
func (j *jsonWalker) wholeContainer(sel uint64) (drop, done bool) {
	kind := j.r.Kind()
	if kind != jsonscan.Object && kind != jsonscan.Array {
		return false, false
	}
	i := j.wholeOf(sel)
	if i < 0 {
		return false, false
	}
	r := &j.program.rules[i]
	if r.DryRun || r.Action != Drop && r.Action != Mask {
		return false, false
	}
	start := j.r.Pos()
	v := j.r.Skip()
	if len(v) == 2 {
		return false, true // empty
	}
	j.note(i, v, nil)
	if r.Action == Drop {
		return true, true
	}
	j.replace(start, r.replace(j.program, nil, nil, true))
	return false, true
}

// value walks a value; sel are the rules that select it by its place.
func (j *jsonWalker) value(sel uint64) (drop bool) {
	if drop, done := j.wholeContainer(sel); done {
		return drop
	}
	start := j.r.Pos()
	switch j.r.Kind() {
	case jsonscan.Object:
		j.members(func(name []byte) bool { return j.member(name, sel) })
		return false
	case jsonscan.Array:
		for more := j.r.Array(); more; more = j.r.NextElement() {
			at := j.r.Pos()
			if j.value(sel) {
				j.edits = append(j.edits, edit{part{at, j.r.Pos()}, []byte("null")})
			}
		}
		return false
	case jsonscan.String:
		return j.done(start, sel, j.r.Skip())
	case jsonscan.Number, jsonscan.Bool:
		v := j.r.Skip()
		kind := numberValue
		if v.Kind() == jsonscan.Bool {
			kind = wordValue
		}
		out, res := j.scalar(v, sel, kind)
		if res == changed {
			j.replace(start, out)
		}
		return res == dropped
	}
	j.r.Skip()
	return false
}

// done scrubs a string that was read.
func (j *jsonWalker) done(start int, sel uint64, v jsonscan.Value) (drop bool) {
	if len(v) <= 2 {
		return false
	}
	text := []byte(v[1 : len(v)-1])
	if bytes.IndexByte(text, '\\') >= 0 {
		text = jsonscan.AppendUnquoted(nil, text)
	}
	out, res := j.text(text, sel)
	if res == changed {
		j.replace(start, out)
	}
	return res == dropped
}
