// Package query is the fourth room: it turns requests of the API into queries to a
// store, and implements limits, pages and the messages for invalid requests. Its
// errors are trace.KindErrors with the native service's texts.
package query

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// maxTraces is the maximum number of ids in BatchGetTraces.
	maxTraces = 5
	// pageSize is the number of summaries on a page.
	pageSize = 50
	// seriesPoints is the number of buckets on a page of a series: a day of minutes.
	seriesPoints = 1440
	// maxGraphWindow is the longest window of GetServiceGraph.
	maxGraphWindow = 6 * time.Hour
	// receiptSlack is how far a page of a Service window reaches beyond the window's
	// start.
	receiptSlack = time.Minute
)

// Query answers requests from one store.
type Query struct {
	store Answers
	// Groups finds the filters of the groups that expressions name; nil: only
	// Default exists. Set it before the first request.
	Groups Groups
	// History finds a group's filters, present and past; nil: only Default exists.
	History History
	// Indexed returns a function that reports which traces of an account have
	// summaries; a nil field or function means all.
	Indexed func(ctx context.Context, account trace.Account) (func(id trace.ID, received trace.Time) bool, error)
	// Room limits the memory of answers; nil: no limit. The context of a request
	// must end when its answer has been sent.
	Room *Room
	// Names is the number of nodes that graphs of single traces keep; 0: all.
	Names int
}

// Answers is the part of answer.Store that a Query uses.
type Answers interface {
	Traces(ctx context.Context, account trace.Account, ids []trace.ID, reach answer.Reach) iter.Seq2[*trace.Trace, error]
	Summaries(ctx context.Context, account trace.Account, q *answer.SummaryQuery) iter.Seq2[*trace.Summary, error]
	Graph(ctx context.Context, account trace.Account, q answer.GraphQuery) (*trace.Graph, error)
	Series(ctx context.Context, account trace.Account, q answer.SeriesQuery) (*trace.Series, error)
	Delete(ctx context.Context, account trace.Account, q answer.DeleteQuery) (int, error)
	Weights
}

// Weights estimates how many bytes of memory answers take, before they are made.
type Weights interface {
	Weigh(ctx context.Context, account trace.Account, ids []trace.ID) (all, largest int64, err error)
	WeighGraph(ctx context.Context, account trace.Account, q answer.GraphQuery) (int64, error)
	Heaviest(ctx context.Context, account trace.Account, w trace.Window) (int64, error)
}

// Reader tells who asks.
type Reader = answer.Reader

// ReaderOf returns the reader of a request.
func ReaderOf(p identity.Principal) Reader {
	return Reader{Owner: p.Owner, Reach: answer.Reach{Sight: p.Sight, Linked: p.Linked}}
}

// History finds the filters of an owner's group, by name or by ARN; the other is "".
// Default is a nil group.
type History func(ctx context.Context, owner trace.Owner, name, arn string) (g *answer.Group, found bool, err error)

// Groups finds the present filter of an owner's group, by name or by ARN; the other
// is "".
type Groups func(owner trace.Owner, name, arn string) (e *filter.Expr, found bool)

// New makes a Query.
func New(s Answers) *Query { return &Query{store: s} }

// Filter parses a filter expression and looks up the groups that it names.
func (q *Query) Filter(owner trace.Owner, text string) (*filter.Expr, error) {
	e, err := filter.Parse(text)
	if err != nil || q.Groups == nil {
		return e, err
	}
	return e.Resolve(func(name, arn string) (*filter.Expr, bool) { return q.Groups(owner, name, arn) })
}

func invalid(format string, args ...any) error {
	return trace.Errorf(trace.KindInvalid, format, args...)
}

// Traces returns the existing ones of up to 5 traces, in the order of texts. unread
// are those whose stored data is damaged.
func (q *Query) Traces(ctx context.Context, who Reader, texts []string) (found []*trace.Trace, unread []trace.ID, err error) {
	if len(texts) > maxTraces {
		return nil, nil, invalid("Exceeding maximum query size: %d", maxTraces)
	}
	ids := make([]trace.ID, 0, len(texts))
	for _, text := range texts {
		id, err := trace.ParseID(text)
		if err != nil {
			return nil, nil, invalid("Invalid trace id %s: incorrect id format", text)
		}
		if slices.Contains(ids, id) {
			return nil, nil, invalid("Containing duplicate trace ids")
		}
		ids = append(ids, id)
	}
	if err := q.admit(ctx, who, ids); err != nil {
		return nil, nil, err
	}
	for t, err := range readable(q.store.Traces(ctx, who.Account, ids, who.Reach), &unread) {
		if err != nil {
			return nil, nil, err
		}
		found = append(found, t)
	}
	return found, unread, nil
}

// DamagedError reports traces that cannot be read.
type DamagedError = store.DamagedError

// readable yields the traces of a store, but does not treat damage as an error: it
// adds damaged traces to unread, if that is not nil. The store reports the damage.
func readable(traces iter.Seq2[*trace.Trace, error], unread *[]trace.ID) iter.Seq2[*trace.Trace, error] {
	return func(yield func(*trace.Trace, error) bool) {
		for t, err := range traces {
			if damaged, ok := errors.AsType[*store.DamagedError](err); ok {
				if unread != nil {
					*unread = append(*unread, damaged.IDs...)
				}
				continue
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// WholeTrace is a whole trace: the documents of BatchGetTraces, and those that it
// omits until the rest of the trace arrives.
type WholeTrace struct {
	Trace     *trace.Trace
	Documents []assemble.Document
	Duration  *time.Duration // nil while no entity is completed
}

// Whole returns a trace with everything received for it; nil if it does not exist.
func (q *Query) Whole(ctx context.Context, who Reader, text string) (*WholeTrace, error) {
	traces, unread, err := q.Traces(ctx, who, []string{text})
	if err == nil && len(unread) > 0 {
		err = trace.Errorf(trace.KindInternal, "this trace was received, but its stored data is damaged; the status page names the file")
	}
	if err != nil || len(traces) == 0 {
		return nil, err
	}
	w := &WholeTrace{Trace: traces[0]}
	docs, duration, known := assemble.AllDocuments(w.Trace)
	if w.Documents = docs; known {
		w.Duration = &duration
	}
	return w, nil
}

// TraceGraph returns the service graph of one trace; it is empty while the root
// segment is in progress.
func (q *Query) TraceGraph(ctx context.Context, who Reader, texts []string) (*trace.Graph, error) {
	switch {
	case len(texts) == 0:
		return nil, invalid("Zero trace ids provided")
	case len(texts) > 1:
		return nil, invalid("Currently only one trace Id is supported")
	}
	id, err := trace.ParseID(texts[0])
	if err != nil {
		return nil, invalid("Invalid traceId. ErrorCode: InvalidId")
	}
	if err := q.admit(ctx, who, []trace.ID{id}); err != nil {
		return nil, err
	}
	for t, err := range q.store.Traces(ctx, who.Account, []trace.ID{id}, who.Reach) {
		if err != nil {
			return nil, err
		}
		b := assemble.NewGraph(nil).Limited(assemble.Limit(q.Names))
		if t.Root == nil || !t.Root.InProgress {
			b.Add(t, nil)
			b.Resolve(t)
		}
		return b.Graph(), nil
	}
	return nil, invalid("Trace id not found")
}

// GroupName names a group by its name or by its ARN; if both are empty, Default.
type GroupName struct{ Name, ARN string }

// history returns a group with its filters.
func (q *Query) history(ctx context.Context, owner trace.Owner, n GroupName) (*answer.Group, error) {
	if n == (GroupName{}) {
		return nil, nil
	}
	if q.History != nil {
		g, found, err := q.History(ctx, owner, n.Name, n.ARN)
		if err != nil || found {
			return g, err
		}
	}
	return nil, invalid("Group not found.")
}

// SeriesRequest selects a series.
type SeriesRequest struct {
	Window   trace.Window
	Period   time.Duration // 0: one minute
	Group    GroupName
	Selector string // "": all edges that start at clients
	Forecast bool
	Token    string
}

// Series counts a service or an edge by the minute of receipt. of is the selected
// service or edge, nil if the request has none; next is the token of the next page,
// "" after the last.
func (q *Query) Series(ctx context.Context, who Reader, r SeriesRequest) (s *trace.Series, of *filter.Entities, next string, err error) {
	if err := checkWindow(r.Window); err != nil {
		return nil, nil, "", err
	}
	if r.Period == 0 {
		r.Period = time.Minute
	}
	switch {
	case r.Period != time.Minute && r.Period != 5*time.Minute:
		return nil, nil, "", invalid("Time period must be one of [60, 300]")
	case r.Forecast && r.Selector == "":
		return nil, nil, "", invalid("Forecast statistics need an entity selector expression") // not recorded
	}
	asked := r
	if r.Token != "" {
		end, ok := r.openSeries()
		if !ok {
			return nil, nil, "", invalid("Invalid token %s", r.Token)
		}
		r.Window.End = end
	}
	if r.Selector != "" {
		if of, err = filter.ParseEntities(r.Selector); err != nil {
			return nil, nil, "", err
		}
	}
	group, err := q.history(ctx, who.Owner, r.Group)
	if err != nil {
		return nil, nil, "", err
	}
	if err := q.Scan(ctx, who, r.Window); err != nil {
		return nil, nil, "", err
	}
	// As recorded, fractions of a second do not affect which buckets are answered.
	r.Window = trace.Window{Start: r.Window.Start.FloorSecond(), End: r.Window.End.FloorSecond()}
	if s, err = q.store.Series(ctx, who.Account, answer.SeriesQuery{Window: r.Window, Period: r.Period, Of: of, Group: group, Limit: seriesPoints, Reach: who.Reach}); err != nil {
		return nil, nil, "", err
	}
	// The native service always sets it for an entity of a group.
	s.OldGroupVersions = s.OldGroupVersions || group != nil && of != nil
	if s.Next > 0 {
		next = asked.sealSeries(s.Next)
	}
	return s, of, next, nil
}

// The token of a series holds the end of the remaining window and a hash of the
// request.
func (r *SeriesRequest) sealSeries(end trace.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(end))
	sum := sha256.Sum256(fmt.Appendf(b[:8:8], "%d %d %d %q %q %q", r.Window.Start, r.Window.End, r.Period, r.Group.Name, r.Group.ARN, r.Selector))
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:8]...))
}

func (r *SeriesRequest) openSeries() (end trace.Time, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(r.Token)
	if err != nil || len(b) != 16 {
		return 0, false
	}
	end = trace.Time(binary.BigEndian.Uint64(b))
	return end, r.sealSeries(end) == r.Token
}

func checkWindow(w trace.Window) error {
	if w.End < w.Start {
		return invalid("End time cannot be earlier than start time")
	}
	return nil
}

// SummariesRequest selects a page of summaries.
type SummariesRequest struct {
	Window trace.Window
	Clock  trace.Clock
	Filter string
	Token  string // of the previous page, "" for the first
	// Rate, if not nil, is the share of the selected traces to return, 0 to 1
	// (SamplingStrategy FixedRate). The trace's id decides, so that pages and
	// repeated requests agree.
	Rate *float64
}

// SummariesPage is a page of summaries, newest first.
type SummariesPage struct {
	Summaries []*trace.Summary
	// Examined is the number of traces examined for this page.
	Examined int64
	// ReachedTime is the oldest time this page covers.
	ReachedTime trace.Time
	Token       string // of the next page, "" after the last
}

// Summaries returns a page of the traces that a filter selects.
func (q *Query) Summaries(ctx context.Context, who Reader, r SummariesRequest) (*SummariesPage, error) {
	if err := checkWindow(r.Window); err != nil {
		return nil, err
	}
	expr, err := q.Filter(who.Owner, r.Filter)
	if err != nil {
		return nil, err
	}
	var indexed func(trace.ID, trace.Time) bool
	if q.Indexed != nil {
		if indexed, err = q.Indexed(ctx, who.Account); err != nil {
			return nil, err
		}
	}
	page := &SummariesPage{ReachedTime: r.Window.Start.FloorSecond()}
	if r.Clock == trace.ClockService {
		page.ReachedTime -= trace.Time(receiptSlack)
	}
	sq := &answer.SummaryQuery{Window: r.Window, Clock: r.Clock, Filter: expr, Examined: &page.Examined, Reach: who.Reach}
	if r.Token != "" {
		cursor, ok := r.open(r.Token)
		if !ok {
			return nil, invalid("Invalid token %s", r.Token)
		}
		sq.After = &cursor
	}
	if err := q.Scan(ctx, who, trace.Window{Start: page.ReachedTime, End: r.Window.End}); err != nil {
		return nil, err
	}
	for s, err := range q.store.Summaries(ctx, who.Account, sq) {
		if err != nil {
			return nil, err
		}
		if r.Rate != nil && s.ID.Share() >= *r.Rate || indexed != nil && !indexed(s.ID, s.FirstReceived) {
			continue
		}
		if len(page.Summaries) == pageSize {
			last := page.Summaries[pageSize-1]
			cursor := answer.Cursor{Time: r.Clock.Of(last), ID: last.ID}
			page.Token, page.ReachedTime = r.seal(cursor), cursor.Time.FloorSecond()
			break
		}
		page.Summaries = append(page.Summaries, s)
	}
	return page, nil
}

// A token holds a cursor and a hash of the request, so that it cannot be used for
// another one.
const tokenSize = 8 + 16 + 8

func (r *SummariesRequest) seal(c answer.Cursor) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, tokenSize), uint64(c.Time))
	b = append(b, c.ID[:]...)
	b = append(b, r.hash(b)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (r *SummariesRequest) open(token string) (c answer.Cursor, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != tokenSize || string(r.hash(b[:24])) != string(b[24:]) {
		return c, false
	}
	c.Time = trace.Time(binary.BigEndian.Uint64(b))
	copy(c.ID[:], b[8:24])
	return c, true
}

func (r *SummariesRequest) hash(cursor []byte) []byte {
	b := binary.BigEndian.AppendUint64(slices.Clone(cursor), uint64(r.Window.Start))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Window.End))
	b = append(b, byte(r.Clock))
	if r.Rate != nil {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(*r.Rate))
	}
	sum := sha256.Sum256(append(b, r.Filter...))
	return sum[:8]
}
