package receive

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
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
	Append(ctx context.Context, account trace.Account, batch []*trace.Segment) error
}

// Options of an Intake.
type Options struct {
	Store Appender
	Tally *Tally
	// MaxInFlight bounds the bytes of requests being decoded and stored at one
	// time; more are refused with KindThrottled. 0 means 256 MB.
	MaxInFlight int64
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
	inFlight    atomic.Int64
	now         func() time.Time
	lastStamp   atomic.Int64
	log         *slog.Logger
}

// New makes an Intake.
func New(o Options) *Intake {
	in := &Intake{store: o.Store, tally: o.Tally, maxInFlight: o.MaxInFlight, now: o.Now, log: o.Logger}
	if in.maxInFlight == 0 {
		in.maxInFlight = 256 << 20
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

// Admit reserves room for n bytes of a request before work is spent on it;
// release gives the room back. The error is of KindThrottled.
func (in *Intake) Admit(n int64) (release func(), err error) {
	if in.inFlight.Add(n) > in.maxInFlight {
		in.inFlight.Add(-n)
		return nil, trace.Errorf(trace.KindThrottled, "%d MB of requests are being stored already; try again in a second", in.maxInFlight>>20)
	}
	return func() { in.inFlight.Add(-n) }, nil
}

// InFlight is how many bytes are admitted now.
func (in *Intake) InFlight() int64 { return in.inFlight.Load() }

// Documents takes the documents of one PutTraceSegments request and returns the
// refusals in document order; all others are durable. An error means that
// nothing was acknowledged. The Intake owns docs afterwards.
func (in *Intake) Documents(ctx context.Context, account trace.Account, source string, docs [][]byte) ([]decode.Refusal, error) {
	var size int64
	for _, d := range docs {
		size += int64(len(d))
	}
	release, err := in.Admit(size)
	if err != nil {
		in.tally.Throttle(ProtocolXRay, source, len(docs), err)
		return nil, err
	}
	defer release()
	at := in.stamp()
	batch := make([]*trace.Segment, 0, len(docs))
	var refused []decode.Refusal
	for _, d := range docs {
		segments, refusal := decode.Document(d, at)
		if refusal != nil {
			in.tally.Refuse(ProtocolXRay, source, refusal.Code, refusal.Error())
			refused = append(refused, *refusal)
			continue
		}
		batch = append(batch, segments...)
	}
	return refused, in.append(ctx, ProtocolXRay, account, source, batch)
}

// Spans takes the decoded spans of one OTLP request. An error means that
// nothing was acknowledged.
func (in *Intake) Spans(ctx context.Context, protocol string, account trace.Account, source string, spans decode.Spans) error {
	if spans.RejectedSpans > 0 {
		in.tally.RefuseMany(protocol, source, "InvalidSpan", spans.Message(), spans.RejectedSpans)
	}
	return in.append(ctx, protocol, account, source, spans.Segments)
}

func (in *Intake) append(ctx context.Context, protocol string, account trace.Account, source string, batch []*trace.Segment) error {
	if len(batch) == 0 {
		return nil
	}
	err := in.store.Append(ctx, account, batch)
	switch {
	case err == nil:
		in.tally.Accept(protocol, len(batch))
		return nil
	case trace.KindOf(err) == trace.KindThrottled:
		in.tally.Throttle(protocol, source, len(batch), err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		in.tally.Fail(protocol, source, "Cancelled", len(batch), err)
	default:
		in.tally.Fail(protocol, source, "StoreFailed", len(batch), err)
		in.log.Error("segments not stored", "protocol", protocol, "segments", len(batch), "error", err)
	}
	return err
}
