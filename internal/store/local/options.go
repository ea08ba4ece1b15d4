package local

import (
	"log/slog"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Options say where a shelf is and how it behaves. Dir or Directory, and Rules, are
// required; zero values stand for the defaults named here.
type Options struct {
	// Dir is the data directory. Open makes it if it is missing, uses it if it is empty,
	// and refuses it if it has foreign files.
	Dir string
	// Directory is the locked data directory; nil: Open locks Dir.
	Directory *Directory
	// Rules give the stored records their meaning.
	Rules store.Rules
	// BoundBytes is how large all blocks together are allowed to become; 0 means no
	// bound. Expire drops whole blocks, so none grows beyond an eighth of it.
	BoundBytes int64
	// SettleAfter is how long a trace must be idle until it may leave the head (5 s).
	SettleAfter time.Duration
	// FlushAfter is how long settled traces wait for others, so that blocks are not tiny
	// (10 s). They do not wait if no other trace is open. They are visible and durable all
	// the time.
	FlushAfter time.Duration
	// FlushBytes is the memory of settled traces that is worth a block (32 MB).
	FlushBytes int64
	// PurgeAfter is when blocks are rewritten to take deleted traces off the disk (12 h
	// after the deletion).
	PurgeAfter time.Duration
	// MemoryLimit bounds the head (256 MB). Append waits a second for traces to
	// settle early, then refuses.
	MemoryLimit int64
	// AnnotationKeys is how many keys of annotations and attributes of an account
	// have an index (5,000), AnnotationValues how many distinct values of each (10
	// million). Beyond that a question for one reads more traces.
	AnnotationKeys, AnnotationValues int
	// CacheBytes bounds the memory for the pages of rollups and tables that questions read
	// (56 MB).
	CacheBytes int64
	// LogFileBytes is the length at which a new log file begins (8 MB).
	LogFileBytes int64
	// RetryAfter is how soon the log retries after a failed write (1 s).
	RetryAfter time.Duration
	// MergeBlocks is how many blocks of about one size are merged to one (8): the number
	// of blocks and the work per byte both grow with the logarithm of the data. A greater
	// number costs less when writing and more in questions, which look at the index of
	// every block.
	MergeBlocks int
	// Attributes names the choice of attributes that segments have, restored or appended;
	// "" stands for all. In blocks that were written with another choice, questions for
	// annotations read the traces instead of the index.
	Attributes string
	// Keys find the keys under which everything is encrypted (nil: nothing is).
	Keys seal.Keys
	// ClearTables keeps the Parquet tables of blocks readable for other programs: they
	// hold everything that was received.
	ClearTables bool
	// Offline: a command has the directory open, not its server. The settings of the server
	// are not known, so files that are made are sealed if the manifest is, and no file is
	// written anew.
	Offline bool
	// FS is the file system (the operating system's).
	FS vfs.FS
	// Now is the clock (time.Now).
	Now func() time.Time
	// Logger logs for operators (no one: nothing is logged).
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	setDuration(&o.SettleAfter, 5*time.Second)
	setDuration(&o.FlushAfter, 10*time.Second)
	setDuration(&o.PurgeAfter, 12*time.Hour)
	setDuration(&o.RetryAfter, time.Second)
	setBytes(&o.FlushBytes, 32<<20)
	setBytes(&o.MemoryLimit, 256<<20)
	setBytes(&o.CacheBytes, 56<<20)
	setBytes(&o.LogFileBytes, 8<<20)
	if o.AnnotationKeys <= 0 {
		o.AnnotationKeys = 5000
	}
	if o.AnnotationValues <= 0 {
		o.AnnotationValues = 10_000_000
	}
	if o.MergeBlocks < 2 {
		o.MergeBlocks = 8
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
