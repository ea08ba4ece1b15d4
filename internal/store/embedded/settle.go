package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
	"unique"

	"github.com/fluoro-io/fluoro/internal/store/embedded/block"
	"github.com/fluoro-io/fluoro/internal/store/embedded/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// A flush waits until this much has settled, or for flushWait at most, so that
	// blocks do not become tiny.
	flushBytes = 8 << 20
	flushWait  = 30 * time.Second
	// flushMost bounds the traces written to one block.
	flushMost = 50_000
	// mergeCount blocks of about one size become one.
	mergeCount = 6
	// tierSize is the size of the smallest tier; each next is four times larger.
	tierSize = 1 << 20
	// mergeMost is the size above which blocks are left alone.
	mergeMost   = 1 << 30
	retainEvery = time.Minute
)

// settle moves traces without news to blocks, merges blocks, and lets go of what
// is older than the retention.
func (s *Store) settle() {
	tick := time.NewTicker(max(20*time.Millisecond, min(time.Second, s.o.SettleAfter/4)))
	defer tick.Stop()
	retained := s.o.Now()
	for {
		force := false
		select {
		case <-s.stop:
			return
		case <-s.flushNow:
			force = true
		case <-tick.C:
		}
		mode := flushIdle
		if force {
			mode = flushPressed
		}
		s.flush(mode)
		s.merge()
		if now := s.o.Now(); now.Sub(retained) > retainEvery {
			retained = now
			s.retain(now)
		}
	}
}

type flushMode uint8

const (
	flushIdle    flushMode = iota // what has been idle long enough
	flushPressed                  // also what has not, the longest idle first
	flushAll
)

// settled is one trace about to be written.
type settled struct {
	account trace.Account
	id      trace.ID
	sn      snapshot
}

// flush writes open traces to a block. Those that get news meanwhile stay open
// with just these.
func (s *Store) flush(mode flushMode) {
	for {
		list := s.choose(mode)
		if len(list) == 0 {
			return
		}
		if !s.writeBlock(list) || mode == flushIdle {
			return
		}
		s.mu.RLock()
		enough := mode == flushPressed && s.headBytes < s.o.MemoryLimit/4
		s.mu.RUnlock()
		if enough {
			return
		}
	}
}

// choose picks the traces to write, the longest idle first.
func (s *Store) choose(mode flushMode) []settled {
	now := s.o.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	type candidate struct {
		settled
		touched time.Time
	}
	var list []candidate
	var bytes int64
	var longest time.Duration
	for name, a := range s.accounts {
		for id, o := range a.open {
			idle := now.Sub(o.touched)
			if mode == flushIdle && idle < s.o.SettleAfter {
				continue
			}
			sn, _ := a.snapshot(id)
			list = append(list, candidate{settled{name, id, sn}, o.touched})
			bytes += o.bytes
			longest = max(longest, idle)
		}
	}
	if mode == flushIdle && bytes < flushBytes && longest < s.o.SettleAfter+flushWait {
		return nil
	}
	slices.SortFunc(list, func(a, b candidate) int { return a.touched.Compare(b.touched) })
	out := make([]settled, 0, min(len(list), flushMost))
	for _, c := range list[:min(len(list), flushMost)] {
		out = append(out, c.settled)
	}
	return out
}

// writeBlock writes traces to a new block and closes them in the head. It is
// false if that failed; the traces then stay where they are.
func (s *Store) writeBlock(list []settled) bool {
	groups := make([]block.Group, 0, len(list))
	written := list[:0]
	for _, t := range list {
		g, err := s.group(t)
		if err != nil {
			s.log.Error("a trace cannot settle: its older part cannot be read", "trace", t.id, "error", err)
			continue
		}
		groups, written = append(groups, g), append(written, t)
	}
	slices.SortFunc(groups, newestFirst)
	b, err := block.Write(s.fs, s.newBlockPath(), groups, s.cache)
	if err != nil {
		s.log.Error("settled traces cannot be written; they stay in memory and in the log", "error", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adopt(b)
	for _, t := range written {
		s.closeTrace(t)
	}
	s.dropDeadBlocks()
	s.removable = s.oldestNeeded()
	close(s.room)
	s.room = make(chan struct{})
	return true
}

func newestFirst(a, b block.Group) int {
	return cmp.Or(cmp.Compare(b.Row.Start, a.Row.Start), slices.Compare(b.Row.ID[:], a.Row.ID[:]))
}

func (s *Store) newBlockPath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	no := s.nextBlock
	s.nextBlock++
	return filepath.Join(s.o.Dir, blockDir, fmt.Sprintf("%012d%s", no, blockExt))
}

// group makes what a block keeps of a trace.
func (s *Store) group(t settled) (block.Group, error) {
	v, err := t.sn.assemble(t.id)
	if err != nil {
		return block.Group{}, err
	}
	segments, err := t.sn.documents()
	if err != nil {
		return block.Group{}, err
	}
	return block.Group{Row: row(t, v, len(segments)), Data: block.AppendSegments(nil, segments)}, nil
}

func row(t settled, v *view, segments int) block.Row {
	sum := v.summary
	r := block.Row{
		Account: t.account, ID: t.id, Start: sum.Start, End: sum.End, First: v.trace.FirstReceived, Updated: v.trace.Updated,
		Response: block.Unknown, Duration: block.Unknown, Fault: sum.HasFault, Error: sum.HasError, Throttle: sum.HasThrottle,
		Segments: uint32(segments), Sequence: t.sn.sequence,
	}
	if sum.ResponseTime != nil {
		r.Response = *sum.ResponseTime
	}
	if sum.Duration != nil {
		r.Duration = *sum.Duration
	}
	for _, service := range sum.Services {
		if h := unique.Make(service.Name); !slices.Contains(r.Services, h) {
			r.Services = append(r.Services, h)
		}
	}
	for _, an := range sum.Annotations {
		r.Keys = append(r.Keys, unique.Make(an.Key))
	}
	return r
}

// closeTrace takes a written trace out of the head, or what was written of it.
// The caller holds mu for writing.
func (s *Store) closeTrace(t settled) {
	a := s.accounts[t.account]
	o := t.sn.open
	n := len(t.sn.segments)
	var bytes int64
	for _, seg := range o.segments[:n] {
		bytes += int64(weight(seg))
	}
	o.bytes -= bytes
	s.headBytes -= bytes
	if len(o.segments) == n {
		delete(a.open, t.id)
		return
	}
	o.segments, o.files = slices.Clone(o.segments[n:]), slices.Clone(o.files[n:])
}

// oldestNeeded is the number of the oldest log file that holds something that is
// in no block. The caller holds mu.
func (s *Store) oldestNeeded() uint64 {
	oldest := ^uint64(0)
	for _, a := range s.accounts {
		for _, o := range a.open {
			for _, f := range o.files {
				oldest = min(oldest, f)
			}
		}
	}
	return oldest
}

// merge makes one block of several of about the same size. Groups are copied as
// they are; dead ones stay behind.
func (s *Store) merge() {
	list := s.mergeable()
	if list == nil {
		return
	}
	var groups []block.Group
	var from []*block.Row
	s.mu.RLock()
	for _, b := range list {
		for i := range b.Rows {
			if !b.Rows[i].Dead {
				from = append(from, &b.Rows[i])
			}
		}
	}
	s.mu.RUnlock()
	for _, row := range from {
		data, err := row.Group()
		if err != nil {
			var damage *vfs.CorruptError
			if errors.As(err, &damage) {
				s.log.Error("a trace is damaged and was left out of a merge", "trace", row.ID, "error", err)
				continue
			}
			s.log.Error("blocks cannot be merged", "error", err)
			return
		}
		groups = append(groups, block.Group{Row: *row, Data: slices.Clone(data)})
	}
	slices.SortFunc(groups, newestFirst)
	for i := range groups {
		groups[i].Row.Dead = false
	}
	b, err := block.Write(s.fs, s.newBlockPath(), groups, s.cache)
	if err != nil {
		s.log.Error("blocks cannot be merged", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adoptMerged(b, from)
	for _, old := range list {
		for i := range old.Rows {
			kill(&old.Rows[i])
		}
	}
	s.dropDeadBlocks()
}

// adoptMerged replaces rows by their copies, except where a newer copy came
// meanwhile or the trace was removed. The caller holds mu for writing.
func (s *Store) adoptMerged(b *block.Block, from []*block.Row) {
	s.blocks = append(s.blocks, b)
	live := make(map[*block.Row]bool, len(from))
	for _, row := range from {
		live[row] = !row.Dead
	}
	for i := range b.Rows {
		row := &b.Rows[i]
		a := s.account(row.Account)
		if old := a.rows[row.ID]; old != nil && live[old] {
			kill(old)
			a.rows[row.ID] = row
		} else {
			kill(row)
		}
	}
}

// mergeable picks blocks of one tier, nil if no tier has enough.
func (s *Store) mergeable() []*block.Block {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tiers := map[int][]*block.Block{}
	for _, b := range s.blocks {
		if b.Size >= mergeMost {
			continue
		}
		tier := 0
		for size := b.Size / tierSize; size > 0; size /= 4 {
			tier++
		}
		tiers[tier] = append(tiers[tier], b)
		if len(tiers[tier]) == mergeCount {
			return tiers[tier]
		}
	}
	return nil
}

// retain lets go of traces whose last receipt is older than the retention. Their
// blocks go when nothing in them is left.
func (s *Store) retain(now time.Time) {
	limit := trace.TimeOf(now.Add(-s.o.Retention))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		for id, row := range a.rows {
			if row.Updated < limit && a.open[id] == nil {
				kill(row)
				delete(a.rows, id)
			}
		}
	}
	s.dropDeadBlocks()
}
