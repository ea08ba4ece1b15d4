package sample_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/sample"
)

var start = time.Unix(1_700_000_000, 0)

func TestRules_startWithDefault(t *testing.T) {
	s := sample.New()
	rules := s.Rules()
	if len(rules) != 1 || rules[0].Name != "Default" || rules[0].FixedRate != 0.05 || rules[0].ReservoirSize != 1 || rules[0].Priority != 10000 || rules[0].Attributes == nil {
		t.Errorf("got %+v", rules)
	}
	if !s.LastModification().IsZero() || !s.Known("Default") || s.Known("other") {
		t.Error("a new sampler knows Default, unchanged, alone")
	}
}

func TestReport_unknownRule(t *testing.T) {
	if target, ok := sample.New().Report(sample.Report{Rule: "gone", Client: "a"}, start); ok {
		t.Errorf("got %+v", target)
	}
}

func TestReport_leaseAndExpiry(t *testing.T) {
	s := sample.New()
	target, ok := s.Report(sample.Report{Rule: "Default", Client: "a", Requests: 100}, start)
	if !ok || target.Quota != 1 || target.FixedRate != 0.05 || !target.Expires.Equal(start.Add(300*time.Second)) {
		t.Errorf("first client: %+v", target)
	}
	if second, _ := s.Report(sample.Report{Rule: "Default", Client: "b", Requests: 100}, start.Add(time.Second)); second.Quota != 0 {
		t.Errorf("second client while the first holds all: %+v", second)
	}
	if second, _ := s.Report(sample.Report{Rule: "Default", Client: "b", Requests: 100}, start.Add(301*time.Second)); second.Quota != 1 {
		t.Errorf("second client after the first's lease ended: %+v", second)
	}
}

// The unexpired quotas of all clients never add up to more than the reservoir.
func TestReport_quotasFitTheReservoir(t *testing.T) {
	s := sample.New()
	rnd := rand.New(rand.NewPCG(1, 2))
	held := map[string]sample.Target{}
	now := start
	for range 5000 {
		now = now.Add(time.Duration(rnd.IntN(20)) * time.Second)
		client := fmt.Sprint(rnd.IntN(50))
		target, _ := s.Report(sample.Report{Rule: "Default", Client: client, Requests: int64(rnd.IntN(1000))}, now)
		held[client] = target
		sum := 0
		for _, h := range held {
			if h.Expires.After(now) {
				sum += h.Quota
			}
		}
		if sum > 1 {
			t.Fatalf("quotas add up to %d of a reservoir of 1", sum)
		}
	}
}

func TestWindows_showOneClosedWindow(t *testing.T) {
	s := sample.New()
	at := start.Truncate(10 * time.Second)
	for range 2 {
		s.Report(sample.Report{Rule: "Default", Client: "a", Requests: 73, Sampled: 17, Borrowed: 1}, at.Add(3*time.Second))
	}
	if w := s.Windows(at.Add(9 * time.Second)); len(w) != 1 || w[0].Requests != 0 {
		t.Errorf("while it is counted: %+v", w)
	}
	if w := s.Windows(at.Add(11 * time.Second)); w[0] != (sample.Window{Rule: "Default", Start: at, Requests: 146, Sampled: 34, Borrowed: 2}) {
		t.Errorf("after it ended: %+v", w)
	}
	if w := s.Windows(at.Add(25 * time.Second)); w[0].Requests != 0 {
		t.Errorf("a window later: %+v", w)
	}
}
