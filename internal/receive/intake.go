package receive

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Protocols, by the names that metrics and the status page show.
const (
	ProtocolUDP      = "udp"
	ProtocolXRay     = "xray"
	ProtocolOTLPGRPC = "otlp-grpc"
	ProtocolOTLPHTTP = "otlp-http"
)

// Appender stores segments.
type Appender interface {
	Append(ctx context.Context, account trace.Account, batch []*trace.Segment) ([]trace.Refused, error)
}

// Quota limits what accounts send.
type Quota interface {
	// MaySend tells whether an account may send now; its errors are of KindThrottled.
	// Doors ask it for requests, the Intake for datagrams.
	MaySend(account trace.Account) error
	// Sent counts what an account has sent: segments, and bytes as they arrived.
	Sent(account trace.Account, segments int, bytes int64)
	// Series returns a function that fails with KindThrottled for a segment with more
	// distinct names than the account may have; nil if there is no limit.
	Series(account trace.Account) func(*trace.Segment) error
}

// Scrub removes from received data what must not be stored. It returns what it gets if
// there is nothing to remove, else new memory.
type Scrub interface {
	Document(doc []byte) []byte // of PutTraceSegments or of a datagram
	Request(body []byte) []byte // an OTLP request in protobuf
	Message(text string) string // an error, which may quote received data
}

// Options of an Intake.
type Options struct {
	Store Appender
	Tally *Tally
	// MaxInFlight bounds the memory, in bytes, of all requests that are being read, decoded
	// and stored. Requests beyond it are refused with KindThrottled; a request that needs
	// more by itself is refused with KindTooLarge. 0 means 512 MB.
	MaxInFlight int64
	// UDPQueueBytes bounds the datagrams that were read and are not stored yet, in bytes.
	// 0 means 64 MB.
	UDPQueueBytes int64
	// Quota, if not nil, limits accounts.
	Quota Quota
	// Erased, if not nil, returns the function that tells why a segment must not be
	// stored: it belongs to something that was erased. nil: there is nothing like that.
	Erased func(ctx context.Context, account trace.Account) (func(*trace.Segment) string, error)
	// Observe, if not nil, gets each batch that is stored. It must not change or keep it.
	Observe func(account trace.Account, batch []*trace.Segment)
	// Turns, if not nil, shares the processors that decode among accounts.
	Turns *room.Turns
	// Scrub, if not nil, returns the Scrub of an account. Its error refuses the data.
	Scrub func(ctx context.Context, account trace.Account) (Scrub, error)
	// Mapper turns spans into segments; nil means the default one.
	Mapper *otlp.Mapper
	// Now is the clock; nil means the system's.
	Now    func() time.Time
	Logger *slog.Logger
}

// Intake decodes, stores and counts what listeners read. Many goroutines may call its
// methods.
type Intake struct {
	store       Appender
	tally       *Tally
	maxInFlight int64
	room        *room.Room // maxInFlight bytes
	udpQueue    int64
	quota       Quota
	turns       *room.Turns
	erased      func(context.Context, trace.Account) (func(*trace.Segment) string, error)
	scrub       func(context.Context, trace.Account) (Scrub, error)
	observe     func(trace.Account, []*trace.Segment)
	mapper      *otlp.Mapper
	arrivals    arrivals
	now         func() time.Time
	lastStamp   atomic.Int64
	log         *slog.Logger
}

// New makes an Intake.
func New(o Options) *Intake {
	in := &Intake{store: o.Store, tally: o.Tally, maxInFlight: o.MaxInFlight, udpQueue: o.UDPQueueBytes, quota: o.Quota, turns: o.Turns, erased: o.Erased, scrub: o.Scrub, observe: o.Observe, mapper: o.Mapper, now: o.Now, log: o.Logger}
	in.arrivals.list, in.arrivals.clients = map[*arrival]struct{}{}, map[client]int64{}
	if in.maxInFlight == 0 {
		in.maxInFlight = 512 << 20
	}
	in.room = room.New(in.maxInFlight)
	if in.udpQueue == 0 {
		in.udpQueue = 64 << 20
	}
	if in.scrub == nil {
		in.scrub = func(context.Context, trace.Account) (Scrub, error) { return asSent{}, nil }
	}
	if in.quota == nil {
		in.quota = unlimited{}
	}
	if in.mapper == nil {
		in.mapper = new(otlp.Mapper)
	}
	if in.now == nil {
		in.now = time.Now
	}
	if in.log == nil {
		in.log = slog.New(slog.DiscardHandler)
	}
	return in
}

// unlimited is the Quota of an Intake without one.
type unlimited struct{}

func (unlimited) MaySend(trace.Account) error                     { return nil }
func (unlimited) Sent(trace.Account, int, int64)                  {}
func (unlimited) Series(trace.Account) func(*trace.Segment) error { return nil }

// asSent is the Scrub of an Intake without one.
type asSent struct{}

func (asSent) Document(doc []byte) []byte { return doc }
func (asSent) Request(body []byte) []byte { return body }
func (asSent) Message(text string) string { return text }

// stamp returns the receipt time of one request. Stamps rise strictly, so that each
// request has its own and they give the order of requests.
func (in *Intake) stamp() trace.Time {
	for {
		last, now := in.lastStamp.Load(), in.now().UnixNano()
		now = max(now, last+1)
		if in.lastStamp.CompareAndSwap(last, now) {
			return trace.Time(now)
		}
	}
}

// reservation is the memory that one request has reserved.
type reservation struct {
	in      *Intake
	account trace.Account
	bytes   int64
	sent    int64 // bytes of the body, as it arrived
	beside  int64 // an upper bound for what the request holds in another reservation
}

// take reserves n more bytes, or nothing.
func (r *reservation) take(n int64) error {
	if r.bytes+n > r.in.maxInFlight {
		return r.in.tooLarge(r.bytes + n)
	}
	own := r.bytes + r.beside
	if r.in.room.Try(r.account, n, own) != room.Granted {
		r.in.arrivals.mu.Lock()
		err := r.in.reserve(r.account, n, own, nil)
		r.in.arrivals.mu.Unlock()
		if err != nil {
			return err
		}
	}
	r.bytes += n
	return nil
}

func (in *Intake) full() error {
	return trace.Errorf(trace.KindThrottled, "%d MB of requests are being stored already; try again in a second", in.maxInFlight>>20)
}

// takeDocuments reserves memory for documents, their text included. For a small request
// it reserves the upper bound and does not look at the documents.
func (r *reservation) takeDocuments(docs [][]byte) error {
	var size, cost int64
	for _, d := range docs {
		size += int64(len(d))
	}
	// Read holds the body: the text with its escapes, in a buffer of up to twice that
	// size.
	r.beside = 4*size + largeBuffer
	if most := size + mostCost(size); most <= r.in.maxInFlight/64 && r.take(most) == nil {
		return nil
	}
	for _, d := range docs {
		cost += documentCost(d)
	}
	if 2*size+cost > r.in.maxInFlight {
		// The text also takes room in the body of the request.
		return r.in.tooLarge(2*size + cost)
	}
	return r.take(size + cost)
}

func (in *Intake) tooLarge(needed int64) error {
	return trace.Errorf(trace.KindTooLarge, "the request needs %d MB of memory to be stored, and there are %d MB for all of them; send it in parts, or raise --memory", (needed+1<<20-1)>>20, in.maxInFlight>>20)
}

// give frees n bytes.
func (r *reservation) give(n int64) {
	r.in.room.Give(r.account, n)
	r.bytes -= n
}

// release frees all reserved bytes.
func (r *reservation) release() {
	r.in.room.Give(r.account, r.bytes)
	r.bytes = 0
}

// InFlight returns how many bytes requests hold now.
func (in *Intake) InFlight() int64 { return in.room.Used() }

// Documents stores the documents of one PutTraceSegments request. It returns the
// refusals in document order; all other documents are durable. An error means that
// nothing is acknowledged. The Intake owns docs afterwards.
func (in *Intake) Documents(ctx context.Context, account trace.Account, source string, docs [][]byte) ([]decode.Refusal, error) {
	from := Sender{account, ProtocolXRay, source}
	r := &reservation{in: in, account: account}
	defer r.release()
	if err := r.takeDocuments(docs); err != nil {
		in.turnAway(from, len(docs), err)
		return nil, err
	}
	turn, err := in.turns.Wait(ctx, account)
	if err != nil {
		in.tally.Fail(from, "Cancelled", len(docs), err)
		return nil, err
	}
	defer turn()
	scrub, err := in.scrub(ctx, account)
	if err != nil {
		in.tally.Fail(from, "Scrub", len(docs), err)
		return nil, err
	}
	at := in.stamp()
	batch := make([]*trace.Segment, 0, len(docs))
	var refused []decode.Refusal
	documents := decode.NewDocuments(in.mapper)
	for _, d := range docs {
		var refusal *decode.Refusal
		if d, err = r.scrubbed(d, scrub.Document); err != nil {
			in.turnAway(from, len(docs), err)
			return nil, err
		}
		if batch, refusal = documents.Append(batch, d, at); refusal != nil {
			in.tally.Refuse(from, refusal.Code, scrub.Message(refusal.Error()))
			refused = append(refused, *refusal)
		}
	}
	batch = in.withinSeries(account, batch, func(s *trace.Segment, err error) {
		id := s.ID.String()
		in.tally.Throttle(from, 1, err)
		refused = append(refused, decode.Refusal{ID: &id, Code: "QuotaExceeded", Message: err.Error()})
	})
	turn()
	late, err := in.append(ctx, from, batch)
	for i := range late {
		if r := &late[i]; r.Why != "" { // contradictions are accepted, as natively
			id := r.Entity.ID.String()
			refused = append(refused, decode.Refusal{ID: &id, Code: "Erased", Message: r.Why})
		}
	}
	return refused, err
}

// scrubbed removes from a document or request what must not be stored, and reserves the
// memory of the new text.
func (r *reservation) scrubbed(text []byte, scrub func([]byte) []byte) ([]byte, error) {
	out := scrub(text)
	if len(out) == 0 || len(text) > 0 && &out[0] == &text[0] {
		return out, nil
	}
	return out, r.take(int64(len(out)))
}

// decode decodes an OTLP request without what must not be stored. Errors: that of Scrub,
// one of kind Invalid, or there is no room.
func (in *Intake) decode(ctx context.Context, taken *reservation, body []byte, json bool) (spans otlp.Spans, err error) {
	scrub, err := in.scrub(ctx, taken.account)
	if err != nil {
		return spans, err
	}
	var full error
	spans, err = in.mapper.Changed(body, json, in.stamp(), func(request []byte) (out []byte) {
		if out, full = taken.scrubbed(request, scrub.Request); full != nil {
			return nil
		}
		return out
	})
	if full != nil {
		return otlp.Spans{}, full
	}
	if invalid, ok := errors.AsType[*trace.KindError](err); ok {
		invalid.Message = scrub.Message(invalid.Message)
	}
	return spans, err
}

// refuse counts one refused request, with a reason that follows from the kind of its
// error.
func (in *Intake) refuse(from Sender, err error) {
	switch trace.KindOf(err) {
	case trace.KindThrottled, trace.KindTooLarge:
		in.turnAway(from, 1, err)
	case trace.KindTimeout:
		in.tally.Refuse(from, "Slow", err.Error())
	case trace.KindUnsupported:
		in.tally.Refuse(from, "ContentEncoding", err.Error())
	case trace.KindUnavailable:
		in.tally.Fail(from, "Scrub", 1, err)
	case trace.KindDenied:
		in.tally.Refuse(from, identity.Label(err), err.Error())
	default:
		in.tally.Refuse(from, "InvalidRequest", err.Error())
	}
}

// turnAway counts n segments for which there was no room.
func (in *Intake) turnAway(from Sender, n int, err error) {
	if trace.KindOf(err) == trace.KindTooLarge {
		in.tally.RefuseMany(from, "TooLarge", err.Error(), n)
		return
	}
	in.tally.Throttle(from, n, err)
}

// Spans stores the decoded spans of one OTLP request. It adds the spans that contradict
// stored ones to the rejected ones. An error means that nothing is acknowledged.
func (in *Intake) Spans(ctx context.Context, from Sender, spans *otlp.Spans) error {
	if spans.RejectedSpans > 0 {
		in.tally.RefuseMany(from, "InvalidSpan", spans.Message(), spans.RejectedSpans)
	}
	if spans.UnknownData > 0 {
		in.tally.RefuseMany(from, "UnknownData", spans.Message(), max(spans.UnknownData, spans.HiddenSpans))
	}
	batch := in.withinSeries(from.Account, spans.Segments, func(s *trace.Segment, err error) {
		in.tally.Throttle(from, 1, err)
		spans.Reject(otlp.RejectedSpan{Index: slices.Index(spans.Segments, s), TraceID: s.TraceID, ID: s.ID, Reason: err.Error()})
	})
	refused, err := in.append(ctx, from, batch)
	for _, r := range refused {
		spans.Reject(otlp.RejectedSpan{Index: slices.Index(spans.Segments, r.In), TraceID: r.In.TraceID, ID: r.Entity.ID, Reason: r.Reason()})
	}
	return err
}

// withinSeries returns the segments whose names are within the account's quota, and calls
// refuse for each other one.
func (in *Intake) withinSeries(account trace.Account, batch []*trace.Segment, refuse func(*trace.Segment, error)) []*trace.Segment {
	check := in.quota.Series(account)
	if check == nil {
		return batch
	}
	kept := make([]*trace.Segment, 0, len(batch))
	for _, s := range batch {
		if err := check(s); err != nil {
			refuse(s, err)
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// withoutErased returns the segments of a batch that may be stored, and those that belong
// to something that was erased.
func (in *Intake) withoutErased(ctx context.Context, from Sender, batch []*trace.Segment) (kept []*trace.Segment, erased []trace.Refused, err error) {
	if in.erased == nil {
		return batch, nil, nil
	}
	why, err := in.erased(ctx, from.Account)
	if err != nil || why == nil {
		return batch, nil, err
	}
	for _, s := range batch {
		reason := why(s)
		if reason == "" {
			kept = append(kept, s)
			continue
		}
		erased = append(erased, trace.Refused{Entity: &s.Entity, In: s, Why: reason})
		in.tally.Refuse(from, "Erased", reason)
	}
	return kept, erased, nil
}

// append stores a batch and counts it. It returns the observations that contradict stored
// ones, and those that were not stored because they were erased before.
func (in *Intake) append(ctx context.Context, from Sender, batch []*trace.Segment) ([]trace.Refused, error) {
	batch, erased, err := in.withoutErased(ctx, from, batch)
	if err != nil {
		in.tally.Fail(from, "StoreFailed", len(batch), err)
		return nil, err
	}
	if len(batch) == 0 {
		return erased, nil
	}
	in.quota.Sent(from.Account, len(batch), 0)
	refused, err := in.store.Append(ctx, from.Account, batch)
	switch {
	case err == nil:
		shown := len(batch)
		for i := range refused {
			if r := &refused[i]; r.Entity == &r.In.Entity { // the whole document
				shown--
			}
		}
		if in.observe != nil {
			in.observe(from.Account, batch)
		}
		in.tally.Accept(from, shown)
		in.tally.Contradict(from, refused)
		return append(refused, erased...), nil
	case trace.KindOf(err) == trace.KindThrottled && from.Protocol == ProtocolUDP:
		in.tally.Drop(from, "StoreFull", err.Error(), len(batch)) // the sender does not send it again
	case trace.KindOf(err) == trace.KindThrottled:
		in.tally.Throttle(from, len(batch), err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		in.tally.Fail(from, "Cancelled", len(batch), err)
	default:
		in.tally.Fail(from, "StoreFailed", len(batch), err)
		in.log.Error("segments not stored", "protocol", from.Protocol, "segments", len(batch), "error", err)
	}
	return nil, err
}
