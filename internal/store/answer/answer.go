// Package answer defines the answers, once for all engines: clocks, order and pages,
// which traces count as examined, groups and their versions, retention, deletions,
// links between traces. It asks a store.Shelf for candidates, segments and sums, and
// assembles traces itself.
package answer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/lru"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Options configure a Store. Zero values stand for the defaults named here.
type Options struct {
	// Restore decodes a stored record into a segment: decode.Restorer (the default has
	// default options).
	Restore func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error)
	// Text renders a segment as a segment document (render.Text). opens tells that a
	// subsegment replaces its segment.
	Text func(s *trace.Segment, opens bool) ([]byte, error)
	// Groups lists all versions of all present and past groups of an account, each with
	// its ID. The shelf sums up the data of each version. For versions that were not
	// listed while they were valid, graphs and series load traces.
	// store.ErrOwnersUnknown: sums of groups cannot be kept. nil: there are no groups.
	Groups func(ctx context.Context, account trace.Account) ([]GroupVersion, error)
	// Names is how many nodes, and names of other kinds, the service graphs of an
	// account keep distinct; all others are counted as one (10,000).
	Names int
	// Retention is how long a trace is kept after its last segment (30 days);
	// negative means for ever.
	Retention time.Duration
	// Keep, if not nil, tells how long the traces of an account are kept, at most as
	// long as Retention. Expired ones are deleted within about a minute.
	Keep func(ctx context.Context, account trace.Account) (Keep, error)
	// Holds, if not nil, keep traces longer, and from being deleted. Traces finds held
	// ones; summaries and graphs end with retention.
	Holds Holds
	// RetentionBytes limits the size of the stored data: the oldest traces are dropped
	// first, in whole portions of the shelf. 0 means no limit.
	RetentionBytes int64
	// CacheBytes limits the memory of assembled traces (8 MB).
	CacheBytes int64
	// Refused, if not nil, receives observations that contradict earlier ones, in cases
	// where Append could not tell the sender. It must neither block nor keep the list.
	Refused func(trace.Account, []trace.Refused)
	// Now is the clock (time.Now).
	Now func() time.Time
	// Logger receives messages for the operator (default: none).
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Restore == nil {
		o.Restore = decode.Restorer(new(otlp.Mapper))
	}
	if o.Text == nil {
		o.Text = render.Text
	}
	if o.Names <= 0 {
		o.Names = 10_000
	}
	if o.Retention == 0 {
		o.Retention = 30 * 24 * time.Hour
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 8 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store answers queries about the traces of a shelf. All methods may be called by many
// goroutines at once. Once Append has acknowledged a batch, every later call sees it.
// Every call names an account and sees only the data of that account.
//
// Sequences are single-use and lazy. They end early when the caller stops, when ctx
// ends (they yield ctx's error) or after they yield an error. The yielded values are
// shared and must not be changed.
type Store struct {
	rules *Rules
	shelf store.Shelf
	views *lru.Cache[viewKey, *view]
	// assembling serializes the assembly of large traces.
	assembling sync.Mutex
	followers  followers
	shrinking  sync.Mutex // one Shrink at a time: the next must see its floor
	sweeping   sync.Mutex // one Sweep at a time; guards swept and behind
	swept      trace.Time // up to when the last sweep looked
	// behind has the same for accounts that could not be swept, because their key is away.
	behind map[trace.Account]trace.Time

	closing context.Context // ends when Close begins
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	closed  atomic.Bool
	floored atomic.Bool // the shelf's floor is known
}

// Open makes a Store of a shelf, which open opens with the rules. The store closes
// the shelf.
func Open(ctx context.Context, o Options, open func(store.Rules) (store.Shelf, error)) (*Store, error) {
	rules := NewRules(o)
	shelf, err := open(rules)
	if err != nil {
		return nil, err
	}
	s := &Store{rules: rules, shelf: shelf, views: lru.New[viewKey, *view](rules.o.CacheBytes, rules.o.CacheBytes/4), behind: map[trace.Account]trace.Time{}}
	// A shelf that waits for its key answers later.
	if err := s.learnFloor(ctx); err != nil && trace.KindOf(err) != trace.KindUnavailable {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), shelf.Close())
	}
	s.closing, s.stop = context.WithCancel(context.Background())
	s.tasks.Go(s.retain)
	return s, nil
}

// learnFloor asks the shelf once for the horizon that an earlier run has reached: without
// it nothing can be answered.
func (s *Store) learnFloor(ctx context.Context) error {
	if s.floored.Load() {
		return nil
	}
	floor, err := s.shelf.Floor(ctx)
	if err != nil {
		return err
	}
	s.rules.raise(floor)
	s.floored.Store(true)
	return nil
}

// Append stores a batch of segments. It returns nil only when all of them are durable:
// they survive a crash of the process and a power failure. A batch counts as one change
// of each of its traces. On error it acknowledges nothing, though later reads may find
// parts of the batch. Errors: KindThrottled when there is no room now, KindUnavailable
// when the engine cannot write (disk full, failed sync), with the reason; reads still
// work.
//
// refused lists observations of the batch that contradict earlier ones which the engine
// has in memory: they are stored, but not shown. Options.Refused receives the others
// when their trace settles. The store owns the segments afterwards.
func (s *Store) Append(ctx context.Context, account trace.Account, batch []*trace.Segment) (refused []trace.Refused, err error) {
	if err := s.usable(ctx); err != nil || len(batch) == 0 {
		return nil, err
	}
	done, err := s.shelf.Append(ctx, account, store.Batch{Segments: batch})
	if err != nil {
		return nil, err
	}
	s.followers.tell(account, len(batch), trace.TimeOf(s.rules.o.Now()))
	for i := range done.Repeated {
		refused = append(refused, contradictions(&done.Repeated[i])...)
	}
	return refused, nil
}

// contradictions lists the new observations of a trace that contradict others. Only
// entities with the same id can contradict each other.
func contradictions(r *store.Repeated) (refused []trace.Refused) {
	for _, x := range assemble.Trace(r.ID, r.Segments).Refused {
		if r.New(x.In) {
			refused = append(refused, x)
		}
	}
	if r.Told != nil && len(refused) > 0 {
		r.Told(refused)
	}
	return refused
}

// Stats describes the contents of a store.
type Stats struct {
	store.Status
	// Names is how many services graphs keep distinct. Folded counts how often a
	// further one was met since the start; such services are counted in the node named
	// Other.
	Names  int
	Folded int64
	Other  string
}

// Stats tells how much is stored and whether the engine can write.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	st, err := s.shelf.Status(ctx)
	return Stats{Status: st, Names: s.rules.o.Names, Folded: s.rules.folded.Load(), Other: assemble.Other.Name}, err
}

// Close stops background work, makes the engine's last state durable and releases the
// engine. Closing twice does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.stop()
	s.tasks.Wait()
	return s.shelf.Close()
}

// usable returns the error of a call that is not possible.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return trace.Errorf(trace.KindUnavailable, "the store is shut down")
	}
	return s.learnFloor(ctx)
}
