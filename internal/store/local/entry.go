package local

import (
	"errors"
	"sync"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A batch in the log is what block.Encoder writes: account (uvarint length and
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

// encoders are used again: a batch is encoded for as long as it takes to be
// written, and is as large as its request.
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

// A deletion is an entry of the log like a batch: account, 0 where a batch has
// its number of records, uvarint time in nanoseconds,
// uvarint number of ids, ids. Its LSN says what it
// deletes: whatever these traces have with a lower one. With 0 for the time it is
// conditional: the time follows, and behind each id is a uvarint LSN. A trace
// that has something with a higher one before the deletion stays.

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
