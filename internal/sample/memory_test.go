package sample_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account = trace.Account("000000000000")

var owner = trace.Owner{Account: account, Region: "us-east-1"}

var start = time.Unix(1_700_000_000, 0)

// memory is a meta.Store in memory; if broken is set, its calls return that error.
type memory struct {
	mu      sync.Mutex
	records map[key][]byte
	broken  error
}

type key struct {
	account trace.Account
	kind    meta.Kind
	name    string
}

type memoryTx struct {
	*memory
	account trace.Account
}

func newMemory() *memory { return &memory{records: map[key][]byte{}} }

func (m *memory) View(_ context.Context, a trace.Account, f func(meta.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.broken, f(memoryTx{m, a}))
}

func (m *memory) Update(_ context.Context, a trace.Account, f func(meta.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := maps.Clone(m.records)
	err := f(memoryTx{m, a})
	m.records = before // run twice, as the contract allows
	if err == nil {
		err = f(memoryTx{m, a})
	}
	if err = errors.Join(err, m.broken); err != nil {
		m.records = before
	}
	return unjoined(err)
}

// unjoined returns the only error of a join, so that errors.Is is not needed.
func unjoined(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}

func (m *memory) Close() error { return nil }

func (t memoryTx) Get(kind meta.Kind, name string, into any) (bool, error) {
	b, found := t.records[key{t.account, kind, name}]
	if !found {
		return false, nil
	}
	return true, json.Unmarshal(b, into)
}

func (t memoryTx) List(kind meta.Kind, each func(string, json.RawMessage) error) error {
	var names []string
	for k := range t.records {
		if k.account == t.account && k.kind == kind {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		if err := each(n, t.records[key{t.account, kind, n}]); err != nil {
			return err
		}
	}
	return nil
}

func (t memoryTx) Put(kind meta.Kind, name string, value any) error {
	b, err := meta.Encode(kind, name, value)
	t.records = maps.Clone(t.records)
	t.memory.records = t.records
	t.records[key{t.account, kind, name}] = b
	return err
}

func (t memoryTx) Delete(kind meta.Kind, name string) (bool, error) {
	k := key{t.account, kind, name}
	_, found := t.records[k]
	t.memory.records = maps.Clone(t.records)
	delete(t.memory.records, k)
	return found, nil
}

// fixture is a sampler with its own store and clock.
type fixture struct {
	*sample.Sampler
	t     testing.TB
	store *memory
	now   time.Time
}

func fresh(t testing.TB) *fixture {
	m := newMemory()
	return &fixture{sample.New(m), t, m, start}
}

// rule makes a rule that matches everything.
func (f *fixture) rule(name string, reservoir int, rate float64, boost *sample.RateBoost) sample.Rule {
	f.t.Helper()
	r, err := f.Create(f.t.Context(), owner, sample.Rule{
		RuleName: name, Priority: 100, FixedRate: rate, ReservoirSize: reservoir,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*", SamplingRateBoost: boost,
	}, 1, nil, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// report sends reports now.
func (f *fixture) report(reports ...sample.Report) sample.Targets {
	f.t.Helper()
	for i := range reports {
		if reports[i].At.IsZero() {
			reports[i].At = f.now
		}
	}
	targets, err := f.Report(f.t.Context(), account, reports, nil, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return targets
}

// quota reports a client's requests of ten seconds and returns its quota.
func (f *fixture) quota(rule, client string, requests int64) int {
	f.t.Helper()
	return f.report(sample.Report{Rule: rule, Client: client, Requests: requests}).Targets[0].Quota
}

func (f *fixture) pass(d time.Duration) { f.now = f.now.Add(d) }

// tags returns the stored tags of a rule.
func (f *fixture) tags(r sample.Rule) (tags []tag.Tag) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), account, func(tx meta.Tx) error {
		_, err := tx.Get("tags", r.RuleARN, &tags)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return tags
}
