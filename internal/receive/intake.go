package receive

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Protocols, as they show in metrics and on the status page.
const (
	ProtocolUDP      = "udp"
	ProtocolXRay     = "xray"
	ProtocolOTLPGRPC = "otlp-grpc"
	ProtocolOTLPHTTP = "otlp-http"
)

// Appender keeps segments; a store.Store is one.
type Appender interface {
	Append(ctx context.Context, account trace.Account, batch []*trace.Segment) ([]trace.Refused, error)
}

// Options of an Intake.
type Options struct {
	Store Appender
	Tally *Tally
	// MaxInFlight bounds the memory of requests being read, decoded and stored at
	// one time; more are refused with KindThrottled, and those that need more
	// alone with KindTooLarge. 0 means 512 MB.
	MaxInFlight int64
	// UDPQueueBytes bounds the datagrams that were read and are not stored yet.
	// 0 means 64 MB.
	UDPQueueBytes int64
	// Mapper makes segments of spans; nil means the default one.
	Mapper *otlp.Mapper
	// Now is the clock; nil means the system's.
	Now    func() time.Time
	Logger *slog.Logger
}

// Intake decodes what listeners read, stores it and counts it. Its methods may
// be called by many goroutines.
type Intake struct {
	store       Appender
	tally       *Tally
	maxInFlight int64
	udpQueue    int64
	mapper      *otlp.Mapper
	inFlight    atomic.Int64
	arrivals    arrivals
	now         func() time.Time
	lastStamp   atomic.Int64
	log         *slog.Logger
}

// New makes an Intake.
func New(o Options) *Intake {
	in := &Intake{store: o.Store, tally: o.Tally, maxInFlight: o.MaxInFlight, udpQueue: o.UDPQueueBytes, mapper: o.Mapper, now: o.Now, log: o.Logger}
	in.arrivals.list, in.arrivals.clients = map[*arrival]struct{}{}, map[netip.Prefix]int64{}
	if in.maxInFlight == 0 {
		in.maxInFlight = 512 << 20
	}
	if in.udpQueue == 0 {
		in.udpQueue = 64 << 20
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

// stamp is the receipt time of one request. Stamps rise strictly, so that they
// also order requests and tell them apart.
func (in *Intake) stamp() trace.Time {
	for {
		last, now := in.lastStamp.Load(), in.now().UnixNano()
		now = max(now, last+1)
		if in.lastStamp.CompareAndSwap(last, now) {
			return trace.Time(now)
		}
	}
}

// room is what one request has reserved.
type room struct {
	in    *Intake
	bytes int64
}

// take reserves more, or nothing. Bodies that come slowly make room for it.
func (r *room) take(n int64) error {
	if r.bytes+n > r.in.maxInFlight {
		return r.in.tooLarge(r.bytes + n)
	}
	if !r.in.fits(n) {
		r.in.makeRoom(r.in.inFlight.Load() + n - r.in.maxInFlight)
		if !r.in.fits(n) {
			return r.in.full()
		}
	}
	r.bytes += n
	return nil
}

// fits reserves n bytes if they are free.
func (in *Intake) fits(n int64) bool {
	if in.inFlight.Add(n) <= in.maxInFlight {
		return true
	}
	in.inFlight.Add(-n)
	return false
}

func (in *Intake) full() error {
	return trace.Errorf(trace.KindThrottled, "%d MB of requests are being stored already; try again in a second", in.maxInFlight>>20)
}

// takeDocuments reserves what documents take, text included. What a small request
// takes at most is reserved without looking, as long as there is plenty.
func (r *room) takeDocuments(docs [][]byte) error {
	var size, cost int64
	for _, d := range docs {
		size += int64(len(d))
	}
	if most := size + mostCost(size); most <= r.in.maxInFlight/64 && r.take(most) == nil {
		return nil
	}
	for _, d := range docs {
		cost += documentCost(d)
	}
	if 2*size+cost > r.in.maxInFlight {
		// The request that the documents came in has room for as much besides.
		return r.in.tooLarge(2*size + cost)
	}
	return r.take(size + cost)
}

func (in *Intake) tooLarge(needed int64) error {
	return trace.Errorf(trace.KindTooLarge, "the request needs %d MB of memory to be stored, and there are %d MB for all of them; send it in parts, or raise --memory", (needed+1<<20-1)>>20, in.maxInFlight>>20)
}

// give gives some of it back.
func (r *room) give(n int64) {
	r.in.inFlight.Add(-n)
	r.bytes -= n
}

// release gives all of it back.
func (r *room) release() {
	r.in.inFlight.Add(-r.bytes)
	r.bytes = 0
}

// InFlight is how many bytes are admitted now.
func (in *Intake) InFlight() int64 { return in.inFlight.Load() }

// Documents takes the documents of one PutTraceSegments request and returns the
// refusals in document order; all others are durable. An error means that
// nothing was acknowledged. The Intake owns docs afterwards.
func (in *Intake) Documents(ctx context.Context, account trace.Account, source string, docs [][]byte) ([]decode.Refusal, error) {
	r := &room{in: in}
	defer r.release()
	if err := r.takeDocuments(docs); err != nil {
		in.turnAway(ProtocolXRay, source, len(docs), err)
		return nil, err
	}
	at := in.stamp()
	batch := make([]*trace.Segment, 0, len(docs))
	var refused []decode.Refusal
	documents := decode.NewDocuments(in.mapper)
	for _, d := range docs {
		var refusal *decode.Refusal
		if batch, refusal = documents.Append(batch, d, at); refusal != nil {
			in.tally.Refuse(ProtocolXRay, source, refusal.Code, refusal.Error())
			refused = append(refused, *refusal)
		}
	}
	_, err := in.append(ctx, ProtocolXRay, account, source, batch)
	return refused, err
}

// refuse counts one request that was not kept, by the reason that its kind is.
func (in *Intake) refuse(protocol, source string, err error) {
	switch trace.KindOf(err) {
	case trace.KindThrottled, trace.KindTooLarge:
		in.turnAway(protocol, source, 1, err)
	case trace.KindTimeout:
		in.tally.Refuse(protocol, source, "Slow", err.Error())
	case trace.KindUnsupported:
		in.tally.Refuse(protocol, source, "ContentEncoding", err.Error())
	default:
		in.tally.Refuse(protocol, source, "InvalidRequest", err.Error())
	}
}

// turnAway counts n segments for which there was no room.
func (in *Intake) turnAway(protocol, source string, n int, err error) {
	if trace.KindOf(err) == trace.KindTooLarge {
		in.tally.RefuseMany(protocol, source, "TooLarge", err.Error(), n)
		return
	}
	in.tally.Throttle(protocol, source, n, err)
}

// Spans takes the decoded spans of one OTLP request, and adds to those that were
// rejected what contradicts spans that are kept. An error means that nothing was
// acknowledged.
func (in *Intake) Spans(ctx context.Context, protocol string, account trace.Account, source string, spans *otlp.Spans) error {
	if spans.RejectedSpans > 0 {
		in.tally.RefuseMany(protocol, source, "InvalidSpan", spans.Message(), spans.RejectedSpans)
	}
	if spans.UnknownData > 0 {
		in.tally.RefuseMany(protocol, source, "UnknownData", spans.Message(), max(spans.UnknownData, spans.HiddenSpans))
	}
	refused, err := in.append(ctx, protocol, account, source, spans.Segments)
	for _, r := range refused {
		spans.Reject(otlp.RejectedSpan{Index: slices.Index(spans.Segments, r.In), TraceID: r.In.TraceID, ID: r.Entity.ID, Reason: r.Reason()})
	}
	return err
}

// append keeps a batch and is what of it contradicts what is kept already.
func (in *Intake) append(ctx context.Context, protocol string, account trace.Account, source string, batch []*trace.Segment) ([]trace.Refused, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	refused, err := in.store.Append(ctx, account, batch)
	switch {
	case err == nil:
		shown := len(batch)
		for i := range refused {
			if r := &refused[i]; r.Entity == &r.In.Entity { // all of its document
				shown--
			}
		}
		in.tally.Accept(protocol, shown)
		in.tally.Contradict(protocol, source, refused)
		return refused, nil
	case trace.KindOf(err) == trace.KindThrottled && protocol == ProtocolUDP:
		in.tally.Drop(protocol, source, "StoreFull", err.Error(), len(batch)) // nobody sends it again
	case trace.KindOf(err) == trace.KindThrottled:
		in.tally.Throttle(protocol, source, len(batch), err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		in.tally.Fail(protocol, source, "Cancelled", len(batch), err)
	default:
		in.tally.Fail(protocol, source, "StoreFailed", len(batch), err)
		in.log.Error("segments not stored", "protocol", protocol, "segments", len(batch), "error", err)
	}
	return nil, err
}
