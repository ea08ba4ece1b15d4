package filter

import (
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxSelector is the maximum number of characters of an entity selector (X-Ray API
// model, EntitySelectorExpression).
const maxSelector = 500

// Entities selects nodes or edges of the service graph: the restricted form of
// GetTimeSeriesServiceStatistics, service("n") or edge("a", "b"), without a body.
// Each name may also be id(name: …, type: …, account.id: …).
type Entities struct {
	// Edge is true if edges are selected.
	Edge bool
	// from selects the source of edges, to their destination, or the node.
	from, to selector
}

// ParseEntities reads a selector. The error is a *SyntaxError.
func ParseEntities(text string) (*Entities, error) {
	p := &parser{lexer: lexer{text: text}}
	switch {
	case !utf8.ValidString(text):
		at := invalidUTF8(text)
		return nil, p.fail(at, "Invalid input symbol: byte %#02x is not UTF-8", text[at]) // not recorded
	case utf8.RuneCountInString(text) > maxSelector:
		return nil, p.fail(len(text), "an entity selector has at most %d characters", maxSelector) // not recorded
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	var e Entities
	at := p.tok.at
	switch {
	case p.tok.is("service"):
		p.named = true
		n, err := p.service()
		if err != nil {
			return nil, err
		}
		e.to = n.sel
	case p.tok.is("edge"):
		n, err := p.edge()
		if err != nil {
			return nil, err
		}
		e = Entities{true, n.from, n.to}
	default:
		return nil, p.unexpected()
	}
	switch {
	case p.bodies > 0:
		return nil, p.fail(at, "an entity selector has no filter in braces") // not recorded
	case p.tok.kind != tokenEnd:
		return nil, p.unexpected()
	}
	return &e, nil
}

// Node reports whether a node is selected.
func (e *Entities) Node(s trace.Service) bool { return !e.Edge && e.to.match(s) }

// Call reports whether an edge is selected.
func (e *Entities) Call(from, to trace.Service) bool {
	return e.Edge && e.from.match(from) && e.to.match(to)
}

// String returns the selector in its shortest spelling.
func (e *Entities) String() string {
	var b printer
	if e.Edge {
		(&edgeNode{from: e.from, to: e.to}).print(&b)
	} else {
		(&serviceNode{sel: e.to}).print(&b)
	}
	return b.String()
}
