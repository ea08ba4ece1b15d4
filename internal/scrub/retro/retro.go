// Package retro applies scrub rules to stored traces. A job walks over the traces of an
// account, the latest first, and rewrites those that a rule changes, each in one step. It
// notes its place in a record, so that it continues there after a restart. At its end it
// takes the old bytes off the disk.
package retro

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The kind of the records, and the name of an account's only record: its latest job.
const (
	kind   meta.Kind = "scrub-job"
	latest string    = "latest"
)

// The states of a job.
const (
	Running = "running"
	Purging = "purging" // everything is rewritten; the old bytes leave the disk
	Done    = "done"
	Stopped = "stopped"
	Failed  = "failed"
)

// Job is a run over the stored traces of an account.
type Job struct {
	ID       string
	State    string
	Reason   string `json:",omitempty"` // of Failed
	From, To trace.Time
	Rules    []string `json:",omitempty"` // names; none: all rules of the account
	DryRun   bool     `json:",omitempty"`
	Rate     int      // traces a second at most
	Started  trace.Time
	Ended    trace.Time `json:",omitempty"`
	// Place is the receipt of the oldest trace that was looked at: the job goes backwards
	// from To to From.
	Place trace.Time
	// Traces counts those that were looked at; Changed those that were rewritten, or with
	// DryRun would be; Held those that must not change; Unchanged counts traces that could
	// not be rewritten, and Problems names some of them.
	Traces, Changed, Held, Unchanged int64
	Problems                         []string         `json:",omitempty"`
	Values                           map[string]int64 `json:",omitempty"` // by rule
}

// Limits of jobs.
const (
	mostProblems = 20
	defaultRate  = 2000
	mostRate     = 1_000_000
	// attempts is how often a trace is tried that grows meanwhile.
	attempts = 10
	// saveEvery is how often a job notes its place.
	saveEvery = time.Second
)

// Options of Jobs. Now and Logger may be nil.
type Options struct {
	Store   *answer.Store
	Records meta.Store
	Rules   *scrub.Rules
	// Purge takes replaced segments off the disk.
	Purge func(ctx context.Context) error
	// Held, if not nil, returns a function that tells which traces of an account must not
	// change.
	Held   func(ctx context.Context, account trace.Account) (func(trace.ID) bool, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Jobs runs jobs, one at a time for each account. Many goroutines may use it at once.
type Jobs struct {
	o       Options
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	accounts map[trace.Account]*run
}

// run is a job that runs.
type run struct {
	stop context.CancelFunc
	mu   sync.Mutex
	job  Job
}

// New makes Jobs. Close ends them.
func New(o Options) *Jobs {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Jobs{o: o, accounts: map[trace.Account]*run{}}
	j.ctx, j.end = context.WithCancel(context.Background())
	return j
}

// Close ends all jobs. They continue when they are resumed.
func (j *Jobs) Close() {
	j.end()
	j.running.Wait()
}

// Request describes a new job.
type Request struct {
	// Seconds is how far back the job goes; 0: to the beginning.
	Seconds int64
	Rules   []string
	DryRun  bool
	Rate    int // traces a second; 0 for 2000
}

// Start starts a job. Errors: KindInvalid, KindNotFound for an unknown rule, KindConflict
// if a job of the account runs.
func (j *Jobs) Start(ctx context.Context, account trace.Account, q Request) (Job, error) {
	if q.Rate == 0 {
		q.Rate = defaultRate
	}
	if q.Seconds < 0 || q.Rate < 0 || q.Rate > mostRate {
		return Job{}, trace.Errorf(trace.KindInvalid, "Seconds must be at least 0 and Rate 1 to %d", mostRate)
	}
	if _, err := j.o.Rules.Trial(ctx, account, nil, q.Rules); err != nil {
		return Job{}, err
	}
	now := trace.TimeOf(j.o.Now())
	id := make([]byte, 8)
	_, _ = rand.Read(id) // it never fails
	job := Job{
		ID: hex.EncodeToString(id), State: Running, From: trace.MinTime, To: now, Place: now, Rules: q.Rules, DryRun: q.DryRun, Rate: q.Rate,
		Started: now, Values: map[string]int64{},
	}
	if q.Seconds > 0 {
		job.From = now - trace.Time(q.Seconds)*trace.Time(time.Second)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.accounts[account] != nil {
		return Job{}, trace.Errorf(trace.KindConflict, "a scrub job of this account runs already; wait for its end or stop it")
	}
	if err := j.save(ctx, account, job); err != nil {
		return Job{}, err
	}
	j.launch(account, job)
	return job, nil
}

// Resume continues the jobs that a restart interrupted.
func (j *Jobs) Resume(ctx context.Context) error {
	accounts, err := j.o.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, account := range accounts {
		job, found, err := j.load(ctx, account)
		if err != nil {
			return err
		}
		if found && (job.State == Running || job.State == Purging) {
			j.mu.Lock()
			if j.accounts[account] == nil {
				j.o.Logger.Info("a scrub job continues", "account", account, "job", job.ID)
				j.launch(account, job)
			}
			j.mu.Unlock()
		}
	}
	return nil
}

// launch runs a job. The caller holds mu.
func (j *Jobs) launch(account trace.Account, job Job) {
	r := &run{job: job}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(j.ctx)
	j.accounts[account] = r
	j.running.Go(func() {
		defer r.stop()
		err := j.work(ctx, account, r)
		// The run shows its end only when that is stored: the next job may begin then.
		r.mu.Lock()
		job := r.snapshot()
		r.mu.Unlock()
		switch {
		case j.ctx.Err() != nil: // the server stops; the job stays as it is
		case ctx.Err() != nil:
			job.State = Stopped
		case err != nil:
			job.State, job.Reason = Failed, err.Error()
		default:
			job.State = Done
		}
		if job.State != Running && job.State != Purging {
			job.Ended = trace.TimeOf(j.o.Now())
		}
		if err := j.save(context.WithoutCancel(ctx), account, job); err != nil {
			j.o.Logger.Warn("the state of a scrub job was not stored", "account", account, "job", job.ID, "error", err)
		}
		j.mu.Lock()
		delete(j.accounts, account)
		j.mu.Unlock()
		j.o.Logger.Info("a scrub job ended", "account", account, "job", job.ID, "state", job.State, "traces", job.Traces, "changed", job.Changed)
	})
}

// snapshot copies the job. The caller holds mu.
func (r *run) snapshot() Job {
	job := r.job
	job.Problems = slices.Clone(job.Problems)
	job.Values = make(map[string]int64, len(r.job.Values))
	for name, n := range r.job.Values {
		job.Values[name] = n
	}
	return job
}

// Get returns the latest job of an account. Errors: KindNotFound if there was none.
func (j *Jobs) Get(ctx context.Context, account trace.Account) (Job, error) {
	j.mu.Lock()
	r := j.accounts[account]
	j.mu.Unlock()
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.snapshot(), nil
	}
	job, found, err := j.load(ctx, account)
	if err == nil && !found {
		err = trace.Errorf(trace.KindNotFound, "there was no scrub job of this account")
	}
	return job, err
}

// Stop stops the job of an account. Traces that it has rewritten stay so. Errors:
// KindNotFound if none runs.
func (j *Jobs) Stop(_ context.Context, account trace.Account) error {
	j.mu.Lock()
	r := j.accounts[account]
	j.mu.Unlock()
	if r == nil {
		return trace.Errorf(trace.KindNotFound, "no scrub job of this account runs")
	}
	r.stop()
	return nil
}

func (j *Jobs) load(ctx context.Context, account trace.Account) (job Job, found bool, err error) {
	err = j.o.Records.View(ctx, account, func(tx meta.Tx) error {
		job = Job{}
		found, err = tx.Get(kind, latest, &job)
		return err
	})
	if job.Values == nil {
		job.Values = map[string]int64{}
	}
	return job, found, err
}

func (j *Jobs) save(ctx context.Context, account trace.Account, job Job) error {
	return j.o.Records.Update(ctx, account, func(tx meta.Tx) error { return tx.Put(kind, latest, job) })
}
