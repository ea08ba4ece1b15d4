package retro_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/scrub/retro"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const home trace.Account = "000000000000"

// fixture is a store with traces, and what Jobs need.
type fixture struct {
	*testing.T
	store   *answer.Store
	options retro.Options
	purged  atomic.Int64
	// before runs before each replacement.
	before func(id trace.ID)
}

// watched is a memory shelf that tells about replacements.
type watched struct {
	store.Shelf
	f *fixture
}

func (w watched) Replace(ctx context.Context, account trace.Account, r store.Replacement) (bool, error) {
	if w.f.before != nil {
		w.f.before(r.ID)
	}
	return w.Shelf.Replace(ctx, account, r)
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t}
	var err error
	f.store, err = answer.Open(t.Context(), answer.Options{Retention: -1}, func(store.Rules) (store.Shelf, error) {
		return watched{memory.Open(memory.NewData()), f}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	records, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.store.Close(); _ = records.Close() })
	f.options = retro.Options{
		Store: f.store, Records: records, Rules: scrub.New(scrub.Options{Store: records}),
		Purge: func(context.Context) error { f.purged.Add(1); return nil },
	}
	return f
}

func idOf(n int) trace.ID {
	id, err := trace.ParseID(fmt.Sprintf("1-6a18aa00-%024x", n))
	if err != nil {
		panic(err) // it is well formed
	}
	return id
}

// put appends a segment with a password to trace n, received some time ago.
func (f *fixture) put(n, segment int, ago time.Duration) {
	f.Helper()
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"svc","start_time":1780000000.5,"end_time":1780000001.5,"metadata":{"password":"hunter2","n":%d}}`, idOf(n), segment, n)
	seg, err := decode.Restore(trace.SourceDocument, []byte(doc), nil, 0, trace.TimeOf(time.Now().Add(-ago)))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := f.store.Append(f.Context(), home, []*trace.Segment{seg}); err != nil {
		f.Fatal(err)
	}
}

// text returns the documents of trace n.
func (f *fixture) text(n int) (all string) {
	f.Helper()
	t, err := f.store.Find(f.Context(), home, idOf(n))
	if err != nil || t == nil {
		f.Fatalf("trace %d: %v", n, err)
	}
	for _, s := range t.Segments {
		all += string(s.Raw)
	}
	return all
}

// wait returns the job when it has ended.
func (f *fixture) wait(jobs *retro.Jobs) retro.Job {
	f.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		job, err := jobs.Get(f.Context(), home)
		if err != nil {
			f.Fatal(err)
		}
		if job.State != retro.Running && job.State != retro.Purging {
			return job
		}
	}
	f.Fatal("the job does not end")
	return retro.Job{}
}

func TestJobs_rewriteAndSayWhatTheyDid(t *testing.T) {
	f := newFixture(t)
	for n := range 6 {
		f.put(n, 1, time.Duration(n)*time.Hour)
	}
	f.options.Held = func(context.Context, trace.Account) (func(trace.ID) bool, error) {
		return func(id trace.ID) bool { return id == idOf(1) }, nil
	}
	grown := sync.OnceFunc(func() { f.put(2, 2, 0) })
	f.before = func(id trace.ID) {
		if id == idOf(2) {
			grown() // after it was read
		}
	}
	jobs := retro.New(f.options)
	defer jobs.Close()
	if _, err := jobs.Get(t.Context(), home); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("before the first job: %v", err)
	}
	if _, err := jobs.Start(t.Context(), home, retro.Request{Seconds: 4*3600 + 60, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if job := f.wait(jobs); job.State != retro.Done || job.Traces != 5 || job.Changed != 4 || job.Held != 1 || job.Values["default-keys"] != 4 || f.purged.Load() != 0 || !strings.Contains(f.text(0), "hunter2") {
		t.Errorf("dry run: %+v", job)
	}
	if _, err := jobs.Start(t.Context(), home, retro.Request{Seconds: 4*3600 + 60}); err != nil {
		t.Fatal(err)
	}
	job := f.wait(jobs)
	if job.State != retro.Done || job.Changed != 4 || job.Held != 1 || job.Values["default-keys"] != 5 || f.purged.Load() != 1 {
		t.Errorf("%+v", job)
	}
	for n, want := range []int{0, 1, 0, 0, 0, 1} { // 1 is held, 5 is older
		if got := strings.Count(f.text(n), "hunter2"); got != want {
			t.Errorf("trace %d: %s", n, f.text(n))
		}
	}
	if strings.Count(f.text(2), "scrubbed by") != 2 {
		t.Errorf("the trace that grew: %s", f.text(2))
	}
	for _, bad := range []retro.Request{{Seconds: -1}, {Rate: -1}, {Rules: []string{"none"}}} {
		if _, err := jobs.Start(t.Context(), home, bad); trace.KindOf(err) != trace.KindInvalid && trace.KindOf(err) != trace.KindNotFound {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A job that is interrupted continues where it was, also when its traces have grown; one
// that is stopped does not.
func TestJobs_continueAfterARestart(t *testing.T) {
	f := newFixture(t)
	const traces = 40
	for n := range traces {
		f.put(n, 1, time.Duration(n+1)*time.Minute)
	}
	jobs := retro.New(f.options)
	if _, err := jobs.Start(t.Context(), home, retro.Request{Rate: 50}); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Start(t.Context(), home, retro.Request{}); trace.KindOf(err) != trace.KindConflict {
		t.Errorf("a second one: %v", err)
	}
	for {
		if job, err := jobs.Get(t.Context(), home); err != nil {
			t.Fatal(err)
		} else if job.Changed >= 5 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	jobs.Close()
	f.put(traces-1, 2, 0) // it is the latest one now, and was not rewritten yet
	jobs = retro.New(f.options)
	if err := jobs.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for f.wait(jobs).State != retro.Done {
		t.Fatalf("%+v", f.wait(jobs))
	}
	for n := range traces {
		if text := f.text(n); strings.Contains(text, "hunter2") {
			t.Errorf("trace %d: %s", n, text)
		}
	}
	for n := range traces {
		f.put(n, 3, time.Duration(n+1)*time.Minute)
	}
	if _, err := jobs.Start(t.Context(), home, retro.Request{Rate: 10}); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Stop(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	if job := f.wait(jobs); job.State != retro.Stopped {
		t.Errorf("%+v", job)
	}
	jobs.Close()
	jobs = retro.New(f.options)
	defer jobs.Close()
	if err := jobs.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Stop(t.Context(), home); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("a stopped job runs again: %v", err)
	}
}
