package receive

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of what was received, as they show in metrics.
const (
	OutcomeAccepted  = "accepted"  // durable
	OutcomeRejected  = "rejected"  // cannot be right; sending it again would not help
	OutcomeThrottled = "throttled" // no room just then
	OutcomeFailed    = "failed"    // could not be stored
	OutcomeDropped   = "dropped"   // a datagram for which there was no room
)

// Count is how many segments of a protocol had one outcome for one reason.
type Count struct {
	Protocol string `json:"protocol"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason"` // "" when accepted
	Source   string `json:"source"` // host that sent them; "" when accepted
	Count    int64  `json:"count"`
}

// Refused is one thing that was not kept, and why.
type Refused struct {
	Time     float64 `json:"time"` // epoch seconds
	Protocol string  `json:"protocol"`
	Source   string  `json:"source"` // host:port of the sender
	Reason   string  `json:"reason"`
	Message  string  `json:"message"`
}

const (
	keepRefused = 50   // last refusals kept for the status page
	keepSources = 1000 // distinct (protocol, outcome, reason, source) kept
)

// Tally counts what became of everything that was received, and remembers the
// last refusals. Its methods may be called by many goroutines.
type Tally struct {
	now      func() time.Time
	segments *prometheus.CounterVec
	refusals *prometheus.Desc
	onRefuse func(Refused)

	mu      sync.Mutex
	counts  map[Count]int64 // key has Count 0
	refused []Refused       // newest last
}

// NewTally registers its metrics with reg. onRefuse, if not nil, is called for
// each refusal and must not block.
func NewTally(reg prometheus.Registerer, now func() time.Time, onRefuse func(Refused)) *Tally {
	t := &Tally{
		now: now,
		segments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluoro_receive_segments_total",
			Help: "Segments, subsegment documents and spans received, by protocol, outcome and reason.",
		}, []string{"protocol", "outcome", "reason"}),
		refusals: prometheus.NewDesc("fluoro_receive_refusals_total",
			"What was not kept, by protocol, outcome, reason and the host that sent it; hosts beyond the first thousand series are \"others\".",
			[]string{"protocol", "outcome", "reason", "source"}, nil),
		onRefuse: onRefuse,
		counts:   map[Count]int64{},
	}
	reg.MustRegister(t.segments, t)
	for _, p := range []string{ProtocolUDP, ProtocolXRay, ProtocolOTLPGRPC, ProtocolOTLPHTTP} {
		t.segments.WithLabelValues(p, OutcomeAccepted, "")
	}
	return t
}

// Accept counts segments that are durable.
func (t *Tally) Accept(protocol string, n int) { t.add(protocol, OutcomeAccepted, "", "", n) }

// Refuse counts one document, span or request that cannot be right.
func (t *Tally) Refuse(protocol, source, reason, message string) {
	t.RefuseMany(protocol, source, reason, message, 1)
}

// RefuseMany counts n documents or spans that were refused together.
func (t *Tally) RefuseMany(protocol, source, reason, message string, n int) {
	t.add(protocol, OutcomeRejected, reason, source, n)
	t.remember(protocol, source, reason, message)
}

// Contradict counts observations that are kept but not shown, because they say
// something else of one that is shown. source is "" where the sender is not known
// any more.
func (t *Tally) Contradict(protocol, source string, refused []trace.Refused) {
	if len(refused) == 0 {
		return
	}
	t.add(protocol, OutcomeRejected, "Contradiction", source, len(refused))
	for i := range refused[:min(len(refused), keepRefused)] {
		r := &refused[i]
		t.remember(protocol, source, "Contradiction", fmt.Sprintf("%s of trace %s: %s", r.Entity.ID, r.In.TraceID, r.Reason()))
	}
}

// Throttle counts segments for which there was no room.
func (t *Tally) Throttle(protocol, source string, n int, err error) {
	t.add(protocol, OutcomeThrottled, "Throttled", source, n)
	t.remember(protocol, source, "Throttled", err.Error())
}

// Fail counts segments that could not be stored.
func (t *Tally) Fail(protocol, source, reason string, n int, err error) {
	t.add(protocol, OutcomeFailed, reason, source, n)
	t.remember(protocol, source, reason, err.Error())
}

// Drop counts datagrams for which there was no room.
func (t *Tally) Drop(protocol, source, reason, message string, n int) {
	t.add(protocol, OutcomeDropped, reason, source, n)
	t.remember(protocol, source, reason, message)
}

func (t *Tally) add(protocol, outcome, reason, source string, n int) {
	t.segments.WithLabelValues(protocol, outcome, reason).Add(float64(n))
	if host, _, err := net.SplitHostPort(source); err == nil {
		source = host
	}
	key := Count{Protocol: protocol, Outcome: outcome, Reason: reason, Source: source}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.counts[key]; !known && len(t.counts) >= keepSources {
		key.Source = "others"
	}
	t.counts[key] += int64(n)
}

func (t *Tally) remember(protocol, source, reason, message string) {
	r := Refused{Time: float64(t.now().UnixMilli()) / 1000, Protocol: protocol, Source: source, Reason: reason, Message: message}
	t.mu.Lock()
	if len(t.refused) == keepRefused {
		t.refused = slices.Delete(t.refused, 0, 1)
	}
	t.refused = append(t.refused, r)
	t.mu.Unlock()
	if t.onRefuse != nil {
		t.onRefuse(r)
	}
}

// Describe is part of prometheus.Collector.
func (t *Tally) Describe(descs chan<- *prometheus.Desc) { descs <- t.refusals }

// Collect is part of prometheus.Collector: what was not kept, by source.
func (t *Tally) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range t.Counts() {
		if c.Outcome != OutcomeAccepted {
			metrics <- prometheus.MustNewConstMetric(t.refusals, prometheus.CounterValue, float64(c.Count), c.Protocol, c.Outcome, c.Reason, c.Source)
		}
	}
}

// Counts lists all counts, ordered by protocol, outcome, reason and source.
func (t *Tally) Counts() []Count {
	t.mu.Lock()
	out := make([]Count, 0, len(t.counts))
	for key, n := range t.counts {
		key.Count = n
		out = append(out, key)
	}
	t.mu.Unlock()
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Source, b.Source))
	})
	return out
}

// Refused lists the last refusals, newest first.
func (t *Tally) Refused() []Refused {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.Clone(t.refused)
	slices.Reverse(out)
	return out
}
