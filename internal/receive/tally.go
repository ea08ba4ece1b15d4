package receive

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of documents and spans, by the names that metrics show.
const (
	OutcomeAccepted  = "accepted"  // durable
	OutcomeRejected  = "rejected"  // invalid; sending it again does not help
	OutcomeThrottled = "throttled" // there was no room at that moment
	OutcomeFailed    = "failed"    // could not be stored
	OutcomeDropped   = "dropped"   // a datagram without room
)

// Count says how many segments of a protocol had one outcome for one reason.
type Count struct {
	Protocol string `json:"protocol"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason"` // "" when accepted
	Source   string `json:"source"` // host that sent them; "" when accepted
	Count    int64  `json:"count"`
}

// Refused tells what was not stored, and why.
type Refused struct {
	Time     float64 `json:"time"` // epoch seconds
	Protocol string  `json:"protocol"`
	Source   string  `json:"source"` // host:port of the sender
	Reason   string  `json:"reason"`
	Message  string  `json:"message"`
}

// Sender identifies a sender.
type Sender struct {
	// Account is the account that the sender belongs to; "" if nobody knows, for example
	// for a request that a door refused.
	Account  trace.Account
	Protocol string // one of those above
	Source   string // host:port; "" if nobody knows
}

const (
	keepRefused  = 50     // newest refusals per account, for its status page
	keepSources  = 1000   // different (protocol, outcome, reason, source) in metrics, and per account
	keepAccounts = 100    // accounts with counts of their own: those counted most recently
	keepSeries   = 10_000 // different counts of all accounts together
)

// Tally counts the outcome of everything that was received, and keeps the newest
// refusals: for metrics over all accounts, for status pages per account. Many goroutines
// may call its methods.
type Tally struct {
	now      func() time.Time
	segments *prometheus.CounterVec
	refusals *prometheus.Desc
	onRefuse func(trace.Account, Refused)

	mu       sync.Mutex
	all      counts
	accounts map[trace.Account]*book
	series   int   // in all books
	clock    int64 // rises with each use of a book
}

// counts maps a Count, with its number left 0, to the number.
type counts map[Count]int64

// book holds the counts and refusals of one account.
type book struct {
	counts  counts
	refused []Refused // newest last
	used    int64     // clock when it was used last
}

// NewTally registers its metrics with reg. onRefuse, if not nil, is called for each
// refusal, with the account of its sender, and must not block.
func NewTally(reg prometheus.Registerer, now func() time.Time, onRefuse func(trace.Account, Refused)) *Tally {
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
		all:      counts{},
		accounts: map[trace.Account]*book{},
	}
	reg.MustRegister(t.segments, t)
	for _, p := range []string{ProtocolUDP, ProtocolXRay, ProtocolOTLPGRPC, ProtocolOTLPHTTP} {
		t.segments.WithLabelValues(p, OutcomeAccepted, "")
	}
	return t
}

// Accept counts segments that are durable.
func (t *Tally) Accept(from Sender, n int) {
	from.Source = ""
	t.add(from, OutcomeAccepted, "", n)
}

// Refuse counts one invalid document, span or request.
func (t *Tally) Refuse(from Sender, reason, message string) {
	t.RefuseMany(from, reason, message, 1)
}

// RefuseMany counts n documents or spans that were refused together.
func (t *Tally) RefuseMany(from Sender, reason, message string, n int) {
	t.add(from, OutcomeRejected, reason, n)
	t.remember(from, reason, message)
}

// Contradict counts observations that are stored but not shown, because they contradict
// one that is shown.
func (t *Tally) Contradict(from Sender, refused []trace.Refused) {
	if len(refused) == 0 {
		return
	}
	t.add(from, OutcomeRejected, "Contradiction", len(refused))
	for i := range refused[:min(len(refused), keepRefused)] {
		r := &refused[i]
		t.remember(from, "Contradiction", fmt.Sprintf("%s of trace %s: %s", r.Entity.ID, r.In.TraceID, r.Reason()))
	}
}

// Throttle counts n segments without room.
func (t *Tally) Throttle(from Sender, n int, err error) {
	t.add(from, OutcomeThrottled, "Throttled", n)
	t.remember(from, "Throttled", err.Error())
}

// Fail counts n segments that could not be stored.
func (t *Tally) Fail(from Sender, reason string, n int, err error) {
	t.add(from, OutcomeFailed, reason, n)
	t.remember(from, reason, err.Error())
}

// Drop counts n datagrams without room.
func (t *Tally) Drop(from Sender, reason, message string, n int) {
	t.add(from, OutcomeDropped, reason, n)
	t.remember(from, reason, message)
}

func (t *Tally) add(from Sender, outcome, reason string, n int) {
	t.segments.WithLabelValues(from.Protocol, outcome, reason).Add(float64(n))
	key := Count{Protocol: from.Protocol, Outcome: outcome, Reason: reason, Source: from.Source}
	if host, _, err := net.SplitHostPort(from.Source); err == nil {
		key.Source = host
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.add(key, int64(n), keepSources)
	b := t.book(from.Account)
	before := len(b.counts)
	most := keepSources
	if t.series >= keepSeries {
		most = 0
	}
	b.counts.add(key, int64(n), most)
	t.series += len(b.counts) - before
}

// add adds n to a key, or to the source "others" if there are too many keys.
func (c counts) add(key Count, n int64, most int) {
	if _, known := c[key]; !known && len(c) >= most && key.Source != "" {
		key.Source = "others"
	}
	c[key] += n
}

// book finds or opens the book of an account. If there are too many, it closes the one
// that was used least recently. The caller holds mu.
func (t *Tally) book(account trace.Account) *book {
	b := t.accounts[account]
	if b == nil {
		if len(t.accounts) >= keepAccounts {
			var oldest trace.Account
			least := int64(math.MaxInt64)
			for a, b := range t.accounts {
				if b.used < least {
					oldest, least = a, b.used
				}
			}
			t.series -= len(t.accounts[oldest].counts)
			delete(t.accounts, oldest)
		}
		b = &book{counts: counts{}}
		t.accounts[account] = b
	}
	t.clock++
	b.used = t.clock
	return b
}

func (t *Tally) remember(from Sender, reason, message string) {
	r := Refused{Time: float64(t.now().UnixMilli()) / 1000, Protocol: from.Protocol, Source: from.Source, Reason: reason, Message: message}
	t.mu.Lock()
	b := t.book(from.Account)
	if len(b.refused) == keepRefused {
		b.refused = slices.Delete(b.refused, 0, 1)
	}
	b.refused = append(b.refused, r)
	t.mu.Unlock()
	if t.onRefuse != nil {
		t.onRefuse(from.Account, r)
	}
}

// Describe implements prometheus.Collector.
func (t *Tally) Describe(descs chan<- *prometheus.Desc) { descs <- t.refusals }

// Collect implements prometheus.Collector: refusals by source.
func (t *Tally) Collect(metrics chan<- prometheus.Metric) {
	t.mu.Lock()
	all := t.all.list()
	t.mu.Unlock()
	for _, c := range all {
		if c.Outcome != OutcomeAccepted {
			metrics <- prometheus.MustNewConstMetric(t.refusals, prometheus.CounterValue, float64(c.Count), c.Protocol, c.Outcome, c.Reason, c.Source)
		}
	}
}

// Counts returns the counts of some accounts together, ordered by protocol, outcome,
// reason and source.
func (t *Tally) Counts(accounts ...trace.Account) []Count {
	sum := counts{}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range accounts {
		if b := t.accounts[a]; b != nil {
			for key, n := range b.counts {
				sum[key] += n
			}
		}
	}
	return sum.list()
}

func (c counts) list() []Count {
	out := make([]Count, 0, len(c))
	for key, n := range c {
		key.Count = n
		out = append(out, key)
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Source, b.Source))
	})
	return out
}

// Refused returns the newest refusals of some accounts, newest first.
func (t *Tally) Refused(accounts ...trace.Account) []Refused {
	var out []Refused
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range accounts {
		if b := t.accounts[a]; b != nil {
			out = append(out, b.refused...)
		}
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b Refused) int { return cmp.Compare(b.Time, a.Time) })
	return out[:min(len(out), keepRefused)]
}
