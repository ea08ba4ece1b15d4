package sample_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/sample"
)

// see reports anomalies of services, and ordinary statistics, now. It returns the
// boost in the rule's target.
func (f *fixture) see(seen ...sample.Anomalies) *sample.Boost {
	f.t.Helper()
	for i := range seen {
		seen[i].Rule, seen[i].At = "r", f.now
	}
	got, err := f.Report(f.t.Context(), account, []sample.Report{{Rule: "r", Client: "c", Requests: 1000, At: f.now}}, seen, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	return got.Targets[0].Boost
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func TestBoost(t *testing.T) {
	f := fresh(t)
	f.now = f.now.Truncate(10 * time.Second)
	f.rule("r", 1, 0.05, &sample.RateBoost{MaxRate: 0.5, CooldownWindowMinutes: 2})
	bad := sample.Anomalies{Service: "s", Total: 1000, Anomalous: 300, Sampled: 50}
	steps := []struct {
		at   int // seconds
		seen sample.Anomalies
		rate float64 // 0: no boost
		ttl  int     // seconds after the report
	}{
		{0, sample.Anomalies{Service: "s", Total: 1000}, 0, 0}, // no anomalies
		{10, bad, 0, 0},     // the window is not complete
		{20, bad, 0.25, 20}, // 250 of 1000 missed
		{30, bad, 0.25, 20},
		{40, sample.Anomalies{Service: "s", Total: 1000, Anomalous: 900}, 0.25, 20},
		{50, bad, 0.5, 20}, // more are missed: up to the rule's maximum
		{60, sample.Anomalies{Service: "s", Total: 1000}, 0.5, 20}, // the last window had some
		{70, bad, 0.5, 10}, // the minute ends at 80
		{80, bad, 0, 0},
		{90, bad, 0, 0}, // cooling down
		{130, bad, 0, 0},
		{140, bad, 0.25, 20}, // two minutes after it started
		{150, sample.Anomalies{Service: "s"}, 0.25, 20}, // the last window had some
		{160, bad, 0.25, 20},                            // anomalies again
		{170, sample.Anomalies{Service: "s"}, 0.25, 20},
		{180, sample.Anomalies{Service: "s"}, 0.25, 10}, // not renewed
		{190, sample.Anomalies{Service: "s"}, 0, 0},     // over early: nothing is wrong any more
	}
	for _, s := range steps {
		f.now = start.Truncate(10 * time.Second).Add(seconds(s.at))
		got := f.see(s.seen)
		switch {
		case s.rate == 0 && got != nil:
			t.Errorf("at %d s: %+v", s.at, got)
		case s.rate > 0 && (got == nil || math.Abs(got.Rate-s.rate) > 1e-9 || !got.Expires.Equal(f.now.Add(seconds(s.ttl)))):
			t.Errorf("at %d s: got %+v, want rate %v for %d s", s.at, got, s.rate, s.ttl)
		}
	}
}

func TestBoost_rate(t *testing.T) {
	many := make([]sample.Anomalies, 3000)
	for i := range many {
		many[i] = sample.Anomalies{Service: fmt.Sprint(i), Total: 10, Anomalous: 2}
	}
	for name, c := range map[string]struct {
		fixed, most float64
		seen        []sample.Anomalies
		want        float64
	}{
		"the worst service, not the sum":    {0.05, 1, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 3}, {Service: "b", Total: 10, Anomalous: 4}}, 0.4},
		"reports of a service add up":       {0.05, 1, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 3}, {Service: "a", Total: 10, Anomalous: 5}}, 0.4},
		"all are recorded":                  {0.05, 1, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 3, Sampled: 3}}, 0},
		"more recorded than seen":           {0.05, 1, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 3, Sampled: 9}}, 0},
		"more anomalies than requests":      {0.05, 1, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 30}}, 1},
		"no requests":                       {0.05, 1, []sample.Anomalies{{Service: "a", Anomalous: 30}}, 0},
		"below the fixed rate":              {0.5, 1, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 3}}, 0},
		"the maximum is the fixed rate":     {0.5, 0.5, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 9}}, 0},
		"the maximum is 0":                  {0.05, 0, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 9}}, 0},
		"the maximum":                       {0.05, 0.3, []sample.Anomalies{{Service: "a", Total: 10, Anomalous: 9}}, 0.3},
		"more services than are told apart": {0.05, 1, many, 0.2},
	} {
		t.Run(name, func(t *testing.T) {
			f := fresh(t)
			f.rule("r", 1, c.fixed, &sample.RateBoost{MaxRate: c.most, CooldownWindowMinutes: math.MaxInt32})
			f.see(c.seen...)
			f.pass(10 * time.Second)
			got := f.see()
			switch {
			case c.want == 0 && got != nil:
				t.Errorf("got %+v", got)
			case c.want > 0 && (got == nil || math.Abs(got.Rate-c.want) > 1e-9):
				t.Errorf("got %+v, want %v", got, c.want)
			}
		})
	}
}

func TestBoost_endsWithTheRulesBoost(t *testing.T) {
	bad := sample.Anomalies{Service: "s", Total: 10, Anomalous: 9}
	boost := &sample.RateBoost{MaxRate: 0.5, CooldownWindowMinutes: 60}
	sel := sample.Selector{RuleName: "r"}
	started := func(t *testing.T) *fixture {
		f := fresh(t)
		f.rule("r", 1, 0.05, boost)
		f.see(bad)
		f.pass(10 * time.Second)
		if f.see(bad) == nil {
			t.Fatal("no boost")
		}
		f.pass(time.Second)
		return f
	}
	update := func(f *fixture, u sample.Update) {
		t.Helper()
		u.Selector = sel
		if _, err := f.Update(t.Context(), owner, u, f.now); err != nil {
			t.Fatal(err)
		}
	}
	f := started(t)
	update(f, sample.Update{})
	if got := f.see(bad); got != nil {
		t.Errorf("without a boost: %+v", got)
	}
	update(f, sample.Update{SamplingRateBoost: boost}) // as new: it may start at once
	f.pass(10 * time.Second)
	f.see(bad)
	f.pass(10 * time.Second)
	if got := f.see(bad); got == nil {
		t.Error("no boost after it was removed and set again")
	}

	f = started(t)
	update(f, sample.Update{})
	update(f, sample.Update{SamplingRateBoost: boost}) // nobody reported in between
	f.pass(20 * time.Second)
	f.see(bad)
	f.pass(10 * time.Second)
	if got := f.see(bad); got == nil {
		t.Error("the cooldown of a boost that was removed holds")
	}

	f = started(t)
	update(f, sample.Update{SamplingRateBoost: &sample.RateBoost{MaxRate: 0.2, CooldownWindowMinutes: 60}})
	if got := f.see(bad); got == nil || got.Rate != 0.2 {
		t.Errorf("with a lower maximum: %+v", got)
	}

	f = started(t)
	if _, err := f.Delete(t.Context(), owner, sel, f.now); err != nil {
		t.Fatal(err)
	}
	f.rule("r", 1, 0.05, boost)
	if got := f.see(bad); got != nil {
		t.Errorf("after the rule was made again: %+v", got)
	}
}

// A report of anomalies alone gets no target; the boost is in the targets of clients
// that report statistics.
func TestBoost_anomaliesAlone(t *testing.T) {
	f := fresh(t)
	f.rule("r", 1, 0.05, &sample.RateBoost{MaxRate: 1, CooldownWindowMinutes: 1})
	seen := []sample.Anomalies{
		{Rule: "r", Service: "s", At: f.now, Total: 10, Anomalous: 5},
		{Rule: "r", Service: "stale", At: f.now.Add(-time.Hour), Total: 10, Anomalous: 9},
	}
	got, err := f.Report(t.Context(), account, nil, seen, f.now)
	if err != nil || len(got.Targets)+len(got.UnknownAnomalies) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	f.pass(10 * time.Second)
	if b := f.see(); b == nil || b.Rate != 0.5 {
		t.Errorf("got %+v", b)
	}
}
