package policy

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"unicode"
)

// truth is the result of a condition.
type truth uint8

const (
	no truth = iota
	yes
	// broken: the policy has a value that cannot be compared. An Allow does not apply
	// then, a Deny does.
	broken
	later // it depends on segments
)

// family is the type of the values that an operator compares.
type family uint8

const (
	familyString family = iota
	familyNumeric
	familyDate
	familyBool
	familyBinary
	familyAddress
	familyARN
	familyNull
)

// operator is a condition operator without its prefix and suffix. Its names are the keys
// of operators.
type operator struct {
	name    string
	family  family
	negated bool
	like    bool // String: * and ? are wildcards
	fold    bool // String: case-insensitive
	// less, equal and greater tell which results of a comparison of numbers and dates
	// are hits.
	less, equal, greater bool
}

// operators lists the operators by their names in lower case (IAM user guide, "IAM JSON
// policy elements: Condition operators").
var operators = func() map[string]*operator {
	m := map[string]*operator{}
	for _, o := range []operator{
		{name: "StringEquals"}, {name: "StringNotEquals", negated: true},
		{name: "StringEqualsIgnoreCase", fold: true}, {name: "StringNotEqualsIgnoreCase", fold: true, negated: true},
		{name: "StringLike", like: true}, {name: "StringNotLike", like: true, negated: true},
		{name: "Bool", family: familyBool}, {name: "BinaryEquals", family: familyBinary}, {name: "Null", family: familyNull},
		{name: "IpAddress", family: familyAddress}, {name: "NotIpAddress", family: familyAddress, negated: true},
		{name: "ArnEquals", family: familyARN}, {name: "ArnLike", family: familyARN},
		{name: "ArnNotEquals", family: familyARN, negated: true}, {name: "ArnNotLike", family: familyARN, negated: true},
	} {
		m[lower(o.name)] = &o
	}
	for prefix, f := range map[string]family{"Numeric": familyNumeric, "Date": familyDate} {
		for _, o := range []operator{
			{name: "Equals", equal: true}, {name: "NotEquals", equal: true, negated: true},
			{name: "LessThan", less: true}, {name: "LessThanEquals", less: true, equal: true},
			{name: "GreaterThan", greater: true}, {name: "GreaterThanEquals", greater: true, equal: true},
		} {
			o.name, o.family = prefix+o.name, f
			m[lower(o.name)] = &o
		}
	}
	return m
}()

// variables reports whether the values of an operator may have policy variables.
func (o *operator) variables() bool { return o.family == familyString || o.family == familyARN }

// cost compares operators by the time that they take.
func (o *operator) cost() int {
	switch o.family {
	case familyString, familyBool, familyNull:
		return 0
	case familyARN:
		return 1
	}
	return 2
}

// setForm is the prefix of an operator.
type setForm uint8

const (
	plainForm setForm = iota
	forAllValues
	forAnyValue
)

// condition is one key of a statement's Condition with its operator and values.
type condition struct {
	*operator
	set      setForm
	ifExists bool
	key      string // in lower case
	written  string // as in the policy: the keys of annotations are case-sensitive
	values   []operand
	later    bool  // about segments, by its key or by a variable
	fixed    Value // of a key that was known at the door, in a condition with later variables
	isFixed  bool
}

// operand is a value of a policy.
type operand struct {
	template
	folded  string // String: with lower case
	valid   bool   // can be compared: it is a number, a date …
	number  decimal
	millis  int64 // Date
	truth   bool  // Bool and Null
	bytes   string
	prefix  netip.Prefix
	arn     [6]pattern
	partial bool // ARN: has variables or escapes, so arn is not set
}

// newOperand compiles a value for an operator.
func newOperand(o *operator, text string, variables bool) operand {
	t := newTemplate(text, variables && o.variables())
	v := operand{template: t}
	switch o.family {
	case familyString:
		v.valid, v.folded = true, fold(t.plain)
	case familyNumeric:
		v.number, v.valid = parseDecimal(text)
	case familyDate:
		v.millis, v.valid = parseDate(text)
	case familyBool, familyNull:
		v.valid, v.truth = true, strings.EqualFold(text, "true")
	case familyBinary:
		b, err := base64.StdEncoding.DecodeString(text)
		v.bytes, v.valid = string(b), err == nil
	case familyAddress:
		v.prefix, v.valid = parsePrefix(text)
	case familyARN:
		v.partial = t.parts != nil || t.wild.tokens != nil && t.plain != text
		v.valid = v.partial
		if !v.partial {
			var parts [6]string
			if parts, v.valid = splitARN(text); v.valid {
				for i, p := range parts {
					v.arn[i] = newPattern(p)
				}
			}
		}
	}
	return v
}

// splitARN splits an ARN at its first five colons.
func splitARN(s string) (parts [6]string, ok bool) {
	rest := s
	for i := range 5 {
		if parts[i], rest, ok = strings.Cut(rest, ":"); !ok {
			return parts, false
		}
	}
	parts[5] = rest
	return parts, parts[0] == "arn"
}

// fold is the case folding of StringEqualsIgnoreCase: every character in lower case by
// itself, so the Kelvin sign equals k and ẞ equals ß, but ß does not equal ss and ı not i.
func fold(s string) string { return strings.Map(unicode.ToLower, s) }

// holds evaluates a condition.
func (c *condition) holds(keys Keys) truth {
	v := c.fixed
	if !c.isFixed {
		v = keys.Key(c.key)
	}
	switch {
	case c.later && (v.state == unknown || c.waits(keys)):
		return later
	case c.family == familyNull:
		return c.null(v)
	case v.state == absent && c.ifExists:
		return yes
	case v.state == absent:
		return verdict(c.set == forAllValues || c.set == plainForm && c.negated)
	case v.state == several && c.set == plainForm:
		// Recorded: an operator without a prefix never matches a multivalued key.
		return no
	case v.state == single:
		return c.accepts(v.one, keys)
	}
	for _, one := range v.many {
		t := c.accepts(one, keys)
		if t == broken || c.set == forAllValues && t == no || c.set == forAnyValue && t == yes {
			return t
		}
	}
	return verdict(c.set == forAllValues)
}

// waits reports whether a variable of the values is known later.
func (c *condition) waits(keys Keys) bool {
	for i := range c.values {
		for _, p := range c.values[i].parts {
			if p.key != "" && keys.Key(p.key).state == unknown {
				return true
			}
		}
	}
	return false
}

func verdict(b bool) truth {
	if b {
		return yes
	}
	return no
}

// null evaluates the operator Null: true means that the key must be absent.
func (c *condition) null(v Value) truth {
	for i := range c.values {
		if c.values[i].truth == (v.state == absent) {
			return yes
		}
	}
	return no
}

// accepts compares one value of a request with all values of the policy: one must match,
// with a negated operator none may.
func (c *condition) accepts(v string, keys Keys) truth {
	if c.family == familyString {
		return c.acceptsText(v, keys)
	}
	q := c.read(v)
	for i := range c.values {
		switch c.hits(&c.values[i], &q, keys) {
		case yes:
			return verdict(!c.negated)
		case broken:
			return broken
		}
	}
	return verdict(c.negated)
}

// acceptsText is accepts for texts, the most frequent conditions.
func (c *condition) acceptsText(v string, keys Keys) truth {
	if c.fold {
		v = fold(v)
	}
	for i := range c.values {
		if c.sameText(&c.values[i], v, keys) {
			return verdict(!c.negated)
		}
	}
	return verdict(c.negated)
}

// asked is a value of a request, parsed as its operator needs it.
type asked struct {
	valid  bool
	number decimal
	millis int64
	truth  bool
	bytes  string
	addr   netip.Addr
	arn    [6]string
}

func (c *condition) read(v string) asked {
	q := asked{valid: true}
	switch c.family {
	case familyNumeric:
		q.number, q.valid = parseDecimal(v)
	case familyDate:
		q.millis, q.valid = parseDate(v)
	case familyBool:
		q.truth = strings.EqualFold(v, "true")
	case familyBinary:
		b, err := base64.StdEncoding.DecodeString(v)
		q.bytes, q.valid = string(b), err == nil
	case familyAddress:
		q.addr, q.valid = parseAddress(v)
	case familyARN:
		q.arn, q.valid = splitARN(v)
	}
	return q
}

// hits compares one value of the request with one of the policy.
func (c *condition) hits(o *operand, q *asked, keys Keys) truth {
	if c.family == familyARN {
		return o.sameARN(q, keys)
	}
	if !o.valid || !q.valid {
		return no
	}
	switch c.family {
	case familyNumeric:
		return verdict(c.ordered(q.number.compare(o.number)))
	case familyDate:
		order := 0
		switch {
		case q.millis < o.millis:
			order = -1
		case q.millis > o.millis:
			order = 1
		}
		return verdict(c.ordered(order))
	case familyBool:
		return verdict(q.truth == o.truth)
	case familyBinary:
		return verdict(q.bytes == o.bytes)
	}
	return verdict(o.prefix.Contains(q.addr)) // never true between IPv4 and IPv6
}

func (c *condition) ordered(order int) bool {
	switch order {
	case -1:
		return c.less
	case 0:
		return c.equal
	}
	return c.greater
}

// sameText compares a text with one of the policy; v is folded if the operator folds.
func (c *condition) sameText(o *operand, v string, keys Keys) bool {
	if c.like {
		return o.match(v, keys)
	}
	if o.parts == nil {
		return c.fold && v == o.folded || !c.fold && v == o.plain
	}
	want, ok := o.expand(keys)
	if c.fold {
		want = fold(want)
	}
	return ok && want == v
}

// sameARN compares ARNs part by part; * and ? do not cross the first five colons.
func (o *operand) sameARN(q *asked, keys Keys) truth {
	if o.partial {
		return o.sameOpenARN(q, keys)
	}
	switch {
	case !o.valid:
		return broken
	case !q.valid:
		return no
	}
	for i := range o.arn {
		if !o.arn[i].match(q.arn[i]) {
			return no
		}
	}
	return yes
}

// sameOpenARN is sameARN for an ARN with variables, whose values may have colons.
func (o *operand) sameOpenARN(q *asked, keys Keys) truth {
	var space [256]token
	tokens := o.wild.tokens
	if o.parts != nil {
		var ok bool
		if tokens, ok = o.appendTokens(space[:0], keys); !ok {
			return no
		}
	}
	var parts [6][]token
	n, start := 0, 0
	for i, t := range tokens {
		if t == ':' && n < 5 {
			parts[n], start = tokens[start:i], i+1
			n++
		}
	}
	parts[5] = tokens[start:]
	switch {
	case n < 5 || !matchTokens(parts[0], "arn"):
		return broken
	case !q.valid:
		return no
	}
	for i := range parts {
		if !matchTokens(parts[i], q.arn[i]) {
			return no
		}
	}
	return yes
}
