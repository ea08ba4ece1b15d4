package scrub

import (
	"bytes"
	"strings"
	"unicode"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Record scrubs the stored form of a segment, and tells whether something changed. The
// result shares memory with the record where nothing did. Spans of one resource should
// come one after the other: then its scope is scrubbed once, and stays shared.
func (s *Scrubbing) Record(r trace.Record) (trace.Record, bool) {
	if s.program.Empty() {
		return r, false
	}
	w := s.program.walker()
	w.see, w.quiet = s.see, s.see != nil
	defer s.program.release(w)
	if !r.Source.IsSpan() {
		raw := w.document(r.Raw)
		if bytes.Equal(raw, r.Raw) {
			return r, false
		}
		r.Raw = raw
		return r, true
	}
	changed := false
	var resource []byte
	if r.Scope != nil {
		resource = r.Scope.Resource
		if s.scope != r.Scope {
			w.rules = s.program.ofService(w.serviceOf(resource))
			s.scope, s.scrubbed = r.Scope, w.scopeOf(r.Scope)
		}
	}
	w.rules = s.program.ofService(w.serviceOf(resource))
	raw := w.span(r.Raw)
	if !bytes.Equal(raw, r.Raw) {
		r.Raw, changed = raw, true
	}
	if s.scrubbed != nil && r.Scope != s.scrubbed && r.Scope != nil {
		r.Scope, changed = s.scrubbed, true
	}
	return r, changed
}

// Scrubbing scrubs records, one after the other.
type Scrubbing struct {
	program  *Program
	see      func(rule int, path string, before, after []byte)
	scope    *trace.OTLPScope // the last one, and what became of it
	scrubbed *trace.OTLPScope
}

// Records begins to scrub records.
func (p *Program) Records() *Scrubbing { return &Scrubbing{program: p} }

// scopeOf scrubs a scope; it returns the same one if nothing changed.
func (w *walker) scopeOf(s *trace.OTLPScope) *trace.OTLPScope {
	resource, scope := w.resource(s.Resource), w.scope(s.Scope)
	one, two := w.line([]byte(s.ResourceSchema), "schema_url"), w.line([]byte(s.ScopeSchema), "schema_url")
	if bytes.Equal(resource, s.Resource) && bytes.Equal(scope, s.Scope) && string(one) == s.ResourceSchema && string(two) == s.ScopeSchema {
		return s
	}
	return &trace.OTLPScope{Resource: resource, Scope: scope, ResourceSchema: string(one), ScopeSchema: string(two)}
}

// Example is a value that a rule would change.
type Example struct {
	Path   string
	Before string // with every letter and digit replaced by a, A or 0
	After  string // as Before where the rule leaves the text
}

// Found tells what a rule would change.
type Found struct {
	Rule     string
	Values   int64
	Traces   int64
	Examples []Example // at most ten, with different paths
}

// Preview collects what the rules of a program would change. It is used by one goroutine.
type Preview struct {
	*Scrubbing
	found []Found
	seen  []bool // of the rules in the present trace
}

// Limits of examples.
const (
	mostExamples  = 10
	exampleLength = 80 // characters
)

// Preview begins a preview.
func (p *Program) Preview() *Preview {
	v := &Preview{Scrubbing: p.Records(), seen: make([]bool, len(p.rules))}
	for i := range p.rules {
		v.found = append(v.found, Found{Rule: p.rules[i].Name, Examples: []Example{}})
	}
	v.see = v.note
	return v
}

// Next begins the next trace.
func (v *Preview) Next() { clear(v.seen) }

// Found returns what was found, in the order of the rules.
func (v *Preview) Found() []Found { return v.found }

func (v *Preview) note(rule int, path string, before, after []byte) {
	f := &v.found[rule]
	f.Values++
	if !v.seen[rule] {
		v.seen[rule] = true
		f.Traces++
	}
	if len(f.Examples) >= mostExamples {
		return
	}
	for _, e := range f.Examples {
		if e.Path == path {
			return
		}
	}
	f.Examples = append(f.Examples, Example{Path: path, Before: disguised(before, nil), After: disguised(after, before)})
}

// disguised replaces the letters and digits of a text, except those of tokens.
func disguised(text, before []byte) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(text) && n < exampleLength; n++ {
		if size := tokenAt(text, i); size > 0 && before != nil {
			token := text[i : i+size]
			if bytes.HasPrefix(token, []byte(maskedLast)) {
				token = []byte(maskedLast) // the last characters are part of the value
			}
			b.Write(token)
			i += size
			continue
		}
		r, size := rune(text[i]), 1
		if r >= 0x80 {
			rs := []rune(string(text[i:min(i+4, len(text))]))
			r, size = rs[0], len(string(rs[0]))
		}
		i += size
		switch {
		case unicode.IsUpper(r):
			r = 'A'
		case unicode.IsLetter(r):
			r = 'a'
		case unicode.IsDigit(r):
			r = '0'
		}
		b.WriteRune(r)
	}
	if n == exampleLength {
		b.WriteString("…")
	}
	return b.String()
}

// Value scrubs a text under a name, for tests of rules; kept is false if it is dropped.
func (p *Program) Value(name, text string) (out string, kept bool) {
	if p.Empty() {
		return text, true
	}
	w := p.walker()
	defer p.release(w)
	w.quiet = true
	sel := uint64(0)
	if name != "" {
		sel = p.byKey([]byte(name))
		for _, prefix := range []string{"", "attributes.", "metadata.default.", "annotations."} {
			sel |= p.byPath([]byte(prefix + name))
		}
	}
	b, res := w.text([]byte(text), sel)
	return string(b), res != dropped
}
