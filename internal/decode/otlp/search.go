package otlp

import (
	"fmt"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Patterns select names of attributes. nil selects all.
type Patterns struct {
	list []pattern
	none bool
}

// pattern is a name with * for any characters; out excludes the names that match.
type pattern struct {
	text string
	out  bool
}

// Listed is the text of Patterns that select nothing: search then finds only what a span
// lists in aws.xray.annotations, as X-Ray does.
const Listed = "listed"

// ParsePatterns reads patterns with commas between them. * stands for any characters, !
// before a pattern excludes names; the last pattern that matches a name decides. A list
// that begins with ! starts from all names. "*" gives nil, [Listed] selects nothing.
// Write * for a comma in a name.
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

// know says whether a name is selected.
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

// fits matches a name against a pattern. It backtracks to the last * only, so that it
// takes at most len(form) times len(name) steps.
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

// find lists the resource's attributes that search finds.
func (r *resource) find() {
	r.kept.found = make([]trace.Annotation, 0, len(r.list))
	for i := range r.list {
		if a := &r.list[i]; a.Value.isScalar() && r.kept.searched.know(a.Name()) {
			r.kept.found = append(r.kept.found, trace.Annotation{Key: a.Name(), Value: a.Value.annotation()})
		}
	}
}

// attributes returns the searchable attributes of a span, nil if search finds none.
func (r *resource) attributes() trace.Attributes {
	if r.kept.searched != nil && r.kept.searched.none {
		return nil
	}
	return r.kept
}

// OfSpan implements trace.Attributes: it yields the scalars of a Span message, which was
// checked when it was received.
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

// OfResource implements trace.Attributes: it yields the scalars of the resource.
func (r *keptResource) OfResource(yield func(key string, v trace.Value) bool) bool {
	for i := range r.found {
		if !yield(r.found[i].Key, r.found[i].Value) {
			return false
		}
	}
	return true
}
