package block

import (
	"iter"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// stripe is how many entries share the bounds of their receipts. Entries are in the order
// of start, and most receipts are near the start.
const stripe = 1024

// receipts bounds the receipts of the entries of one stripe.
type receipts struct{ first, updated trace.Time }

func stripesOf(entries []Entry) []receipts {
	list := make([]receipts, (len(entries)+stripe-1)/stripe)
	for i := range entries {
		e, r := &entries[i], &list[i/stripe]
		if i%stripe == 0 {
			*r = receipts{e.First, e.Updated}
		}
		r.first, r.updated = min(r.first, e.First), max(r.updated, e.Updated)
	}
	return list
}

// Received yields the entries whose first receipt is before the end of a window and whose
// last one is not before its start.
func (b *Block) Received(w trace.Window) iter.Seq2[int, *Entry] {
	return func(yield func(int, *Entry) bool) {
		for n, r := range b.stripes {
			if r.updated < w.Start || r.first >= w.End {
				continue
			}
			for i := n * stripe; i < min(len(b.index.entries), (n+1)*stripe); i++ {
				e := &b.index.entries[i]
				if e.Updated >= w.Start && e.First < w.End && !yield(i, e) {
					return
				}
			}
		}
	}
}
