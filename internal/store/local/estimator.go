package local

import (
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// estimator tells how much memory questions take.
type estimator struct {
	state   *state
	rollups *rollups
}

// traces estimates a question that loads the traces of a window.
func (e *estimator) traces(account trace.Account, w trace.Window) store.Estimate {
	var est store.Estimate
	est.Largest, _ = e.state.heaviest(account, w)
	e.state.catalog.each(func(b *sealed) {
		r := &b.Range
		if max(r.MaxStart, r.MaxEnd, r.MaxUpdated) >= w.Start && min(r.MinStart, r.MinFirst) < w.End {
			est.Largest = max(est.Largest, b.heaviest)
		}
	})
	return est
}

// sums estimates a question that adds up the sums of a window.
func (e *estimator) sums(account trace.Account, w trace.Window) store.Estimate {
	var est store.Estimate
	est.Largest, est.Settling = e.state.heaviest(account, w)
	blocks := e.state.catalog.acquire(func(b *sealed) bool { return b.Range.MaxUpdated >= w.Start && b.Range.MinFirst < w.End })
	owner := rollup.Owner{Account: account}
	for _, b := range blocks {
		f, err := e.rollups.whole(b)
		b.Release()
		if err != nil {
			est.Largest = max(est.Largest, b.heaviest) // its traces are loaded
			continue
		}
		nodes, edges, size := f.Size(owner, rollup.Second(w.Start), rollup.Second(w.End))
		est.Nodes, est.Edges = est.Nodes+nodes, est.Edges+edges
		est.SumBytes, est.LargestSum = est.SumBytes+size, max(est.LargestSum, size)
	}
	return est
}
