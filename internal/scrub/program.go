package scrub

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
)

// Program is a compiled list of rules. Many goroutines may use it at once.
type Program struct {
	rules []compiled
	key   []byte // of hashes
	// Sets of rules, one bit each: those that look at all texts, those of them that
	// suspicious covers, those that select by keys, by paths, by services.
	everywhere, quick, keyed, pathed, limited uint64
	all, defaults                             uint64
	names                                     *memory // the rules that select a name by its key
	walkers                                   sync.Pool
	counts                                    []*atomic.Int64
}

// compiled is a rule in the form in which it is applied.
type compiled struct {
	Rule
	whole      bool // changes whole values
	byDefault  bool // a default rule: leaves true and false
	secretKeys bool // selects by sensitive
	numbers    bool // sees numbers
	regexp     *regexp.Regexp
	detect     []detector
	keys       []keyPattern
	paths      [][]byte
	services   [][]byte
}

// Compile makes a program. The rules need not be in order; they are valid. key is the key
// of hashes; count returns the counter of a rule, which lives longer than the program.
func Compile(rules []Rule, key []byte, count func(rule string) *atomic.Int64) (*Program, error) {
	p := &Program{key: key, names: new(memory)}
	p.walkers.New = func() any { return new(walker) }
	ordered := slices.Clone(rules)
	slices.SortStableFunc(ordered, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), compareNames(a.Name, b.Name))
	})
	for _, r := range ordered {
		if r.Disabled {
			continue
		}
		c, err := compile(r)
		if err != nil {
			return nil, err
		}
		p.add(c)
		p.counts = append(p.counts, count(r.Name))
	}
	return p, nil
}

// compareNames sorts default rules behind others, in their own order.
func compareNames(a, b string) int {
	at := func(name string) int {
		return slices.IndexFunc(Defaults(), func(r Rule) bool { return r.Name == name })
	}
	return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a, b))
}

func compile(r Rule) (c compiled, err error) {
	c = compiled{Rule: r, byDefault: IsDefault(r.Name)}
	if c.regexp, err = r.pattern(); err != nil {
		return c, err
	}
	c.secretKeys = r.Name == defaultPrefix+"keys"
	c.whole = r.Pattern == "" && len(r.Detectors) == 0
	for _, name := range r.Detectors {
		c.detect = append(c.detect, detectors[name])
		c.numbers = c.numbers || name == "card"
	}
	c.numbers = c.numbers || c.regexp != nil
	for _, k := range r.Keys {
		c.keys = append(c.keys, newKeyPattern(k))
	}
	for _, path := range r.Paths {
		c.paths = append(c.paths, spanPaths(folded(nil, []byte(path), false))...)
	}
	if slices.Contains(r.Detectors, "sql") && len(r.Keys)+len(r.Paths) == 0 {
		// Numbers and quotes are literals only in a statement.
		for _, path := range []string{"sql.sanitized_query", "sql.query", "sql.statement"} {
			c.paths = append(c.paths, spanPaths([]byte(path))...)
		}
	}
	for _, s := range r.Services {
		c.services = append(c.services, folded(nil, []byte(s), false))
	}
	return c, nil
}

func (p *Program) add(c compiled) {
	bit := uint64(1) << len(p.rules)
	p.all |= bit
	if c.byDefault {
		p.defaults |= bit
	}
	switch {
	case c.secretKeys:
		p.keyed |= bit
	case len(c.keys)+len(c.paths) == 0:
		p.everywhere |= bit
		if c.byDefault {
			p.quick |= bit
		}
	}
	if len(c.keys) > 0 {
		p.keyed |= bit
	}
	if len(c.paths) > 0 {
		p.pathed |= bit
	}
	if len(c.services) > 0 {
		p.limited |= bit
	}
	p.rules = append(p.rules, c)
}

// Empty tells that the program changes nothing.
func (p *Program) Empty() bool { return p == nil || p.all == 0 }

// byKey returns the rules that select a name by its key.
func (p *Program) byKey(name []byte) uint64 {
	if p.keyed == 0 {
		return 0
	}
	slot := p.names.slot(name)
	if r := slot.Load(); r != nil && r.name == string(name) {
		return r.rules
	}
	rules := p.classify(name)
	if len(name) <= rememberedKey {
		slot.Store(&remembered{string(name), rules})
	}
	return rules
}

// classify is byKey without memory.
func (p *Program) classify(name []byte) (rules uint64) {
	if len(name) > maxText*4 {
		name = name[len(name)-maxText*4:]
	}
	text := folded(nil, name, true)
	for i := range p.rules {
		r := &p.rules[i]
		hit := false
		if r.secretKeys {
			var buffer [maxNormal]byte
			hit = sensitive(normal(&buffer, name)) != harmless && string(name) != accessKeyID
		}
		for k := range r.keys {
			hit = hit || r.keys[k].matches(text)
		}
		if hit {
			rules |= 1 << i
		}
	}
	return rules
}

// maxPath is how many bytes of a path rules see.
const maxPath = 1024

// byPath returns the rules that select a place by its path.
func (p *Program) byPath(path []byte) (rules uint64) {
	if p.pathed == 0 {
		return 0
	}
	var buffer [maxPath]byte
	text := folded(buffer[:0], path[:min(len(path), maxPath)], false)
	for i := range p.rules {
		for _, pattern := range p.rules[i].paths {
			if glob(pattern, text) {
				rules |= 1 << i
				break
			}
		}
	}
	return rules
}

// ofService returns the rules that apply to a service; unknown ("") services have all
// rules.
func (p *Program) ofService(name []byte) uint64 {
	rules := p.all
	if p.limited == 0 || len(name) == 0 {
		return rules
	}
	text := folded(nil, name, false)
	for i := range p.rules {
		r := &p.rules[i]
		if len(r.services) > 0 && !slices.ContainsFunc(r.services, func(s []byte) bool { return glob(s, text) }) {
			rules &^= 1 << i
		}
	}
	return rules
}

// aliases lists the attributes of a span that show a member of a document (docs/format/
// otlp.md), as paths.
var aliases = []struct {
	path  string
	spans []string
}{
	{"http.request.url", []string{"attributes.http.url", "attributes.url.full", "attributes.http.target", "attributes.url.path", "attributes.url.query", "attributes.url.original"}},
	{"http.request.method", []string{"attributes.http.method", "attributes.http.request.method"}},
	{"http.request.user_agent", []string{"attributes.http.user_agent", "attributes.user_agent.original"}},
	{"http.request.client_ip", []string{"attributes.http.client_ip", "attributes.client.address", "attributes.net.sock.peer.addr", "attributes.net.peer.ip"}},
	{"sql.sanitized_query", []string{"attributes.db.statement", "attributes.db.query.text"}},
	{"sql.url", []string{"attributes.db.connection_string"}},
	{"sql.connection_string", []string{"attributes.db.connection_string"}},
	{"sql.user", []string{"attributes.db.user"}},
	{"user", []string{"attributes.enduser.id"}},
	{"cause.message", []string{"status.message", "attributes.http.status_text"}},
	{"cause.exceptions.message", []string{"events.exception.message", "status.message", "attributes.http.status_text", "attributes.exception.message"}},
	{"cause.exceptions.type", []string{"events.exception.type", "attributes.exception.type"}},
	{"cause.exceptions.stack", []string{"events.exception.stacktrace", "attributes.exception.stacktrace"}},
	{"aws.operation", []string{"attributes.aws.operation"}},
	{"aws.queue_url", []string{"attributes.aws.queue.url", "attributes.aws.queue_url"}},
	{"aws.table_name", []string{"attributes.aws.table.name", "attributes.aws.table_name", "attributes.aws.dynamodb.table_names"}},
}

// spanPaths returns a folded path and the paths of spans that it stands for.
func spanPaths(path []byte) [][]byte {
	out := [][]byte{path}
	for _, a := range aliases {
		if glob(path, []byte(a.path)) {
			for _, s := range a.spans {
				out = append(out, []byte(s))
			}
		}
	}
	for _, prefix := range []string{"annotations.", "metadata.default."} {
		if rest, ok := bytes.CutPrefix(path, []byte(prefix)); ok {
			out = append(out, append([]byte("attributes."), rest...))
		}
	}
	return out
}

// sortParts orders parts by their start and joins those that overlap.
func sortParts(parts []part) {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(a.start-b.start, b.end-a.end) })
}

// walker applies a program to one document or request. It is used by one goroutine.
type walker struct {
	program *Program
	rules   uint64 // that apply to the service
	path    []byte // of the present value
	scratch []byte
	// see, if not nil, gets every value that a rule changes or would change: the path,
	// the text before and after.
	see func(rule int, path string, before, after []byte)
	// quiet: nothing is counted.
	quiet bool
}

func (p *Program) walker() *walker {
	w := p.walkers.Get().(*walker)
	w.program, w.rules, w.path = p, p.all, w.path[:0]
	return w
}

func (p *Program) release(w *walker) {
	w.see, w.quiet = nil, false
	p.walkers.Put(w)
}

// note counts a value that a rule changed or would change.
func (w *walker) note(rule int, before, after []byte) {
	if !w.quiet {
		w.program.counts[rule].Add(1)
	}
	if w.see != nil {
		w.see(rule, string(w.path), before, after)
	}
}

// into adds a name to the path and returns its former length. Paths are needed for rules
// with paths and for previews.
func (w *walker) into(name []byte) int {
	n := len(w.path)
	if w.program.pathed == 0 && w.see == nil {
		return n
	}
	if n > 0 {
		w.path = append(w.path, '.')
	}
	w.path = append(w.path, name...)
	return n
}

// outOf restores the path.
func (w *walker) outOf(n int) { w.path = w.path[:n] }

// at returns the rules that select the present place: those of the places around it, and
// those by name and path.
func (w *walker) at(outer uint64, name []byte) uint64 {
	return outer | w.program.byKey(name) | w.program.byPath(w.path)
}
