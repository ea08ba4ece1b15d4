package local

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A deletion is an entry of the log like a batch: account, 0 where a batch has
// its number of records, uvarint time in nanoseconds,
// uvarint number of ids, ids. Its LSN says what it
// deletes: whatever these traces have with a lower one. With 0 for the time it is
// conditional: the time follows, and behind each id is a uvarint LSN. A trace
// that has something with a higher one before the deletion stays.

// deletionStep is how many traces one entry deletes, so that readers and
// writers never wait long for it.
const deletionStep = 4096

// deletion is a deletion on its way.
type deletion struct {
	ids  []trace.ID
	upTo []uint64 // of each id the LSN that it must not have passed; nil: delete in any case
	at   trace.Time
	// found is how many of them existed and were last received since the horizon.
	horizon trace.Time
	found   int
}

func encodeDeletion(account trace.Account, del *deletion) []byte {
	var e block.Encoder
	e.Reset(0)
	e.Text(string(account))
	e.Uvarint(0)
	if del.upTo != nil {
		e.Uvarint(0)
	}
	e.Uvarint(uint64(del.at))
	e.Uvarint(uint64(len(del.ids)))
	for i := range del.ids {
		e.Bytes(del.ids[i][:])
		if del.upTo != nil {
			e.Uvarint(del.upTo[i])
		}
	}
	return e.Finish()
}

// decodeDeletion says whether an entry of the log is a deletion, and of what.
func decodeDeletion(b []byte) (account trace.Account, del *deletion, ok bool) {
	d, err := block.NewDecoder(b)
	if err != nil {
		return "", nil, false
	}
	account = trace.Account(d.Blob())
	if d.Uvarint() != 0 {
		return "", nil, false
	}
	del = &deletion{at: trace.Time(d.Uvarint())}
	conditional := del.at == 0
	if conditional {
		del.at = trace.Time(d.Uvarint())
	}
	for range d.Uvarint() {
		id := d.ID()
		if conditional {
			del.upTo = append(del.upTo, d.Uvarint())
		}
		if d.Err() != nil {
			return "", nil, false
		}
		del.ids = append(del.ids, id)
	}
	return account, del, d.Err() == nil && d.Done() && len(del.ids) > 0
}

// Bury deletes traces, some thousand with each entry of the log.
func (s *Shelf) Bury(ctx context.Context, account trace.Account, stones []store.Tombstone, horizon trace.Time) (int, error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return 0, err
	}
	buried := 0
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
		n, err := s.deleteSome(ctx, account, d)
		if buried += n; err != nil {
			return buried, err
		}
	}
	return buried, nil
}

func (s *Shelf) deleteSome(ctx context.Context, account trace.Account, d deletion) (int, error) {
	if reason := s.unwritable(); reason != "" {
		return 0, undeletable(reason)
	}
	d.at = trace.TimeOf(s.o.Now())
	c := &commit{account: account, payload: encodeDeletion(account, &d), deletion: &d, done: make(chan error, 1)}
	if !s.queue.push(c) {
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

func undeletable(reason string) error {
	return trace.Errorf(trace.KindUnavailable, "traces cannot be deleted now: %s", reason)
}

// applyDeletion takes traces out of every answer. The mutex is held, or nobody
// else knows the store.
func (s *Shelf) applyDeletion(account trace.Account, d *deletion, lsn, file uint64) {
	s.epoch++
	var freed int64
	for i, id := range d.ids {
		k := key{account, id}
		if d.upTo != nil && s.newestLSN(k) > d.upTo[i] {
			continue
		}
		bytes, found, visible := s.erase(k, lsn, d.horizon)
		freed += bytes
		if visible {
			d.found++
		}
		if found {
			s.tombstones.add(k, tombstone{lsn: lsn, file: file, at: d.at})
		}
	}
	s.appliedFile = max(s.appliedFile, file)
	s.room.give(freed)
}

// newestLSN is that of the last batch that brought something for a trace.
func (s *Shelf) newestLSN(k key) (lsn uint64) {
	if p, ok := s.table.get(k); ok {
		lsn = p.block.Entry(p.entry).LSN
	}
	if o := s.head.get(k); o != nil {
		lsn = max(lsn, o.parts[len(o.parts)-1].lsn)
	}
	return lsn
}

// erase takes one trace out of the head and its settled copy out of the table.
func (s *Shelf) erase(k key, lsn uint64, horizon trace.Time) (freed int64, found, visible bool) {
	if o := s.head.get(k); o != nil {
		found, visible = true, true
		freed = s.head.settle(o, len(o.parts))
	}
	if p, ok := s.table.get(k); ok && p.block.Entry(p.entry).LSN < lsn {
		found = true
		visible = visible || p.block.Entry(p.entry).Updated >= horizon
		s.table.remove(k, p)
		p.block.kill(p.entry, s.epoch)
	}
	return freed, found, visible
}

// rotate begins a new log file, so that the ones before can go.
func (s *Shelf) rotate() error {
	if err := s.log.Rotate(); err != nil {
		s.setReadOnly(err)
		return unavailable(err.Error())
	}
	s.mu.Lock()
	s.appliedFile = s.log.File()
	s.mu.Unlock()
	return nil
}
