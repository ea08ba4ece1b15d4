package local

import (
	"hash/maphash"
	"slices"

	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/store/facts"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// describer makes the entries of the index. Their lists share memory.
type describer struct {
	names  slab.Slab[string]
	slow   slab.Slab[uint8]
	tokens slab.Slab[uint32]
	of     block.Tokens // of the trace at hand
	keys   *keys
	seen   seen
	// resources has the tokens of the resources so far: many traces share a resource.
	resources map[resourceOf]resourceTokens
	known     int // tokens in it
	made      int // tokens of all traces so far
	scratch   block.Tokens
	adding    adding // of the trace at hand
}

// info makes the entry of a trace.
func (d *describer) info(src *source, t *trace.Trace, sum *trace.Summary) block.Info {
	f := facts.Of(t, sum)
	in := block.Info{
		Account: src.account, ID: src.id, LSN: src.lsn(), Start: f.Start, End: f.End, Updated: f.Updated, First: f.First,
		Response: block.Unknown, Duration: block.Unknown,
	}
	if f.Response != nil {
		in.Response = *f.Response
	}
	if f.Duration != nil {
		in.Duration = *f.Duration
	}
	for _, f := range []struct {
		on   bool
		flag block.Flags
	}{{f.Fault, block.Fault}, {f.Error, block.Error}, {f.Throttle, block.Throttle}, {f.InProgress, block.InProgress}, {f.EndsBeforeStart, block.Backward}} {
		if f.on {
			in.Flags |= f.flag
		}
	}
	in.Services, in.Slow, in.Keys = d.names.Take(len(t.Nodes)), d.slow.Take(len(t.Nodes)), d.names.Take(len(sum.Annotations))
	for i, n := range t.Nodes {
		in.Services[i], in.Slow[i] = n.Name, block.Slow(facts.Slowest(n))
	}
	for i := range sum.Annotations {
		in.Keys[i] = sum.Annotations[i].Key
	}
	d.collect(src.account, t, sum)
	kept := d.of.Kept()
	if d.made += len(kept); d.made > maxMade {
		kept = d.of.Whatever()
	}
	in.Tokens = d.tokens.Take(len(kept))
	copy(in.Tokens, kept)
	return in
}

// collect collects the tokens of a trace. Most attributes of a trace occur in it more
// than once, byte by byte.
func (d *describer) collect(account trace.Account, t *trace.Trace, sum *trace.Summary) {
	d.of.Reset()
	d.seen.reset()
	d.keys.mu.Lock()
	defer d.keys.mu.Unlock()
	d.adding = adding{d: d, to: &d.of, account: account, uses: d.keys.of(account)}
	facts.Each(t, sum, &d.adding)
	if d.adding.beyond {
		d.keys.beyond++
	}
}

// resourceOf is a resource of an account.
type resourceOf struct {
	account  trace.Account
	resource trace.Attributes
}

// resourceTokens are the tokens of a resource; beyond: there was no room for some of
// its keys.
type resourceTokens struct {
	list   []uint32
	beyond bool
}

const (
	// maxKnown bounds the tokens of resources that are kept, each resource counted as
	// one more.
	maxKnown = 256 << 10
	// maxMade bounds the tokens of one flush, at ten times the usual number: traces may
	// be many, and their resource may have thousands of attributes. Questions read the
	// traces beyond.
	maxMade = 2 << 20
)

// adding adds the tokens of a trace.
type adding struct {
	d       *describer
	to      *block.Tokens
	account trace.Account
	uses    map[uint32]*keyUse
	beyond  bool
}

// Before tells whether an attribute was added before, by its bytes.
func (a *adding) Before(encoded []byte) bool { return a.d.seen.before(encoded) }

// User adds a user.
func (a *adding) User(user string) { a.to.User(user) }

// Failed adds an outcome of an entity of a service.
func (a *adding) Failed(service string, o trace.Outcome) { a.to.Failed(service, o) }

// Resource adds the attributes of a resource.
func (a *adding) Resource(r trace.Attributes) { a.to.Add(a.resource(r)) }

// Value adds a value of an annotation.
func (a *adding) Value(key string, v trace.Value) bool {
	keys := a.d.keys
	number := a.to.Key(key)
	u := a.uses[number]
	if u == nil {
		u = keys.add(a.account, key, number)
		a.uses = keys.of(a.account)
	}
	if u == nil {
		a.beyond = true
		a.to.AnyValue(key)
	} else if u.over {
		a.to.AnyValue(key)
	} else if token, isNew := a.to.Annotation(key, v); isNew && u.see(token) > float64(keys.values) {
		keys.exceed(a.account, u)
	}
	return true
}

// resource returns the tokens of a resource.
func (a *adding) resource(r trace.Attributes) []uint32 {
	d, of := a.d, resourceOf{a.account, r}
	if known, ok := d.resources[of]; ok {
		a.beyond = a.beyond || known.beyond
		return known.list
	}
	d.scratch.Reset()
	one := adding{d: d, to: &d.scratch, account: a.account, uses: a.uses}
	r.OfResource(one.Value)
	a.uses, a.beyond = one.uses, a.beyond || one.beyond
	if d.known += 1 + len(d.scratch.List); d.resources == nil || d.known > maxKnown {
		d.resources, d.known = map[resourceOf]resourceTokens{}, 1+len(d.scratch.List)
	}
	known := resourceTokens{slices.Clone(d.scratch.List), one.beyond}
	d.resources[of] = known
	return known.list
}

// seen is a set of byte strings, by a hash of 64 bits with a secret seed.
type seen struct {
	table []uint64
	n     int
}

var seed = maphash.MakeSeed()

func (s *seen) reset() {
	if len(s.table) > 4096 || s.table == nil {
		s.table = make([]uint64, 256)
	} else {
		clear(s.table)
	}
	s.n = 0
}

// before adds bytes and tells whether the set had them.
func (s *seen) before(b []byte) bool {
	hash := max(1, maphash.Bytes(seed, b))
	if 2*s.n >= len(s.table) {
		old := s.table
		s.table, s.n = make([]uint64, 2*len(old)), 0
		for _, h := range old {
			if h != 0 {
				s.add(h)
			}
		}
	}
	return s.add(hash)
}

func (s *seen) add(hash uint64) (was bool) {
	mask := uint64(len(s.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		switch s.table[at] {
		case hash:
			return true
		case 0:
			s.table[at] = hash
			s.n++
			return false
		}
	}
}
