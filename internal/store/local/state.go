package local

import (
	"maps"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// state joins the open traces of the head with the blocks and tombstones of the catalog.
// It changes both in one step, under the mutex of the catalog, so that every question
// sees one state.
type state struct {
	*base
	room    *room
	catalog *catalog

	head        *head  // catalog.mu guards it, and all below
	appliedFile uint64 // log file of the newest applied change
	oldestLog   uint64 // number of the oldest log file that is needed
	// held are log files that have entries of accounts whose key is away, with these
	// accounts.
	held map[uint64]map[trace.Account]bool
}

func newState(b *base, c *catalog) *state {
	s := &state{base: b, room: newRoom(b.MemoryLimit), catalog: c, head: newHead(), held: map[uint64]map[trace.Account]bool{}}
	if m := b.dir.manifest; m != nil && len(m.Log.Held) > 0 {
		s.oldestLog = m.Log.Oldest
	}
	return s
}

// apply shows changes, in the order in which the log has them, from an LSN on.
func (s *state) apply(changes []*change, lsn, file uint64) {
	var freed int64
	s.catalog.mu.Lock()
	for _, c := range changes {
		c.lsn = lsn
		if c.deletion != nil {
			freed += s.delete(c, file)
		}
		s.add(c, file)
		lsn++
	}
	s.appliedFile = max(s.appliedFile, file)
	s.catalog.mu.Unlock()
	if freed > 0 {
		s.room.give(freed)
	}
}

// add adds a batch to the head. The mutex is held.
func (s *state) add(c *change, file uint64) {
	now := s.Now()
	for i := range c.parts {
		p := c.parts[i].part
		p.lsn, p.file = c.lsn, file
		if o, repeated := s.head.add(key{c.account, c.parts[i].id}, p, now, s.catalog.has); repeated && c.asked {
			c.repeated = append(c.repeated, repeatedTrace{o, o.parts[:len(o.parts):len(o.parts)]})
		}
	}
}

// delete takes traces out of every answer, and returns the memory that this frees. The
// mutex is held.
func (s *state) delete(c *change, file uint64) (freed int64) {
	s.catalog.epoch++
	d := c.deletion
	for i, id := range d.ids {
		k := key{c.account, id}
		if d.upTo != nil && s.newestLSN(k) > d.upTo[i] {
			continue
		}
		o := s.head.get(k)
		if o != nil {
			freed += s.head.settle(o, len(o.parts))
		}
		old, settled := s.catalog.bury(k, c.lsn)
		if o != nil || settled && old.block.Entry(old.entry).Updated >= d.horizon {
			d.found++
		}
		if o != nil || settled {
			s.catalog.tombstones.add(k, tombstone{lsn: c.lsn, file: file, at: d.at})
		}
	}
	return freed
}

// newestLSN returns the LSN of the last batch of a trace. The mutex is held.
func (s *state) newestLSN(k key) (lsn uint64) {
	if p, ok := s.catalog.newest(k); ok {
		lsn = p.lsn()
	}
	if o := s.head.get(k); o != nil {
		lsn = max(lsn, o.parts[len(o.parts)-1].lsn)
	}
	return lsn
}

// covered tells whether a block has what an entry of the log has of a trace, or a
// tombstone deletes it.
func (s *state) covered(k key, lsn uint64) bool {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	return s.catalog.covers(k, lsn)
}

// rotated notes the number of a new log file.
func (s *state) rotated(file uint64) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	s.appliedFile = file
}

// needed returns the oldest log file with a segment that no block has, and older files
// that are needed, too: their accounts have no key, or had none when the files between
// were removed.
func (s *state) needed() (oldest uint64, held []uint64) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	// A batch that is being written now goes to a file that is not older than that of
	// the newest applied one.
	oldest = s.appliedFile
	files := map[uint64]bool{}
	for o := s.head.first; o != nil; o = o.next {
		for i := range o.parts {
			if f := o.parts[i].file; f < s.oldestLog {
				files[f] = true
				continue
			}
			oldest = min(oldest, o.parts[i].file)
			break // later parts are in newer files
		}
	}
	s.oldestLog = max(s.oldestLog, oldest)
	for f := range s.held {
		if f < s.appliedFile {
			files[f] = true
		}
	}
	return oldest, slices.Sorted(maps.Keys(files))
}

// hold notes that an account whose key is away needs a log file.
func (s *state) hold(file uint64, account trace.Account) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	s.holdLocked(file, account)
}

func (s *state) holdLocked(file uint64, account trace.Account) {
	if s.held[file] == nil {
		s.held[file] = map[trace.Account]bool{}
	}
	s.held[file][account] = true
}

// heldBy returns the log files that an account needs.
func (s *state) heldBy(account trace.Account) (files []uint64) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	for f, accounts := range s.held {
		if accounts[account] {
			files = append(files, f)
		}
	}
	slices.Sort(files)
	return files
}

// comeBack notes that the head has the entries of an account that were in held files.
func (s *state) comeBack(account trace.Account) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	for f, accounts := range s.held {
		if delete(accounts, account); len(accounts) == 0 {
			delete(s.held, f)
		}
	}
}

// evict removes the open traces of an account whose key is away from the head: the log
// has them.
func (s *state) evict(account trace.Account) {
	var freed int64
	s.catalog.mu.Lock()
	for _, o := range s.head.accounts[account] {
		for i := range o.parts {
			s.holdLocked(o.parts[i].file, account)
		}
		freed += s.head.settle(o, len(o.parts))
	}
	s.catalog.mu.Unlock()
	s.room.give(freed)
}

// list returns the manifest of the blocks and of the oldest log file that is needed.
func (s *state) list() *manifest {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	m := &manifest{Log: logMark{Oldest: s.oldestLog}}
	s.catalog.list(m)
	return m
}

// locate finds a trace and takes a reference to its block. The mutex is held.
func (s *state) locate(k key) (src source, ok bool) {
	src.key = k
	o := s.head.get(k)
	if o != nil {
		src.parts, src.open, src.repeats = o.parts[:len(o.parts):len(o.parts)], o, o.repeats
	}
	if o == nil || o.reopened {
		if p, found := s.catalog.newest(k); found {
			src.base = p
		}
	}
	if src.base.block != nil {
		src.base.block.Acquire()
	}
	return src, o != nil || src.base.block != nil
}

// find finds traces, all at one moment.
func (s *state) find(account trace.Account, ids []trace.ID) []*source {
	list := make([]*source, 0, len(ids))
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	for _, id := range ids {
		if src, ok := s.locate(key{account, id}); ok {
			list = append(list, &src)
		}
	}
	return list
}

// idle tells whether no trace is open.
func (s *state) idle() bool {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	return s.head.count == 0
}

const (
	// blockTraces bounds the traces of one flush, and so how long readers and writers wait
	// for install.
	blockTraces = 16384
	// blockMemory bounds the memory of the open traces that one flush writes.
	blockMemory = 32 << 20
)

// pick returns open traces if some are due: longest idle first, those that are wanted,
// up to the limits of one block.
func (s *state) pick(due func(*head) bool, wanted func(*open) bool, memory int64) (list []source) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	if !due(s.head) {
		return nil
	}
	for o := s.head.first; o != nil && len(list) < blockTraces && memory > 0; o = o.next {
		if !wanted(o) {
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

// install replaces open parts in the head by a block, in one step for readers.
func (s *state) install(b *block.Block, o outside, sources []*source) {
	sealed := newSealed(b)
	sealed.outside = o
	var freed int64
	s.catalog.mu.Lock()
	s.catalog.add(sealed)
	for i, src := range sources {
		if !s.catalog.settled(src.key, place{sealed, i}) {
			continue // it was deleted: nothing of it is in the head
		}
		if o := s.head.get(src.key); o != nil {
			freed += s.head.settle(o, len(src.parts))
		}
	}
	s.catalog.mu.Unlock()
	s.room.give(freed)
}

// dropBelow removes traces from the head that lie below the floor. A log file may outlive
// a block that Expire dropped, and replay its traces.
func (s *state) dropBelow(floor trace.Time) {
	var freed int64
	s.catalog.mu.Lock()
	for o := s.head.first; o != nil; {
		next := o.next
		src, _ := s.locate(o.key)
		if src.reach().received < floor {
			freed += s.head.settle(o, len(o.parts))
		}
		src.release()
		o = next
	}
	s.catalog.mu.Unlock()
	s.room.give(freed)
}

// survey lists which entries of a block a merge copies.
type survey struct {
	*sealed
	copied, left []int // entries that the merge copies, and that it leaves behind
	// part: the merge copies other entries to other blocks, so left is not known.
	part bool
}

// surveyStep is how many entries are looked at in one go.
const surveyStep = 4096

// survey decides which entries of a block a merge copies: those that are neither
// superseded nor over their time. takeOver handles those that die later.
func (s *state) survey(b *sealed) *survey {
	v := &survey{sealed: b}
	for from := 0; from < b.Len(); from += surveyStep {
		s.catalog.mu.RLock()
		for i := from; i < min(from+surveyStep, b.Len()); i++ {
			over := b.Entry(i).Updated < s.catalog.horizon() && s.head.get(place{b, i}.key()) == nil
			if over || b.dead.gone(i, s.catalog.epoch) {
				v.left = append(v.left, i)
			} else {
				v.copied = append(v.copied, i)
			}
		}
		s.catalog.mu.RUnlock()
	}
	return v
}

// over returns the blocks all of whose traces are over their time. No open trace
// continues one of them.
func (s *state) over() (blocks []*sealed) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	for _, b := range s.catalog.blocks {
		if b.Range.MaxUpdated < s.catalog.horizon() && !s.continues(b) {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// continues tells whether an open trace has its older part in a block. The mutex is
// held.
func (s *state) continues(b *sealed) bool {
	if s.head.reopened == 0 {
		return false
	}
	for i := range b.Len() {
		if s.head.get(place{b, i}.key()) != nil {
			return true
		}
	}
	return false
}

// heaviest returns the weight of the largest open trace of a window, and how many
// traces of the account are open.
func (s *state) heaviest(account trace.Account, w trace.Window) (most int64, traces int) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	for _, o := range s.head.accounts[account] {
		src := source{parts: o.parts}
		if reach := src.reach(); max(reach.maxStart, reach.received) < w.Start {
			continue
		}
		if o.reopened {
			if p, ok := s.catalog.newest(o.key); ok {
				src.base = p
			}
		}
		most = max(most, src.weight())
	}
	return most, len(s.head.accounts[account])
}

// accounts lists the accounts of blocks and of open traces.
func (s *state) accounts() []trace.Account {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	all := map[trace.Account]bool{}
	for _, b := range s.catalog.blocks {
		for _, account := range b.Accounts() {
			all[account] = true
		}
	}
	for account := range s.head.accounts {
		all[account] = true
	}
	for account := range s.vault.absentees() {
		all[account] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// The gauges of Status.
const (
	GaugeOpenTraces = "open_traces"
	GaugeBlocks     = "blocks"
	GaugeBlockBytes = "block_bytes"
	GaugeLogBytes   = "wal_bytes"
)

// report adds what is stored to a status.
func (s *state) report(st *store.Status) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	st.Traces, st.Segments = s.catalog.table.count+int64(s.head.count)-s.head.reopened, s.head.segments
	var bytes int64
	for _, b := range s.catalog.blocks {
		st.Segments += b.segments
		bytes += b.Size()
	}
	st.Gauges = append(st.Gauges,
		store.Gauge{Name: GaugeOpenTraces, Help: "Traces still in memory.", Value: int64(s.head.count)},
		store.Gauge{Name: GaugeBlocks, Help: "Blocks of settled traces on disk.", Value: int64(len(s.catalog.blocks))},
		store.Gauge{Name: GaugeBlockBytes, Help: "Bytes of settled traces on disk.", Value: bytes})
}
