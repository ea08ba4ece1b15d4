package local

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// describer makes what the index says of traces. Its lists share memory.
type describer struct {
	names  slab.Slab[string]
	slow   slab.Slab[uint8]
	tokens slab.Slab[uint32]
	of     block.Tokens // a trace
	keys   *keys
	seen   seen
	// resources has the tokens of resources that were met, which are made with
	// scratch: many traces have them.
	resources map[resourceOf]resourceTokens
	known     int // tokens in it
	made      int // tokens of all traces
	scratch   block.Tokens
}

// info is what the index says of a trace.
func (d *describer) info(src *source, t *trace.Trace, sum *trace.Summary) block.Info {
	in := block.Info{
		Account: src.account, ID: src.id, LSN: src.lsn(), Start: t.Start, End: t.End, Updated: t.Updated, First: t.FirstReceived,
		Response: block.Unknown, Duration: block.Unknown,
	}
	if sum.ResponseTime != nil {
		in.Response = *sum.ResponseTime
	}
	if sum.Duration != nil {
		in.Duration = *sum.Duration
	}
	for _, f := range []struct {
		on   bool
		flag block.Flags
	}{{sum.HasFault, block.Fault}, {sum.HasError, block.Error}, {sum.HasThrottle, block.Throttle}, {t.InProgress, block.InProgress}} {
		if f.on {
			in.Flags |= f.flag
		}
	}
	for e := range assemble.All(t) {
		if !e.InProgress && e.End < t.Start {
			in.Flags |= block.Backward
		}
	}
	in.Services, in.Slow, in.Keys = d.names.Take(len(t.Nodes)), d.slow.Take(len(t.Nodes)), d.names.Take(len(sum.Annotations))
	for i, n := range t.Nodes {
		in.Services[i], in.Slow[i] = n.Name, block.Slow(slowest(n))
	}
	for i := range sum.Annotations {
		in.Keys[i] = sum.Annotations[i].Key
	}
	d.tokensOf(src.account, t, sum)
	kept := d.of.Kept()
	if d.made += len(kept); d.made > maxMade {
		kept = d.of.Whatever()
	}
	in.Tokens = d.tokens.Take(len(kept))
	copy(in.Tokens, kept)
	return in
}

// tokensOf collects the tokens of a trace.
func (d *describer) tokensOf(account trace.Account, t *trace.Trace, sum *trace.Summary) {
	d.of.Reset()
	d.annotations(account, t, sum)
	for _, u := range sum.Users {
		d.of.User(u)
	}
	for _, n := range t.Nodes {
		for _, e := range n.Entities {
			if e.HasFault() {
				d.of.Failed(n.Name, trace.Fault)
			}
			if e.Error || e.HasError() {
				d.of.Failed(n.Name, trace.Error)
			}
			if e.HasThrottle() {
				d.of.Failed(n.Name, trace.Throttle)
			}
		}
	}
}

// resourceOf is a resource of an account.
type resourceOf struct {
	account  trace.Account
	resource trace.Attributes
}

// resourceTokens are the tokens of a resource; beyond says that it has keys for
// which there was no room.
type resourceTokens struct {
	list   []uint32
	beyond bool
}

const (
	// maxKnown is how many tokens of resources are known at a time, each counted as
	// one more.
	maxKnown = 256 << 10
	// maxMade is how many tokens one flush makes, which is ten times what it usually
	// does: traces may be many, and their resource have thousands of attributes. Those
	// beyond are read for each question.
	maxMade = 2 << 20
)

// annotations adds the tokens of annotations and attributes. Most attributes of a
// trace were there before, letter by letter.
func (d *describer) annotations(account trace.Account, t *trace.Trace, sum *trace.Summary) {
	d.keys.mu.Lock()
	defer d.keys.mu.Unlock()
	a := adding{d: d, to: &d.of, account: account, uses: d.keys.of(account)}
	for i := range sum.Annotations {
		of := &sum.Annotations[i]
		for _, v := range of.Values {
			a.add(of.Key, v)
		}
	}
	d.seen.reset()
	before, add := d.seen.before, a.add // once, as each is an allocation
	var last trace.Attributes
	for e := range assemble.All(t) {
		seg := e.Received
		if seg == nil || seg.Attributes == nil {
			continue
		}
		seg.Attributes.OfSpan(seg.Raw, before, add)
		if seg.Attributes != last {
			last = seg.Attributes
			d.of.Add(a.resource(last))
		}
	}
	if a.beyond {
		d.keys.beyond++
	}
}

// adding adds the tokens of a trace.
type adding struct {
	d       *describer
	to      *block.Tokens
	account trace.Account
	uses    map[uint32]*keyUse
	beyond  bool
}

// add adds an annotation.
func (a *adding) add(key string, v trace.Value) bool {
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

// resource is the tokens of a resource.
func (a *adding) resource(r trace.Attributes) []uint32 {
	d, of := a.d, resourceOf{a.account, r}
	if known, ok := d.resources[of]; ok {
		a.beyond = a.beyond || known.beyond
		return known.list
	}
	d.scratch.Reset()
	one := adding{d: d, to: &d.scratch, account: a.account, uses: a.uses}
	r.OfResource(one.add)
	a.uses, a.beyond = one.uses, a.beyond || one.beyond
	if d.known += 1 + len(d.scratch.List); d.resources == nil || d.known > maxKnown {
		d.resources, d.known = map[resourceOf]resourceTokens{}, 1+len(d.scratch.List)
	}
	known := resourceTokens{slices.Clone(d.scratch.List), one.beyond}
	d.resources[of] = known
	return known.list
}

// seen is a set of bytes by their hash, of 64 bits with a seed that nobody knows.
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

// before says whether something was added before, and adds it.
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

// slowest is how long the slowest completed entity of a node took.
func slowest(n *trace.Node) (d time.Duration) {
	for _, e := range n.Entities {
		if !e.InProgress {
			d = max(d, time.Duration(e.Duration()))
		}
	}
	return d
}
