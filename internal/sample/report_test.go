package sample_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/sample"
)

func TestReport_firstContact(t *testing.T) {
	f := fresh(t)
	f.now = f.now.Add(700 * time.Millisecond)
	got := f.report(sample.Report{Rule: "Default", Client: "a"}).Targets
	if len(got) != 1 || got[0] != (sample.Target{Rule: "Default", FixedRate: 0.05, Quota: 1, Expires: start.Add(300 * time.Second)}) {
		t.Errorf("got %+v", got)
	}
}

func TestReport_reservoirOf0(t *testing.T) {
	f := fresh(t)
	f.rule("none", 0, 0.3, nil)
	for range 3 {
		if q := f.quota("none", "a", 1000); q != 0 {
			t.Errorf("quota %d", q)
		}
		f.pass(10 * time.Second)
	}
}

func TestReport_unknownAndDuplicates(t *testing.T) {
	f := fresh(t)
	f.rule("a", 10, 0.5, nil)
	got, err := f.Report(t.Context(), account, []sample.Report{
		{Rule: "gone", Client: "c"}, {Rule: "a", Client: "c", Requests: 20}, {Rule: "Default", Client: "c"}, {Rule: "a", Client: "c", Requests: 20}, {Rule: "gone", Client: "c"},
	}, []sample.Anomalies{{Rule: "Default"}, {Rule: "lost"}}, f.now)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, target := range got.Targets {
		rules = append(rules, target.Rule)
	}
	if !slices.Equal(rules, []string{"a", "Default", "a"}) || got.Targets[0] != got.Targets[2] {
		t.Errorf("targets %+v", got.Targets)
	}
	if !slices.Equal(got.Unknown, []string{"gone", "gone"}) || !slices.Equal(got.UnknownAnomalies, []string{"lost"}) {
		t.Errorf("unknown %v and %v", got.Unknown, got.UnknownAnomalies)
	}
}

// Shares follow the clients' needs once all have reported twice.
func TestReport_fairShares(t *testing.T) {
	for name, c := range map[string]struct {
		reservoir int
		requests  []int64 // in ten seconds, by client
		want      []int
	}{
		"one takes all":              {5, []int64{3}, []int{5}},
		"one without requests":       {5, []int64{0}, []int{5}},
		"even":                       {6, []int64{1000, 1000, 1000}, []int{2, 2, 2}},
		"remainder by id":            {5, []int64{1000, 1000, 1000}, []int{2, 2, 1}},
		"fewer than clients":         {1, []int64{1000, 1000, 1000}, []int{1, 0, 0}},
		"idle give to busy":          {10, []int64{0, 1000, 0}, []int{0, 10, 0}},
		"small need met first":       {10, []int64{10, 1000, 1000}, []int{1, 5, 4}},
		"needs met, rest spread":     {10, []int64{20, 30, 10}, []int{4, 4, 2}},
		"tenths round up":            {10, []int64{1, 1000}, []int{1, 9}},
		"more than a reservoir each": {2_000_000_000, []int64{1 << 40, 1 << 40}, []int{1_000_000_000, 1_000_000_000}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fresh(t)
			f.rule("r", c.reservoir, 0, nil)
			got := make([]int, len(c.requests))
			for range 3 {
				for i := len(c.requests) - 1; i >= 0; i-- {
					got[i] = f.quota("r", fmt.Sprint(i), c.requests[i])
				}
				f.pass(10 * time.Second)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// Clients that report in one call can pass quota to each other at once.
func TestReport_oneCallForMany(t *testing.T) {
	f := fresh(t)
	f.rule("r", 4, 0, nil)
	f.quota("r", "b", 1000)
	got := f.report(sample.Report{Rule: "r", Client: "a", Requests: 1000}, sample.Report{Rule: "r", Client: "b", Requests: 1000}).Targets
	if got[0].Quota != 2 || got[1].Quota != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestReport_leaseOutlivesClient(t *testing.T) {
	f := fresh(t)
	f.rule("r", 4, 0, nil)
	f.quota("r", "old", 1000)
	f.pass(300 * time.Second) // a client that counts whole seconds still uses it
	if q := f.quota("r", "new", 1000); q != 0 {
		t.Errorf("quota %d while the other client holds all", q)
	}
	f.pass(time.Second)
	if q := f.quota("r", "new", 1000); q != 4 {
		t.Errorf("quota %d after the other client's expired", q)
	}
}

func TestReport_smallerReservoirAndRecreation(t *testing.T) {
	f := fresh(t)
	f.rule("r", 10, 0, nil)
	f.quota("r", "a", 1000)
	three := 3
	if _, err := f.Update(t.Context(), owner, sample.Update{Selector: sample.Selector{RuleName: "r"}, ReservoirSize: &three}, f.now); err != nil {
		t.Fatal(err)
	}
	if q := f.quota("r", "b", 1000); q != 0 {
		t.Errorf("b got %d while a holds 10 of 3", q)
	}
	if q := f.quota("r", "a", 1000); q != 2 {
		t.Errorf("a got %d", q)
	}
	if _, err := f.Delete(t.Context(), owner, sample.Selector{RuleName: "r"}, f.now); err != nil {
		t.Fatal(err)
	}
	f.pass(time.Second)
	f.report()
	f.rule("r", 3, 0, nil)
	if q := f.quota("r", "c", 1000); q != 1 {
		t.Errorf("c got %d of 3 while a holds 2 of the rule that was deleted", q)
	}
}

// Whatever clients, clocks and rules do, the sum of quotas never exceeds the
// reservoir.
func TestReport_quotasFitTheReservoir(t *testing.T) {
	names := []string{"Default", "a", "b", "c"}
	for seed := range uint64(20) {
		f := fresh(t)
		rnd := rand.New(rand.NewPCG(seed, 7))
		type holder struct{ rule, client string }
		held := map[holder]sample.Target{}
		sizes := map[string]int{"Default": 1}
		sum := func(rule string) (sum int) {
			for h, target := range held {
				switch {
				case target.Expires.Unix() < f.now.Unix():
					delete(held, h) // permanently: a client's clock is not the server's
				case h.rule == rule:
					sum += target.Quota
				}
			}
			return sum
		}
		for step := range 1500 {
			if rnd.IntN(50) == 0 {
				f.pass(time.Duration(rnd.IntN(400_000)-50_000) * time.Millisecond) // also back
			} else {
				f.pass(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			}
			name := names[rnd.IntN(len(names))]
			sel := sample.Selector{RuleName: name}
			switch _, there := sizes[name]; {
			case !there && rnd.IntN(3) == 0:
				sizes[name] = rnd.IntN(12)
				f.rule(name, sizes[name], 0.1, nil)
				continue
			case there && name != "Default" && rnd.IntN(60) == 0:
				if _, err := f.Delete(t.Context(), owner, sel, f.now); err != nil {
					t.Fatal(err)
				}
				delete(sizes, name)
				continue
			case there && rnd.IntN(40) == 0:
				size := rnd.IntN(12)
				if _, err := f.Update(t.Context(), owner, sample.Update{Selector: sel, ReservoirSize: &size}, f.now); err != nil {
					t.Fatal(err)
				}
				sizes[name] = size
				continue
			}
			before := map[string]int{}
			for _, n := range names {
				before[n] = sum(n)
			}
			var reports []sample.Report
			for range 1 + rnd.IntN(4) {
				reports = append(reports, sample.Report{Rule: names[rnd.IntN(len(names))], Client: fmt.Sprint(rnd.IntN(25)), Requests: int64(rnd.IntN(200)), At: f.now})
			}
			known := slices.DeleteFunc(slices.Clone(reports), func(r sample.Report) bool { _, there := sizes[r.Rule]; return !there })
			got := f.report(reports...)
			if len(got.Targets) != len(known) || len(got.Unknown) != len(reports)-len(known) {
				t.Fatalf("seed %d step %d: %d targets, %d unknown of %+v", seed, step, len(got.Targets), len(got.Unknown), reports)
			}
			for i, target := range got.Targets {
				if target.Quota < 0 {
					t.Fatalf("quota %d", target.Quota)
				}
				held[holder{target.Rule, known[i].Client}] = target
			}
			for n, size := range sizes {
				if now := sum(n); now > max(size, before[n]) || now > size && now > before[n] {
					t.Fatalf("seed %d step %d: clients of %s hold %d, before %d, of a reservoir of %d", seed, step, n, now, before[n], size)
				}
			}
		}
	}
}

// Ten thousand clients of a rule are remembered; further ones get the rate and no
// quota until others have expired.
func TestReport_boundedClients(t *testing.T) {
	f := fresh(t)
	f.rule("r", 20_000, 0.5, nil)
	for i := range 20 {
		var reports []sample.Report
		for j := range 500 {
			reports = append(reports, sample.Report{Rule: "r", Client: fmt.Sprintf("%05d", i*500+j), Requests: 10})
		}
		f.report(reports...)
	}
	f.pass(time.Second)
	if got := f.report(sample.Report{Rule: "r", Client: "one more", Requests: 10}).Targets[0]; got.Quota != 0 || got.FixedRate != 0.5 {
		t.Errorf("got %+v", got)
	}
	f.pass(301 * time.Second)
	f.quota("r", "one more", 10)
	if q := f.quota("r", "one more", 10); q == 0 {
		t.Error("no quota after the others have gone")
	}
}

func TestWindows(t *testing.T) {
	f := fresh(t)
	f.now = f.now.Truncate(10 * time.Second)
	f.rule("b", 1, 0, nil)
	f.rule("a", 1, 0, nil)
	windows := func() string {
		t.Helper()
		got, err := f.Windows(t.Context(), account, f.now)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, w := range got {
			out = append(out, fmt.Sprintf("%s@%d %d/%d/%d", w.Rule, w.Start.Unix()-start.Unix(), w.Requests, w.Sampled, w.Borrowed))
		}
		return strings.Join(out, ", ")
	}
	check := func(want string) {
		t.Helper()
		if got := windows(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check("a@-10 0/0/0, b@-10 0/0/0")
	f.pass(3 * time.Second)
	r := sample.Report{Rule: "a", Client: "x", Requests: 73, Sampled: 17, Borrowed: 1}
	f.report(r)
	r.Client = "y"
	f.report(r)
	r.Rule = "Default"
	f.report(r)
	for _, at := range []time.Duration{-time.Hour, time.Hour} { // stale or from the future: not counted
		r.At = f.now.Add(at)
		if len(f.report(r).Targets) != 1 {
			t.Error("no target")
		}
	}
	check("a@-10 0/0/0, b@-10 0/0/0, Default@-10 0/0/0")
	f.pass(7 * time.Second)
	check("a@0 146/34/2, b@0 0/0/0, Default@0 73/17/1")
	f.pass(9 * time.Second)
	check("a@0 146/34/2, b@0 0/0/0, Default@0 73/17/1")
	f.pass(time.Second)
	check("a@10 0/0/0, b@10 0/0/0, Default@10 0/0/0")
	r.Rule, r.At = "a", time.Time{}
	f.report(r)
	f.pass(20 * time.Second)
	check("a@30 0/0/0, b@30 0/0/0, Default@30 0/0/0")
	f.report(sample.Report{Rule: "a", Client: "x", Requests: 5})
	if _, err := f.Delete(t.Context(), owner, sample.Selector{RuleName: "a"}, f.now); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(10 * time.Second)
	f.rule("a", 1, 0, nil) // a new rule of that name has counted nothing
	check("a@40 0/0/0, b@40 0/0/0, Default@40 0/0/0")
}

// Rules that are made and deleted leave nothing behind for long.
func TestReport_boundedRules(t *testing.T) {
	f := fresh(t)
	for i := range 300 {
		name := fmt.Sprint(i)
		f.rule(name, 1, 0, nil)
		f.quota(name, "a", 1)
		if _, err := f.Delete(t.Context(), owner, sample.Selector{RuleName: name}, f.now); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.States(account); n > 105 {
		t.Errorf("%d rules are remembered", n)
	}
	f.pass(302 * time.Second)
	f.report()
	if n := f.States(account); n != 0 {
		t.Errorf("%d rules are remembered after all quotas expired", n)
	}
}

// Many clients at once, while rules change: run with -race.
func TestSampler_concurrent(t *testing.T) {
	f := fresh(t)
	f.rule("r", 5, 0.1, &sample.RateBoost{MaxRate: 1, CooldownWindowMinutes: 1})
	done := make(chan error)
	for c := range 8 {
		go func() {
			var err error
			for i := range 200 {
				now := start.Add(time.Duration(i) * time.Second)
				_, err = f.Report(context.Background(), account, []sample.Report{{Rule: "r", Client: fmt.Sprint(c), Requests: 10, At: now}}, []sample.Anomalies{{Rule: "r", Service: "s", At: now, Total: 10, Anomalous: 5}}, now)
				if err == nil {
					_, err = f.Windows(context.Background(), account, now)
				}
				if err == nil && c == 0 {
					_, err = f.Update(context.Background(), owner, sample.Update{Selector: sample.Selector{RuleName: "r"}, ReservoirSize: &i}, now)
				}
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkReport(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			f := fresh(b)
			f.rule("r", 50, 0.1, nil)
			for i := range n {
				f.quota("r", fmt.Sprintf("%024x", i), 100)
			}
			b.ResetTimer()
			for i := range b.N {
				f.quota("r", fmt.Sprintf("%024x", i%n), int64(i%200))
			}
		})
	}
}
