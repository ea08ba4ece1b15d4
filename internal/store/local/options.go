package local

import (
	"errors"
	"log/slog"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Options say where a store is and how it behaves. Only Dir is required; zero
// values stand for the defaults named here.
type Options struct {
	// Dir is the data directory. It is made if it is missing, used if it is
	// empty, and refused if it holds something else than a store.
	Dir string
	// SettleAfter is how long a trace must be idle until it may leave the head (5 s).
	SettleAfter time.Duration
	// FlushAfter is how long settled traces wait for others so that blocks are
	// not tiny (10 s), unless no trace is left to wait for. They are visible and
	// durable all the time.
	FlushAfter time.Duration
	// FlushBytes is the memory of settled traces that is worth a block (32 MB).
	FlushBytes int64
	// Retention is how long a trace is kept after its last document (30 days);
	// negative means for ever.
	Retention time.Duration
	// Keep, if not nil, says how long the traces of an account are kept, at most as
	// long as Retention. Those over their time go within a minute or so.
	Keep func(trace.Account) (Keep, error)
	// RetentionBytes bounds the size of all blocks: the oldest traces go first.
	// 0 means no bound. Less than a block cannot be kept.
	RetentionBytes int64
	// PurgeAfter is how long the bytes of deleted traces may stay on disk until
	// their blocks are rewritten for that (12 h).
	PurgeAfter time.Duration
	// MemoryLimit bounds the head (256 MB). Append waits a little for traces to
	// settle early, then refuses.
	MemoryLimit int64
	// Patience is how long Append waits for room (1 s).
	Patience time.Duration
	// AnnotationKeys is how many keys of annotations and attributes of an account
	// have an index (5,000), AnnotationValues how many distinct values of each (10
	// million). Beyond that a question for one reads more traces.
	AnnotationKeys, AnnotationValues int
	// CacheBytes bounds the memory for assembled traces and for pages of rollups and
	// of traces that were read (64 MB).
	CacheBytes int64
	// Names is how many nodes, and names of other kinds, service graphs tell apart
	// of an account; what the others count is counted as one (10,000).
	Names int
	// LogFileBytes is the length at which a new log file is begun (8 MB).
	LogFileBytes int64
	// RetryAfter is how soon a failed write is tried again (1 s).
	RetryAfter time.Duration
	// MergeBlocks is how many blocks of about one size become one (8): the number
	// of blocks and the work per byte both grow with the logarithm of the data.
	// More means less work for writing and more for questions, which look at
	// every block's index.
	MergeBlocks int
	// Groups lists the versions of all groups that an account has or had, each
	// with its ID, those included that are valid now: what belongs to them is
	// summed up when traces settle. Without it, and for versions that it did not
	// list when they were valid, graphs and series of groups read traces. With
	// ErrGroupsLost blocks have no rollup: graphs and series read their traces.
	Groups func(trace.Account) ([]store.GroupVersion, error)
	// Refused, if not nil, is told of observations that contradict what was there
	// before, where Append could not tell their sender. It must not block, nor keep
	// what it gets.
	Refused func(trace.Account, []trace.Refused)
	// Restore makes a segment of what is kept of it (that of a decode.Mapper with
	// the default options).
	Restore func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error)
	// Attributes names which attributes the segments of Restore, and those that are
	// appended, find; "" stands for all. Blocks that were written with another
	// choice are not asked for annotations: their traces are read.
	Attributes string
	// FS is the file system (the operating system's).
	FS vfs.FS
	// Now is the clock (time.Now).
	Now func() time.Time
	// Logger takes what an operator should know (nothing is logged without one).
	Logger *slog.Logger
}

// ErrGroupsLost is the error of Options.Groups when nobody can know the groups.
var ErrGroupsLost = errors.New("the groups are not known")

func (o Options) withDefaults() Options {
	setDuration(&o.SettleAfter, 5*time.Second)
	setDuration(&o.FlushAfter, 10*time.Second)
	setDuration(&o.Retention, 30*24*time.Hour)
	setDuration(&o.PurgeAfter, 12*time.Hour)
	setDuration(&o.Patience, time.Second)
	setDuration(&o.RetryAfter, time.Second)
	setBytes(&o.FlushBytes, 32<<20)
	setBytes(&o.MemoryLimit, 256<<20)
	setBytes(&o.CacheBytes, 64<<20)
	setBytes(&o.LogFileBytes, 8<<20)
	if o.AnnotationKeys <= 0 {
		o.AnnotationKeys = 5000
	}
	if o.AnnotationValues <= 0 {
		o.AnnotationValues = 10_000_000
	}
	if o.Names <= 0 {
		o.Names = 10_000
	}
	if o.MergeBlocks < 2 {
		o.MergeBlocks = 8
	}
	if o.Restore == nil {
		o.Restore = new(decode.Mapper).Restore
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDuration(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func setBytes(n *int64, value int64) {
	if *n <= 0 {
		*n = value
	}
}
