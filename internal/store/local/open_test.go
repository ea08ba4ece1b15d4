package local_test

import (
	"context"
	"log/slog"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// options are options of an engine and of the answers above it.
type options struct {
	Dir                                                  string
	FS                                                   vfs.FS
	SettleAfter, FlushAfter, Retention, PurgeAfter       time.Duration
	RetryAfter                                           time.Duration
	FlushBytes, RetentionBytes, MemoryLimit              int64
	CacheBytes, LogFileBytes                             int64
	AnnotationKeys, AnnotationValues, Names, MergeBlocks int
	Attributes                                           string
	Keep                                                 func(context.Context, trace.Account) (answer.Keep, error)
	Groups                                               func(context.Context, trace.Account) ([]answer.GroupVersion, error)
	Refused                                              func(trace.Account, []trace.Refused)
	Restore                                              func(trace.Source, []byte, *trace.OTLPScope, uint8, trace.Time) (*trace.Segment, error)
	Now                                                  func() time.Time
	Logger                                               *slog.Logger
	Keys                                                 seal.Keys
	ClearTables, Offline                                 bool
}

func (o *options) answer() answer.Options {
	return answer.Options{
		Retention: o.Retention, RetentionBytes: o.RetentionBytes, Names: o.Names, CacheBytes: o.CacheBytes / 8,
		Keep: o.Keep, Groups: o.Groups, Refused: o.Refused, Restore: o.Restore, Now: o.Now, Logger: o.Logger,
	}
}

func (o *options) engine(rules store.Rules) local.Options {
	if o.Keys == nil {
		o.Keys = everywhere()
	}
	return local.Options{
		Keys: o.Keys, ClearTables: o.ClearTables, Offline: o.Offline,
		Rules: rules, Dir: o.Dir, FS: o.FS, SettleAfter: o.SettleAfter, FlushAfter: o.FlushAfter, PurgeAfter: o.PurgeAfter, RetryAfter: o.RetryAfter, FlushBytes: o.FlushBytes, BoundBytes: o.RetentionBytes, MemoryLimit: o.MemoryLimit, CacheBytes: o.CacheBytes * 7 / 8,
		LogFileBytes: o.LogFileBytes, AnnotationKeys: o.AnnotationKeys, AnnotationValues: o.AnnotationValues, MergeBlocks: o.MergeBlocks,
		Attributes: o.Attributes, Now: o.Now, Logger: o.Logger,
	}
}

// opened is an engine with the answers above it.
type opened struct {
	*answer.Store
	shelf *local.Shelf
}

func open(o options) (*opened, error) {
	s := &opened{}
	var err error
	s.Store, err = answer.Open(context.Background(), o.answer(), func(rules store.Rules) (store.Shelf, error) {
		var err error
		s.shelf, err = local.Open(o.engine(rules))
		return s.shelf, err
	})
	return s, err
}

// inspect and accept work on a directory that nobody has open.
func inspect(o options, deep bool) (*local.Report, error) {
	return local.Inspect(o.engine(answer.NewRules(o.answer())), deep)
}

func accept(o options) ([]string, error) { return local.Accept(o.engine(answer.NewRules(o.answer()))) }

// The engine does by itself what these methods do at once.
func (s *opened) Flush(ctx context.Context) error { return s.shelf.Flush(ctx) }
func (s *opened) SettleDue()                      { s.shelf.SettleDue() }
func (s *opened) Merge()                          { s.shelf.Merge() }
func (s *opened) PurgeDue()                       { s.shelf.PurgeDue() }
func (s *opened) Tombstones() int                 { return s.shelf.Tombstones() }
func (s *opened) Sweep()                          { s.Store.Sweep(context.Background()) }

func (s *opened) LSN(account trace.Account, id trace.ID) uint64 { return s.shelf.LSN(account, id) }
func (s *opened) DeleteUpTo(account trace.Account, id trace.ID, lsn uint64) (int, error) {
	return s.shelf.DeleteUpTo(account, id, lsn)
}

// Retain applies the bounds of age and bytes.
func (s *opened) Retain() {
	s.Shrink(context.Background())
	s.shelf.Retain()
}
