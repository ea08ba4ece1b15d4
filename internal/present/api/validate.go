package api

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/wire"
)

const (
	maxViolations = 100  // in one answer; the others are counted
	maxShown      = 4096 // bytes of a value in a violation
	// maxSeconds bounds timestamps. Larger ones are milliseconds, as the X-Ray SDK
	// and OpenTelemetry for Java send them.
	maxSeconds = 1e11
)

// validate checks the body of a request against its shape and returns it in canonical
// form: only known members, each once (the last of several counts), none null, of the
// right type and within the constraints; times in seconds, integers truncated and
// saturated to int32. So a handler can rely on all constraints of the shape. An empty
// body counts as an empty object.
//
// The error is a SerializationError if the body is not JSON or a value has a wrong type,
// else a ValidationException that names every violation in the words of the native
// service.
func validate(input *wire.Shape, body []byte) ([]byte, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	v, err := jsonscan.Parse(body)
	switch {
	case err != nil:
		return nil, &decode.SerializationError{Message: "request body is not JSON: " + err.Error()} // not recorded
	case v.Kind() == jsonscan.Null:
		v = jsonscan.Value("{}")
	case v.Kind() != jsonscan.Object && v.Kind() != jsonscan.Array:
		return nil, &decode.SerializationError{Message: "request body must be a JSON object"} // not recorded
	}
	c := &validator{out: make([]byte, 0, len(v))}
	c.value(input, v)
	if c.wrong != "" {
		return nil, &decode.SerializationError{Message: c.wrong}
	}
	return c.out, c.err()
}

// validator walks a request and its shape side by side.
type validator struct {
	out        []byte // the request in canonical form
	path       []byte // of the current value
	wrong      string // tells which value has a wrong type; the first one ends the walk
	violations []string
	total      int  // of violations
	quiet, bad bool // see quietly
}

// value writes a value that is not null.
func (c *validator) value(s *wire.Shape, v jsonscan.Value) {
	kind := v.Kind()
	switch {
	case c.wrong != "":
	case s.Type == wire.Structure && kind == jsonscan.Object:
		c.structure(s, v)
	case s.Type == wire.Map && kind == jsonscan.Object:
		c.mapping(s, v)
	case s.Type == wire.List && kind == jsonscan.Array:
		c.list(s, v)
	case s.Type == wire.String && kind == jsonscan.String, s.Type == wire.Boolean && kind == jsonscan.Bool:
		c.out = append(c.out, v...)
		c.scalar(s, v)
	case s.Type == wire.Integer && kind == jsonscan.Number:
		c.out = strconv.AppendInt(c.out, integer(v), 10)
		c.scalar(s, v)
	case s.Type == wire.Double && isFinite(v):
		c.out = append(c.out, v...)
		c.scalar(s, v)
	case s.Type == wire.Time && (kind == jsonscan.Number || kind == jsonscan.String):
		at, ok := instant(v)
		if !ok {
			c.wrong = decode.NotA(wanted[s.Type], v)
		}
		c.out = strconv.AppendFloat(c.out, at, 'f', -1, 64)
	default:
		c.wrong = decode.NotA(wanted[s.Type], v)
	}
}

func (c *validator) structure(s *wire.Shape, v jsonscan.Value) {
	values, aliases := make([]jsonscan.Value, len(s.Members)), make([]jsonscan.Value, len(s.Members))
	for quoted, value := range v.Members() {
		name := jsonscan.Unquote(quoted)
		for i := range s.Members {
			switch m := &s.Members[i]; name {
			case m.Name:
				values[i] = value
			case m.Alias:
				aliases[i] = value
			}
		}
	}
	c.out = append(c.out, '{')
	set := 0
	for i := range s.Members {
		m, value := &s.Members[i], values[i]
		if isNull(value) && m.Alias != "" {
			value = aliases[i]
		}
		leave := c.enter(m.Name)
		switch {
		case !isNull(value):
			if set++; set > 1 {
				c.out = append(c.out, ',')
			}
			c.out = append(jsonscan.AppendString(c.out, m.Name), ':')
			c.value(m.Shape, value)
		case m.Required:
			c.violation(nil, nil, "Member must not be null")
		}
		c.path = c.path[:leave]
	}
	c.out = append(c.out, '}')
	if s.Union && set != 1 {
		c.violation(s, v, "Member must have exactly one member") // not recorded
	}
}

func (c *validator) list(s *wire.Shape, v jsonscan.Value) {
	c.out = append(c.out, '[')
	n, broken, nulls := 0, false, false
	for element := range v.Elements() {
		if c.wrong != "" {
			return
		}
		if n++; n > 1 {
			c.out = append(c.out, ',')
		}
		switch {
		case isCollection(s.Element):
			leave := len(c.path)
			c.path = append(strconv.AppendInt(append(c.path, '.'), int64(n), 10), ".member"...)
			if isNull(element) {
				c.violation(nil, nil, "Member must not be null")
			} else {
				c.value(s.Element, element)
			}
			c.path = c.path[:leave]
		case isNull(element):
			nulls = true
		default:
			broken = c.quietly(s.Element, element) || broken
		}
	}
	c.out = append(c.out, ']')
	c.size(s, v, n)
	if broken || nulls {
		c.violation(s, v, "Member must satisfy constraint: "+rules(s.Element, nulls)) // not recorded
	}
}

func (c *validator) mapping(s *wire.Shape, v jsonscan.Value) {
	last, order := map[string]jsonscan.Value{}, []string(nil)
	for quoted, value := range v.Members() {
		name := jsonscan.Unquote(quoted)
		if _, known := last[name]; !known {
			order = append(order, name)
		}
		last[name] = value
	}
	c.out = append(c.out, '{')
	badKeys, badValues, nulls := false, false, false
	for i, name := range order {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		key := len(c.out)
		c.out = append(jsonscan.AppendString(c.out, name), ':')
		badKeys = len(broken(s.Key, jsonscan.Value(c.out[key:len(c.out)-1]))) > 0 || badKeys
		if isNull(last[name]) {
			nulls = true
			continue
		}
		badValues = c.quietly(s.Element, last[name]) || badValues
	}
	c.out = append(c.out, '}')
	c.size(s, v, len(order))
	if badKeys {
		c.violation(s, v, "Map keys must satisfy constraint: "+rules(s.Key, false))
	}
	if badValues || nulls {
		c.violation(s, v, "Map value must satisfy constraint: "+rules(s.Element, nulls))
	}
}

// quietly writes a scalar of a collection and says whether it breaks a constraint. The
// violation is reported once for the whole collection.
func (c *validator) quietly(s *wire.Shape, v jsonscan.Value) bool {
	c.quiet, c.bad = true, false
	c.value(s, v)
	c.quiet = false
	return c.bad
}

func (c *validator) scalar(s *wire.Shape, v jsonscan.Value) {
	if s.Min == nil && s.Max == nil && s.Pattern == "" && s.Enum == nil {
		return
	}
	rules := broken(s, v)
	if c.quiet {
		c.bad = len(rules) > 0
		return
	}
	for _, rule := range rules {
		c.violation(s, v, rule)
	}
}

// size checks the number of elements.
func (c *validator) size(s *wire.Shape, v jsonscan.Value, n int) {
	switch {
	case s.Max != nil && n > *s.Max:
		c.violation(s, v, atMost(s))
	case s.Min != nil && n < *s.Min:
		c.violation(s, v, atLeast(s))
	}
}

// enter appends a member to the path, and returns the length to cut it to afterwards.
func (c *validator) enter(name string) int {
	n := len(c.path)
	if n > 0 {
		c.path = append(c.path, '.')
	}
	c.path = append(append(c.path, name[0]|0x20), name[1:]...)
	return n
}

// violation reports that the current value breaks a rule; v is nil for null.
func (c *validator) violation(s *wire.Shape, v jsonscan.Value, rule string) {
	if c.total++; c.total > maxViolations {
		return
	}
	shown := "null"
	if v != nil {
		shown = "'" + show(s, v) + "'"
	}
	c.violations = append(c.violations, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", shown, c.path, rule))
}

// err returns the ValidationException of all violations, nil if there are none.
func (c *validator) err() error {
	if c.total == 0 {
		return nil
	}
	errors, more := "errors", ""
	if c.total == 1 {
		errors = "error"
	}
	if n := c.total - len(c.violations); n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	// The text for one violation was recorded, the one for several was not.
	return &exception{http.StatusBadRequest, "ValidationException",
		fmt.Sprintf("%d validation %s detected: %s%s", c.total, errors, strings.Join(c.violations, "; "), more), false}
}

// broken returns the constraints that a scalar breaks.
func broken(s *wire.Shape, v jsonscan.Value) (rules []string) {
	var n float64 // the value or length that Min and Max bound
	var text string
	switch s.Type {
	case wire.String:
		text = v.Text()
		n = float64(utf8.RuneCountInString(text))
	case wire.Integer:
		n = float64(integer(v))
	case wire.Double:
		n, _ = v.Float()
	}
	if s.Max != nil && n > float64(*s.Max) {
		rules = append(rules, atMost(s))
	}
	if s.Min != nil && n < float64(*s.Min) {
		rules = append(rules, atLeast(s))
	}
	if !s.Matches(text) {
		rules = append(rules, matching(s))
	}
	if s.Enum != nil && !slices.Contains(s.Enum, text) {
		rules = append(rules, oneOf(s))
	}
	return rules
}

// rules returns all constraints of an element, as violations of collections list them.
func rules(s *wire.Shape, nulls bool) string {
	var all []string
	if s.Max != nil {
		all = append(all, atMost(s))
	}
	if s.Min != nil {
		all = append(all, atLeast(s))
	}
	if s.Pattern != "" {
		all = append(all, matching(s))
	}
	if s.Enum != nil {
		all = append(all, oneOf(s))
	}
	if nulls {
		all = append(all, "Member must not be null")
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func atMost(s *wire.Shape) string {
	return fmt.Sprintf("Member must have %s less than or equal to %d", measure(s), *s.Max)
}

func atLeast(s *wire.Shape) string {
	return fmt.Sprintf("Member must have %s greater than or equal to %d", measure(s), *s.Min)
}

func matching(s *wire.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern
}

func oneOf(s *wire.Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

// measure names what Min and Max bound: a value or a length.
func measure(s *wire.Shape) string {
	if s.Type == wire.Integer || s.Type == wire.Double {
		return "value"
	}
	return "length"
}

func isCollection(s *wire.Shape) bool {
	return s.Type == wire.List || s.Type == wire.Map || s.Type == wire.Structure
}

func isNull(v jsonscan.Value) bool { return v == nil || v.Kind() == jsonscan.Null }

func isFinite(v jsonscan.Value) bool { _, ok := v.Float(); return ok }

// integer truncates a number to an integer and saturates it to int32, as the native
// service does with counters.
func integer(v jsonscan.Value) int64 {
	n, ok := v.Int()
	switch {
	case ok:
		return max(math.MinInt32, min(math.MaxInt32, n))
	case v[0] == '-':
		return math.MinInt32
	}
	return math.MaxInt32
}

// instant parses a time to epoch seconds. It may be a number of seconds or milliseconds,
// or a text in ISO 8601.
func instant(v jsonscan.Value) (float64, bool) {
	seconds, ok := v.Float()
	if ok && seconds > maxSeconds {
		seconds /= 1000
	}
	if v.Kind() == jsonscan.String {
		text := v.Text()
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			at, err = time.Parse("2006-01-02T15:04:05", text) // Python's isoformat names no zone
		}
		seconds, ok = float64(at.Unix())+float64(at.Nanosecond())/1e9, err == nil
	}
	return seconds, ok && math.Abs(seconds) <= maxSeconds
}
