package analytics

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// SearchRequest asks for traces whose documents contain a text: in names, metadata,
// sql, OTLP attributes, messages of exceptions.
type SearchRequest struct {
	Selection
	Text  string // parsed by ParseTerm
	Top   int    // 1 to 100
	Token string // of the previous page, "" for the first
}

// Found is a page of traces, newest first. Matched counts the traces that match the
// filter and were searched for this page.
type Found struct {
	Counted
	Traces []FoundTrace `json:"traces"`
	Token  string       `json:"token"` // of the next page, "" after the last
}

// FoundTrace is a trace and the first entity whose document matches.
type FoundTrace struct {
	ID     string  `json:"id"`
	Start  float64 `json:"start"`
	Name   string  `json:"name"`
	Entity string  `json:"entity"`
}

// Search searches documents. If the time is over, the page has a token to continue.
func (a *Analytics) Search(ctx context.Context, who answer.Reader, r SearchRequest) (*Found, error) {
	switch {
	case r.Top < 1 || r.Top > 100:
		return nil, invalid("top: must be 1 to 100")
	case r.Window.End < r.Window.Start:
		return nil, invalid("end: cannot be earlier than start")
	}
	term, err := ParseTerm(r.Text)
	if err != nil {
		return nil, err
	}
	expr, err := a.filter(who.Owner, r.Filter)
	if err != nil {
		return nil, err
	}
	out := &Found{Traces: []FoundTrace{}}
	q := &answer.SummaryQuery{Window: r.Window, Filter: expr, Examined: &out.Examined, Reach: who.Reach}
	if r.Token != "" {
		if q.After = open(r.Token); q.After == nil {
			return nil, invalid("token: %.80q is not a token of a search", r.Token)
		}
	}
	until := time.Now().Add(a.limit)
	for s, err := range a.source.Summaries(ctx, who.Account, q) {
		if err != nil {
			return nil, err
		}
		for t, err := range a.source.Traces(ctx, who.Account, []trace.ID{s.ID}, who.Reach) {
			if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
				continue // the store reports the damage
			}
			if err != nil {
				return nil, err
			}
			out.Matched++
			for e := range assemble.All(t) {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if term.Matches(e.Raw) || !e.EachAttribute(func(key string, v trace.Value) bool { return !term.MatchesAttribute(key, v) }) {
					out.Traces = append(out.Traces, FoundTrace{s.ID.String(), s.Start.Seconds(), e.Name, hex.EncodeToString(e.ID[:])})
					break
				}
			}
		}
		if len(out.Traces) == r.Top || time.Now().After(until) {
			out.Token = seal(answer.Cursor{Time: s.Start, ID: s.ID})
			return out, nil
		}
	}
	out.Complete = true
	return out, errors.Join(ctx.Err())
}

func seal(c answer.Cursor) string {
	return hex.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(c.Time)), c.ID[:]...))
}

func open(token string) *answer.Cursor {
	b, err := hex.DecodeString(token)
	c := &answer.Cursor{}
	if err != nil || len(b) != 8+len(c.ID) {
		return nil
	}
	c.Time = trace.Time(binary.BigEndian.Uint64(b))
	copy(c.ID[:], b[8:])
	return c
}
