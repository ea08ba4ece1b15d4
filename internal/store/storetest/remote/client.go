// Package remote simulates an engine on the other side of a network: slow, and
// deliberately flaky. It loses requests before they are executed and answers
// afterwards, and streams break in the middle. The suite in store/storetest runs over
// it, which proves that nothing above the contract assumes an engine in the same
// process.
package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Shelf is the client: it sends each request to a Server until it gets an answer. Each
// request that changes something has a key, so that the server executes it once.
type Shelf struct {
	url    string
	rules  store.Rules
	closed atomic.Bool
	keys   atomic.Int64
	name   int64 // part of the keys, so that two shelves never share one
}

var _ store.Shelf = (*Shelf)(nil)

// Open opens a shelf on a server.
func Open(s *Server, rules store.Rules) *Shelf {
	return &Shelf{url: s.http.URL, rules: rules, name: s.clients.Add(1)}
}

const (
	tries = 40
	pause = 500 * time.Microsecond
)

// failure is an error that crossed the network.
type failure struct {
	Kind    trace.Kind
	Message string
}

var errLost = errors.New("the connection was lost")

// request makes one attempt. each gets the lines of the answer.
func (s *Shelf) request(ctx context.Context, method string, body []byte, each func(line []byte) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return errors.Join(errLost, err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return errors.Join(errLost, err) // the line is incomplete
		}
		switch line[0] {
		case '.':
			return nil
		case '!':
			var f failure
			if err := json.Unmarshal(line[1:], &f); err != nil {
				return err
			}
			return trace.Errorf(f.Kind, "%s", f.Message)
		default:
			if err := each(line); err != nil {
				return err
			}
		}
	}
}

// call sends a request until there is an answer.
func (s *Shelf) call(ctx context.Context, method string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.retry(ctx, func() error {
		return s.request(ctx, method, body, func(line []byte) error { return json.Unmarshal(line, out) })
	})
}

func (s *Shelf) retry(ctx context.Context, try func() error) error {
	var err error
	for range tries {
		if s.closed.Load() {
			return trace.Errorf(trace.KindUnavailable, "the store is shut down")
		}
		if err = try(); ctx.Err() != nil {
			return ctx.Err()
		} else if !errors.Is(err, errLost) {
			return err
		}
		time.Sleep(pause)
	}
	return trace.Errorf(trace.KindUnavailable, "the remote store does not answer: %v", err)
}

func (s *Shelf) key() string { return fmt.Sprintf("%d-%d", s.name, s.keys.Add(1)) }

// The bodies of requests and answers.
type (
	appendRequest struct {
		Key     string
		Account trace.Account
		Records []trace.Record
	}
	appendAnswer struct {
		Seq      store.Seq
		Repeated []repeated
	}
	repeated struct {
		ID      trace.ID
		Records []trace.Record
		New     []bool
	}
	buryRequest struct {
		Key     string
		Account trace.Account
		Stones  []store.Tombstone
		Horizon trace.Time
	}
	replaceRequest struct {
		Key     string
		Account trace.Account
		ID      trace.ID
		Seq     store.Seq
		Records []trace.Record
	}
	findRequest struct {
		Account trace.Account
		IDs     []trace.ID
	}
	scanRequest struct {
		Account trace.Account
		Scan    store.Scan
	}
	sumRequest struct {
		Account trace.Account
		Query   store.SumQuery
	}
	estimateRequest struct {
		Account trace.Account
		Query   store.EstimateQuery
	}
	source struct {
		ID      trace.ID
		Seq     store.Seq
		Updated trace.Time
		Weight  int64
		Handle  int64
	}
	candidate struct {
		Source   source
		At       store.Position
		Settling bool
		Passed   int64 // since the previous candidate
		End      bool
	}
)

// Append stores a batch on the server.
func (s *Shelf) Append(ctx context.Context, account trace.Account, batch store.Batch) (done store.Appended, err error) {
	in := appendRequest{Key: s.key(), Account: account}
	for _, seg := range batch.Segments {
		in.Records = append(in.Records, trace.RecordOf(seg))
	}
	var out appendAnswer
	if err := s.call(ctx, "append", in, &out); err != nil {
		return done, err
	}
	done.Seq = out.Seq
	for _, r := range out.Repeated {
		segments, err := s.restore(r.Records)
		if err != nil {
			return done, err
		}
		isNew := map[*trace.Segment]bool{}
		for i, seg := range segments {
			isNew[seg] = r.New[i]
		}
		done.Repeated = append(done.Repeated, store.Repeated{ID: r.ID, Segments: segments, New: func(seg *trace.Segment) bool { return isNew[seg] }})
	}
	return done, nil
}

func (s *Shelf) restore(records []trace.Record) ([]*trace.Segment, error) {
	segments := make([]*trace.Segment, 0, len(records))
	for i := range records {
		seg, err := s.rules.Restore(&records[i])
		if err != nil {
			return nil, err
		}
		segments = append(segments, seg)
	}
	return segments, nil
}

// Bury deletes traces on the server.
func (s *Shelf) Bury(ctx context.Context, account trace.Account, stones []store.Tombstone, horizon trace.Time) (n int, err error) {
	err = s.call(ctx, "bury", buryRequest{s.key(), account, stones, horizon}, &n)
	return n, err
}

// Replace replaces a trace on the server.
func (s *Shelf) Replace(ctx context.Context, account trace.Account, r store.Replacement) (done bool, err error) {
	in := replaceRequest{s.key(), account, r.ID, r.Seq, nil}
	for _, seg := range r.Segments {
		in.Records = append(in.Records, trace.RecordOf(seg))
	}
	err = s.call(ctx, "replace", in, &done)
	return done, err
}

// content loads a trace from the server.
type content struct {
	shelf  *Shelf
	handle int64
}

// Segments loads the segments.
func (c content) Segments(ctx context.Context) ([]*trace.Segment, error) {
	var records []trace.Record
	if err := c.shelf.call(ctx, "load", c.handle, &records); err != nil {
		return nil, err
	}
	return c.shelf.restore(records)
}

// Assembled returns nil: the client caches nothing.
func (c content) Assembled() *trace.Trace { return nil }

// Keep does nothing: the client caches nothing.
func (c content) Keep(*trace.Trace) {}

func (s *Shelf) source(from source) store.Source {
	return store.Source{ID: from.ID, Seq: from.Seq, Updated: from.Updated, Weight: from.Weight, Content: content{s, from.Handle}}
}

// Find finds traces.
func (s *Shelf) Find(ctx context.Context, account trace.Account, ids []trace.ID) (found []store.Source, release func(), err error) {
	var list []source
	if err := s.call(ctx, "find", findRequest{account, ids}, &list); err != nil {
		return nil, nil, err
	}
	for _, one := range list {
		found = append(found, s.source(one))
	}
	return found, func() {}, nil
}

var errStopped = errors.New("the caller has enough")

// Candidates yields candidates. When the stream breaks it continues after the last one.
func (s *Shelf) Candidates(ctx context.Context, account trace.Account, q *store.Scan) iter.Seq2[*store.Candidate, error] {
	return func(yield func(*store.Candidate, error) bool) {
		in := scanRequest{account, *q}
		in.Scan.Passed = nil
		err := s.retry(ctx, func() error {
			body, err := json.Marshal(in)
			if err != nil {
				return err
			}
			return s.request(ctx, "scan", body, func(line []byte) error {
				var c candidate
				if err := json.Unmarshal(line, &c); err != nil {
					return err
				}
				if q.Passed != nil {
					*q.Passed += c.Passed
				}
				if c.End {
					return nil
				}
				in.Scan.Before = c.At
				if !yield(&store.Candidate{Source: s.source(c.Source), At: c.At, Settling: c.Settling}, nil) {
					return errStopped
				}
				return ctx.Err()
			})
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// Sum passes traces; when the stream breaks it starts again.
func (s *Shelf) Sum(ctx context.Context, account trace.Account, q *store.SumQuery, begin func() store.Sums) error {
	body, err := json.Marshal(sumRequest{account, *q})
	if err != nil {
		return err
	}
	return s.retry(ctx, func() error {
		to := begin()
		return s.request(ctx, "sum", body, func(line []byte) error {
			var from source
			if err := json.Unmarshal(line, &from); err != nil {
				return err
			}
			src := s.source(from)
			return to.Trace(ctx, &src, q.Window, 1)
		})
	})
}

// Estimate asks the server.
func (s *Shelf) Estimate(ctx context.Context, account trace.Account, q store.EstimateQuery) (e store.Estimate, err error) {
	err = s.call(ctx, "estimate", estimateRequest{account, q}, &e)
	return e, err
}

// Capabilities tells what the protocol supports: neither sums nor Expire.
func (s *Shelf) Capabilities() store.Capabilities { return store.Capabilities{Prunes: true} }

// Accounts asks the server.
func (s *Shelf) Accounts(ctx context.Context) (list []trace.Account, err error) {
	err = s.call(ctx, "accounts", nil, &list)
	return list, err
}

// Portions lists nothing: the server has no portions.
func (s *Shelf) Portions(ctx context.Context) ([]store.Portion, error) { return nil, ctx.Err() }

// Floor asks the server.
func (s *Shelf) Floor(ctx context.Context) (floor trace.Time, err error) {
	err = s.call(ctx, "floor", nil, &floor)
	return floor, err
}

// Purge does nothing: the server has its data in memory.
func (s *Shelf) Purge(ctx context.Context) error { return ctx.Err() }

// Expire fails: the protocol has no such method.
func (s *Shelf) Expire(context.Context, trace.Time) error {
	return trace.Errorf(trace.KindInvalid, "the remote store cannot drop portions")
}

// Status asks the server.
func (s *Shelf) Status(ctx context.Context) (st store.Status, err error) {
	err = s.call(ctx, "status", nil, &st)
	return st, err
}

// Close closes the client.
func (s *Shelf) Close() error {
	s.closed.Store(true)
	return nil
}
