package quota_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/quota"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func records(t *testing.T) meta.Store {
	t.Helper()
	s, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

const tenant trace.Account = "111111111111"

// At most the rate and its burst enter, whatever the sender does.
func TestSend_keepsTheRate(t *testing.T) {
	store := records(t)
	synctest.Test(t, func(t *testing.T) {
		q := quota.New(quota.Options{Store: store, Defaults: quota.Limits{Spans: 1000}})
		began, sent := time.Now(), 0
		for time.Since(began) < 20*time.Second {
			if err := q.Send(t.Context(), tenant); err != nil {
				t.Fatal(err) // with 500 spans a request nobody waits for a second
			}
			q.Sent(tenant, 500, 0)
			sent += 500
		}
		if sent < 20_000 || sent > 23_000 {
			t.Errorf("%d spans in 20 s, want 20,000 and a burst of 2,000", sent)
		}
		// A request that is larger than the burst enters, and the next one pays for it.
		time.Sleep(10 * time.Second)
		if err := q.Send(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		q.Sent(tenant, 50_000, 0)
		err := q.Send(t.Context(), tenant)
		if trace.KindOf(err) != trace.KindThrottled || !strings.Contains(err.Error(), "1000 spans a second") {
			t.Errorf("in debt: %v", err)
		}
		if err := q.MaySend(tenant); trace.KindOf(err) != trace.KindThrottled {
			t.Errorf("a datagram in debt: %v", err)
		}
		if err := q.Send(t.Context(), "222222222222"); err != nil {
			t.Errorf("another account: %v", err)
		}
		use, err := q.Use(t.Context(), tenant)
		if err != nil || use.Refused["spans"] != 2 || use.Own {
			t.Errorf("%+v, %v", use, err)
		}
	})
}

func TestSend_endsWithItsRequest(t *testing.T) {
	q := quota.New(quota.Options{Store: records(t), Defaults: quota.Limits{Bytes: 1}})
	q.Sent(tenant, 1, 1<<30)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := q.Send(ctx, tenant); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestAsk_andScan(t *testing.T) {
	store := records(t)
	synctest.Test(t, func(t *testing.T) {
		q := quota.New(quota.Options{Store: store, Defaults: quota.Limits{Queries: 10, Scans: 2}})
		began := time.Now()
		for range 100 {
			if err := q.Ask(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("100 questions at 10 a second after a burst of 20 took %v", took)
		}
		one, err := q.Scan(t.Context(), tenant)
		two, err2 := q.Scan(t.Context(), tenant)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		three, err := q.Scan(t.Context(), tenant)
		if trace.KindOf(err) != trace.KindThrottled {
			t.Errorf("a third scan: %v", err)
		}
		three() // must not count: it was refused
		go func() { time.Sleep(300 * time.Millisecond); one() }()
		four, err := q.Scan(t.Context(), tenant)
		if err != nil {
			t.Errorf("after one ended: %v", err)
		}
		two()
		four()
		if use, _ := q.Use(t.Context(), tenant); use.Scans != 0 {
			t.Errorf("%d scans are left", use.Scans)
		}
	})
}

func TestPut_countsAtOnceAndSurvives(t *testing.T) {
	store := records(t)
	q := quota.New(quota.Options{Store: store})
	if q.Series(tenant) != nil {
		t.Error("a limit of names without limits")
	}
	if err := q.Put(t.Context(), tenant, quota.Limits{Series: 2}); err != nil {
		t.Fatal(err)
	}
	check := q.Series(tenant)
	segment := func(name string) *trace.Segment {
		s := &trace.Segment{}
		s.Name = name
		s.Subsegments = []*trace.Entity{{Name: "db", Namespace: "remote", Subsegment: true}, {Name: "step " + name, Subsegment: true}}
		return s
	}
	for i, want := range []string{"", "", "2 series in a day"} {
		name := []string{"web", "web", "api"}[i]
		if err := check(segment(name)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	again := quota.New(quota.Options{Store: store})
	if l, own, err := again.Get(t.Context(), tenant); err != nil || !own || l.Series != 2 {
		t.Errorf("%+v %v %v", l, own, err)
	}
	if err := again.Reset(t.Context(), tenant); err != nil || again.Series(tenant) != nil {
		t.Errorf("after a reset: %v", err)
	}
	for _, bad := range []quota.Limits{{Spans: -1}, {Series: 2e6}} {
		if err := q.Put(t.Context(), tenant, bad); trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestQuotas_areBounded(t *testing.T) {
	q := quota.New(quota.Options{Store: records(t), Defaults: quota.Limits{Spans: 10}})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 500 {
				q.Sent(trace.Account(fmt.Sprintf("%04d%08d", g, i%300)), 1, 1)
			}
		})
	}
	all.Wait()
}

func TestParse(t *testing.T) {
	l, err := quota.Parse("spans=5000, bytes=10MB,series=2000,queries=50,scans=4")
	if want := (quota.Limits{Spans: 5000, Bytes: 10 << 20, Series: 2000, Queries: 50, Scans: 4}); err != nil || l != want {
		t.Errorf("%+v, %v", l, err)
	}
	for _, bad := range []string{"span=1", "spans", "spans=-1", "spans=1,spans=2", "spans=1MB", "bytes=1TB", "bytes=9223372036854775807GB", "series=2000000"} {
		if _, err := quota.Parse(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("spans=5000,bytes=10MB")
	f.Add("bytes=9999999999GB,,=")
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := quota.Parse(text); err == nil && (l.Bytes < 0 || l.Spans < 0) {
			t.Errorf("%q gave %+v", text, l)
		}
	})
}
