package local

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// blockTraces bounds the traces of one flush, and so how long readers and
	// writers wait while it is put in place.
	blockTraces = 16384
	// blockMemory bounds the memory of the head that one flush writes.
	blockMemory = 32 << 20
	// logFiles is how many log files there may be before the traces that need
	// the oldest one settle early.
	logFiles = 32
	// idleLog is how much log may stay when all it holds is in blocks: it would
	// only be read in vain at the next start.
	idleLog = 256 << 10
)

// wake makes the settler look now.
func (s *Shelf) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// settleLoop moves settled traces to blocks, and tries failed writes again.
func (s *Shelf) settleLoop() {
	tick := time.NewTicker(max(10*time.Millisecond, min(s.o.SettleAfter/4, time.Second)))
	defer tick.Stop()
	retry := time.NewTicker(s.o.RetryAfter)
	defer retry.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-retry.C:
			if s.unwritable() != "" {
				s.queue.push(&commit{probe: true})
			}
		case <-tick.C:
		case <-s.kick:
		case done := <-s.flushes:
			done <- s.flushAll()
			continue
		}
		s.settle()
	}
}

// settle flushes until nothing is due. After a failure it waits for the next tick.
func (s *Shelf) settle() {
	for {
		due := s.due()
		if len(due) == 0 {
			s.tidyLog()
			return
		}
		if err := s.flush(due); err != nil {
			s.flushFailed(err)
			return
		}
		select {
		case <-s.closing:
			return
		default:
		}
	}
}

// tidyLog lets the log go that nothing needs any more, the last file included.
func (s *Shelf) tidyLog() {
	s.mu.RLock()
	idle := s.head.count == 0 && s.readOnly == ""
	s.mu.RUnlock()
	switch {
	case !idle || s.log.Size() <= idleLog:
	case s.log.Files() == 1:
		s.queue.push(&commit{probe: true, rotate: true})
	default:
		if err := s.trimLog(); err != nil {
			s.o.Logger.Warn("log not cut", "error", err)
		}
	}
}

func (s *Shelf) flushFailed(err error) {
	s.mu.Lock()
	was := s.flushError
	s.flushError = err.Error()
	s.mu.Unlock()
	if was == "" {
		s.o.Logger.Error("settled traces cannot be written to a block; they stay in the log", "error", err)
	}
}

// Flush settles every trace and writes all of them to blocks.
func (s *Shelf) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.flushes <- done:
	case <-s.closing:
		return errClosed()
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-done
}

func (s *Shelf) flushAll() error {
	for {
		s.mu.RLock()
		all := s.pick(func(*open) bool { return true }, blockMemory)
		s.mu.RUnlock()
		if len(all) == 0 {
			return nil
		}
		if err := s.flush(all); err != nil {
			s.flushFailed(err)
			return err
		}
	}
}

// pick takes open traces, longest idle first, while want says so and up to the
// limits of one flush. The mutex is held.
func (s *Shelf) pick(want func(*open) bool, memory int64) []source {
	var list []source
	for o := s.head.first; o != nil && len(list) < blockTraces && memory > 0; o = o.next {
		if !want(o) {
			continue
		}
		src, _ := s.locate(o.key)
		list = append(list, src)
		for i := range src.parts {
			memory -= src.parts[i].bytes
		}
	}
	return list
}

// due is what should be flushed now: settled traces when there are enough, one has
// waited long enough or no other is open; the longest idle ones when memory is short; and
// those that keep the log from being cut.
func (s *Shelf) due() []source {
	if excess := s.room.excess(); excess > 0 {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.pick(func(*open) bool { return true }, min(excess, blockMemory))
	}
	now := s.o.Now()
	long := s.log.Files() > logFiles
	oldest := s.log.Oldest()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if long {
		pins := func(o *open) bool { return o.parts[0].file <= oldest }
		if list := s.pick(pins, blockMemory); len(list) > 0 {
			return list
		}
	}
	first := s.head.first
	if first == nil {
		return nil
	}
	settled := now.Add(-s.o.SettleAfter)
	// With all of them settled there is nothing to wait for.
	waited := !first.touched.After(settled.Add(-s.o.FlushAfter)) || !s.head.last.touched.After(settled)
	var memory int64
	for o := first; o != nil && !waited && !o.touched.After(settled) && memory < s.o.FlushBytes; o = o.next {
		for i := range o.parts {
			memory += o.parts[i].bytes
		}
	}
	if !waited && memory < s.o.FlushBytes {
		return nil
	}
	return s.pick(func(o *open) bool { return !o.touched.After(settled) }, blockMemory)
}

// settling is one trace on its way to a block.
type settling struct {
	*source
	info block.Info
}

// flush writes traces to a block and puts it in place of what the head holds of
// them. It gives the sources' references back.
func (s *Shelf) flush(sources []source) error {
	s.settling.Lock()
	defer s.settling.Unlock()
	defer func() {
		for i := range sources {
			sources[i].release()
		}
	}()
	list := make([]settling, len(sources))
	var memo block.Memo
	var assembler assemble.Assembler
	describe := describer{keys: s.keys}
	var segments []*trace.Segment
	roll := s.roller(s.ctx)
	refused := map[trace.Account][]trace.Refused{}
	for i := range sources {
		src := &sources[i]
		t := src.kept()
		if t == nil {
			var err error
			if segments, err = s.settledSegments(segments[:0], src, &memo); err != nil {
				return err
			}
			t = assembler.Trace(src.id, segments)
		}
		if list := s.newlyRefused(src, t); list != nil {
			refused[src.account] = append(refused[src.account], list...)
		}
		sum := assembler.Outline(t)
		list[i] = settling{src, describe.info(src, t, sum)}
		if err := roll.add(src.account, t, sum); err != nil {
			return err
		}
	}
	slices.SortFunc(list, func(a, b settling) int {
		return cmp.Or(cmp.Compare(a.info.Start, b.info.Start), bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.account, b.account))
	})
	b, err := s.writeBlock(list, &memo, roll.encode())
	if err != nil {
		return err
	}
	s.o.Rules.Folded(roll.builder.Folded)
	s.install(b, list)
	for account, list := range refused {
		s.o.Rules.Refused(account, list)
	}
	if err := s.trimLog(); err != nil {
		s.o.Logger.Warn("log not cut", "error", err)
	}
	select {
	case s.merges <- struct{}{}:
	default:
	}
	return nil
}

// settledRecords appends what a block will hold of a trace. What was settled
// before and is damaged now is left behind, in the damaged block, which stays.
func (s *Shelf) settledRecords(records []block.Record, src *source, keep block.Keeper) ([]block.Record, error) {
	if src.base.block != nil {
		settled, err := src.base.block.Records(src.base.entry, keep)
		records = append(records, settled...)
		if corrupt(err) {
			_ = s.readFailed(src.base.block, err)
		} else if err != nil {
			return nil, fmt.Errorf("reopen trace %s: %w", src.id, err)
		}
	}
	for i := range src.parts {
		for _, seg := range src.parts[i].segments {
			records = append(records, trace.RecordOf(seg))
		}
	}
	return records, nil
}

// settledSegments is the same, decoded.
func (s *Shelf) settledSegments(segments []*trace.Segment, src *source, keep block.Keeper) ([]*trace.Segment, error) {
	if src.base.block != nil {
		settled := source{key: src.key, base: src.base}
		records, err := s.settledRecords(nil, &settled, keep)
		if err != nil {
			return nil, err
		}
		for i := range records {
			seg, err := s.o.Rules.Restore(&records[i])
			if err != nil {
				s.damage.note(fmt.Errorf("reopen trace %s: %w", src.id, err))
				continue
			}
			segments = append(segments, seg)
		}
	}
	for i := range src.parts {
		segments = append(segments, src.parts[i].segments...)
	}
	return segments, nil
}

func (s *Shelf) newBlockNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextBlock++
	s.leaving[s.nextBlock-1] = true
	return s.nextBlock - 1
}

func (s *Shelf) writeBlock(list []settling, keep block.Keeper, roll []byte) (*block.Block, error) {
	number := s.newBlockNumber()
	b, err := s.buildBlock(number, list, keep, roll)
	if err != nil {
		s.gaveUp(number)
	}
	return b, err
}

func (s *Shelf) buildBlock(number uint64, list []settling, keep block.Keeper, roll []byte) (*block.Block, error) {
	w, err := block.Create(block.WriterOptions{FS: s.o.FS, Dir: s.dir.sub(blockDir), Number: number, Codec: s.codec, Choice: s.choice})
	if err != nil {
		if w != nil {
			w.Abort()
		}
		return nil, err
	}
	var records []block.Record
	for i := range list {
		records, err = s.settledRecords(records[:0], list[i].source, keep)
		if err == nil {
			err = w.Add(&list[i].info, records)
		}
		if err != nil {
			w.Abort()
			return nil, err
		}
	}
	b, err := w.Finish(roll)
	if err != nil {
		w.Abort()
	}
	return b, err
}

// install makes a flushed block part of the store, in one step for readers.
func (s *Shelf) install(b *block.Block, list []settling) {
	sealed := newSealed(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.table.register(sealed)
	s.blocks = append(s.blocks, sealed)
	delete(s.leaving, b.Number())
	s.flushError = ""
	var freed int64
	for i := range list {
		src := list[i].source
		if s.tombstones.cover(src.key, src.lsn()) {
			// It was deleted while it was being written: nothing of it is in the head.
			sealed.kill(i, s.epoch)
			continue
		}
		if old, had := s.table.put(src.key, place{sealed, i}); had {
			old.block.kill(old.entry, s.epoch)
		}
		if o := s.head.get(src.key); o != nil {
			freed += s.head.settle(o, len(src.parts))
		}
	}
	s.room.give(freed)
}

// trimLog deletes the log files whose content is in blocks, once the manifest asks
// for these blocks and not for the files.
func (s *Shelf) trimLog() error {
	s.mu.Lock()
	// A batch that is being written now goes to a file that is not older than
	// that of the newest applied one.
	oldest := s.head.oldestFile(s.appliedFile)
	s.oldestLog = max(s.oldestLog, oldest)
	s.mu.Unlock()
	if err := s.saveTombstones(); err != nil {
		return err
	}
	if err := s.saveManifest(); err != nil {
		return err
	}
	return s.log.Remove(oldest)
}
