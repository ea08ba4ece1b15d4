package local

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// merger keeps the number of blocks small, drops blocks that are over their time and
// takes deleted traces off the disk.
type merger struct {
	*base
	state     *state
	log       *log
	inventory *inventory
	rollups   *rollups
	settler   *settler

	asked atomic.Int64 // Purge asked for deletions up to this time

	mu sync.Mutex // held during a merge: one at a time
}

// run merges until the shelf closes.
func (m *merger) run() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		m.dropOver()
		m.mergeAll()
		m.convertAll()
		m.purge()
		select {
		case <-m.closing.Done():
			return
		case <-tick.C:
		case <-m.state.catalog.changed:
		}
	}
}

// still keeps blocks from being made, merged and dropped, and the log from being cut,
// until the caller calls resume.
func (m *merger) still() (resume func()) {
	m.mu.Lock()
	m.settler.mu.Lock()
	return func() {
		m.settler.mu.Unlock()
		m.mu.Unlock()
	}
}

// mergeAll merges until the plan is empty. A failure waits for the next call.
func (m *merger) mergeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		sources := m.state.catalog.planned(m.waiting())
		if len(sources) == 0 {
			return
		}
		err := m.merge(sources)
		releaseAll(sources)
		switch {
		case errors.Is(err, errStopped), errors.Is(err, errKeyAway):
			return
		case err != nil:
			m.Logger.Warn("blocks were not merged", "error", err)
			if !corrupt(err) {
				return
			}
		}
	}
}

func releaseAll(blocks []*sealed) {
	for _, b := range blocks {
		b.Release()
	}
}

var errStopped = errors.New("the store is shutting down")

// going returns an error when the shelf is being closed.
func (m *merger) going() error {
	if m.closing.Err() != nil {
		return errStopped
	}
	return nil
}

// waiting returns a function that names the blocks that no merge takes: their key is away,
// or they are written anew because encryption was switched. It is nil if there are none.
func (m *merger) waiting() func(*sealed) bool {
	if !m.vault.on {
		return nil
	}
	p := m.policies()
	return func(b *sealed) bool { return p.away(b) || p.converts(b, m.vault.clearTables) }
}

// policies have the newest key of each account, or why it is away.
type policies map[trace.Account]policy

type policy struct {
	key *seal.Key
	err error
}

func (m *merger) policies() policies {
	p := policies{}
	for _, account := range m.state.accounts() {
		err := m.vault.awayError(account)
		var key *seal.Key
		if err == nil {
			ctx, cancel := context.WithTimeout(m.working, keyTime)
			key, err = m.vault.newest(ctx, account)
			cancel()
		}
		p[account] = policy{key, err}
	}
	return p
}

// away tells whether some account of a block has no key now.
func (p policies) away(b *sealed) bool {
	return slices.ContainsFunc(b.Accounts(), func(a trace.Account) bool { return p[a].err != nil })
}

// converts tells whether a block is to be written anew: sealed or not, as the settings
// are today.
func (p policies) converts(b *sealed, clearTables bool) bool {
	sealed := slices.ContainsFunc(b.Accounts(), func(a trace.Account) bool { return p[a].key != nil })
	return sealed != (b.id != 0) || sealed && b.tables == clearTables
}

// convertAll writes blocks anew after encryption was switched on or off. Each block is done
// by itself, so a restart goes on where it was.
func (m *merger) convertAll() {
	if !m.vault.on {
		return
	}
	for m.going() == nil {
		p := m.policies()
		taken := false
		next := m.state.catalog.acquire(func(b *sealed) bool {
			take := !taken && !b.damaged.Load() && !p.away(b) && p.converts(b, m.vault.clearTables)
			taken = taken || take
			return take
		})
		if len(next) == 0 {
			return
		}
		m.mu.Lock()
		err := m.merge(next)
		m.mu.Unlock()
		releaseAll(next)
		if err != nil && !errors.Is(err, errStopped) && !errors.Is(err, errKeyAway) {
			m.Logger.Warn("a block was not written anew", "error", err)
		}
		if err != nil && !corrupt(err) {
			return
		}
	}
}

// errKeyAway says that a merge waits for the key of an account.
var errKeyAway = errors.New("a key is away")

// output is a block that a merge writes: all entries, or those of one account under its
// key.
type output struct {
	account trace.Account
	key     *seal.Key
	surveys []*survey
}

// outputs sorts the entries of a merge by the block that they go to.
func (m *merger) outputs(surveys []*survey) ([]output, error) {
	if !m.vault.on {
		return []output{{surveys: surveys}}, nil
	}
	byAccount := map[trace.Account]bool{}
	for _, v := range surveys {
		for _, account := range v.Accounts() {
			byAccount[account] = true
		}
	}
	var list []output
	plain := map[trace.Account]bool{}
	for _, account := range slices.Sorted(maps.Keys(byAccount)) {
		key, err := m.settler.keyOf(account)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errKeyAway, err)
		}
		if key == nil {
			plain[account] = true
			continue
		}
		list = append(list, output{account, key, nil})
	}
	if len(plain) > 0 {
		list = append(list, output{})
	}
	if len(list) == 1 {
		list[0].surveys = surveys
		return list, nil
	}
	for i := range list {
		for _, v := range surveys {
			own := &survey{sealed: v.sealed, part: true}
			for _, entry := range v.copied {
				if a := v.Account(entry); a == list[i].account && list[i].key != nil || list[i].key == nil && plain[a] {
					own.copied = append(own.copied, entry)
				}
			}
			list[i].surveys = append(list[i].surveys, own)
		}
	}
	return list, nil
}

// merge writes the live entries of some blocks to one for each output, which take over
// from them.
func (m *merger) merge(sources []*sealed) error {
	var surveys []*survey
	for _, b := range sources {
		surveys = append(surveys, m.state.survey(b))
	}
	list, err := m.outputs(surveys)
	if err != nil {
		return err
	}
	var results []mergedBlock
	for _, o := range list {
		var inputs mergings
		for _, v := range o.surveys {
			if len(v.copied) > 0 {
				inputs = append(inputs, &merging{survey: v, taken: map[int]block.Group{}})
			}
		}
		if len(inputs) == 0 {
			continue
		}
		merged, err := m.write(o, inputs)
		if err != nil {
			m.abandon(results)
			return err
		}
		results = append(results, merged)
	}
	if len(results) > 0 {
		m.state.catalog.takeOver(results, sources)
	}
	return m.drop(sources)
}

// abandon removes blocks that were written and do not count yet.
func (m *merger) abandon(results []mergedBlock) {
	for _, r := range results {
		r.Release()
		for _, name := range block.Files(m.dir.sub(blockDir), r.Number()) {
			if err := m.inventory.remove(name); err != nil {
				m.Logger.Warn("a block that nothing needs is left", "error", err)
			}
		}
		m.inventory.giveUp(r.Number())
	}
}

// write writes a merged block.
func (m *merger) write(to output, inputs mergings) (result mergedBlock, err error) {
	number := m.state.catalog.numbers.take()
	w, err := block.Create(block.WriterOptions{FS: m.vault.files(to.account, to.key), Dir: m.dir.sub(blockDir), Number: number, Codec: m.codec, Level: block.Small})
	var roll []byte
	var b *block.Block
	if err == nil {
		result.origin, err = m.copyAll(w, inputs)
	}
	if err == nil {
		roll, err = m.rollups.merged(m.working, to.surveys)
	}
	if err == nil {
		b, err = w.Finish(roll)
	}
	if err == nil {
		result.sealed = newSealed(b)
		if result.outside, err = m.vault.look(number); err != nil {
			b.Release()
		}
	}
	if damage, ok := errors.AsType[*CorruptError](err); ok {
		for _, v := range to.surveys { // postings are read last
			if v.File() == damage.File {
				err = v.readFailed(m.damage, err)
			}
		}
	}
	if err != nil {
		if w != nil {
			w.Abort()
		}
		m.inventory.giveUp(number)
		return mergedBlock{}, err
	}
	return result, nil
}

// merging goes through the copied entries of one block, in its order.
type merging struct {
	*survey
	at int // of copied
	// taken are the row groups that were copied as a whole, by number.
	taken map[int]block.Group
	memo  block.Memo
}

func (m *merging) entry() int { return m.copied[m.at] }

type mergings []*merging

func (h mergings) Len() int { return len(h) }
func (h mergings) Less(i, j int) bool {
	a, b := h[i].Entry(h[i].entry()), h[j].Entry(h[j].entry())
	return cmp.Or(cmp.Compare(a.Start, b.Start), a.ID.Compare(b.ID)) < 0
}
func (h mergings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *mergings) Push(m any)   { *h = append(*h, m.(*merging)) }
func (h *mergings) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	*h = (*h)[:last]
	return m
}

// copyAll copies the live entries, and returns where each was. It copies large row groups
// as a whole if all their entries are alive: most of the data is not compressed again.
func (m *merger) copyAll(w *block.Writer, inputs mergings) (origin []place, err error) {
	var blocks []*block.Block
	entries := 0
	for _, in := range inputs {
		blocks, entries = append(blocks, in.Block), entries+len(in.copied)
	}
	w.Expect(blocks)
	origin = make([]place, 0, entries)
	for _, in := range inputs {
		if err := m.takeGroups(w, in); err != nil {
			return nil, err
		}
	}
	heap.Init(&inputs)
	for len(inputs) > 0 {
		if err := m.going(); err != nil {
			return nil, err
		}
		in := inputs[0]
		i := in.entry()
		if group, taken := in.taken[in.GroupOf(i)]; taken {
			err = w.Refer(in.Block, i, group)
		} else {
			err = in.readFailed(m.damage, w.Copy(in.Block, i, &in.memo))
		}
		if err != nil {
			return nil, err
		}
		origin = append(origin, place{in.sealed, i})
		if in.at++; in.at < len(in.copied) {
			heap.Fix(&inputs, 0)
		} else {
			heap.Pop(&inputs)
		}
	}
	return origin, nil
}

// takeGroups copies the row groups of a block that are large enough and have only live
// entries.
func (m *merger) takeGroups(w *block.Writer, in *merging) (err error) {
	alive := make([]int, in.Groups())
	for _, i := range in.copied {
		alive[in.GroupOf(i)] += int(in.Entry(i).Segments)
	}
	for group, rows := range alive {
		if !in.Full(group) || rows < in.Rows(group) {
			continue
		}
		if err := m.going(); err != nil {
			return err
		}
		if in.taken[group], err = w.Take(in.Block, group); err != nil {
			return in.readFailed(m.damage, err)
		}
	}
	return nil
}

// drop drops blocks that nothing needs, and their files.
func (m *merger) drop(blocks []*sealed) error {
	m.state.catalog.drop(blocks)
	return m.inventory.removeDoomed()
}

// dropOver drops the blocks all of whose traces are over their time. Traces that are
// over theirs in other blocks are hidden, and go with the next merge.
func (m *merger) dropOver() {
	if err := m.inventory.removeDoomed(); err != nil {
		m.Logger.Warn("files of dropped blocks were not removed", "error", err)
	}
	over := m.state.over()
	if locked := m.state.catalog.dropLocked(func(l *lockedBlock) bool { return l.known && l.Updated < m.state.catalog.horizon() }); len(locked) > 0 {
		m.inventory.removeLocked(locked)
	}
	if len(over) == 0 {
		return
	}
	m.Logger.Info("dropping blocks that are over their time", "blocks", len(over))
	if err := m.drop(over); err != nil {
		m.Logger.Warn("files of dropped blocks were not removed", "error", err)
	}
}

// purge takes deleted traces off the disk once they are due: it deletes the log files
// and rewrites the blocks that have them, and forgets tombstones that nothing needs.
func (m *merger) purge() {
	due, newest := m.state.catalog.tombstones.due(m.purgeLimit())
	if len(due) == 0 {
		return
	}
	if newest >= m.log.files.File() {
		m.log.probe(true)
	}
	// A block that is being written may hold a deleted trace, and one goroutine at a
	// time may cut the log.
	defer m.still()()
	if err := m.inventory.trimLog(); err != nil {
		m.Logger.Warn("log files that nothing needs were not deleted", "error", err)
		return
	}
	needless := maps.Clone(due)
	for k := range needless { // blocks that cannot be read may hold it
		if m.vault.awayError(k.account) != nil {
			delete(needless, k)
		}
	}
	for _, b := range m.state.catalog.acquire(everyBlock) {
		if held := holding(b, due); len(held) > 0 && !m.rewrite(b) {
			for _, k := range held {
				delete(needless, k)
			}
		}
		b.Release()
	}
	oldest := m.log.files.OldestKept()
	maps.DeleteFunc(needless, func(_ key, v tombstone) bool { return v.file >= oldest })
	if len(m.state.catalog.numbers.waiting()) == 0 { // else a file with a deleted trace may still be there
		m.state.catalog.tombstones.forget(needless)
	}
	if err := m.inventory.saveTombstones(); err != nil {
		m.Logger.Warn("the list of deletions was not written", "error", err)
	}
}

// purgeLimit returns the time up to which deletions are due to leave the disk.
func (m *merger) purgeLimit() trace.Time {
	return max(trace.TimeOf(m.Now().Add(-m.PurgeAfter)), trace.Time(m.asked.Load()))
}

// holding returns the deleted traces that a block has.
func holding(b *sealed, due map[key]tombstone) (keys []key) {
	for i := range b.Len() {
		p := place{b, i}
		if k := p.key(); p.lsn() < due[k].lsn {
			keys = append(keys, k)
		}
	}
	return keys
}

// rewrite writes a block anew without its dead entries. Damaged blocks stay.
func (m *merger) rewrite(b *sealed) bool {
	if b.damaged.Load() {
		return false
	}
	if err := m.merge([]*sealed{b}); err != nil {
		m.Logger.Warn("a block with deleted traces was not rewritten", "file", b.File(), "error", err)
		return false
	}
	return true
}
