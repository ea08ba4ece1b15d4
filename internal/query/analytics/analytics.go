// Package analytics answers queries over many traces for which the X-Ray API has no
// operation: series and histograms by any attribute, and the values of attributes.
// It reads through the store's contract, in one pass, with bounded memory, until a
// deadline: after it, the answer covers the newest traces and is marked as
// incomplete.
package analytics

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// deadline is the maximum time for an answer.
const deadline = 10 * time.Second

// Source is the part of a store that analytics use.
type Source interface {
	Summaries(ctx context.Context, account trace.Account, q *answer.SummaryQuery) iter.Seq2[*trace.Summary, error]
	Traces(ctx context.Context, account trace.Account, ids []trace.ID, reach answer.Reach) iter.Seq2[*trace.Trace, error]
}

// Analytics answers queries over the traces of an owner. It is safe for concurrent use.
type Analytics struct {
	source Source
	filter func(owner trace.Owner, text string) (*filter.Expr, error)
	limit  time.Duration
}

// New makes an Analytics. parse parses filter expressions and resolves groups.
func New(source Source, parse func(trace.Owner, string) (*filter.Expr, error)) *Analytics {
	return &Analytics{source: source, filter: parse, limit: deadline}
}

// Selection selects the traces of a query: those that start in the window and match
// the filter; "" matches all.
type Selection struct {
	Window trace.Window
	Filter string
}

// Counted tells from which traces an answer was made.
type Counted struct {
	Examined int64 `json:"examined"` // traces examined, or skipped by an index
	Matched  int64 `json:"matched"`  // traces that the filter selected
	Complete bool  `json:"complete"` // false: time ran out; the newest are counted
}

func invalid(format string, args ...any) error {
	return trace.Errorf(trace.KindInvalid, format, args...)
}

// scan passes every selected trace to visit, newest first, until the time is over.
func (a *Analytics) scan(ctx context.Context, who answer.Reader, s Selection, visit func(s *trace.Summary, t *trace.Trace)) (c Counted, err error) {
	if s.Window.End < s.Window.Start {
		return c, invalid("end: cannot be earlier than start")
	}
	expr, err := a.filter(who.Owner, s.Filter)
	if err != nil {
		return c, err
	}
	limited, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	partial := func(err error) (Counted, error) {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return c, nil
		}
		return c, err
	}
	var seen *trace.Trace
	q := &answer.SummaryQuery{Window: s.Window, Filter: expr, Examined: &c.Examined, Seen: func(t *trace.Trace) { seen = t }, Reach: who.Reach}
	for sum, err := range a.source.Summaries(limited, who.Account, q) {
		if err != nil {
			return partial(err)
		}
		c.Matched++
		visit(sum, seen)
	}
	c.Complete = true
	return c, nil
}
