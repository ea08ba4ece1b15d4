// Package local is the embedded engine: a write-ahead log, a head of open traces
// in memory, and immutable blocks of settled ones.
//
//	Append ──► log (one sync for all that wait) ──► head ──► blocks ──► larger blocks
//
// A batch is acknowledged when the log and the head have it. A trace that has been
// idle is written to a block; a log file is deleted when blocks have all it holds. A
// late segment reopens its trace: the head then has the new part, the block the old
// one, and the next block gets both and replaces the older copy. Every batch has a log
// sequence number (LSN), and every copy of a trace in a block has the LSN up to which
// it is complete, so that after any crash each batch counts exactly once.
//
// The parts; each knows only those before it (parts_test.go):
//
//	vault               keys, and which accounts cannot be read without theirs
//	base, ledger        options, directory and lifetime; damage that was found
//	room, head          memory; open traces
//	catalog             blocks, newest copies, tombstones, numbers of blocks
//	state               head and catalog under one mutex: questions see one epoch
//	loader, rollups     load traces; open and make sums of blocks
//	log                 queue and committer: makes changes durable, then applies them
//	inventory           manifest, tombstones and horizon on disk; removes files
//	settler, merger     write blocks
//	keeper              watches the keys of accounts
//	scanner, summer, estimator, backup
//	Shelf               opens, closes and wires the parts
package local

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Shelf is an open data directory.
type Shelf struct {
	base      *base
	state     *state
	log       *log
	inventory *inventory
	loader    *loader
	settler   *settler
	merger    *merger
	keeper    *keeper
	scanner   *scanner
	summer    *summer
	estimator *estimator

	close      context.CancelFunc // ends base.closing
	giveUp     context.CancelFunc // ends base.working
	closed     atomic.Bool
	up         atomic.Bool           // all parts are there
	late       atomic.Pointer[error] // why they are not yet
	background sync.WaitGroup        // settler and merger
	committer  sync.WaitGroup
}

var _ store.Shelf = (*Shelf)(nil)

// Open opens a data directory and replays its log. It logs damage, missing and
// unreadable files included, and shows it in Status; the rest is served. If the directory
// is encrypted and the key of seal.System is away, everything is refused with that reason
// until the key is back. Errors: the directory is foreign, newer, locked or cannot be
// written.
func Open(o Options) (*Shelf, error) {
	o = o.withDefaults()
	dir := o.Directory
	if dir == nil {
		var err error
		if dir, err = lockDirectory(o.FS, o.Dir); err != nil {
			return nil, err
		}
	}
	s := &Shelf{base: &base{Options: o, dir: dir, choice: choiceOf(o.Attributes)}}
	s.base.closing, s.close = context.WithCancel(context.Background())
	s.base.working, s.giveUp = context.WithCancel(context.Background())
	err := s.start()
	if _, away := absent(err); away && !o.Offline {
		s.late.Store(&err)
		s.background.Go(s.startLater)
		return s, nil
	}
	if err != nil {
		s.close()
		s.giveUp()
		return nil, errors.Join(err, dir.close())
	}
	return s, nil
}

// start makes the parts and their goroutines. Nothing uses the parts before it is done.
func (s *Shelf) start() error {
	b := s.base
	b.vault = newVault(&b.Options, b.dir)
	if err := b.vault.unseal(b.dir); err != nil {
		return err
	}
	b.damage = newLedger(b.Logger, b.dir.manifest.accepted())
	if err := s.open(); err != nil {
		return err
	}
	s.committer.Go(s.log.run)
	s.background.Go(s.settler.run)
	if !b.Offline {
		s.background.Go(s.merger.run)
		s.background.Go(s.keeper.run)
	}
	s.up.Store(true)
	return nil
}

// startLater tries to start until the key of seal.System is back.
func (s *Shelf) startLater() {
	s.base.Logger.Error("nothing can be read or stored: the data directory is encrypted and its key is away", "error", *s.late.Load())
	tick := time.NewTicker(s.base.RetryAfter)
	defer tick.Stop()
	for {
		select {
		case <-s.base.closing.Done():
			return
		case <-tick.C:
		}
		err := s.start()
		if err == nil {
			s.base.Logger.Info("the data directory can be read and written again")
			return
		}
		s.late.Store(&err)
	}
}

// choiceOf returns the number of a choice of attributes.
func choiceOf(text string) block.Choice {
	if text == "" {
		return block.AllAttributes
	}
	sum := crc32.ChecksumIEEE([]byte(text))
	return block.Choice(max(1, min(sum, 1<<32-2)))
}

// open makes the parts, each from those before it.
func (s *Shelf) open() (err error) {
	b := s.base
	if b.codec, err = block.NewCodec(); err != nil {
		return err
	}
	noteDirectory(b)
	catalog, next, err := openCatalog(b)
	if err != nil {
		return err
	}
	s.state = newState(b, catalog)
	pages, groups := rollup.NewCache(b.CacheBytes*3/7), block.NewCache(b.CacheBytes*4/7)
	s.loader = &loader{base: b, state: s.state, groups: groups}
	rollups := &rollups{base: b, loader: s.loader, pages: pages}
	if s.log, err = openLog(b, s.state, next); err != nil {
		catalog.release()
		return err
	}
	s.inventory = newInventory(b, s.state, s.log)
	s.settler = newSettler(b, s.state, s.log, s.inventory, s.loader)
	s.merger = &merger{base: b, state: s.state, log: s.log, inventory: s.inventory, rollups: rollups, settler: s.settler}
	s.keeper = &keeper{base: b, state: s.state, log: s.log, inventory: s.inventory, merger: s.merger}
	s.scanner = &scanner{base: b, state: s.state, loader: s.loader}
	s.summer = &summer{state: s.state, loader: s.loader, rollups: rollups}
	s.estimator = &estimator{state: s.state, rollups: rollups}
	b.damage.leave(damagedAside(b.dir))
	if key, err := b.vault.systemKey(); b.ClearTables && err == nil && key != nil {
		b.Logger.Warn("the Parquet tables are not encrypted, as --parquet=clear asks: they have everything that was received")
	}
	if err := s.inventory.convert(); err != nil {
		b.Logger.Warn("small files are not yet as --encryption asks for", "error", err)
	}
	_, held := s.state.needed()
	s.log.files.Hold(held)
	if err := s.inventory.save(); err != nil {
		b.Logger.Warn("the manifest was not written", "error", err)
	} else if b.dir.old {
		b.dir.heal()
	}
	return nil
}

// noteDirectory notes the damage that opening the directory found, and the losses that
// its manifest remembers.
func noteDirectory(b *base) {
	m := b.dir.manifest
	for _, d := range b.dir.damage {
		b.damage.note(d)
		if m == nil && !b.dir.old {
			b.damage.lose(d.Error()) // nobody knows what else is missing
		}
	}
	if m == nil {
		return
	}
	for _, text := range m.Losses {
		b.damage.lose(text)
	}
	for _, d := range b.dir.missing {
		b.damage.lose(d.Error())
	}
}

// Close stops taking segments, makes the last state durable and releases the
// directory. Sequences that are running may still be read to their end.
func (s *Shelf) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.close()
	if !s.up.Load() {
		s.background.Wait() // it may have become ready just now
	}
	if !s.up.Load() {
		s.giveUp()
		return s.base.dir.close()
	}
	patience := time.AfterFunc(closePatience, s.giveUp)
	defer s.giveUp()
	defer patience.Stop()
	s.log.queue.close()
	s.committer.Wait()
	s.background.Wait()
	err := s.log.files.Close()
	// The length of the log is known to the byte now.
	if saveErr := errors.Join(s.inventory.saveTombstones(), s.inventory.save()); err == nil {
		err = saveErr
	}
	s.state.catalog.release()
	return errors.Join(err, s.base.dir.close())
}

// usable returns the error of a call that cannot be made.
func (s *Shelf) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return errClosed()
	}
	if !s.up.Load() {
		return awayError(seal.System, *s.late.Load())
	}
	return nil
}

// readable returns the error of a question that cannot be answered: the shelf is closed,
// or the key of the account is away.
func (s *Shelf) readable(ctx context.Context, account trace.Account) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.base.vault.gate(ctx, account)
}

// Capabilities tells what blocks and their rollups are good for.
func (s *Shelf) Capabilities() store.Capabilities {
	return store.Capabilities{Sums: true, Prunes: true, Drops: true}
}

// Append stores a batch.
func (s *Shelf) Append(ctx context.Context, account trace.Account, b store.Batch) (store.Appended, error) {
	if err := s.usable(ctx); err != nil || len(b.Segments) == 0 {
		return store.Appended{}, err
	}
	return s.log.append(ctx, account, b.Segments)
}

// Bury deletes traces, some thousand with each entry of the log.
func (s *Shelf) Bury(ctx context.Context, account trace.Account, stones []store.Tombstone, horizon trace.Time) (int, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	return s.log.bury(ctx, account, stones, horizon)
}

// Replace replaces the segments of a trace in one step.
func (s *Shelf) Replace(ctx context.Context, account trace.Account, r store.Replacement) (bool, error) {
	if err := s.usable(ctx); err != nil || len(r.Segments) == 0 {
		return false, err
	}
	err := s.log.replace(ctx, account, r)
	if errors.Is(err, errChanged) {
		return false, nil
	}
	return err == nil, err
}

// Find finds traces, in the order in which blocks have them.
func (s *Shelf) Find(ctx context.Context, account trace.Account, ids []trace.ID) (found []store.Source, release func(), err error) {
	if err := s.readable(ctx, account); err != nil {
		return nil, nil, err
	}
	found, release = s.loader.find(account, ids)
	return found, release, nil
}

// Candidates merges the orders of the blocks with that of the open traces.
func (s *Shelf) Candidates(ctx context.Context, account trace.Account, q *store.Scan) iter.Seq2[*store.Candidate, error] {
	return func(yield func(*store.Candidate, error) bool) {
		if err := s.readable(ctx, account); err != nil {
			yield(nil, err)
			return
		}
		s.scanner.candidates(ctx, account, q, yield)
	}
}

// Sum hands over the sums of blocks, and traces where there are none.
func (s *Shelf) Sum(ctx context.Context, account trace.Account, q *store.SumQuery, begin func() store.Sums) error {
	if err := s.readable(ctx, account); err != nil {
		return err
	}
	return s.summer.sum(ctx, account, q, begin)
}

// Estimate tells how much memory a question takes.
func (s *Shelf) Estimate(ctx context.Context, account trace.Account, q store.EstimateQuery) (store.Estimate, error) {
	switch err := s.readable(ctx, account); {
	case err != nil:
		return store.Estimate{}, err
	case q.Sums:
		return s.estimator.sums(account, q.Window), nil
	}
	return s.estimator.traces(account, q.Window), nil
}

// Accounts lists the accounts of blocks and of open traces.
func (s *Shelf) Accounts(ctx context.Context) ([]trace.Account, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return s.state.accounts(), nil
}

// Portions lists the blocks: retention drops whole ones. Damaged ones stay.
func (s *Shelf) Portions(ctx context.Context) (list []store.Portion, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return s.state.catalog.portions(), nil
}

// Floor returns the horizon that Expire has reached.
func (s *Shelf) Floor(ctx context.Context) (trace.Time, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	return trace.Time(s.state.catalog.floor.Load()), nil
}

// Expire makes a horizon durable, then lets it count. It drops the blocks that lie
// below, and hides what other blocks have from before.
func (s *Shelf) Expire(ctx context.Context, floor trace.Time) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.inventory.raise(floor)
}

// Status tells how much is stored.
func (s *Shelf) Status(ctx context.Context) (store.Status, error) {
	var st store.Status
	if err := s.usable(ctx); err != nil {
		if s.closed.Load() || ctx.Err() != nil {
			return st, err
		}
		return s.lateStatus(err), nil
	}
	s.state.report(&st)
	s.log.report(&st)
	s.base.damage.report(&st)
	s.reportKeys(&st)
	st.Keys = s.settler.keys.stats()
	return st, nil
}

// Flush settles every trace and writes all of them to blocks.
func (s *Shelf) Flush(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.settler.flushNow(ctx)
}

// Keep adds a file of somebody else to the manifest: if it is missing at a later
// start, that is damage.
func (s *Shelf) Keep(name string) error {
	if err := s.usable(s.base.closing); err != nil {
		return err
	}
	return s.inventory.keep(name)
}

// Backup gives every file of the data directory to add, with its name relative to it,
// as they were at one moment: everything that was acknowledged before the call is in
// them. The shelf goes on meanwhile; files that it drops are kept until they were read.
// Errors: KindUnavailable while nothing can be written.
func (s *Shelf) Backup(ctx context.Context, add func(name string, size int64, r io.Reader) error) (err error) {
	if err := s.usable(ctx); err != nil {
		return err
	}
	b := &backup{base: s.base, state: s.state, log: s.log, inventory: s.inventory, merger: s.merger}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.keepFiles(ctx); err != nil {
		return err
	}
	return b.each(ctx, add)
}
