package filter

import (
	"encoding/json"
	"strconv"
	"strings"
)

// String returns the expression in its shortest spelling. Parsing it gives an equal
// expression.
func (e *Expr) String() string {
	if e.root == nil {
		return ""
	}
	var b printer
	e.root.print(&b)
	return b.String()
}

type printer struct{ strings.Builder }

func (b *printer) quote(s string) {
	// The language has JSON's escapes.
	var q strings.Builder
	enc := json.NewEncoder(&q)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	b.WriteString(strings.TrimSuffix(q.String(), "\n"))
}

// list prints terms with a word between them; terms with lower precedence get
// parentheses.
func (b *printer) list(terms []node, word string) {
	for i, t := range terms {
		if i > 0 {
			b.WriteString(" " + word + " ")
		}
		b.operand(t)
	}
}

func (b *printer) operand(n node) {
	switch n.(type) {
	case *andNode, *orNode:
		b.WriteByte('(')
		n.print(b)
		b.WriteByte(')')
	default:
		n.print(b)
	}
}

func (n *andNode) print(b *printer) { b.list(n.terms, "AND") }
func (n *orNode) print(b *printer)  { b.list(n.terms, "OR") }

func (n *notNode) print(b *printer) {
	b.WriteByte('!')
	b.operand(n.term)
}

func (n *compareNode) print(b *printer) {
	b.WriteString(fields[n.field].name)
	if fields[n.field].typ == annotationField {
		if isSimpleKey(n.key) {
			b.WriteString("." + n.key)
		} else {
			b.WriteByte('[')
			b.quote(n.key)
			b.WriteByte(']')
		}
	}
	if n.op == 0 {
		return
	}
	b.WriteString(" " + opNames[n.op] + " ")
	switch n.lit.typ {
	case stringField:
		b.quote(n.lit.text)
	case numberField:
		b.WriteString(strconv.FormatFloat(n.lit.num, 'g', -1, 64))
	default:
		b.WriteString(strconv.FormatBool(n.lit.yes))
	}
}

func isSimpleKey(k string) bool {
	for i := range len(k) {
		if k[i] == '.' || !isWord(k[i]) {
			return false
		}
	}
	return k != ""
}

func (s selector) print(b *printer) {
	if s.name != nil && s.typ == nil && s.account == nil {
		b.quote(*s.name)
		return
	}
	comma := "id("
	for _, m := range []struct {
		name  string
		value *string
	}{{"name", s.name}, {"type", s.typ}, {"account.id", s.account}} {
		if m.value != nil {
			b.WriteString(comma + m.name + ": ")
			b.quote(*m.value)
			comma = ", "
		}
	}
	b.WriteByte(')')
}

func (b *printer) body(n node) {
	if n != nil {
		b.WriteString(" { ")
		n.print(b)
		b.WriteString(" }")
	}
}

func (n *serviceNode) print(b *printer) {
	b.WriteString("service(")
	if n.sel != (selector{}) {
		n.sel.print(b)
	}
	b.WriteByte(')')
	b.body(n.body)
}

func (n *edgeNode) print(b *printer) {
	b.WriteString("edge(")
	n.from.print(b)
	b.WriteString(", ")
	n.to.print(b)
	b.WriteByte(')')
	b.body(n.body)
}

func (n *causeNode) print(b *printer) {
	for name, c := range causeNames {
		if c.category == n.category && c.scope == n.scope {
			b.WriteString(name)
		}
	}
	if n.body == nil {
		b.WriteString(" {}")
	}
	b.body(n.body)
}

func equality(negated bool) string {
	if negated {
		return " != "
	}
	return " = "
}

func (n *causeJSONNode) print(b *printer) {
	b.WriteString("rootcause.json" + equality(n.negated) + "#" + n.text)
}

func (n *groupNode) print(b *printer) {
	name := "group.name"
	if n.byARN {
		name = "group.arn"
	}
	b.WriteString(name + equality(n.negated))
	b.quote(n.value)
}
