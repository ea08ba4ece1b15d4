package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/sight"
)

// openStatement is a statement that applies to some segments. Everything else about it
// has been decided at the door.
type openStatement struct {
	deny       bool
	bit        uint64 // of the list that allows, if it is an Allow
	conditions []condition
}

// residual returns what a statement asks of segments.
func (e *evaluation) residual(s *Statement, bit uint64) openStatement {
	out := openStatement{deny: s.Deny, bit: bit}
	for i := range s.conditions {
		c := s.conditions[i]
		if c.holds(e.keys) != later {
			continue // it holds, or it is broken and the statement a Deny
		}
		if v := e.keys.Key(c.key); v.state != unknown {
			c.fixed, c.isFixed = v, true
		}
		if strings.HasPrefix(c.key, laterAnnotation) {
			c.key = laterAnnotation + c.written[len(laterAnnotation):]
		}
		c.values = slices.Clone(c.values)
		for j := range c.values {
			o := &c.values[j]
			o.template = o.bind(e.keys)
			o.folded = fold(o.plain)
		}
		out.conditions = append(out.conditions, c)
	}
	return out
}

// DecidePartly decides about a request that reads segments. Its keys do not have the
// keys about segments yet ([KeyService] and the like); conditions on them are decided for
// each segment by the Sight. A nil Sight and an allowed Decision mean that all segments
// may be read. Also is decided without these keys.
func (s *Set) DecidePartly(r *Request) (Decision, sight.Sight) {
	if !s.later() {
		return s.Decide(r), nil
	}
	e := s.start(r, r.Action)
	e.keys = door{e.keys}
	e.scan()
	limit := e.depends()
	d := e.decision()
	for _, also := range r.Also {
		if d.Allowed {
			d = s.decideOne(r, also)
		}
	}
	if !d.Allowed || limit == nil {
		return d, nil
	}
	return d, limit
}

// later reports whether a policy is about segments.
func (s *Set) later() bool {
	has := func(list []Policy) bool {
		return slices.ContainsFunc(list, func(p Policy) bool { return p.Document != nil && p.Document.later })
	}
	return has(s.Identity) || has(s.Boundary) || has(s.Session) || has(s.Resource) || slices.ContainsFunc(s.SCP, has)
}

// depends returns the limit if the answer depends on segments. It adds to the mask what
// may be allowed for some segments.
func (e *evaluation) depends() *limit {
	if e.denied.found || len(e.open) == 0 {
		return nil
	}
	l := &limit{rules: e.rules(), mask: e.mask}
	may := e.mask
	for _, o := range e.open {
		if !o.deny {
			may |= o.bit
		}
	}
	always, _, _, _ := l.rules.decide(e.mask)
	sometimes, _, _, _ := l.rules.decide(may)
	e.mask = may
	l.keep(e.open, may&^l.mask)
	if !sometimes || always && len(l.open) == 0 {
		return nil
	}
	for _, o := range l.open {
		for _, c := range o.conditions {
			l.groups = l.groups || c.uses(laterGroup)
			l.annotations = l.annotations || c.uses(laterAnnotation)
			l.environment = l.environment || c.uses(laterEnvironment)
		}
	}
	return l
}

// uses reports whether a condition is about a key about segments.
func (c *condition) uses(prefix string) bool {
	return strings.HasPrefix(c.key, prefix) || slices.ContainsFunc(c.values, func(o operand) bool {
		return slices.ContainsFunc(o.parts, func(p part) bool { return strings.HasPrefix(p.key, prefix) })
	})
}

// maxSubsets bounds the lists of policies whose combinations are tried.
const maxSubsets = 8

// keep keeps the open statements on which the answer depends.
func (l *limit) keep(open []openStatement, candidates uint64) {
	matters := uint64(0)
	if bits.OnesCount64(candidates) > maxSubsets { // too many to try their combinations
		matters = candidates
	}
	for rest := candidates &^ matters; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		for subset := candidates &^ bit; ; subset = (subset - 1) & (candidates &^ bit) {
			without, _, _, _ := l.rules.decide(l.mask | subset)
			with, _, _, _ := l.rules.decide(l.mask | subset | bit)
			if with != without {
				matters |= bit
			}
			if subset == 0 || with != without {
				break
			}
		}
	}
	for _, o := range open {
		if o.deny || o.bit&matters != 0 {
			l.open = append(l.open, o)
		}
	}
	l.mask |= candidates &^ matters
}

// limit is the Sight that policies make.
type limit struct {
	rules               rules
	mask                uint64
	open                []openStatement
	groups, annotations bool // what the answer depends on, besides services
	environment         bool

	once        sync.Once
	fingerprint string
	// seen remembers answers by service and environment, if nothing else matters.
	seen  sync.Map
	count atomic.Int64
}

// maxSeen bounds the remembered answers of a limit.
const maxSeen = 1024

// NeedsGroups tells that Sees uses the segment's groups.
func (l *limit) NeedsGroups() bool { return l.groups }

// OnlyServices tells that Sees decides by the service alone.
func (l *limit) OnlyServices() bool { return !l.groups && !l.annotations && !l.environment }

// remembered is the key of seen.
type remembered struct{ service, environment string }

// Sees reports whether the principal may see a segment.
func (l *limit) Sees(s *sight.Segment) bool {
	if l.groups || l.annotations {
		return l.sees(s)
	}
	key := remembered{s.Service, s.Environment}
	if v, ok := l.seen.Load(key); ok {
		return v.(bool)
	}
	v := l.sees(s)
	if l.count.Load() < maxSeen {
		l.count.Add(1)
		// The names must not keep the request's or the segment's memory.
		l.seen.Store(remembered{strings.Clone(s.Service), strings.Clone(s.Environment)}, v)
	}
	return v
}

func (l *limit) sees(s *sight.Segment) bool {
	keys := segmentKeys{s}
	mask := l.mask
	for i := range l.open {
		o := &l.open[i]
		if !o.deny && mask&o.bit != 0 || !o.applies(keys) {
			continue
		}
		if o.deny {
			return false
		}
		mask |= o.bit
	}
	allowed, _, _, _ := l.rules.decide(mask)
	return allowed
}

func (o *openStatement) applies(keys Keys) bool {
	for i := range o.conditions {
		switch o.conditions[i].holds(keys) {
		case no:
			return false
		case broken:
			if !o.deny {
				return false
			}
		}
	}
	return true
}

// segmentKeys has the condition keys of a segment.
type segmentKeys struct{ *sight.Segment }

// Key returns the value of a key about segments. The name of an annotation is as the
// policy writes it, because annotations are case-sensitive.
func (k segmentKeys) Key(name string) Value {
	switch name {
	case laterService:
		return Single(k.Service)
	case laterEnvironment:
		if k.Environment != "" {
			return Single(k.Environment)
		}
	case laterGroup:
		return Several(k.Groups...)
	}
	if key, ok := strings.CutPrefix(name, laterAnnotation); ok && k.Annotation != nil {
		return Several(k.Annotation(key)...)
	}
	return Value{}
}

// Fingerprint is the same for sights with the same rules, in whatever policies, order
// and words of statements they stand. It contains no values of policies or principals.
func (l *limit) Fingerprint() string {
	l.once.Do(func() {
		lists := map[uint64][]string{}
		for i := range l.open {
			o := &l.open[i]
			bit := o.bit
			if o.deny {
				bit = 0 // all layers alike
			}
			lists[bit] = append(lists[bit], o.canonical())
		}
		var text []byte
		order := slices.Sorted(maps.Keys(lists))
		for _, bit := range order {
			text = strconv.AppendBool(text, bit == 0)
			slices.Sort(lists[bit])
			text = appendList(text, slices.Compact(lists[bit]))
		}
		// The layers themselves do not matter, only which combinations of these lists allow.
		if len(order) > maxSubsets+1 {
			text = fmt.Appendf(text, "%v %x %x", l.rules, l.mask, order)
		}
		for subset := range uint64(1) << min(len(order), maxSubsets+1) {
			mask := l.mask
			for rest := subset; rest != 0; rest &= rest - 1 {
				mask |= order[bits.TrailingZeros64(rest)]
			}
			allowed, _, _, _ := l.rules.decide(mask)
			text = strconv.AppendBool(text, allowed)
		}
		sum := sha256.Sum256(text)
		l.fingerprint = base64.RawURLEncoding.EncodeToString(sum[:18])
	})
	return l.fingerprint
}

// canonical returns the conditions in a fixed order.
func (o *openStatement) canonical() string {
	out := make([]string, len(o.conditions))
	for i := range o.conditions {
		c := &o.conditions[i]
		values := make([]string, len(c.values))
		for j := range c.values {
			v := &c.values[j]
			values[j] = "=" + v.plain
			if v.parts != nil || v.wild.form == formEscaped && (c.like || c.family == familyARN) {
				values[j] = fmt.Sprintf("~%q%v%v", v.plain, v.parts, v.wild.tokens)
			}
		}
		slices.Sort(values)
		text := append([]byte(c.name), byte('0'+c.set))
		text = strconv.AppendBool(text, c.ifExists)
		text = strconv.AppendQuote(text, c.key)
		if c.isFixed {
			text = fmt.Appendf(text, "%d%q", c.fixed.state, c.fixed.Values())
		}
		out[i] = string(appendList(text, slices.Compact(values)))
	}
	slices.Sort(out)
	return string(appendList(nil, slices.Compact(out)))
}

// appendList appends texts so that no two lists look alike.
func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for _, s := range list {
		dst = strconv.AppendQuote(dst, s)
	}
	return append(dst, ']')
}
