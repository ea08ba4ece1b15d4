package local

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A replacement is an entry of the log: account, 0 and 0 where a conditional deletion has
// them, 0 instead of its time, uvarint time in nanoseconds, then a batch as in an entry of
// its own, without the account. It deletes everything that the traces of the batch have
// with an LSN lower than its own, and adds the batch. The log gets it only if the trace
// has not changed, so that a replay needs no condition.

func encodeReplacement(account trace.Account, at trace.Time, batch []*trace.Segment) []byte {
	var e block.Encoder
	size := 64
	for _, s := range batch {
		size += len(s.Raw) + 32
	}
	e.Reset(size)
	e.Text(string(account))
	for range 3 {
		e.Uvarint(0)
	}
	e.Uvarint(uint64(at))
	e.Uvarint(uint64(len(batch)))
	for _, s := range batch {
		r := trace.RecordOf(s)
		e.Bytes(r.TraceID[:])
		e.Record(&r)
	}
	return e.Finish()
}

// decodeReplacement decodes an entry of the log; ok is false if it is no replacement.
func decodeReplacement(b []byte) (account trace.Account, at trace.Time, records []block.Record, ok bool) {
	d, err := block.NewDecoder(b)
	if err != nil {
		return "", 0, nil, false
	}
	account = trace.Account(d.Blob())
	for range 3 {
		if d.Uvarint() != 0 {
			return "", 0, nil, false
		}
	}
	at = trace.Time(d.Uvarint())
	for range d.Uvarint() {
		r := d.Record(d.ID())
		if d.Err() != nil {
			return "", 0, nil, false
		}
		records = append(records, r)
	}
	return account, at, records, d.Err() == nil && d.Done() && len(records) > 0
}

// errChanged tells that a trace has changed, so that it was not replaced.
var errChanged = errors.New("the trace has changed")

// replace replaces a trace with one entry of the log.
func (l *log) replace(ctx context.Context, account trace.Account, r store.Replacement) error {
	if reason := l.unwritable(); reason != "" {
		return unavailable(reason)
	}
	key, err := l.vault.key(ctx, account)
	if err != nil {
		return err
	}
	at := trace.TimeOf(l.Now())
	c := &commit{change: replacementOf(account, at, r.Segments), key: key, asOf: uint64(r.Seq), done: make(chan error, 1)}
	if err := l.state.room.reserve(ctx, l.closing.Done(), c.bytes); err != nil {
		return err
	}
	c.payload = encodeReplacement(account, at, r.Segments)
	if !l.queue.push(c) {
		l.state.room.give(c.bytes)
		return errClosed()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it may happen: it was not acknowledged
	}
}

// replacementOf makes the change of a replacement.
func replacementOf(account trace.Account, at trace.Time, segments []*trace.Segment) change {
	c := change{account: account, deletion: &deletion{at: at, horizon: trace.MinTime}}
	c.bring(segments)
	for i := range c.parts {
		c.parts[i].quiet = true // senders learned of contradictions when the trace arrived
		c.deletion.ids = append(c.deletion.ids, c.parts[i].id)
	}
	return c
}

// withoutChanged refuses the replacements of traces that have changed, or will before
// their turn comes, and returns the others of a group.
func (l *log) withoutChanged(group []*commit) []*commit {
	kept := group[:0:0]
	for _, c := range group {
		if c.asOf > 0 {
			k := key{c.account, c.parts[0].id}
			changed := l.state.lsnOf(k) != c.asOf
			for _, before := range kept {
				changed = changed || before.account == k.account && before.touches(k.id)
			}
			if changed {
				l.state.room.give(c.bytes)
				c.done <- errChanged
				continue
			}
		}
		kept = append(kept, c)
	}
	return kept
}

// touches tells whether a change is about a trace.
func (c *change) touches(id trace.ID) bool {
	for i := range c.parts {
		if c.parts[i].id == id {
			return true
		}
	}
	if c.deletion != nil {
		for _, deleted := range c.deletion.ids {
			if deleted == id {
				return true
			}
		}
	}
	return false
}

// lsnOf returns the LSN of the last batch of a trace; 0 if there is no such trace.
func (s *state) lsnOf(k key) uint64 {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	return s.newestLSN(k)
}

// replayReplacement takes back a replacement, unless blocks have it or the trace was
// deleted afterwards.
func (l *log) replayReplacement(account trace.Account, at trace.Time, records []block.Record, lsn, file uint64) error {
	var batch []*trace.Segment
	for i := range records {
		if l.state.covered(key{account, records[i].TraceID}, lsn) {
			return nil
		}
		seg, err := l.Rules.Restore(&records[i])
		if err != nil {
			return err
		}
		batch = append(batch, seg)
	}
	c := replacementOf(account, at, batch)
	l.state.room.take(c.bytes)
	l.state.apply([]*change{&c}, lsn, file)
	return nil
}
