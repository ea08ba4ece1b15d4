package local

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// log makes changes durable and then applies them to the state. One goroutine, the
// committer, writes the files: batches are applied in the order in which the log has
// them, so that a restart gives the same order.
type log struct {
	*base
	state *state
	files *wal.Log // only the committer appends
	queue queue

	mu       sync.Mutex
	readOnly string // why nothing can be written, or ""
}

// openLog replays the log files into the state. Entries that the log appends get next
// or a greater LSN.
func openLog(b *base, s *state, next uint64) (*log, error) {
	l := &log{base: b, state: s}
	l.queue.init()
	var found wal.Found
	var err error
	l.files, found, err = wal.Open(wal.Options{
		FS: b.FS, Dir: b.dir.sub(logDir), FileBytes: b.LogFileBytes, NextLSN: next, Known: b.dir.manifest.mark(),
		Find: b.vault.find,
		Warn: func(err error) { b.Logger.Warn("a problem with a log file, which loses nothing", "error", err) },
	}, l.replay)
	for _, d := range found.Damage {
		b.damage.lose(d.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	s.dropBelow(trace.Time(s.catalog.floor.Load()))
	if found.Torn > 0 {
		b.Logger.Info("dropped the end of the log: it was not acknowledged", "bytes", found.Torn)
	}
	if err := l.files.Rotate(); err != nil {
		l.fail(err)
	}
	s.rotated(l.files.File())
	return l, nil
}

// replay takes back one entry of the log, without what blocks have already. An entry whose
// key is away stays in its file.
func (l *log) replay(e wal.Entry) error {
	if e.Locked != nil {
		if destroyed(e.Locked.Err) {
			l.vault.drop(dataKey{trace.Account(e.Locked.Account), e.Locked.Key})
			return nil
		}
		account := trace.Account(e.Locked.Account)
		l.leave(account, &vfs.KeyError{File: wal.Name(e.File), Account: e.Locked.Account, Key: e.Locked.Key, Err: e.Locked.Err})
		l.state.hold(e.File, account)
		return nil
	}
	if account, d, ok := decodeDeletion(e.Data); ok {
		l.state.apply([]*change{{account: account, deletion: d}}, e.LSN, e.File)
		return nil
	}
	damaged := func(format string, args ...any) {
		l.damage.note(vfs.Corrupt(filepath.Join(l.dir.sub(logDir), wal.Name(e.File)), e.At, format, args...))
	}
	if account, at, records, ok := decodeReplacement(e.Data); ok {
		if err := l.replayReplacement(account, at, records, e.LSN, e.File); err != nil {
			damaged("entry %d: %w", e.LSN, err)
		}
		return nil
	}
	account, records, err := decodeBatch(e.Data)
	if err != nil {
		damaged("entry %d: %w", e.LSN, err)
		return nil
	}
	var batch []*trace.Segment
	for i := range records {
		r := &records[i]
		if l.state.covered(key{account, r.TraceID}, e.LSN) {
			continue
		}
		seg, err := l.Rules.Restore(r)
		if err != nil {
			damaged("entry %d, trace %s: %w", e.LSN, r.TraceID, err)
			continue
		}
		batch = append(batch, seg)
	}
	if len(batch) > 0 {
		c := &change{account: account}
		c.bring(batch)
		l.state.room.take(c.bytes)
		l.state.apply([]*change{c}, e.LSN, e.File)
	}
	return nil
}

// commit is a change on its way through the log.
type commit struct {
	change
	payload []byte     // the entry of the log
	asOf    uint64     // of a replacement: the LSN that the trace must have; else 0
	key     *seal.Key  // seals it; nil: it is not sealed
	done    chan error // nil if nobody waits
	// probe changes nothing: it only finds out whether the log can be written. rotate
	// asks for a new log file; it is a probe, too.
	probe, rotate bool
}

// append stores a batch.
func (l *log) append(ctx context.Context, account trace.Account, batch []*trace.Segment) (done store.Appended, err error) {
	if reason := l.unwritable(); reason != "" {
		return done, unavailable(reason)
	}
	key, err := l.vault.key(ctx, account)
	if err != nil {
		return done, err
	}
	c := &commit{change: change{account: account, asked: true}, key: key}
	c.bring(batch)
	if err := l.state.room.reserve(ctx, l.closing.Done(), c.bytes); err != nil {
		return done, err
	}
	encoder := encoders.Get().(*block.Encoder)
	c.payload = encodeBatch(encoder, account, batch)
	c.done = make(chan error, 1)
	if !l.queue.push(c) {
		l.state.room.give(c.bytes)
		return done, errClosed()
	}
	select {
	case err := <-c.done:
		encoders.Put(encoder)
		if err != nil {
			return done, err
		}
		return store.Appended{Seq: store.Seq(c.lsn), Repeated: repeatedOf(&c.change)}, nil
	case <-ctx.Done():
		return done, ctx.Err() // the batch may be kept: it was not acknowledged
	}
}

// deletionStep is how many traces one entry deletes, so that readers and writers never
// wait long for it.
const deletionStep = 4096

// bury deletes traces, some thousand with each entry of the log, and returns how many
// existed.
func (l *log) bury(ctx context.Context, account trace.Account, stones []store.Tombstone, horizon trace.Time) (buried int, err error) {
	for len(stones) > 0 {
		// An entry is conditional or it is not.
		conditional := stones[0].UpTo > 0
		d := deletion{horizon: horizon}
		for len(stones) > 0 && len(d.ids) < deletionStep && stones[0].UpTo > 0 == conditional {
			d.ids = append(d.ids, stones[0].ID)
			if conditional {
				d.upTo = append(d.upTo, uint64(stones[0].UpTo))
			}
			stones = stones[1:]
		}
		n, err := l.delete(ctx, account, d)
		if buried += n; err != nil {
			return buried, err
		}
	}
	return buried, nil
}

// delete deletes traces with one entry of the log.
func (l *log) delete(ctx context.Context, account trace.Account, d deletion) (int, error) {
	if reason := l.unwritable(); reason != "" {
		return 0, trace.Errorf(trace.KindUnavailable, "traces cannot be deleted now: %s", reason)
	}
	key, err := l.vault.key(ctx, account)
	if err != nil {
		return 0, err
	}
	d.at = trace.TimeOf(l.Now())
	c := &commit{change: change{account: account, deletion: &d}, key: key, payload: encodeDeletion(account, &d), done: make(chan error, 1)}
	if !l.queue.push(c) {
		return 0, errClosed()
	}
	select {
	case err := <-c.done:
		if err != nil {
			return 0, err
		}
		return d.found, nil
	case <-ctx.Done():
		return 0, ctx.Err() // it may happen: it was not acknowledged
	}
}

// newFile begins a new log file behind everything that waits to be written, and
// returns its number.
func (l *log) newFile(ctx context.Context) (uint64, error) {
	if err := l.pass(ctx, &commit{probe: true, rotate: true, done: make(chan error, 1)}); err != nil {
		return 0, err
	}
	return l.files.File(), nil
}

// barrier returns when everything that waited to be written is applied or refused.
func (l *log) barrier(ctx context.Context) error {
	return l.pass(ctx, &commit{probe: true, done: make(chan error, 1)})
}

// pass waits until a probe went through the queue.
func (l *log) pass(ctx context.Context, c *commit) error {
	if !l.queue.push(c) {
		return errClosed()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// probe finds out, later, whether the log can be written again; with rotate it begins
// a new file.
func (l *log) probe(rotate bool) { l.queue.push(&commit{probe: true, rotate: rotate}) }

// run is the committer. It ends when the queue is closed and empty.
func (l *log) run() {
	for group := l.queue.take(); group != nil; group = l.queue.take() {
		group = l.refuseAway(group)
		if l.unwritable() != "" {
			probed := slices.ContainsFunc(group, func(c *commit) bool { return c.probe })
			if !probed || !l.repair() {
				l.refuse(group)
				continue
			}
		}
		if group = l.withoutChanged(group); len(group) == 0 {
			continue
		}
		if err := l.write(group); err != nil {
			l.fail(err)
			l.refuse(group)
			continue
		}
		var err error
		if slices.ContainsFunc(group, func(c *commit) bool { return c.rotate }) {
			err = l.rotate()
		}
		for _, c := range group {
			if c.probe && c.done != nil {
				c.done <- err
			}
		}
	}
}

// write makes a group durable, applies it, then acknowledges it.
func (l *log) write(group []*commit) error {
	var payloads [][]byte
	var changes []*change
	sealed := false
	for _, c := range group {
		if !c.probe {
			payloads, changes = append(payloads, c.payload), append(changes, &c.change)
			sealed = sealed || c.key != nil
		}
	}
	if len(payloads) == 0 {
		return nil
	}
	var lsn, file uint64
	var err error
	if sealed {
		lsn, file, err = l.files.AppendSealed(sealedPayloads(group))
	} else {
		lsn, file, err = l.files.Append(payloads)
	}
	if err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	l.state.apply(changes, lsn, file)
	for _, c := range group {
		if !c.probe {
			c.done <- nil
		}
	}
	return nil
}

// refuseAway refuses commits of accounts whose key went away while they waited: nothing
// of such an account is applied any more. It returns the others.
func (l *log) refuseAway(group []*commit) []*commit {
	if !l.vault.on {
		return group
	}
	return slices.DeleteFunc(group, func(c *commit) bool {
		if c.probe {
			return false
		}
		err := l.vault.awayError(c.account)
		if err != nil {
			l.state.room.give(c.bytes)
			c.done <- awayError(c.account, err)
		}
		return err != nil
	})
}

func sealedPayloads(group []*commit) (list []wal.Payload) {
	for _, c := range group {
		if c.probe {
			continue
		}
		p := wal.Payload{Data: c.payload, Account: string(c.account)}
		if c.key != nil {
			p.Key = c.key
		}
		list = append(list, p)
	}
	return list
}

// rotate begins a new log file, so that those before it can be deleted.
func (l *log) rotate() error {
	if err := l.files.Rotate(); err != nil {
		l.fail(err)
		return unavailable(err.Error())
	}
	l.state.rotated(l.files.File())
	return nil
}

// repair begins a new log file; a file that failed is never trusted again.
func (l *log) repair() bool {
	if err := l.files.Rotate(); err != nil {
		l.fail(err)
		return false
	}
	l.mu.Lock()
	l.readOnly = ""
	l.mu.Unlock()
	l.Logger.Info("segments can be stored again")
	return true
}

// fail makes the log read-only.
func (l *log) fail(err error) {
	l.mu.Lock()
	was := l.readOnly
	l.readOnly = err.Error()
	l.mu.Unlock()
	if was == "" {
		l.Logger.Error("segments cannot be stored; reads go on", "error", err)
	}
}

// unwritable returns why nothing can be written, or "".
func (l *log) unwritable() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readOnly
}

func (l *log) refuse(group []*commit) {
	reason := l.unwritable()
	for _, c := range group {
		l.state.room.give(c.bytes)
		if c.done != nil {
			c.done <- unavailable(reason)
		}
	}
}

// changing tells that the log has entries as the server does not write them any more: in
// the clear although it encrypts, or sealed although it does not.
func (l *log) changing() bool {
	if !l.vault.on {
		return false
	}
	clear, sealed := l.files.Clear()
	key, err := l.vault.systemKey()
	return err == nil && (key != nil && clear > 0 || key == nil && sealed > 0)
}

// report adds the log to a status.
func (l *log) report(st *store.Status) {
	st.ReadOnly = l.unwritable()
	st.Gauges = append(st.Gauges, store.Gauge{Name: GaugeLogBytes, Help: "Bytes of the write-ahead log on disk.", Value: l.files.Size()})
}

// queue holds the commits that wait for the committer.
type queue struct {
	mu      sync.Mutex
	filled  *sync.Cond
	waiting []*commit
	closed  bool
}

func (q *queue) init() { q.filled = sync.NewCond(&q.mu) }

// push adds a commit, unless the queue is closed.
func (q *queue) push(c *commit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, c)
	q.filled.Signal()
	return true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Signal()
}

// groupBytes bounds what commits together, so that one sync never waits for a very
// long write.
const groupBytes = 8 << 20

// take waits for commits and takes those that fit one group; nil at the end.
func (q *queue) take() []*commit {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil
		}
		q.filled.Wait()
	}
	// On a busy machine others are about to push: they go first, so that one sync
	// is for all of them, and nobody waits for several.
	q.mu.Unlock()
	runtime.Gosched()
	q.mu.Lock()
	n, bytes := 0, 0
	for n < len(q.waiting) && (n == 0 || bytes < groupBytes) {
		bytes += len(q.waiting[n].payload)
		n++
	}
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group
}
