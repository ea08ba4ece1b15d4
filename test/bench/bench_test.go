package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// A soak of seconds measures the same as one of hours.
func TestSoak_isMeasured(t *testing.T) {
	k := soak{peakTime: time.Second, length: 5 * time.Second, rate: 0.5, every: 500 * time.Millisecond, keep: "0", seed: 1}
	table, err := k.run(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Peak ", "at 50 % of it", "| RSS MB | ", "| goroutines | "} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in:\n%s", want, table)
		}
	}
}

func TestFill_isMeasured(t *testing.T) {
	table, err := fill(harness.Binary(t), "5000,10000", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BatchGetTraces, one id", "GetServiceGraph", "RSS MB"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in:\n%s", want, table)
		}
	}
	if _, err := fill("none", "5,x", 1); err == nil || !strings.Contains(err.Error(), "-fill") {
		t.Errorf("a bad number: %v", err)
	}
}

func TestTrend(t *testing.T) {
	var samples []sample
	for i := range 10 {
		samples = append(samples, sample{at: time.Duration(i) * time.Minute, rssMB: 100 + float64(i)*6})
	}
	if slope, mean := trend(samples, func(s sample) float64 { return s.rssMB }); math.Abs(slope-0.1) > 1e-9 || math.Abs(mean-127) > 1e-9 {
		t.Errorf("slope %v, mean %v", slope, mean)
	}
	if slope, _ := trend(samples, func(sample) float64 { return 3 }); math.Abs(slope) > 1e-9 {
		t.Errorf("a flat line has the slope %v", slope)
	}
}
