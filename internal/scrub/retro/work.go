package retro

import (
	"context"
	"fmt"
	"time"

	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// worker is one pass of a job over the traces.
type worker struct {
	*Jobs
	account trace.Account
	run     *run
	program *scrub.Program
	held    func(trace.ID) bool
	saved   time.Time
	began   time.Time
	count   int64 // of traces since it began
	rate    int
}

// work runs a job to its end, or until ctx ends.
func (j *Jobs) work(ctx context.Context, account trace.Account, r *run) error {
	job := r.job // nobody else changes it
	w := &worker{Jobs: j, account: account, run: r, began: time.Now(), saved: time.Now(), rate: max(job.Rate, 1), held: func(trace.ID) bool { return false }}
	var err error
	if w.program, err = j.o.Rules.Trial(ctx, account, nil, job.Rules); err != nil {
		return err
	}
	if j.o.Held != nil {
		if w.held, err = j.o.Held(ctx, account); err != nil {
			return err
		}
	}
	if job.State == Running {
		if err := w.all(ctx, job); err != nil {
			return err
		}
	}
	if job.DryRun {
		return nil
	}
	r.mu.Lock()
	r.job.State = Purging
	saved := r.snapshot()
	r.mu.Unlock()
	if err := j.save(ctx, account, saved); err != nil {
		return err
	}
	// Also after a restart: the traces that were rewritten before it may still be on the
	// disk in their old form.
	return j.o.Purge(ctx)
}

// all looks at all traces from the place of the job on.
func (w *worker) all(ctx context.Context, job Job) error {
	// What was last received between its place and its start is done; what was received
	// after its start may be an old trace that grew.
	wanted := func(received trace.Time) bool { return received <= job.Place || received > job.To }
	for t, err := range w.o.Store.Stored(ctx, w.account, job.From, wanted) {
		if err != nil {
			return err
		}
		place := t.Updated
		if t.Open {
			place = trace.MaxTime
		}
		if err := w.one(ctx, t, job.DryRun); err != nil {
			return err
		}
		if err := w.note(ctx, place); err != nil {
			return err
		}
	}
	return nil
}

// note counts a trace, notes the place from time to time, and waits as the rate demands.
func (w *worker) note(ctx context.Context, place trace.Time) error {
	w.count++
	r := w.run
	r.mu.Lock()
	r.job.Traces++
	r.job.Place = min(r.job.Place, place)
	job := r.snapshot()
	r.mu.Unlock()
	if time.Since(w.saved) >= saveEvery {
		w.saved = time.Now()
		if err := w.save(ctx, w.account, job); err != nil {
			return err
		}
	}
	ahead := time.Duration(w.count)*time.Second/time.Duration(w.rate) - time.Since(w.began)
	if ahead < 5*time.Millisecond {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ahead):
		return nil
	}
}

// one scrubs a trace. A trace that grows meanwhile is read again.
func (w *worker) one(ctx context.Context, t *answer.StoredTrace, dry bool) error {
	if w.held(t.ID) {
		w.run.mu.Lock()
		w.run.job.Held++
		w.run.mu.Unlock()
		return nil
	}
	for range attempts {
		records, values := w.scrub(t)
		if records == nil {
			return nil
		}
		done := dry
		if !dry {
			var err error
			if done, err = w.rewrite(ctx, t, records); trace.KindOf(err) == trace.KindInvalid {
				w.problem(t.ID, err)
				return nil
			} else if err != nil {
				return err
			}
		}
		if done {
			w.run.mu.Lock()
			w.run.job.Changed++
			for name, n := range values {
				w.run.job.Values[name] += n
			}
			w.run.mu.Unlock()
			return nil
		}
		again, err := w.o.Store.Find(ctx, w.account, t.ID)
		if err != nil {
			return err
		}
		if again == nil {
			return nil // it was deleted
		}
		*t = *again
	}
	w.problem(t.ID, fmt.Errorf("it grew each of %d times that it was rewritten", attempts))
	return nil
}

// rewrite replaces a trace; if the store has no room now, it waits.
func (w *worker) rewrite(ctx context.Context, t *answer.StoredTrace, records []trace.Record) (done bool, err error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		done, err = w.o.Store.Rewrite(ctx, w.account, t, records)
		if kind := trace.KindOf(err); err == nil || kind != trace.KindThrottled && kind != trace.KindUnavailable {
			return done, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// problem notes a trace that was not rewritten.
func (w *worker) problem(id trace.ID, err error) {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	w.run.job.Unchanged++
	if len(w.run.job.Problems) < mostProblems {
		w.run.job.Problems = append(w.run.job.Problems, fmt.Sprintf("%s: %v", id, err))
	}
	w.o.Logger.Warn("a trace was not scrubbed", "account", w.account, "trace", id, "error", err)
}

// scrub returns the records of a trace after the rules, and how many values each rule
// changed; nil if nothing changed.
func (w *worker) scrub(t *answer.StoredTrace) ([]trace.Record, map[string]int64) {
	preview := w.program.Preview()
	preview.Next()
	records := make([]trace.Record, 0, len(t.Segments))
	different := false
	s := w.program.Records()
	for _, seg := range t.Segments {
		old := trace.RecordOf(seg)
		record, changed := s.Record(old)
		if changed && seg.Part == 0 {
			preview.Record(old)
		}
		different = different || changed
		records = append(records, record)
	}
	if !different {
		return nil, nil
	}
	values := map[string]int64{}
	for _, f := range preview.Found() {
		if f.Values > 0 {
			values[f.Rule] = f.Values
		}
	}
	return records, values
}
