package query_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// shelf is a store of traces by id. If held is not nil, reads wait until it is
// closed.
type shelf struct {
	query.Answers
	traces map[trace.ID]*trace.Trace
	held   chan struct{}
	failed error
}

// reader returns a reader of an account who sees everything.
func reader(account trace.Account) query.Reader {
	return query.Reader{Owner: trace.Owner{Account: account}}
}

func (s *shelf) Traces(ctx context.Context, account trace.Account, ids []trace.ID, _ answer.Reach) iter.Seq2[*trace.Trace, error] {
	return func(yield func(*trace.Trace, error) bool) {
		if s.held != nil {
			select {
			case <-s.held:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
		if s.failed != nil {
			yield(nil, s.failed)
			return
		}
		for _, id := range ids {
			if t := s.traces[id]; t != nil && account == "1" && !yield(t, nil) {
				return
			}
		}
	}
}

func idOf(n int) string { return fmt.Sprintf("1-66669980-%024x", n) }

// fill returns a shelf with traces 0 to n-1: trace i lasts from second 10i to 10i+5.
func fill(t *testing.T, n int) *shelf {
	s := &shelf{traces: map[trace.ID]*trace.Trace{}}
	for i := range n {
		id, err := trace.ParseID(idOf(i))
		if err != nil {
			t.Fatal(err)
		}
		s.traces[id] = &trace.Trace{ID: id, Start: trace.Time(i * 10e9), End: trace.Time(i*10e9 + 5e9)}
	}
	return s
}

func window(from, to float64) trace.Window {
	return trace.Window{Start: trace.FromSeconds(from), End: trace.FromSeconds(to)}
}

// numbered makes a format whose traces have n spans of the given size.
func numbered(n, size int) query.Format {
	return query.Format{Name: "TEST", Spans: func(*trace.Trace) ([]assemble.Document, error) {
		var docs []assemble.Document
		for i := range n {
			docs = append(docs, assemble.Document{ID: fmt.Sprintf("%016x", i+1), JSON: make([]byte, size)})
		}
		return docs, nil
	}}
}

func state(t *testing.T, r *query.Retrievals, token string) string {
	t.Helper()
	page, err := r.Traces(t.Context(), reader("1"), token, "", numbered(1, 1))
	if err != nil {
		if trace.KindOf(err) != trace.KindNotFound {
			t.Fatal(err)
		}
		return "not found"
	}
	if page.State != query.RetrievalComplete && len(page.Traces) > 0 {
		t.Errorf("traces while %s", page.State)
	}
	return string(page.State)
}

func TestRetrievals_states(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fill(t, 1)
		s.held = make(chan struct{})
		r := query.NewRetrievals(query.New(s), time.Now)
		defer r.Close()
		begin := func() string {
			token, err := r.Start(reader("1"), []string{idOf(0)}, window(0, 1))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return token
		}
		running, alsoRunning, waiting, cancelled := begin(), begin(), begin(), begin()
		if err := r.Cancel("1", cancelled); err != nil {
			t.Error(err)
		}
		got := func() []string {
			synctest.Wait()
			return []string{state(t, r, running), state(t, r, alsoRunning), state(t, r, waiting), state(t, r, cancelled)}
		}
		// state reads only from complete jobs, so nothing waits here.
		if g := got(); !slices.Equal(g, []string{"RUNNING", "RUNNING", "SCHEDULED", "CANCELLED"}) {
			t.Errorf("begun: %v", g)
		}
		time.Sleep(time.Hour - time.Second)
		if g := got(); !slices.Equal(g, []string{"RUNNING", "RUNNING", "SCHEDULED", "CANCELLED"}) {
			t.Errorf("before an hour: %v", g)
		}
		time.Sleep(time.Second)
		if g := got(); !slices.Equal(g, []string{"TIMEOUT", "TIMEOUT", "TIMEOUT", "not found"}) {
			t.Errorf("after an hour: %v", g)
		}
		close(s.held)
		running = begin()
		if g := state(t, r, running); g != "COMPLETE" {
			t.Error(g)
		}
		if err := r.Cancel("1", running); err != nil || state(t, r, running) != "COMPLETE" {
			t.Errorf("cancelled when complete: %v, %s", err, state(t, r, running))
		}
		s.failed = errors.New("disk")
		if g := state(t, r, begin()); g != "FAILED" {
			t.Error(g)
		}
		s.failed = nil
		if _, err := r.Traces(t.Context(), reader("2"), running, "", numbered(1, 1)); trace.KindOf(err) != trace.KindNotFound {
			t.Errorf("another account's token: %v", err)
		}
		if err := r.Cancel("2", running); trace.KindOf(err) != trace.KindNotFound {
			t.Errorf("another account's token: %v", err)
		}
	})
}

// A running job is never forgotten to make room; an ended one is.
func TestRetrievals_bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fill(t, 1)
		s.held = make(chan struct{})
		r := query.NewRetrievals(query.New(s), time.Now)
		defer r.Close()
		var first string
		for i := range 1000 {
			token, err := r.Start(reader("1"), []string{idOf(0)}, window(0, 1))
			if err != nil {
				t.Fatal(i, err)
			}
			if i == 0 {
				first = token
			}
		}
		if _, err := r.Start(reader("1"), nil, window(0, 1)); trace.KindOf(err) != trace.KindThrottled {
			t.Errorf("one too many: %v", err)
		}
		close(s.held)
		synctest.Wait()
		if _, err := r.Start(reader("1"), nil, window(0, 1)); err != nil {
			t.Error(err)
		}
		if g := state(t, r, first); g != "not found" {
			t.Errorf("the oldest is %s", g)
		}
	})
}

// Whoever floods keeps others neither from beginning jobs nor from their results.
func TestRetrievals_aFloodOfAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fill(t, 1)
		r := query.NewRetrievals(query.New(s), time.Now)
		defer r.Close()
		start := func(account trace.Account) (string, error) {
			return r.Start(reader(account), []string{idOf(0)}, window(0, 1))
		}
		mine, err := start("1")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 1200 {
			if _, err := start("2"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if g := state(t, r, mine); g != "COMPLETE" {
			t.Errorf("after the flood the job of the other account is %s", g)
		}
		s.held = make(chan struct{}) // now the flood's jobs stay under way
		for range 1200 {
			_, _ = start("2")
		}
		synctest.Wait()
		late, err := start("1")
		if err != nil {
			t.Fatalf("during the flood: %v", err)
		}
		s.held <- struct{}{} // one job ends, and the next turn is the other account's
		synctest.Wait()
		if g := state(t, r, late); g != "RUNNING" {
			t.Errorf("the late job is %s", g)
		}
		close(s.held)
	})
}

func complete(t *testing.T, r *query.Retrievals, w trace.Window, ids ...string) string {
	t.Helper()
	token, err := r.Start(reader("1"), ids, w)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return token
}

// sizes returns, page by page, the number of spans of each trace.
func sizes(t *testing.T, r *query.Retrievals, token string, f query.Format) (out [][]int) {
	t.Helper()
	for next := ""; ; {
		page, err := r.Traces(t.Context(), reader("1"), token, next, f)
		if err != nil {
			t.Fatal(err)
		}
		var n []int
		for _, tr := range page.Traces {
			n = append(n, len(tr.Spans))
		}
		out = append(out, n)
		if next = page.Token; next == "" {
			return out
		}
	}
}

func TestRetrievals_pages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := query.NewRetrievals(query.New(fill(t, 11)), time.Now)
		defer r.Close()
		var ids []string
		for i := range 11 {
			ids = append(ids, idOf(i))
		}
		for _, c := range []struct {
			w    trace.Window
			f    query.Format
			want string
		}{
			{window(0, 1000), numbered(1, 1), "[[1 1 1 1 1] [1 1 1 1 1] [1]]"},
			{window(5, 20), numbered(1, 1), "[[1 1 1]]"}, // both ends included
			{window(5.5, 9.5), numbered(1, 1), "[[]]"},
			{window(11, 12), numbered(100, 1), "[[100]]"},
			{window(5, 10), numbered(201, 1), "[[100] [100] [1 100] [100] [1]]"},
			{window(5, 10), numbered(3, 3<<20), "[[2] [1 1] [2]]"}, // 8 MB a page
			{window(5, 5), numbered(2, 9<<20), "[[1] [1]]"},
			{window(5, 10), numbered(0, 0), "[[0 0]]"},
		} {
			if got := fmt.Sprint(sizes(t, r, complete(t, r, c.w, ids...), c.f)); got != c.want {
				t.Errorf("%v: %s, not %s", c.w, got, c.want)
			}
		}
	})
}

// A trace that grows between pages shows each span once.
func TestRetrievals_growing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := query.NewRetrievals(query.New(fill(t, 1)), time.Now)
		defer r.Close()
		token := complete(t, r, window(0, 1), idOf(0))
		page, err := r.Traces(t.Context(), reader("1"), token, "", numbered(150, 1))
		if err != nil || page.Token == "" {
			t.Fatal(page, err)
		}
		late := query.Format{Name: "TEST", Spans: func(tr *trace.Trace) ([]assemble.Document, error) {
			docs, err := numbered(150, 1).Spans(tr)
			return append([]assemble.Document{{ID: "00000000000fffff"}}, docs...), err
		}}
		page, err = r.Traces(t.Context(), reader("1"), token, page.Token, late)
		if err != nil || len(page.Traces) != 1 || len(page.Traces[0].Spans) != 50 || page.Traces[0].Spans[0].ID != fmt.Sprintf("%016x", 101) {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

func TestRetrievals_tokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := query.NewRetrievals(query.New(fill(t, 11)), time.Now)
		defer r.Close()
		var ids []string
		for i := range 11 {
			ids = append(ids, idOf(i))
		}
		one, other := complete(t, r, window(0, 1000), ids...), complete(t, r, window(0, 1000), ids...)
		page, err := r.Traces(t.Context(), reader("1"), one, "", numbered(1, 1))
		if err != nil || page.Token == "" {
			t.Fatal(page, err)
		}
		for what, err := range map[string]error{
			"of another job": func() error {
				_, err := r.Traces(t.Context(), reader("1"), other, page.Token, numbered(1, 1))
				return err
			}(),
			"of another operation": func() error { _, err := r.Graph(t.Context(), reader("1"), one, page.Token); return err }(),
			"changed": func() error {
				_, err := r.Traces(t.Context(), reader("1"), one, "A"+page.Token[1:]+"A", numbered(1, 1))
				return err
			}(),
		} {
			if trace.KindOf(err) != trace.KindInvalid {
				t.Errorf("a token %s: %v", what, err)
			}
		}
	})
}
