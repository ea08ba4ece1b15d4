package setting

import (
	"context"
	"math"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account trace.Account = "000000000000"

var ctx = context.Background()

func newSettings(t *testing.T) (*Settings, *sqlite.Store) {
	t.Helper()
	store, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return New(store), store
}

func TestEncryption(t *testing.T) {
	s, _ := newSettings(t)
	want := Encryption{Type: "NONE"}
	for _, c := range []struct {
		set  Encryption
		good bool
	}{
		{Encryption{"KMS", ""}, false}, {Encryption{"NONE", "alias/x"}, false}, {Encryption{"", ""}, false}, {Encryption{"KMS", "no key!"}, false}, {Encryption{"KMS", "arn:aws:s3:::x"}, false},
		{Encryption{"KMS", "alias/aws/xray"}, true}, {Encryption{"KMS", "1234abcd-12ab-34cd-56ef-1234567890ab"}, true},
		{Encryption{"KMS", "arn:aws:kms:us-east-1:000000000000:key/mrk-1234"}, true}, {Encryption{"NONE", ""}, true},
	} {
		err := s.SetEncryption(ctx, account, c.set)
		if c.good {
			want = c.set
		}
		if (err == nil) != c.good || err != nil && trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("%+v: %v", c.set, err)
		}
		if got, err := s.Encryption(ctx, account); err != nil || got != want {
			t.Errorf("after %+v: %+v, %v", c.set, got, err)
		}
	}
}

func TestIndexed_countsForCloudWatchLogsOnly(t *testing.T) {
	s, store := newSettings(t)
	now := trace.Time(0)
	check := func(destination string, rule Indexing, want float64) {
		t.Helper()
		for _, s := range []*Settings{s, New(store)} { // the second as after a restart
			d, err := s.Destination(ctx, account)
			if err != nil || d != destination {
				t.Errorf("destination %s, %v, want %s", d, err, destination)
			}
			if r, err := s.Indexing(ctx, account); err != nil || r != rule {
				t.Errorf("rule %+v, %v, want %+v", r, err, rule)
			}
			if p := percentage(t, s, account, now); math.Abs(p-want) > 0.5 {
				t.Errorf("%v %%, want %v", p, want)
			}
		}
	}
	set := func(to string, want bool) {
		t.Helper()
		now += 10
		if changed, err := s.SetDestination(ctx, account, to, now); err != nil || changed != want {
			t.Errorf("to %s: %v, %v", to, changed, err)
		}
	}
	check(XRay, Indexing{1, 0}, 100)
	set(XRay, false)
	set(CloudWatchLogs, true)
	check(CloudWatchLogs, Indexing{1, 0}, 1)
	set(CloudWatchLogs, false)
	if r, err := s.SetIndexing(ctx, account, 12.5, 77); err != nil || r != (Indexing{12.5, 77}) {
		t.Errorf("%+v, %v", r, err)
	}
	now = 77
	check(CloudWatchLogs, Indexing{12.5, 77}, 12.5)
	for _, bad := range []float64{-0.1, 100.1, math.NaN(), math.Inf(1)} {
		if _, err := s.SetIndexing(ctx, account, bad, 78); trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := s.SetDestination(ctx, account, "Moon", 90); trace.KindOf(err) != trace.KindInvalid {
		t.Errorf("to the moon: %v", err)
	}
	check(CloudWatchLogs, Indexing{12.5, 77}, 12.5)
	set(XRay, true)
	check(XRay, Indexing{12.5, 77}, 100)
	// A change does not affect what was received before.
	for received, want := range map[trace.Time]float64{19: 100, 20: 1, 76: 1, 77: 12.5, 86: 12.5, 87: 100} {
		if p := percentage(t, s, account, received); math.Abs(p-want) > 0.5 {
			t.Errorf("received at %d: %v %%, want %v", received, p, want)
		}
	}
	if p := percentage(t, s, "111111111111", now); p != 100 {
		t.Errorf("another account: %v %%", p)
	}
}

// percentage counts which percentage of the traces received at a time have
// summaries.
func percentage(t *testing.T, s *Settings, account trace.Account, received trace.Time) float64 {
	t.Helper()
	indexed, err := s.Indexed(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	if indexed == nil {
		return 100
	}
	const traces = 20000
	n := 0
	for i := range traces {
		if indexed(trace.ID{byte(i), byte(i >> 8), 7}, received) {
			n++
		}
	}
	return float64(n) * 100 / traces
}
