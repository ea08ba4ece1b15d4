package scrub

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The kinds of records, and the name of an account's only key record.
const (
	kind    meta.Kind = "scrub-rule"
	keyKind meta.Kind = "scrub-key"
	theKey            = "hash"
)

const (
	// fresh is how long rules that were read are used without reading them again. A
	// change through these Rules counts at once.
	fresh = 10 * time.Second
	// keepAccounts is how many accounts have their rules in memory, at most 30 KB each.
	keepAccounts = 500
	// keepNames is how many names of rules metrics distinguish; further ones are others.
	keepNames = 500
	others    = "others"
)

// Options of Rules.
type Options struct {
	Store meta.Store
	// NoDefaults turns the default rules off.
	NoDefaults bool
	// Strict refuses data while the rules of its account cannot be read. Otherwise the
	// default rules alone apply to it.
	Strict bool
	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means none
}

// Rules keeps the rules of accounts and gives receivers the program of an account. Many
// goroutines may use it at once.
type Rules struct {
	o        Options
	mu       sync.RWMutex
	accounts map[trace.Account]*state
	gone     map[string]int64 // counts of accounts that are no longer in memory
}

// state holds the rules and counts of an account in memory.
type state struct {
	loaded  atomic.Int64 // Unix nanoseconds; 0: read again
	program atomic.Pointer[Program]
	mu      sync.Mutex // one reader at a time
	counts  map[string]*atomic.Int64
}

// record is a stored rule.
type record struct {
	Rule
	Created, Updated trace.Time
}

// Stored is a rule with its times and with how many values it changed since the server
// started. A rule that only counts would have changed them.
type Stored struct {
	Rule
	Default          bool `json:",omitempty"`
	Created, Updated trace.Time
	Values           int64
}

// New makes Rules.
func New(o Options) *Rules {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Rules{o: o, accounts: map[trace.Account]*state{}, gone: map[string]int64{}}
}

// Program returns the program of an account. Errors: KindUnavailable, with Strict only.
func (r *Rules) Program(ctx context.Context, account trace.Account) (*Program, error) {
	r.mu.RLock()
	s := r.accounts[account]
	r.mu.RUnlock()
	if s == nil {
		s = r.remember(account)
	}
	now := r.o.Now().UnixNano()
	if p := s.program.Load(); p != nil && now-s.loaded.Load() < int64(fresh) {
		return p, nil
	}
	return r.load(ctx, account, s)
}

// remember makes the state of an account, and forgets that of another one if there are
// too many.
func (r *Rules) remember(account trace.Account) *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.accounts[account]; s != nil {
		return s
	}
	if len(r.accounts) >= keepAccounts {
		for other, s := range r.accounts {
			s.mu.Lock()
			for name, n := range s.counts {
				r.gone[r.bounded(name)] += n.Load()
			}
			s.mu.Unlock()
			delete(r.accounts, other)
			break
		}
	}
	s := &state{counts: map[string]*atomic.Int64{}}
	r.accounts[account] = s
	return s
}

// bounded returns the name of a rule in metrics. The caller holds mu.
func (r *Rules) bounded(name string) string {
	if _, known := r.gone[name]; !known && len(r.gone) >= keepNames {
		return others
	}
	return name
}

// load reads the rules of an account and compiles them. If that fails, the last known
// rules apply, else the default ones, or nothing is allowed with Strict.
func (r *Rules) load(ctx context.Context, account trace.Account, s *state) (*Program, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.o.Now().UnixNano()
	known := s.program.Load()
	if known != nil && now-s.loaded.Load() < int64(fresh) {
		return known, nil
	}
	list, key, err := r.read(ctx, account)
	if err == nil {
		var p *Program
		if p, err = r.compile(list, key, s); err == nil {
			s.program.Store(p)
			s.loaded.Store(now)
			return p, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.o.Logger.Warn("the scrub rules cannot be read", "account", account, "error", err)
	switch {
	case known != nil:
		s.loaded.Store(now)
		return known, nil
	case r.o.Strict:
		return nil, trace.Errorf(trace.KindUnavailable, "the scrub rules of account %s cannot be read now, and without them nothing is stored; try again", account)
	}
	p, err := r.compile(nil, nil, s)
	if err == nil {
		s.program.Store(p)
		s.loaded.Store(now)
	}
	return p, err
}

// compile makes the program of an account from its records. The caller holds s.mu.
func (r *Rules) compile(list []record, key []byte, s *state) (*Program, error) {
	rules := r.effective(list)
	return Compile(rules, key, func(name string) *atomic.Int64 {
		if s.counts[name] == nil {
			s.counts[name] = new(atomic.Int64)
		}
		return s.counts[name]
	})
}

// effective joins the rules of an account with the default ones, as records change them.
func (r *Rules) effective(list []record) (rules []Rule) {
	changed := map[string]Rule{}
	for _, rec := range list {
		if IsDefault(rec.Name) {
			changed[rec.Name] = rec.Rule
			continue
		}
		rules = append(rules, rec.Rule)
	}
	if r.o.NoDefaults {
		return rules
	}
	for _, d := range Defaults() {
		if c, ok := changed[d.Name]; ok {
			d.Action, d.DryRun, d.Disabled = c.Action, c.DryRun, c.Disabled
		}
		rules = append(rules, d)
	}
	return rules
}

// read reads the rules and the key of hashes of an account.
func (r *Rules) read(ctx context.Context, account trace.Account) (list []record, key []byte, err error) {
	err = r.o.Store.View(ctx, account, func(tx meta.Tx) error {
		list = nil
		if _, err := tx.Get(keyKind, theKey, &key); err != nil {
			return err
		}
		return tx.List(kind, func(name string, value json.RawMessage) error {
			var rec record
			if err := json.Unmarshal(value, &rec); err != nil {
				return fmt.Errorf("record of scrub rule %q: %w", name, err)
			}
			list = append(list, rec)
			return nil
		})
	})
	return list, key, err
}

// List returns the rules of an account in the order in which they work.
func (r *Rules) List(ctx context.Context, account trace.Account) ([]Stored, error) {
	list, _, err := r.read(ctx, account)
	if err != nil {
		return nil, err
	}
	times := map[string]record{}
	for _, rec := range list {
		times[rec.Name] = rec
	}
	counts := r.Counts(account)
	var out []Stored
	for _, rule := range r.effective(list) {
		rec := times[rule.Name]
		out = append(out, Stored{Rule: rule, Default: IsDefault(rule.Name), Created: rec.Created, Updated: rec.Updated, Values: counts[rule.Name]})
	}
	slices.SortStableFunc(out, func(a, b Stored) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), compareNames(a.Name, b.Name))
	})
	return out, nil
}

// Counts returns how many values each rule of an account changed since the start.
func (r *Rules) Counts(account trace.Account) map[string]int64 {
	out := map[string]int64{}
	r.mu.RLock()
	s := r.accounts[account]
	r.mu.RUnlock()
	if s == nil {
		return out
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range s.counts {
		out[name] = n.Load()
	}
	return out
}

// Totals returns how many values each rule changed, by the name of the rule, over all
// accounts. Names beyond a limit are counted together.
func (r *Rules) Totals() map[string]int64 {
	out := map[string]int64{}
	for _, d := range Defaults() {
		out[d.Name] = 0
	}
	add := func(name string, n int64) {
		if _, known := out[name]; !known && len(out) >= keepNames {
			name = others
		}
		out[name] += n
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, n := range r.gone {
		add(name, n)
	}
	for _, s := range r.accounts {
		s.mu.Lock()
		for name, n := range s.counts {
			add(name, n.Load())
		}
		s.mu.Unlock()
	}
	return out
}

// Put makes a rule or replaces the one with its name. It counts from the next request on.
func (r *Rules) Put(ctx context.Context, account trace.Account, rule Rule) (out Stored, err error) {
	if err := rule.Check(); err != nil {
		return Stored{}, err
	}
	now := trace.Time(r.o.Now().UnixNano())
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // it never fails
	err = r.o.Store.Update(ctx, account, func(tx meta.Tx) error {
		var rec record
		found, err := tx.Get(kind, rule.Name, &rec)
		if err != nil {
			return err
		}
		count := 0
		if err := tx.List(kind, func(name string, _ json.RawMessage) error {
			if !IsDefault(name) {
				count++
			}
			return nil
		}); err != nil {
			return err
		}
		if !found && !IsDefault(rule.Name) && count >= MaxRules {
			return trace.Errorf(trace.KindLimit, "an account can have at most %d scrub rules", MaxRules)
		}
		var key []byte
		if has, err := tx.Get(keyKind, theKey, &key); err != nil {
			return err
		} else if !has {
			if err := tx.Put(keyKind, theKey, fresh); err != nil {
				return err
			}
		}
		if !found {
			rec.Created = now
		}
		rec.Rule, rec.Updated = rule, now
		out = Stored{Rule: rule, Default: IsDefault(rule.Name), Created: rec.Created, Updated: now}
		return tx.Put(kind, rule.Name, rec)
	})
	if err != nil {
		return Stored{}, err
	}
	r.changed(account)
	out.Values = r.Counts(account)[rule.Name]
	return out, nil
}

// Delete removes a rule; a default rule works unchanged again.
func (r *Rules) Delete(ctx context.Context, account trace.Account, name string) error {
	err := r.o.Store.Update(ctx, account, func(tx meta.Tx) error {
		found, err := tx.Delete(kind, name)
		if err == nil && !found && !IsDefault(name) {
			return trace.Errorf(trace.KindNotFound, "there is no scrub rule %.70q", name)
		}
		return err
	})
	if err == nil {
		r.changed(account)
	}
	return err
}

// changed makes the next request of an account read its rules again.
func (r *Rules) changed(account trace.Account) {
	r.mu.RLock()
	s := r.accounts[account]
	r.mu.RUnlock()
	if s != nil {
		s.mu.Lock() // a reader that began before the change has ended
		s.loaded.Store(0)
		s.mu.Unlock()
	}
}

// Trial compiles rules for a preview: those that are given, or those of the account if
// there are none, or only some of these by name. It has its own counters.
func (r *Rules) Trial(ctx context.Context, account trace.Account, rules []Rule, names []string) (*Program, error) {
	list, key, err := r.read(ctx, account)
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		key = make([]byte, 32)
		_, _ = rand.Read(key)
	}
	for i := range rules {
		if err := rules[i].Check(); err != nil {
			return nil, err
		}
	}
	if len(rules) > MaxRules {
		return nil, trace.Errorf(trace.KindLimit, "a preview can have at most %d rules", MaxRules)
	}
	if len(rules) == 0 {
		rules = r.effective(list)
		for _, name := range names {
			if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == name }) {
				return nil, trace.Errorf(trace.KindNotFound, "there is no scrub rule %.70q", name)
			}
		}
		if len(names) > 0 {
			rules = slices.DeleteFunc(rules, func(r Rule) bool { return !slices.Contains(names, r.Name) })
		}
	}
	return Compile(rules, key, func(string) *atomic.Int64 { return new(atomic.Int64) })
}
