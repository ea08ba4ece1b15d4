package filter

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxDepth limits the nesting of expressions, and of groups in groups.
const maxDepth = 128

// Expr is a parsed and checked filter expression. It is immutable and may be
// used by many goroutines.
type Expr struct {
	root node // nil: every trace
}

// Parse reads a filter expression. An empty text selects every trace. Resolve looks
// up the groups that it names. The error is a *SyntaxError.
func Parse(text string) (*Expr, error) {
	p := &parser{lexer: lexer{text: text}}
	if !utf8.ValidString(text) {
		at := invalidUTF8(text)
		return nil, p.fail(at, "Invalid input symbol: byte %#02x is not UTF-8", text[at]) // not recorded
	}
	if strings.TrimSpace(text) == "" {
		return &Expr{}, nil
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.expression(inTrace)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenEnd {
		return nil, p.unexpected()
	}
	return &Expr{root: root}, nil
}

// node is a part of the tree.
type node interface{ print(b *printer) }

type (
	andNode struct{ terms []node }
	orNode  struct{ terms []node }
	notNode struct{ term node }
	// compareNode is a field, alone (op 0) or compared with a literal.
	compareNode struct {
		field field
		key   string // of an annotation
		op    op
		lit   literal
	}
	serviceNode struct {
		sel  selector
		body node // nil: any entity
	}
	edgeNode struct {
		from, to selector
		body     node
	}
	causeNode struct {
		category causeCategory
		scope    scope
		body     node
	}
	causeJSONNode struct {
		negated bool
		want    []any
		text    string
	}
	groupNode struct {
		negated bool
		byARN   bool
		value   string
		expr    *Expr // nil: the group does not exist, or was not looked up
	}
)

// selector names services; nil members are wildcards.
type selector struct{ name, typ, account *string }

type causeCategory uint8

const (
	faultCause causeCategory = iota + 1
	errorCause
	responseTimeCause
)

var causeNames = map[string]struct {
	category causeCategory
	scope    scope
}{
	"rootcause.fault.service":        {faultCause, inCauseService},
	"rootcause.fault.entity":         {faultCause, inCauseEntity},
	"rootcause.fault.exception":      {faultCause, inException},
	"rootcause.error.service":        {errorCause, inCauseService},
	"rootcause.error.entity":         {errorCause, inCauseEntity},
	"rootcause.error.exception":      {errorCause, inException},
	"rootcause.responsetime.service": {responseTimeCause, inCauseService},
	"rootcause.responsetime.entity":  {responseTimeCause, inCoverageEntity},
}

type op uint8

const (
	opEqual op = iota + 1
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opContains
	opBeginsWith
	opEndsWith
)

var opNames = [...]string{
	opEqual: "=", opNotEqual: "!=", opLess: "<", opLessEqual: "<=", opGreater: ">", opGreaterEqual: ">=",
	opContains: "CONTAINS", opBeginsWith: "BEGINSWITH", opEndsWith: "ENDSWITH",
}

// op returns the operator of the token, 0 if it is not an operator.
func (t token) op() op {
	if t.kind != tokenSymbol && t.kind != tokenWord {
		return 0
	}
	for o := opEqual; int(o) < len(opNames); o++ {
		if t.text[0]|0x20 == opNames[o][0]|0x20 && strings.EqualFold(t.text, opNames[o]) {
			return o
		}
	}
	return 0
}

// literal is the right side of a comparison.
type literal struct {
	typ  valueType
	text string
	num  float64
	yes  bool
}

// value returns the annotation value that equals the literal.
func (l literal) value() trace.Value {
	switch l.typ {
	case boolField:
		return trace.Value{Kind: trace.BoolValue, Bool: l.yes}
	case numberField:
		return trace.Value{Kind: trace.NumberValue, Number: l.num}
	}
	return trace.Value{Kind: trace.StringValue, String: l.text}
}

type parser struct {
	lexer
	tok    token
	depth  int
	bodies int // number of clauses with braces
	// named says that service requires a name.
	named bool
}

func (p *parser) advance() error { return p.next(&p.tok) }

// unexpected returns the error for a token that is not allowed here.
func (p *parser) unexpected() error {
	if p.tok.kind == tokenEnd {
		return p.fail(p.tok.at, "Invalid input symbol: '%s'", strings.TrimSpace(p.text))
	}
	if p.tok.kind == tokenWord && !isKeyword(p.tok.text) {
		return p.fail(p.tok.at, "Invalid input symbol: '%s'", misread(p.text[p.tok.at:]))
	}
	return p.fail(p.tok.at, "Invalid input symbol: '%s'", p.text[p.tok.at:p.at])
}

func (p *parser) expect(symbol string) error {
	if !p.tok.is(symbol) {
		if p.tok.kind == tokenEnd {
			return p.fail(p.tok.at, "missing '%s' at end of expression", symbol)
		}
		return p.fail(p.tok.at, "missing '%s' before '%s'", symbol, p.text[p.tok.at:p.at]) // not recorded
	}
	return p.advance()
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail(p.tok.at, "expression nests deeper than %d levels", maxDepth) // not recorded
	}
	return nil
}

// expression = and { "OR" and }
func (p *parser) expression(in scope) (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	first, err := p.and(in)
	if err != nil {
		return nil, err
	}
	var terms []node
	for p.tok.is("or") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.and(in)
		if err != nil {
			return nil, err
		}
		if terms == nil {
			terms = append(make([]node, 0, 2), first)
		}
		terms = append(terms, n)
	}
	if terms == nil {
		return first, nil
	}
	return &orNode{terms}, nil
}

// and = unary { [ "AND" ] unary }
func (p *parser) and(in scope) (node, error) {
	first, err := p.unary(in)
	if err != nil {
		return nil, err
	}
	var terms []node
	for {
		if p.tok.is("and") {
			if err := p.advance(); err != nil {
				return nil, err
			}
		} else if !(p.tok.kind == tokenWord && !p.tok.is("or") || p.tok.is("(") || p.tok.is("!")) {
			break
		}
		n, err := p.unary(in)
		if err != nil {
			return nil, err
		}
		if terms == nil {
			terms = append(make([]node, 0, 2), first)
		}
		terms = append(terms, n)
	}
	if terms == nil {
		return first, nil
	}
	return &andNode{terms}, nil
}

// unary = ( "!" | "NOT" ) unary | "(" expression ")" | predicate
func (p *parser) unary(in scope) (node, error) {
	switch {
	case p.tok.is("!"), p.tok.is("not"):
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.unary(in)
		if err != nil {
			return nil, err
		}
		return &notNode{n}, nil
	case p.tok.is("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.expression(in)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	case p.tok.kind != tokenWord:
		return nil, p.unexpected()
	}
	return p.predicate(in)
}

func (p *parser) predicate(in scope) (node, error) {
	word := strings.ToLower(p.tok.text)
	if in == inTrace {
		switch word {
		case "service":
			return p.service()
		case "edge":
			return p.edge()
		case "group.name", "group.arn":
			return p.group(word == "group.arn")
		case "rootcause.json":
			return p.causeJSON()
		}
		if c, ok := causeNames[word]; ok {
			return p.cause(c.category, c.scope)
		}
	}
	f, key := fieldOf(p.tok.text, word)
	clause := in != inTrace && slices.Contains(otherKeywords, word)
	if f == 0 && !clause {
		return nil, p.unexpected()
	}
	if clause || fields[f].scope&in == 0 {
		return nil, p.fail(p.tok.at, "keyword '%s' is not valid %s", p.tok.text, in) // not recorded
	}
	return p.compare(f, key)
}

// compare reads the rest of a comparison: nothing, or an operator and a literal.
func (p *parser) compare(f field, key string) (node, error) {
	n := &compareNode{field: f, key: key}
	if fields[f].typ == annotationField {
		if err := p.annotationKey(n); err != nil {
			return nil, err
		}
	} else if err := p.advance(); err != nil {
		return nil, err
	}
	at := p.tok.at
	if n.op = p.tok.op(); n.op == 0 {
		return n, nil
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.literal(n); err != nil {
		return nil, err
	}
	typ := fields[f].typ
	if typ == annotationField {
		typ = n.lit.typ
	}
	if !opFits(n.op, typ) {
		return nil, p.fail(at, "operator '%s' cannot be used with '%s'", opNames[n.op], fields[f].name) // not recorded
	}
	return n, p.advance()
}

func (p *parser) annotationKey(n *compareNode) error {
	if n.key != "" {
		if strings.Contains(n.key, ".") {
			return p.fail(p.tok.at, "annotation key '%s' holds a dot: write %s[%s]", n.key, fields[n.field].name, n.key) // not recorded
		}
		return p.advance()
	}
	if rest := strings.TrimLeft(p.text[p.at:], " "); strings.HasPrefix(rest, "[") {
		p.at = len(p.text) - len(rest) + 1
		key, err := p.bracketKey()
		if err != nil {
			return err
		}
		n.key = key
		return p.advance()
	}
	return p.fail(p.tok.at, "annotation key expected: write annotation.key or annotation[key]") // not recorded
}

// literal reads the right side of a comparison without moving past it.
func (p *parser) literal(n *compareNode) error {
	typ := fields[n.field].typ
	switch {
	case p.tok.kind == tokenString && typ == boolField && (strings.EqualFold(p.tok.text, "true") || strings.EqualFold(p.tok.text, "false")):
		n.lit = literal{typ: boolField, yes: strings.EqualFold(p.tok.text, "true")}
	case p.tok.kind == tokenString:
		n.lit = literal{typ: stringField, text: p.tok.text}
	case p.tok.kind == tokenNumber:
		n.lit = literal{typ: numberField, num: p.tok.num}
	case p.tok.kind == tokenWord && typ == stringField:
		// One example in the developer guide has name = traces, unquoted.
		n.lit = literal{typ: stringField, text: p.tok.text}
	case p.tok.is("true"), p.tok.is("false"):
		n.lit = literal{typ: boolField, yes: p.tok.is("true")}
	default:
		return p.unexpected()
	}
	return nil
}

func opFits(o op, t valueType) bool {
	switch t {
	case numberField:
		return o <= opGreaterEqual
	case stringField:
		return o <= opNotEqual || o >= opContains
	}
	return o <= opNotEqual
}
