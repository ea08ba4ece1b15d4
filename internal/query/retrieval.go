package query

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// maxRetrieval is the maximum number of ids in a retrieval (X-Ray API model,
	// TraceIdListForRetrieval).
	maxRetrieval = 100
	// retrievalTime is how long a retrieval may run, and how long it is kept after
	// it ended.
	retrievalTime = time.Hour
	// maxRetrievals is the maximum number of retrievals at once. Each keeps at most
	// 100 ids: traces are read when a page is requested.
	maxRetrievals = 1000
	// retrievalsAtOnce is how many retrievals search at the same time.
	retrievalsAtOnce = 2
)

// RetrievalState is the state of a retrieval (X-Ray API model, RetrievalStatus).
type RetrievalState string

// The states of a retrieval.
const (
	RetrievalScheduled RetrievalState = "SCHEDULED"
	RetrievalRunning   RetrievalState = "RUNNING"
	RetrievalComplete  RetrievalState = "COMPLETE"
	RetrievalFailed    RetrievalState = "FAILED"
	RetrievalCancelled RetrievalState = "CANCELLED"
	RetrievalTimedOut  RetrievalState = "TIMEOUT"
)

// Retrievals are the jobs of StartTraceRetrieval: each searches all stored traces
// for some ids and remembers the existing ones. Jobs are in memory: a token does not
// survive the process.
type Retrievals struct {
	// Logger, if not nil, logs why retrievals fail. Set it before the first
	// retrieval.
	Logger *slog.Logger

	query    *Query
	now      func() time.Time
	underWay *room.Room // counts jobs that have not ended
	turns    *room.Room // counts jobs that read the store
	wait     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	jobs   map[string]*retrieval // by token
	order  []*retrieval          // by start
}

// retrieval is one job. Retrievals.mu guards the fields after account.
type retrieval struct {
	token   string
	account trace.Account
	reach   answer.Reach // of who started it
	cancel  context.CancelFunc
	state   RetrievalState
	began   time.Time
	ended   time.Time // zero while it runs
	found   []trace.ID
}

// NewRetrievals makes an empty set of jobs that query q. now is the clock.
func NewRetrievals(q *Query, now func() time.Time) *Retrievals {
	return &Retrievals{query: q, now: now, underWay: room.New(maxRetrievals), turns: room.New(retrievalsAtOnce), jobs: map[string]*retrieval{}}
}

// Start starts a search for the traces of texts that overlap the window, both ends
// included, and returns the job's token. Errors: KindInvalid for malformed or
// duplicate ids, KindThrottled if too many retrievals are running.
func (r *Retrievals) Start(who Reader, texts []string, w trace.Window) (string, error) {
	ids, err := retrievalIDs(texts)
	if err != nil {
		return "", err
	}
	if err := checkWindow(w); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	switch {
	case r.closed:
		return "", trace.Errorf(trace.KindUnavailable, "the service is shutting down") // not recorded
	case r.underWay.Try(who.Account, 1, 0) != room.Granted:
		return "", trace.Errorf(trace.KindThrottled, "Too many trace retrievals are under way: %d", r.underWay.Used()) // not recorded
	case len(r.jobs) >= maxRetrievals && !r.forgetEnded(who.Account):
		r.underWay.Give(who.Account, 1)
		return "", trace.Errorf(trace.KindThrottled, "Too many trace retrievals are kept: %d", len(r.jobs)) // not recorded
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &retrieval{token: rand.Text(), account: who.Account, reach: who.Reach, cancel: cancel, state: RetrievalScheduled, began: r.now()}
	r.jobs[j.token] = j
	r.order = append(r.order, j)
	r.wait.Go(func() { r.run(ctx, j, ids, w) })
	return j.token, nil
}

// retrievalIDs parses trace ids.
func retrievalIDs(texts []string) ([]trace.ID, error) {
	if len(texts) > maxRetrieval {
		return nil, invalid("Exceeding maximum query size: %d", maxRetrieval) // not recorded
	}
	ids := make([]trace.ID, 0, len(texts))
	for _, text := range texts {
		id, err := trace.ParseID(text)
		if err != nil {
			return nil, invalid("Invalid trace id %s: incorrect id format", text) // not recorded
		}
		if slices.Contains(ids, id) {
			return nil, invalid("Containing duplicate trace ids") // not recorded
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// run searches for a job's traces when its turn comes.
func (r *Retrievals) run(ctx context.Context, j *retrieval, ids []trace.ID, w trace.Window) {
	defer j.cancel()
	if r.turns.Wait(ctx, j.account, 1) != nil {
		return // cancelled: the state already says so
	}
	defer r.turns.Give(j.account, 1)
	if !r.step(j, RetrievalScheduled, RetrievalRunning) {
		return
	}
	var found []trace.ID
	for t, err := range readable(r.query.store.Traces(ctx, j.account, ids, j.reach), nil) {
		if err != nil {
			if r.step(j, RetrievalRunning, RetrievalFailed) && r.Logger != nil {
				r.Logger.Error("trace retrieval failed", "error", err)
			}
			return
		}
		if t.Start <= w.End && (t.InProgress || max(t.Start, t.End) >= w.Start) {
			found = append(found, t.ID)
		}
	}
	r.mu.Lock()
	j.found = found
	r.mu.Unlock()
	r.step(j, RetrievalRunning, RetrievalComplete)
}

// step moves a job from one state to the next, unless it is in another one.
func (r *Retrievals) step(j *retrieval, from, to RetrievalState) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire()
	if j.state != from {
		return false
	}
	if j.state = to; to != RetrievalRunning {
		r.end(j, to, r.now())
	}
	return true
}

// expire ends jobs that took too long and forgets jobs that ended long ago. The
// caller holds the mutex.
func (r *Retrievals) expire() {
	now := r.now()
	r.order = slices.DeleteFunc(r.order, func(j *retrieval) bool {
		if j.ended.IsZero() && now.Sub(j.began) >= retrievalTime {
			r.end(j, RetrievalTimedOut, j.began.Add(retrievalTime))
		}
		gone := !j.ended.IsZero() && now.Sub(j.ended) >= retrievalTime
		if gone {
			delete(r.jobs, j.token)
		}
		return gone
	})
}

// end stops a running job. The caller holds the mutex.
func (r *Retrievals) end(j *retrieval, state RetrievalState, at time.Time) {
	j.state, j.ended = state, at
	j.cancel()
	r.underWay.Give(j.account, 1)
}

// forgetEnded makes room for a job of an account. It picks, among the accounts with
// ended jobs, the one with the most jobs, and forgets its oldest ended job. An
// account never loses a job to an account with more jobs. The caller holds the mutex.
func (r *Retrievals) forgetEnded(account trace.Account) bool {
	count := map[trace.Account]int{}
	for _, j := range r.order {
		count[j.account]++
	}
	oldest := -1
	for i, j := range r.order {
		if !j.ended.IsZero() && (oldest < 0 || count[j.account] > count[r.order[oldest].account]) {
			oldest = i
		}
	}
	if oldest < 0 || count[r.order[oldest].account] < count[account] {
		return false
	}
	delete(r.jobs, r.order[oldest].token)
	r.order = slices.Delete(r.order, oldest, oldest+1)
	return true
}

// find finds an account's job. The caller holds the mutex.
func (r *Retrievals) find(account trace.Account, token string) (*retrieval, error) {
	r.expire()
	j := r.jobs[token]
	if j == nil || j.account != account {
		return nil, trace.Errorf(trace.KindNotFound, "Retrieval token does not exist or has expired") // not recorded
	}
	return j, nil
}

// Cancel stops a job; an ended job does not change. An unknown token is
// KindNotFound.
func (r *Retrievals) Cancel(account trace.Account, token string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.find(account, token)
	if err == nil && j.ended.IsZero() {
		r.end(j, RetrievalCancelled, r.now())
	}
	return err
}

// look returns a job's state and the traces it found; found is final. The reader of a
// job sees what both they and the one who started it may see.
func (r *Retrievals) look(who *Reader, token string) (RetrievalState, []trace.ID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.find(who.Account, token)
	switch {
	case err != nil:
		return "", nil, err
	case j.state != RetrievalComplete:
		return j.state, nil, nil
	}
	who.Sight = sight.Both(who.Sight, j.reach.Sight)
	return j.state, j.found, nil
}

// Close cancels all jobs and waits for them.
func (r *Retrievals) Close() {
	r.mu.Lock()
	r.closed = true
	for _, j := range r.order {
		if j.ended.IsZero() {
			r.end(j, RetrievalCancelled, r.now())
		}
	}
	r.mu.Unlock()
	r.wait.Wait()
}

// A page's token holds its place, as two numbers and an id, and a hash of the place
// and the request.
const retrievalPageSize = 4 + 4 + 8 + 8

// retrievalPlace is where a page begins: after span number Span-1 of a trace, whose
// id is After. If a span has that id, the id decides, because a trace may grow
// between pages. Graphs use only Item.
type retrievalPlace struct {
	Item, Span uint32
	After      trace.SegmentID
}

func (p retrievalPlace) seal(of string) string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, retrievalPageSize), p.Item)
	b = append(binary.BigEndian.AppendUint32(b, p.Span), p.After[:]...)
	sum := sha256.Sum256(append(slices.Clone(b), of...))
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:8]...))
}

func openRetrievalPlace(token, of string) (p retrievalPlace, err error) {
	if token == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil && len(b) == retrievalPageSize {
		p.Item, p.Span = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		copy(p.After[:], b[8:])
		if p.seal(of) == token {
			return p, nil
		}
	}
	return retrievalPlace{}, invalid("Invalid token %s", token) // not recorded
}
