package otlp

import (
	"fmt"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Patterns say which names of attributes search knows. nil knows all.
type Patterns struct {
	list []pattern
	none bool
}

// pattern is names with * for any characters; out leaves them out.
type pattern struct {
	text string
	out  bool
}

// Listed is the word for Patterns that know no name: search finds what a span
// lists in aws.xray.annotations, as with X-Ray, and nothing else.
const Listed = "listed"

// ParsePatterns reads patterns with commas between them. * stands for any
// characters, ! before a pattern leaves its names out, and of the patterns that
// fit a name the last one counts. A list that begins with ! leaves names out of
// all; "*" is all, nil, and [Listed] none. A name with a comma in it needs a * there.
func ParsePatterns(text string) (*Patterns, error) {
	if strings.TrimSpace(text) == Listed {
		return &Patterns{none: true}, nil
	}
	p := &Patterns{}
	for item := range strings.SplitSeq(text, ",") {
		name, out := strings.CutPrefix(strings.TrimSpace(item), "!")
		if name = strings.TrimSpace(name); name == "" {
			return nil, fmt.Errorf("%q: want names of attributes with commas between them, such as *,!http.*, or %s", text, Listed)
		}
		p.list = append(p.list, pattern{name, out})
	}
	if len(p.list) == 1 && p.list[0] == (pattern{text: "*"}) {
		return nil, nil
	}
	return p, nil
}

// know says whether search knows a name.
func (p *Patterns) know(name string) bool {
	switch {
	case p == nil:
		return true
	case p.none:
		return false
	}
	for i := len(p.list) - 1; i >= 0; i-- {
		if fits(p.list[i].text, name) {
			return !p.list[i].out
		}
	}
	return p.list[0].out
}

// fits says whether a name has the form of a pattern. It goes back to the last *
// alone, so that it takes at most len(form) times len(name) steps.
func fits(form, name string) bool {
	at, star, from := 0, -1, 0
	for i := 0; i < len(name); {
		switch {
		case at < len(form) && form[at] == '*':
			star, from = at, i
			at++
		case at < len(form) && form[at] == name[i]:
			at++
			i++
		case star >= 0:
			from++
			at, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(form[at:], "*") == ""
}

// find makes the list of the resource's attributes that search finds.
func (r *resource) find() {
	r.kept.found = make([]trace.Annotation, 0, len(r.list))
	for i := range r.list {
		if a := &r.list[i]; a.Value.isScalar() && r.kept.searched.know(a.Name()) {
			r.kept.found = append(r.kept.found, trace.Annotation{Key: a.Name(), Value: a.Value.annotation()})
		}
	}
}

// attributes is the resource as what finds attributes, nil if search knows none.
func (r *resource) attributes() trace.Attributes {
	if r.kept.searched != nil && r.kept.searched.none {
		return nil
	}
	return r.kept
}

// OfSpan is of trace.Attributes: the scalars of a Span message, which was checked
// when it was received.
func (r *keptResource) OfSpan(raw []byte, pass func([]byte) bool, yield func(key string, v trace.Value) bool) bool {
	f := FieldsOf(raw)
	for f.Next() {
		if !f.Is(9, Bytes) || pass != nil && pass(f.Data) {
			continue
		}
		var a Attribute
		if parseAttr(f.Data, &a) != nil || !a.Value.isScalar() {
			continue
		}
		if name := a.Name(); r.searched.know(name) && !yield(name, a.Value.annotation()) {
			return false
		}
	}
	return true
}

// OfResource is of trace.Attributes: the scalars of the resource.
func (r *keptResource) OfResource(yield func(key string, v trace.Value) bool) bool {
	for i := range r.found {
		if !yield(r.found[i].Key, r.found[i].Value) {
			return false
		}
	}
	return true
}
