package filter

import (
	"encoding/json"
	"strings"
)

// service = "service" [ "(" [ selector ] ")" ] [ "{" expression "}" ]; in an entity
// selector the service's name is required.
func (p *parser) service() (*serviceNode, error) {
	n := &serviceNode{}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.named || p.tok.is("(") {
		if err := p.expect("("); err != nil {
			return nil, err
		}
		if p.named || !p.tok.is(")") {
			if err := p.selector(&n.sel); err != nil {
				return nil, err
			}
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
	}
	var err error
	n.body, err = p.body(inService)
	return n, err
}

// edge = "edge" "(" selector "," selector ")" [ "{" expression "}" ]
func (p *parser) edge() (*edgeNode, error) {
	n := &edgeNode{}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for i, sel := range []*selector{&n.from, &n.to} {
		if err := p.expect([]string{"(", ","}[i]); err != nil {
			return nil, err
		}
		if err := p.selector(sel); err != nil {
			return nil, err
		}
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	var err error
	n.body, err = p.body(inEdge)
	return n, err
}

// body reads an optional { expression }.
func (p *parser) body(in scope) (node, error) {
	if !p.tok.is("{") {
		return nil, nil
	}
	p.bodies++
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.is("}") {
		return nil, p.advance()
	}
	n, err := p.expression(in)
	if err != nil {
		return nil, err
	}
	return n, p.expect("}")
}

// selector = string | "id" "(" name ":" string { "," … } ")"
func (p *parser) selector(s *selector) error {
	if p.tok.kind == tokenString {
		name := p.tok.text
		s.name = &name
		return p.advance()
	}
	if !p.tok.is("id") {
		return p.unexpected()
	}
	if err := p.advance(); err != nil {
		return err
	}
	for symbol := "("; ; symbol = "," {
		if err := p.expect(symbol); err != nil {
			return err
		}
		if err := p.selectorMember(s); err != nil {
			return err
		}
		if !p.tok.is(",") {
			return p.expect(")")
		}
	}
}

func (p *parser) selectorMember(s *selector) error {
	member := map[string]**string{"name": &s.name, "type": &s.typ, "account.id": &s.account}[strings.ToLower(p.tok.text)]
	if p.tok.kind != tokenWord || member == nil {
		return p.unexpected()
	}
	if *member != nil {
		return p.fail(p.tok.at, "'%s' is given twice", p.tok.text) // not recorded
	}
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expect(":"); err != nil {
		return err
	}
	if p.tok.kind != tokenString {
		return p.unexpected()
	}
	value := p.tok.text
	*member = &value
	return p.advance()
}

// equality reads = or != and returns whether it was !=.
func (p *parser) equality() (negated bool, err error) {
	if !p.tok.is("=") && !p.tok.is("!=") {
		return false, p.unexpected()
	}
	negated = p.tok.is("!=")
	return negated, p.advance()
}

func (p *parser) group(byARN bool) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	negated, err := p.equality()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenString {
		return nil, p.unexpected()
	}
	n := &groupNode{negated: negated, byARN: byARN, value: p.tok.text}
	if n.isDefault() {
		n.expr = &Expr{}
	}
	return n, p.advance()
}

func (p *parser) cause(c causeCategory, in scope) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.tok.is("{") {
		return nil, p.expect("{")
	}
	body, err := p.body(in)
	return &causeNode{category: c, scope: in, body: body}, err
}

func (p *parser) causeJSON() (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	negated, err := p.equality()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenJSON {
		return nil, p.unexpected()
	}
	n := &causeJSONNode{negated: negated, text: p.tok.text}
	if err := json.Unmarshal([]byte(p.tok.text), &n.want); err != nil {
		return nil, p.fail(p.tok.at, "'#' must be followed by a JSON array: %v", err) // not recorded
	}
	return n, p.advance()
}
