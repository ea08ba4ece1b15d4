package remote

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Server is a memory shelf behind HTTP. A request is a POST of JSON to the name of a
// method; an answer is lines of JSON, then a line with a full stop, or with an
// exclamation mark and the error. Without that last line the answer is incomplete.
type Server struct {
	http    *httptest.Server
	shelf   store.Shelf
	rules   store.Rules
	clients atomic.Int64
	faults  Faults

	mu      sync.Mutex
	rnd     *rand.Rand
	done    map[string]any // answers by key
	handles []store.Content
}

// Faults sets how often things go wrong: a number n means one time in n, 0 never.
type Faults struct {
	Lost   int // the request before it is executed, or its answer
	Broken int // the stream, at each line
	Slow   int // a delay of one millisecond
}

// NewServer starts a server; Close stops it.
func NewServer(rules store.Rules, faults Faults, seed uint64) *Server {
	s := &Server{shelf: memory.Open(memory.NewData()), rules: rules, faults: faults, rnd: rand.New(rand.NewPCG(seed, 7)), done: map[string]any{}}
	s.http = httptest.NewServer(s)
	return s
}

// Close stops the server.
func (s *Server) Close() { s.http.Close() }

// strikes tells whether a fault with the frequency n happens now.
func (s *Server) strikes(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n > 0 && s.rnd.IntN(n) == 0
}

// ServeHTTP answers one request, unless a fault strikes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.strikes(s.faults.Slow) {
		time.Sleep(time.Millisecond)
	}
	if s.strikes(s.faults.Lost) {
		panic(http.ErrAbortHandler)
	}
	out := &answering{s: s, to: json.NewEncoder(w), flush: http.NewResponseController(w).Flush}
	body := json.NewDecoder(r.Body)
	err := s.serve(r.Context(), strings.TrimPrefix(r.URL.Path, "/"), body, out)
	if s.strikes(s.faults.Lost) {
		panic(http.ErrAbortHandler) // executed, but the client never learns of it
	}
	end := "."
	if err != nil {
		text, _ := json.Marshal(failure{trace.KindOf(err), err.Error()}) // cannot fail: two plain fields
		end = "!" + string(text)
	}
	_, _ = w.Write([]byte(end + "\n"))
}

// answering writes the lines of an answer.
type answering struct {
	s     *Server
	to    *json.Encoder
	flush func() error
}

func (a *answering) line(v any) error { return a.to.Encode(v) }

// stream writes one of many lines, perhaps the last one that arrives.
func (a *answering) stream(v any) error {
	if err := a.line(v); err != nil {
		return err
	}
	if a.s.strikes(a.s.faults.Broken) {
		_ = a.flush()
		panic(http.ErrAbortHandler)
	}
	return nil
}

// handle decodes a request, executes it and writes the answer.
func handle[In, Out any](body *json.Decoder, out *answering, do func(In) (Out, error)) error {
	var in In
	if err := body.Decode(&in); err != nil {
		return err
	}
	answer, err := do(in)
	if err != nil {
		return err
	}
	return out.line(answer)
}

func (s *Server) serve(ctx context.Context, method string, body *json.Decoder, out *answering) error {
	switch method {
	case "append":
		return handle(body, out, func(in appendRequest) (any, error) {
			return s.once(in.Key, func() (any, error) { return s.append(ctx, in) })
		})
	case "bury":
		return handle(body, out, func(in buryRequest) (any, error) {
			return s.once(in.Key, func() (any, error) {
				return s.shelf.Bury(context.WithoutCancel(ctx), in.Account, in.Stones, in.Horizon)
			})
		})
	case "replace":
		return handle(body, out, func(in replaceRequest) (any, error) {
			return s.once(in.Key, func() (any, error) {
				segments, err := s.restore(in.Records)
				if err != nil {
					return nil, err
				}
				return s.shelf.Replace(context.WithoutCancel(ctx), in.Account, store.Replacement{ID: in.ID, Seq: in.Seq, Segments: segments})
			})
		})
	case "find":
		return handle(body, out, func(in findRequest) ([]source, error) { return s.find(ctx, in) })
	case "load":
		return handle(body, out, func(handle int64) ([]trace.Record, error) { return s.load(ctx, handle) })
	case "scan":
		return s.scan(ctx, body, out)
	case "sum":
		return s.sum(ctx, body, out)
	case "estimate":
		return handle(body, out, func(in estimateRequest) (store.Estimate, error) { return s.shelf.Estimate(ctx, in.Account, in.Query) })
	case "accounts":
		return handle(body, out, func(any) ([]trace.Account, error) { return s.shelf.Accounts(ctx) })
	case "floor":
		return handle(body, out, func(any) (trace.Time, error) { return s.shelf.Floor(ctx) })
	case "status":
		return handle(body, out, func(any) (store.Status, error) { return s.shelf.Status(ctx) })
	}
	return trace.Errorf(trace.KindInvalid, "there is no method %s", method)
}

// once executes a request with a key only once, and repeats its answer.
func (s *Server) once(key string, do func() (any, error)) (any, error) {
	s.mu.Lock()
	answer, known := s.done[key]
	s.mu.Unlock()
	if known {
		return answer, nil
	}
	answer, err := do()
	if err == nil {
		s.mu.Lock()
		s.done[key] = answer
		s.mu.Unlock()
	}
	return answer, err
}

func (s *Server) restore(records []trace.Record) (segments []*trace.Segment, err error) {
	for i := range records {
		seg, err := s.rules.Restore(&records[i])
		if err != nil {
			return nil, err
		}
		segments = append(segments, seg)
	}
	return segments, nil
}

func (s *Server) append(ctx context.Context, in appendRequest) (out appendAnswer, err error) {
	segments, err := s.restore(in.Records)
	if err != nil {
		return out, err
	}
	done, err := s.shelf.Append(context.WithoutCancel(ctx), in.Account, store.Batch{Segments: segments})
	out.Seq = done.Seq
	for _, r := range done.Repeated {
		one := repeated{ID: r.ID}
		for _, seg := range r.Segments {
			one.Records, one.New = append(one.Records, trace.RecordOf(seg)), append(one.New, r.New(seg))
		}
		out.Repeated = append(out.Repeated, one)
	}
	return out, err
}

// hand gives the client a handle by which it can load the source's present state.
func (s *Server) hand(src *store.Source) source {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles = append(s.handles, src.Content)
	return source{src.ID, src.Seq, src.Updated, src.Weight, int64(len(s.handles) - 1)}
}

func (s *Server) find(ctx context.Context, in findRequest) ([]source, error) {
	found, release, err := s.shelf.Find(ctx, in.Account, in.IDs)
	if err != nil {
		return nil, err
	}
	defer release()
	list := []source{}
	for i := range found {
		list = append(list, s.hand(&found[i]))
	}
	return list, nil
}

func (s *Server) load(ctx context.Context, handle int64) (records []trace.Record, err error) {
	s.mu.Lock()
	content := s.handles[handle]
	s.mu.Unlock()
	segments, err := content.Segments(ctx)
	for _, seg := range segments {
		records = append(records, trace.RecordOf(seg))
	}
	return records, err
}

func (s *Server) scan(ctx context.Context, body *json.Decoder, out *answering) error {
	var in scanRequest
	if err := body.Decode(&in); err != nil {
		return err
	}
	var passed int64
	in.Scan.Passed = &passed
	for c, err := range s.shelf.Candidates(ctx, in.Account, &in.Scan) {
		if err != nil {
			return err
		}
		if err := out.stream(candidate{Source: s.hand(&c.Source), At: c.At, Settling: c.Settling, Passed: passed}); err != nil {
			return err
		}
		passed = 0
	}
	return out.line(candidate{Passed: passed, End: true})
}

// handing writes every trace that Sum passes.
type handing struct {
	store.Sums
	s   *Server
	out *answering
}

// Trace writes a trace.
func (h handing) Trace(_ context.Context, src *store.Source, _ trace.Window, _ int) error {
	return h.out.stream(h.s.hand(src))
}

func (s *Server) sum(ctx context.Context, body *json.Decoder, out *answering) error {
	var in sumRequest
	if err := body.Decode(&in); err != nil {
		return err
	}
	return s.shelf.Sum(ctx, in.Account, &in.Query, func() store.Sums { return handing{s: s, out: out} })
}
