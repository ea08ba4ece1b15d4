package answer_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// locked is a shelf that cannot read one account: its key is disabled.
type locked struct {
	store.Shelf
	account trace.Account
}

func (l *locked) err(account trace.Account) error {
	if account == l.account {
		return trace.Errorf(trace.KindUnavailable, "the key of account %s is disabled", account)
	}
	return nil
}

func (l *locked) Find(ctx context.Context, account trace.Account, ids []trace.ID) ([]store.Source, func(), error) {
	if err := l.err(account); err != nil {
		return nil, nil, err
	}
	return l.Shelf.Find(ctx, account, ids)
}

func (l *locked) Candidates(ctx context.Context, account trace.Account, q *store.Scan) iter.Seq2[*store.Candidate, error] {
	if err := l.err(account); err != nil {
		return func(yield func(*store.Candidate, error) bool) { yield(nil, err) }
	}
	return l.Shelf.Candidates(ctx, account, q)
}

func (l *locked) Sum(ctx context.Context, account trace.Account, q *store.SumQuery, begin func() store.Sums) error {
	if err := l.err(account); err != nil {
		return err
	}
	return l.Shelf.Sum(ctx, account, q, begin)
}

// A linked account whose data cannot be read harms no other: it is missing in the answers
// until it can be read again.
func TestLinked_accountThatCannotBeRead(t *testing.T) {
	shelf := &locked{}
	s, err := answer.Open(t.Context(), answer.Options{Retention: -1}, func(store.Rules) (store.Shelf, error) {
		shelf.Shelf = memory.Open(memory.NewData())
		return shelf, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const own, other, third trace.Account = "1", "2", "3"
	var ids []trace.ID
	for i, account := range []trace.Account{own, other, third} {
		list, refusal := decode.Document(fmt.Appendf(nil, `{"trace_id":"1-00000001-00000000000000000000000%d","id":"000000000000000%d","name":"s%s","start_time":%d,"end_time":9}`, i, i+1, account, i+1), 5)
		if refusal != nil {
			t.Fatal(refusal)
		}
		shared := *list[0]
		shared.TraceID = trace.ID{15: 9}
		ids = append(ids, list[0].TraceID)
		if _, err := s.Append(t.Context(), account, []*trace.Segment{list[0], &shared}); err != nil {
			t.Fatal(err)
		}
	}
	ids = append(ids, trace.ID{15: 9})
	window := trace.Window{Start: 0, End: trace.MaxTime}
	reach := answer.Reach{Linked: []trace.Linked{{Account: other}, {Account: third}}}
	for _, c := range []struct {
		locked trace.Account
		traces int
		joint  int // segments of the trace that all accounts have
		err    bool
	}{{"", 4, 3, false}, {other, 3, 2, false}, {"", 4, 3, false}, {own, 0, 0, true}} {
		shelf.account = c.locked
		traces, joint := 0, 0
		for tr, err := range s.Traces(t.Context(), own, ids, reach) {
			if (err != nil) != c.err {
				t.Fatalf("%q is locked: %v", c.locked, err)
			}
			if err == nil {
				traces, joint = traces+1, len(tr.Segments)
			}
		}
		summaries := 0
		for _, err := range s.Summaries(t.Context(), own, &answer.SummaryQuery{Window: window, Reach: reach}) {
			if (err != nil) != c.err {
				t.Fatalf("%q is locked: %v", c.locked, err)
			}
			if err == nil {
				summaries++
			}
		}
		g, err := s.Graph(t.Context(), own, answer.GraphQuery{Window: window, Reach: reach})
		if (err != nil) != c.err {
			t.Fatalf("%q is locked: %v", c.locked, err)
		}
		_, err = s.Series(t.Context(), own, answer.SeriesQuery{Window: window, Period: time.Minute, Reach: reach})
		if (err != nil) != c.err {
			t.Fatalf("%q is locked: %v", c.locked, err)
		}
		if c.err {
			continue
		}
		if nodes := len(g.Services) / 2; traces != c.traces || summaries != c.traces || joint != c.joint || nodes != c.joint {
			t.Errorf("%q is locked: %d traces, %d summaries, %d segments, %d nodes; want %+v", c.locked, traces, summaries, joint, nodes, c)
		}
	}
}
