package answer

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A reader with linked accounts reads several accounts at once. The segments that
// accounts have of one trace id are one trace. Nothing is copied: each account keeps its
// data, with its own retention and encryption, and a removed link ends at once.

// part is a trace in one account.
type part struct {
	trace.Linked
	source *store.Source
}

// joint is the content of a trace of several accounts, or of a linked one.
type joint struct {
	parts []part
	// start and updated are the first start and the last receipt of all parts, also of
	// segments that were received before a link began. By them the shelves order the
	// trace. Segments sets them; loaded tells that it did.
	start, updated trace.Time
	loaded         bool
	kept           *trace.Trace
	// unread tells that a part could not be read: the result must not be cached.
	unread bool
	store  *Store
}

// linkedSeq marks the Seq of joint traces, so that it differs from every Seq of a shelf.
const linkedSeq store.Seq = 1 << 63

// join makes one source of the parts of a trace. A part of the reader's own account has
// an empty account.
func (s *Store) join(parts []part) store.Source {
	if len(parts) == 1 && parts[0].Account == "" {
		return *parts[0].source
	}
	out := store.Source{ID: parts[0].source.ID, Updated: trace.MinTime}
	version := fnv.New64a() // newest batch, begin of the link and account of each part
	for _, p := range parts {
		out.Updated, out.Weight = max(out.Updated, p.source.Updated), out.Weight+p.source.Weight
		b := binary.BigEndian.AppendUint64(nil, uint64(p.source.Seq))
		_, _ = version.Write(append(binary.BigEndian.AppendUint64(b, uint64(p.Since)), p.Account...))
	}
	out.Seq = store.Seq(version.Sum64()) | linkedSeq
	out.Content = &joint{parts: parts, start: trace.MaxTime, updated: trace.MinTime, store: s}
	return out
}

// Segments loads the segments of all parts that were received since their links began.
// Those of linked accounts carry the account.
func (j *joint) Segments(ctx context.Context) ([]*trace.Segment, error) {
	var all []*trace.Segment
	j.start, j.updated = trace.MaxTime, trace.MinTime
	for _, p := range j.parts {
		list, err := p.source.Segments(ctx)
		if err != nil && j.store.leavesOut(p.Account, err) {
			j.unread = true
			continue
		}
		if err != nil {
			return nil, err
		}
		shared := p.shared(list)
		if len(shared) == 0 {
			continue
		}
		if len(j.parts) > 1 || len(shared) < len(list) {
			t := assemble.Trace(p.source.ID, list)
			j.start, j.updated = min(j.start, t.Start), max(j.updated, t.Updated)
		}
		for _, s := range shared {
			if p.Account != "" {
				owned := *s // the shelf's is shared
				owned.Account, s = p.Account, &owned
			}
			all = append(all, s)
		}
	}
	j.loaded = true
	return all, nil
}

// leavesOut reports whether an error about an account is about a linked account whose data
// cannot be read, because it is damaged or its key is disabled. Then the other accounts
// are answered without it.
func (s *Store) leavesOut(linked trace.Account, err error) bool {
	if linked == "" || undamaged(err) != nil && trace.KindOf(err) != trace.KindUnavailable {
		return false
	}
	s.rules.o.Logger.Warn("a linked account is left out of answers: its data cannot be read", "account", linked, "error", err)
	return true
}

// shared returns those segments of a part that were received since its link began. A
// repetition of an earlier segment is no receipt.
func (p *part) shared(list []*trace.Segment) []*trace.Segment {
	late := slices.DeleteFunc(slices.Clone(list), func(s *trace.Segment) bool { return s.ReceivedAt < p.Since })
	if len(late) == len(list) || len(late) == 0 {
		return late
	}
	counts := map[*trace.Segment]bool{}
	for e := range assemble.All(assemble.Trace(p.source.ID, list)) {
		counts[e.Received] = true
	}
	return slices.DeleteFunc(late, func(s *trace.Segment) bool { return !counts[s] })
}

// Assembled returns the trace that Keep received.
func (j *joint) Assembled() *trace.Trace { return j.kept }

// Keep keeps the assembled trace as long as the query uses this source.
func (j *joint) Keep(t *trace.Trace) { j.kept = t }

// clocks returns the start and the last receipt by which the shelves order a trace, given
// what the reader's accounts have of it.
func (s *Store) clocks(account trace.Account, src *store.Source, t *trace.Trace) (start, updated trace.Time) {
	j, ok := src.Content.(*joint)
	if !ok {
		return t.Start, t.Updated
	}
	if !j.loaded {
		if v := s.cached(account, src, false); v != nil {
			return v.summary.Start, v.summary.Updated
		}
	}
	if j.start == trace.MaxTime { // one part, all of it
		return t.Start, t.Updated
	}
	return j.start, j.updated
}

// find finds traces in all accounts that a reader reads.
func (s *Store) find(ctx context.Context, account trace.Account, reach *Reach, ids []trace.ID) (found []store.Source, release func(), err error) {
	if len(reach.Linked) == 0 {
		return s.shelf.Find(ctx, account, ids)
	}
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	parts := map[trace.ID][]part{}
	for _, from := range append([]trace.Linked{{Since: trace.MinTime}}, reach.Linked...) {
		list, done, err := s.shelf.Find(ctx, accountOr(from.Account, account), ids)
		if err != nil && s.leavesOut(from.Account, err) {
			continue
		}
		if err != nil {
			release()
			return nil, nil, err
		}
		releases = append(releases, done)
		for i := range list {
			if src := &list[i]; src.Updated >= max(from.Since, s.rules.Horizon()) {
				parts[src.ID] = append(parts[src.ID], part{from, src})
			}
		}
	}
	for _, id := range ids {
		if p := parts[id]; len(p) > 0 {
			found = append(found, s.join(p))
			delete(parts, id)
		}
	}
	return found, release, nil
}

func accountOr(account, own trace.Account) trace.Account {
	if account == "" {
		return own
	}
	return account
}

// candidates yields the candidates of all accounts that a reader reads, in the order of
// the scan. Traces of linked accounts are yielded as if they were still arriving: where
// they belong is known when all of their parts are assembled.
func (s *Store) candidates(ctx context.Context, account trace.Account, reach *Reach, scan *store.Scan) iter.Seq2[*store.Candidate, error] {
	if len(reach.Linked) == 0 {
		return s.shelf.Candidates(ctx, account, scan)
	}
	// The filter is about the whole trace, the facts of a shelf about one part.
	scan.Bounds, scan.Passed = filter.Bounds{}, nil
	return func(yield func(*store.Candidate, error) bool) {
		m := merge{store: s, ctx: ctx, account: account, reach: reach, yielded: map[trace.ID]int{}}
		defer m.stop()
		for _, from := range append([]trace.Linked{{Since: trace.MinTime}}, reach.Linked...) {
			own := *scan
			own.Horizon = max(scan.Horizon, from.Since)
			if err := m.add(from.Account, s.shelf.Candidates(ctx, accountOr(from.Account, account), &own)); err != nil {
				yield(nil, err)
				return
			}
		}
		for {
			c, err := m.next()
			if c == nil && err == nil || !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// merge merges the candidates of several accounts.
type merge struct {
	store   *Store
	ctx     context.Context
	account trace.Account
	reach   *Reach
	streams []*stream
	// yielded holds the traces of several accounts whose first part was reached, with
	// the number of parts that may still come.
	yielded map[trace.ID]int
	release func() // of the candidate that was yielded last
}

// stream is the rest of the candidates of one account.
type stream struct {
	store  *Store
	linked trace.Account
	first  *store.Candidate // nil at the end
	next   func() (*store.Candidate, error, bool)
	stop   func()
}

func (m *merge) add(linked trace.Account, candidates iter.Seq2[*store.Candidate, error]) error {
	s := &stream{store: m.store, linked: linked}
	s.next, s.stop = iter.Pull2(candidates)
	m.streams = append(m.streams, s)
	return s.advance()
}

func (s *stream) advance() error {
	c, err, ok := s.next()
	s.first = nil
	switch {
	case err != nil && s.store.leavesOut(s.linked, err):
		return nil
	case ok && err == nil:
		s.first = c
	}
	return err
}

func (m *merge) stop() {
	if m.release != nil {
		m.release()
		m.release = nil
	}
	for _, s := range m.streams {
		s.stop()
	}
}

// next returns the next candidate, nil at the end.
func (m *merge) next() (*store.Candidate, error) {
	for {
		var highest *stream
		for _, s := range m.streams {
			if s.first != nil && (highest == nil || s.first.At.Compare(highest.first.At) > 0) {
				highest = s
			}
		}
		if highest == nil {
			return nil, nil
		}
		at, id := highest.first.At, highest.first.ID
		if err := highest.advance(); err != nil {
			return nil, err
		}
		if more := m.yielded[id]; more > 0 {
			if m.yielded[id]--; more == 1 {
				delete(m.yielded, id)
			}
			continue
		}
		if m.release != nil {
			m.release()
			m.release = nil
		}
		found, release, err := m.store.find(m.ctx, m.account, m.reach, []trace.ID{id})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 { // deleted since then
			release()
			continue
		}
		m.release = release
		if j, ok := found[0].Content.(*joint); ok && len(j.parts) > 1 {
			m.yielded[id] = len(j.parts) - 1
		}
		return &store.Candidate{Source: found[0], At: at, Settling: true}, nil
	}
}

// errAgain tells that a shelf began to count again.
var errAgain = errors.New("a shelf counts again")

// countAll counts what a reader with linked accounts sees, trace by trace. A trace of
// several accounts counts when the first account is counted that received something of
// it in the window.
func (s *Store) countAll(ctx context.Context, like *counting, q *store.SumQuery, begin func() counter) error {
	accounts := append([]trace.Linked{{Since: trace.MinTime}}, like.reach.Linked...)
	for {
		c := *like
		c.store, c.to = s, begin()
		err := error(nil)
		for i, from := range accounts {
			own := *q
			own.Window.Start, own.Horizon = max(q.Window.Start, from.Since), max(q.Horizon, from.Since)
			if own.Window.Start >= own.Window.End {
				continue
			}
			sums := &linkedSums{counting: &c, window: q.Window, accounts: accounts[:i+1]}
			err = s.shelf.Sum(ctx, accountOr(from.Account, like.account), &own, func() store.Sums {
				sums.begun++
				return sums
			})
			if err != nil && s.leavesOut(from.Account, err) {
				err = nil
			}
			if err != nil {
				break
			}
		}
		if !errors.Is(err, errAgain) {
			return err
		}
	}
}

// linkedSums counts the traces of one of several accounts.
type linkedSums struct {
	*counting
	window   trace.Window
	accounts []trace.Linked // those that were counted before, and this one
	begun    int
}

// Trace counts a trace with all of its parts.
func (l *linkedSums) Trace(ctx context.Context, src *store.Source, _ trace.Window, _ int) error {
	if l.begun > 1 {
		return errAgain
	}
	found, release, err := l.store.find(ctx, l.account, l.reach, []trace.ID{src.ID})
	if err != nil {
		return err
	}
	defer release()
	if len(found) == 0 {
		return nil
	}
	if j, ok := found[0].Content.(*joint); ok && len(j.parts) > 1 {
		t, err := l.store.assembled(ctx, l.account, &found[0])
		if err != nil || !l.first(t) {
			return undamaged(err)
		}
	}
	return l.counting.Trace(ctx, &found[0], l.window, 1)
}

// first reports whether this account, and none before it, received something of a trace
// in the window.
func (l *linkedSums) first(t *trace.Trace) bool {
	at := len(l.accounts)
	for e := range assemble.All(t) {
		if e.Received != nil && l.window.Contains(e.ReceivedAt) {
			if i := slices.IndexFunc(l.accounts, func(a trace.Linked) bool { return a.Account == e.Received.Account }); i >= 0 {
				at = min(at, i)
			}
		}
	}
	return at == len(l.accounts)-1
}
