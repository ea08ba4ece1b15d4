package local

import (
	"errors"
	"sync"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A batch is an entry of the log that block.Encoder writes: account (uvarint length and
// bytes), uvarint number of records, and for each the trace id and the record.

func encodeBatch(e *block.Encoder, account trace.Account, batch []*trace.Segment) []byte {
	size := 64
	for _, s := range batch {
		size += len(s.Raw) + 32
	}
	e.Reset(size)
	e.Text(string(account))
	e.Uvarint(uint64(len(batch)))
	for _, s := range batch {
		r := trace.RecordOf(s)
		e.Bytes(r.TraceID[:])
		e.Record(&r)
	}
	return e.Finish()
}

// encoders pools encoders: an encoded batch is as large as its request, and needed only
// until it is written.
var encoders = sync.Pool{New: func() any { return new(block.Encoder) }}

func decodeBatch(b []byte) (trace.Account, []block.Record, error) {
	d, err := block.NewDecoder(b)
	if err != nil {
		return "", nil, err
	}
	account := trace.Account(d.Blob())
	n := d.Uvarint()
	var records []block.Record
	for range n {
		id := d.ID()
		r := d.Record(id)
		if d.Err() != nil {
			return "", nil, d.Err()
		}
		records = append(records, r)
	}
	if !d.Done() {
		return "", nil, errors.New("more than the announced records")
	}
	return account, records, d.Err()
}

// ownerOf returns the account of an entry of the log, "" if it cannot be decoded.
func ownerOf(b []byte) trace.Account {
	d, err := block.NewDecoder(b)
	if err != nil {
		return ""
	}
	return trace.Account(d.Blob())
}

// A deletion is an entry of the log, too: account, 0 where a batch has its number of
// records, uvarint time in nanoseconds, uvarint number of ids, ids. It deletes everything
// that these traces have with an LSN lower than its own. With 0 for the time it is
// conditional: the time follows, and each id is followed by a uvarint LSN. A trace that
// has a batch with a higher LSN than that stays.

// deletion deletes traces of an account.
type deletion struct {
	ids  []trace.ID
	upTo []uint64 // for each id the LSN that its last batch may have; nil: delete in any case
	at   trace.Time
	// found becomes how many of them existed and were last received since the horizon.
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

// decodeDeletion decodes an entry of the log; ok is false if it is no deletion.
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
		if del.at = trace.Time(d.Uvarint()); del.at == 0 {
			return "", nil, false // a replacement
		}
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
