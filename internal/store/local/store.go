// Package local is the embedded engine: a write-ahead log, a head of open traces
// in memory, and immutable blocks of settled ones.
//
//	Append ──► log (one sync for all that wait) ──► head ──► blocks ──► larger blocks
//
// What is acknowledged is in the log and in the head. When a trace has been
// idle it is written to a block; a log file is deleted when all it holds is in
// blocks. A late segment reopens its trace: the head then holds what is new,
// the block what is old, and the next block holds both and replaces the older
// copy. Every batch has a log sequence number (LSN) and every copy of a trace in
// a block says up to which LSN it is complete, so that after any crash each
// batch counts exactly once.
package local

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// Shelf is an open data directory.
type Shelf struct {
	o      Options
	dir    *Directory
	codec  *block.Codec
	damage *ledger
	log    *wal.Log // appended to by the committer alone
	queue  queue
	keys   *keys
	// choice is which attributes have tokens.
	choice block.Choice
	room   room
	// What questions read: pages of rollups and of row groups.
	pages  *rollup.Cache
	groups *block.Cache

	mu    sync.RWMutex // guards what follows
	head  *head
	table *table
	// blocks are those that a scan looks at; the table may know more while a
	// merged block takes over.
	blocks []*sealed
	// epoch grows with each change of what is superseded. A scan sees the state
	// of one epoch.
	epoch           uint32
	nextBlock       uint64
	appliedFile     uint64 // log file of the newest applied batch
	oldestLog       uint64 // number of the oldest log file that is needed
	tombstones      tombstones
	tombstonesSaved bool // there is a file of deletions
	tombstonesAside bool // one that cannot be read, and is kept
	// leaving are the numbers of blocks whose files may be removed: true while one is
	// being made. doomed are those that wait for it.
	leaving    map[uint64]bool
	doomed     []*sealed
	absent     []listed     // blocks that must be there and cannot be read
	beside     []string     // files of others
	floor      atomic.Int64 // horizon that Expire has reached; needs no mutex
	readOnly   string       // why nothing can be written to the log, or ""
	flushError string       // why nothing can be written to blocks, or ""

	// ctx is that of what runs by itself; it ends a while after Close begins.
	ctx      context.Context
	cancel   context.CancelFunc
	closing  chan struct{} // closed when Close begins
	closed   atomic.Bool
	kick     chan struct{} // wakes the settler
	flushes  chan chan error
	merges   chan struct{} // wakes the merger
	settling sync.Mutex    // one flush at a time
	merging  sync.Mutex    // one merge at a time
	saving   sync.Mutex    // one save of the manifest or the deletions at a time
	saved    []byte        // the manifest as it is on disk; saving guards it
	tasks    sync.WaitGroup
	writers  sync.WaitGroup
}

var _ store.Shelf = (*Shelf)(nil)

// Open opens a data directory and takes back what its log holds. Damage, files that
// are missing or cannot be read included, is logged, shown in Stats and does not
// keep it from opening; a directory that is foreign, newer, locked or cannot be
// written does.
func Open(o Options) (*Shelf, error) {
	o = o.withDefaults()
	dir := o.Directory
	if dir == nil {
		var err error
		if dir, err = lockDirectory(o.FS, o.Dir); err != nil {
			return nil, err
		}
	}
	s := &Shelf{
		o: o, dir: dir, head: newHead(), keys: newKeys(o.AnnotationKeys, o.AnnotationValues), table: newTable(), epoch: 1, nextBlock: 1, leaving: map[uint64]bool{},
		closing: make(chan struct{}), kick: make(chan struct{}, 1), flushes: make(chan chan error), merges: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.damage = newLedger(o.Logger, dir.manifest.accepted())
	s.choice = choiceOf(o.Attributes)
	s.queue.init()
	s.room.limit = o.MemoryLimit
	s.pages = rollup.NewCache(o.CacheBytes * 3 / 7)
	s.groups = block.NewCache(o.CacheBytes * 4 / 7)
	if err := s.open(); err != nil {
		s.release()
		s.cancel()
		return nil, errors.Join(err, dir.close())
	}
	s.writers.Go(s.commitLoop)
	s.tasks.Go(s.settleLoop)
	s.tasks.Go(s.mergeLoop)
	return s, nil
}

// choiceOf is the number of a choice of attributes.
func choiceOf(text string) block.Choice {
	if text == "" {
		return block.AllAttributes
	}
	sum := crc32.ChecksumIEEE([]byte(text))
	return block.Choice(max(1, min(sum, 1<<32-2)))
}

func (s *Shelf) open() (err error) {
	if s.codec, err = block.NewCodec(); err != nil {
		return err
	}
	m := s.dir.manifest
	for _, d := range s.dir.damage {
		s.damage.note(d)
		if m == nil && !s.dir.old {
			s.damage.lose(d.Error()) // nobody knows what else is missing
		}
	}
	if m != nil {
		s.oldestLog, s.beside = m.Log.Oldest, m.Beside
		for _, text := range m.Losses {
			s.damage.lose(text)
		}
		s.openBeside()
	}
	s.openTombstones()
	s.openFloor()
	next, err := s.openBlocks()
	if err != nil {
		return err
	}
	next = max(next, s.tombstones.nextLSN())
	var found wal.Found
	s.log, found, err = wal.Open(wal.Options{
		FS: s.o.FS, Dir: s.dir.sub(logDir), FileBytes: s.o.LogFileBytes, NextLSN: next, Known: m.mark(),
		Warn: func(err error) { s.o.Logger.Warn("the log goes on", "error", err) },
	}, s.replay)
	for _, d := range found.Damage {
		s.damage.lose(d.Error())
	}
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	s.forgetReplayed()
	if found.Torn > 0 {
		s.o.Logger.Info("dropped the end of the log, of which nothing says that it was acknowledged", "bytes", found.Torn)
	}
	if err := s.log.Rotate(); err != nil {
		s.setReadOnly(err)
	}
	s.appliedFile = s.log.File()
	s.damage.leave(damagedAside(s.dir))
	if err := s.saveManifest(); err != nil {
		s.o.Logger.Warn("the manifest was not written", "error", err)
	} else if s.dir.old {
		s.dir.heal()
	}
	return nil
}

// openBeside looks for files that others said are in the directory.
func (s *Shelf) openBeside() {
	for _, d := range s.dir.missing {
		s.damage.lose(d.Error())
	}
}

// missingBeside names files of others that are gone.
func missingBeside(d *Directory) (damage []error) {
	for _, name := range d.manifest.Beside {
		f, err := d.fs.Open(d.sub(name))
		if errors.Is(err, fs.ErrNotExist) {
			damage = append(damage, vfs.Lost(d.sub(name), "the file is missing, with all that it held"))
		} else if err == nil {
			_ = f.Close() // whoever it belongs to reads it
		}
	}
	return damage
}

// damagedAside names files that were found damaged and replaced earlier.
func damagedAside(d *Directory) (notes []string) {
	for _, sub := range []string{"", logDir, blockDir} {
		names, err := d.fs.List(d.sub(sub))
		if err != nil {
			continue // which is damage, and named as such
		}
		for _, name := range names {
			if strings.Contains(name, ".damaged") {
				notes = append(notes, filepath.Join(d.sub(sub), name)+" was found damaged and is kept for you to look at")
			}
		}
	}
	return notes
}

// openBlocks loads all indexes and is the least LSN that no block knows.
func (s *Shelf) openBlocks() (next uint64, err error) {
	dir, m := s.dir.sub(blockDir), s.dir.manifest
	names, err := s.o.FS.List(dir)
	if err != nil {
		s.damage.note(vfs.Lost(dir, "no block can be read: %w", err))
		if m != nil {
			s.nextBlock, s.absent = max(m.Next, 1), m.Blocks
		}
		return 0, nil
	}
	files := blockFilesOf(dir, names, m, s.horizon())
	s.nextBlock, s.absent = max(files.next, 1), files.lost
	for _, d := range files.damage {
		s.damage.note(d)
	}
	for _, l := range files.lost {
		next = max(next, l.LSN+1)
	}
	for _, name := range files.remove {
		// Listed until it is sure that it is gone.
		if number, ok := block.NumberOf(filepath.Base(name)); ok {
			s.leaving[number] = false
		}
		if err := s.o.FS.Remove(name); err != nil {
			s.o.Logger.Warn("a file of no block was not removed", "file", name, "error", err)
		}
	}
	for _, number := range files.open {
		known, listed := m.block(number)
		b, err := block.Open(s.o.FS, dir, number, s.codec)
		if err != nil {
			s.damage.note(err)
			if listed {
				s.absent = append(s.absent, known)
				next = max(next, known.LSN+1)
			}
			continue
		}
		for _, d := range checkFiles(s.o.FS, b, known, listed) {
			s.damage.note(d)
		}
		next = max(next, b.HighestLSN+1)
		s.take(newSealed(b))
	}
	if len(s.table.blocks) > 1<<16 {
		return 0, fmt.Errorf("open blocks: %d of them are too many", len(s.table.blocks))
	}
	return next, nil
}

// take adds a block that was found at start. The copy with the highest LSN
// wins; of two equal ones, which a merge leaves when it is cut short, the one
// in the newer block.
func (s *Shelf) take(b *sealed) {
	s.table.register(b)
	s.blocks = append(s.blocks, b)
	for i := range b.Len() {
		p := place{b, i}
		if s.tombstones.cover(s.table.keyOf(p), b.Entry(i).LSN) {
			b.kill(i, s.epoch)
			continue
		}
		old, had := s.table.put(s.table.keyOf(p), p)
		switch {
		case !had:
		case old.block.Entry(old.entry).LSN > b.Entry(i).LSN:
			s.table.put(s.table.keyOf(old), old)
			b.kill(i, s.epoch)
		default:
			old.block.kill(old.entry, s.epoch)
		}
	}
}

// replay takes back one batch from the log, without what blocks hold already.
func (s *Shelf) replay(e wal.Entry) error {
	if account, d, ok := decodeDeletion(e.Data); ok {
		s.applyDeletion(account, d, e.LSN, e.File)
		return nil
	}
	account, records, err := decodeBatch(e.Data)
	if err != nil {
		s.damage.note(vfs.Corrupt(filepath.Join(s.dir.sub(logDir), wal.Name(e.File)), e.At, "entry %d: %w", e.LSN, err))
		return nil
	}
	var batch []*trace.Segment
	for i := range records {
		r := &records[i]
		k := key{account, r.TraceID}
		if p, ok := s.table.get(k); ok && p.block.Entry(p.entry).LSN >= e.LSN || s.tombstones.cover(k, e.LSN) {
			continue
		}
		seg, err := s.o.Rules.Restore(r)
		if err != nil {
			s.damage.note(vfs.Corrupt(filepath.Join(s.dir.sub(logDir), wal.Name(e.File)), e.At, "entry %d, trace %s: %w", e.LSN, r.TraceID, err))
			continue
		}
		batch = append(batch, seg)
	}
	if len(batch) > 0 {
		c := newCommit(account, batch)
		s.room.take(c.bytes)
		s.apply(c, e.LSN, e.File)
	}
	return nil
}

// closePatience is how long what is being written may still ask others.
const closePatience = 10 * time.Second

// Close stops taking segments, makes the last state durable and releases the
// directory. Sequences that are running may still be read to their end.
func (s *Shelf) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.closing)
	patience := time.AfterFunc(closePatience, s.cancel)
	defer s.cancel()
	defer patience.Stop()
	s.queue.close()
	s.writers.Wait()
	s.tasks.Wait()
	err := s.log.Close()
	// What the log holds is known to the byte now.
	if saveErr := errors.Join(s.saveTombstones(), s.saveManifest()); err == nil {
		err = saveErr
	}
	s.release()
	return errors.Join(err, s.dir.close())
}

// release gives back the blocks; those that a sequence reads stay open for it.
func (s *Shelf) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blocks {
		b.Release()
	}
	s.blocks = nil
}

func errClosed() error { return trace.Errorf(trace.KindUnavailable, "the store is shut down") }

// usable is the error of a call on a store that is closed.
func (s *Shelf) usable() error {
	if s.closed.Load() {
		return errClosed()
	}
	return nil
}

// Capabilities tells what blocks and their rollups are good for.
func (s *Shelf) Capabilities() store.Capabilities {
	return store.Capabilities{Sums: true, Prunes: true, Drops: true}
}

// Accounts lists the accounts of blocks and of open traces.
func (s *Shelf) Accounts(ctx context.Context) ([]trace.Account, error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[trace.Account]bool{}
	for _, b := range s.blocks {
		for _, account := range b.Accounts() {
			all[account] = true
		}
	}
	for account := range s.head.accounts {
		all[account] = true
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// Status tells how much is stored.
func (s *Shelf) Status(ctx context.Context) (store.Status, error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return store.Status{}, err
	}
	wal, keys := s.log.Size(), s.keys.stats()
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := store.Status{
		Traces: s.table.count + int64(s.head.count) - s.head.reopened, Segments: s.head.segments, Keys: keys, ReadOnly: s.readOnly,
	}
	s.damage.report(&st)
	var bytes int64
	for _, b := range s.blocks {
		st.Segments += b.segments
		bytes += b.Size()
	}
	st.Gauges = []store.Gauge{
		{Name: GaugeOpenTraces, Help: "Traces still in memory.", Value: int64(s.head.count)},
		{Name: GaugeBlocks, Help: "Blocks of settled traces on disk.", Value: int64(len(s.blocks))},
		{Name: GaugeBlockBytes, Help: "Bytes of settled traces on disk.", Value: bytes},
		{Name: GaugeLogBytes, Help: "Bytes of the write-ahead log on disk.", Value: wal},
	}
	return st, nil
}

// The gauges of Status.
const (
	GaugeOpenTraces = "open_traces"
	GaugeBlocks     = "blocks"
	GaugeBlockBytes = "block_bytes"
	GaugeLogBytes   = "wal_bytes"
)
