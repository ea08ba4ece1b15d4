// Package embedded is the embedded engine: a store.Store in one directory.
//
//	append → write-ahead log → head → blocks
//
// A batch is acknowledged once the log is synced; one sync serves all batches
// that wait. The head holds the traces that still change, rebuilt from the log at
// start. A trace without news settles into a block: an immutable file with an
// index in memory. Log files go once all they hold is in synced blocks.
//
// A segment for a settled trace opens it again: the head then holds what is new,
// the block what was there. When it settles the next time, the whole trace is
// written anew and the older copy is dead. Each copy knows the last batch it
// holds, so that whatever a crash leaves behind twice counts once.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/embedded/block"
	"github.com/fluoro-io/fluoro/internal/store/embedded/vfs"
	"github.com/fluoro-io/fluoro/internal/store/embedded/wal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Options of a store.
type Options struct {
	// Dir is the directory; it is made if missing. A directory that holds
	// something else is refused.
	Dir string
	// SettleAfter is how long a trace stays in the head after its last segment; 0
	// means 5 s.
	SettleAfter time.Duration
	// Retention is how long traces are kept after their last receipt; 0 means 30
	// days.
	Retention time.Duration
	// MemoryLimit bounds the bytes of open traces; beyond it Append is throttled.
	// 0 means 256 MB.
	MemoryLimit int64
	// FS is where Dir is; nil means the operating system.
	FS     vfs.FS
	Logger *slog.Logger
	Now    func() time.Time
}

const (
	formatFile = "FORMAT"
	format     = "fluoro store 1\n"
	lockFile   = "LOCK"
	walDir     = "wal"
	blockDir   = "blocks"
	blockExt   = ".block"
	chunkCache = 64 << 20
)

// Store is the embedded engine.
type Store struct {
	o     Options
	fs    vfs.FS
	log   *slog.Logger
	lock  interface{ Close() error }
	cache *block.Cache
	// The committer alone uses these once it runs.
	wal    *wal.Log
	failed error // why nothing can be written

	queue     chan *batch   // to the committer
	flushNow  chan struct{} // wakes the settler
	stop      chan struct{}
	tasks     sync.WaitGroup
	closeOnce sync.Once
	closeErr  error

	mu        sync.RWMutex
	closed    bool
	accounts  map[trace.Account]*account
	blocks    []*block.Block
	nextBlock uint64
	headBytes int64
	room      chan struct{} // closed and made anew when headBytes shrinks
	walBytes  int64
	readOnly  string // why nothing can be written; "" while it can
	sequence  uint64 // of the last batch
	removable uint64 // log files below this number may go

	followers followers
}

// account is what one account owns.
type account struct {
	open map[trace.ID]*open
	rows map[trace.ID]*block.Row // the live copy of each settled trace
}

// Open opens or makes a store. Errors say what to do about them: a directory in
// use, one of another program, one that cannot be written.
func Open(o Options) (*Store, error) {
	o.SettleAfter = orElse(o.SettleAfter, 5*time.Second)
	o.Retention = orElse(o.Retention, 30*24*time.Hour)
	o.MemoryLimit = orElse(o.MemoryLimit, 256<<20)
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		o: o, fs: o.FS, log: o.Logger, cache: block.NewCache(chunkCache), accounts: map[trace.Account]*account{},
		queue: make(chan *batch, 1024), flushNow: make(chan struct{}, 1), room: make(chan struct{}), stop: make(chan struct{}),
	}
	if err := s.open(); err != nil {
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		return nil, err
	}
	s.tasks.Go(s.commit)
	s.tasks.Go(s.settle)
	return s, nil
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

func (s *Store) open() (err error) {
	if err := s.fs.MkdirAll(s.o.Dir); err != nil {
		return fmt.Errorf("data directory %s cannot be made: %w", s.o.Dir, err)
	}
	if err := s.claim(); err != nil {
		return err
	}
	for _, dir := range []string{walDir, blockDir} {
		if err := s.fs.MkdirAll(filepath.Join(s.o.Dir, dir)); err != nil {
			return fmt.Errorf("data directory %s cannot be written: %w", s.o.Dir, err)
		}
	}
	if err := s.openBlocks(); err != nil {
		return err
	}
	damaged := func(err error) {
		s.log.Error("write-ahead log is damaged; what can be read of it is kept", "error", err)
	}
	s.wal, err = wal.Open(s.fs, filepath.Join(s.o.Dir, walDir), s.replay, damaged)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", s.o.Dir, err)
	}
	s.walBytes = s.wal.Size()
	return nil
}

// claim takes the directory's lock and checks that it is ours, before anything
// in it changes.
func (s *Store) claim() error {
	names, err := s.fs.ReadDir(s.o.Dir)
	if err != nil {
		return fmt.Errorf("data directory %s cannot be read: %w", s.o.Dir, err)
	}
	known := false
	for _, name := range names {
		known = known || name == formatFile
	}
	for _, name := range names {
		if !known && name != lockFile && !strings.HasPrefix(name, ".") && name != "lost+found" {
			return fmt.Errorf("data directory %s is not Fluoro's: it holds %s; choose an empty one with --data", s.o.Dir, name)
		}
	}
	s.lock, err = s.fs.Lock(filepath.Join(s.o.Dir, lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data directory %s is in use by another fluoro process; stop it, or choose another directory with --data", s.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", s.o.Dir, err)
	}
	path := filepath.Join(s.o.Dir, formatFile)
	if !known {
		if err := vfs.WriteFile(s.fs, path, []byte(format)); err != nil {
			return fmt.Errorf("data directory %s cannot be written: %w", s.o.Dir, err)
		}
		return nil
	}
	b, err := vfs.ReadFile(s.fs, path)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", s.o.Dir, err)
	}
	if string(b) != format {
		return fmt.Errorf("data directory %s has the format %.40q, this version of Fluoro reads %q; nothing was changed", s.o.Dir, b, format)
	}
	return nil
}

// openBlocks opens all blocks, oldest first, and sweeps what a crash left.
func (s *Store) openBlocks() error {
	dir := filepath.Join(s.o.Dir, blockDir)
	names, err := s.fs.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", s.o.Dir, err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		base, isBlock := strings.CutSuffix(name, blockExt)
		no, err := strconv.ParseUint(base, 10, 64)
		switch {
		case strings.HasSuffix(name, ".tmp"):
			if err := s.fs.Remove(path); err != nil {
				return fmt.Errorf("remove %s: %w", path, err)
			}
			continue
		case !isBlock || err != nil:
			continue
		}
		s.nextBlock = max(s.nextBlock, no+1)
		b, err := block.Open(s.fs, path, s.cache)
		var damage *vfs.CorruptError
		if errors.As(err, &damage) {
			s.log.Error("a block is damaged; its traces are missing, everything else is served", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		s.adopt(b)
	}
	s.dropDeadBlocks()
	return nil
}

// account finds or makes an account. The caller holds mu for writing.
func (s *Store) account(name trace.Account) *account {
	a := s.accounts[name]
	if a == nil {
		a = &account{open: map[trace.ID]*open{}, rows: map[trace.ID]*block.Row{}}
		s.accounts[name] = a
	}
	return a
}

// adopt makes the rows of a block known; older copies of its traces die. The
// caller holds mu for writing, or is alone.
func (s *Store) adopt(b *block.Block) {
	s.blocks = append(s.blocks, b)
	for i := range b.Rows {
		row := &b.Rows[i]
		a := s.account(row.Account)
		if old := a.rows[row.ID]; old != nil {
			if old.Sequence > row.Sequence {
				kill(row)
				continue
			}
			kill(old)
		}
		a.rows[row.ID] = row
		s.sequence = max(s.sequence, row.Sequence)
	}
}

func kill(row *block.Row) {
	if !row.Dead {
		row.Dead = true
		row.Block.Live--
	}
}

// dropDeadBlocks removes the files of blocks without live rows. The caller holds
// mu for writing, or is alone. Readers that still use a block keep its file open.
func (s *Store) dropDeadBlocks() {
	kept := s.blocks[:0]
	for _, b := range s.blocks {
		if b.Live > 0 {
			kept = append(kept, b)
			continue
		}
		s.cache.Forget(b)
		if err := s.fs.Remove(b.Path); err != nil {
			s.log.Warn("a block that is no longer needed was not removed", "error", err)
		}
	}
	clear(s.blocks[len(kept):])
	s.blocks = kept
}

// replay takes one batch of the log, at start.
func (s *Store) replay(file uint64, payload []byte) error {
	b, err := decodeBatch(payload, decode.Restore)
	if err != nil {
		return err
	}
	a := s.account(b.account)
	fresh := b.segments[:0]
	for _, seg := range b.segments {
		if row := a.rows[seg.TraceID]; row == nil || row.Sequence < b.sequence {
			fresh = append(fresh, seg)
		}
	}
	b.segments = fresh
	s.sequence = max(s.sequence, b.sequence)
	s.apply(b, file, s.o.Now())
	return nil
}

// Close stops taking batches, settles what is open and releases the directory.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.stop)
		s.tasks.Wait()
		s.flush(flushAll)
		s.closeErr = errors.Join(s.removeLog(), s.wal.Close(), s.lock.Close())
	})
	return s.closeErr
}
