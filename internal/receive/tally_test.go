package receive_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newTally(t testing.TB) (*receive.Tally, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	return receive.NewTally(reg, func() time.Time { return time.Unix(1e9, 0) }, nil), reg
}

// udpFrom is a sender of datagrams of the account "0".
func udpFrom(source string) receive.Sender {
	return receive.Sender{Account: "0", Protocol: receive.ProtocolUDP, Source: source}
}

func TestTally_countsByReasonAndSource(t *testing.T) {
	tally, reg := newTally(t)
	tally.Accept(udpFrom(""), 3)
	tally.Refuse(udpFrom("127.0.0.1:5000"), "InvalidId", "bad id")
	tally.Refuse(udpFrom("127.0.0.1:5001"), "InvalidId", "bad id")
	tally.Drop(udpFrom(""), "KernelBufferFull", "too fast", 7)
	want := `
# HELP fluoro_receive_segments_total Segments, subsegment documents and spans received, by protocol, outcome and reason.
# TYPE fluoro_receive_segments_total counter
fluoro_receive_segments_total{outcome="accepted",protocol="otlp-grpc",reason=""} 0
fluoro_receive_segments_total{outcome="accepted",protocol="otlp-http",reason=""} 0
fluoro_receive_segments_total{outcome="accepted",protocol="udp",reason=""} 3
fluoro_receive_segments_total{outcome="accepted",protocol="xray",reason=""} 0
fluoro_receive_segments_total{outcome="dropped",protocol="udp",reason="KernelBufferFull"} 7
fluoro_receive_segments_total{outcome="rejected",protocol="udp",reason="InvalidId"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "fluoro_receive_segments_total"); err != nil {
		t.Error(err)
	}
	counts := tally.Counts("0")
	if len(counts) != 3 || counts[2] != (receive.Count{Protocol: "udp", Outcome: "rejected", Reason: "InvalidId", Source: "127.0.0.1", Count: 2}) {
		t.Errorf("counts %+v", counts)
	}
	refused := tally.Refused("0")
	if len(refused) != 3 || refused[0].Reason != "KernelBufferFull" || refused[2].Source != "127.0.0.1:5000" || refused[0].Time != 1e9 {
		t.Errorf("refused %+v", refused)
	}
}

func TestTally_isBounded(t *testing.T) {
	tally, _ := newTally(t)
	for i := range 5000 {
		tally.Refuse(udpFrom(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)), "InvalidId", "bad id")
	}
	var total int64
	for _, c := range tally.Counts("0") {
		total += c.Count
	}
	if n := len(tally.Counts("0")); n > 1001 || total != 5000 || len(tally.Refused("0")) != 50 {
		t.Errorf("%d counts with a total of %d, %d refusals", n, total, len(tally.Refused("0")))
	}
}

// Each account has separate counts and refusals, and metrics add up all accounts
// without naming them.
func TestTally_keepsAccountsApart(t *testing.T) {
	tally, reg := newTally(t)
	of := func(account int, source string) receive.Sender {
		return receive.Sender{Account: trace.Account(fmt.Sprint(account)), Protocol: receive.ProtocolXRay, Source: source}
	}
	tally.Refuse(of(1, "10.1.1.1:1"), "InvalidId", "mine")
	for i := range 5000 {
		tally.Refuse(of(2, fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)), "InvalidId", "theirs")
	}
	if c := tally.Counts("1"); len(c) != 1 || c[0].Source != "10.1.1.1" || c[0].Count != 1 {
		t.Errorf("counts of the quiet one: %+v", c)
	}
	if r := tally.Refused("1"); len(r) != 1 || r[0].Message != "mine" {
		t.Errorf("refusals of the quiet one: %+v", r)
	}
	if len(tally.Counts("3")) != 0 || len(tally.Refused("3")) != 0 {
		t.Error("a third account sees something")
	}
	if n := len(tally.Refused("1", "2")); n != 50 {
		t.Errorf("both have %d", n)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "account" {
					t.Errorf("%s has an account", f.GetName())
				}
			}
			if f.GetName() == "fluoro_receive_refusals_total" {
				total += m.GetCounter().GetValue()
			}
		}
	}
	if total != 5001 {
		t.Errorf("metrics count %v", total)
	}
}

func TestTally_isBoundedOverAccounts(t *testing.T) {
	tally, _ := newTally(t)
	for i := range 300_000 {
		tally.Refuse(receive.Sender{Account: trace.Account(fmt.Sprint(i / 600)), Protocol: receive.ProtocolXRay, Source: fmt.Sprintf("10.0.%d.%d:1", i/250%250, i%250)}, "InvalidId", "x")
	}
	series := 0
	for i := range 500 {
		series += len(tally.Counts(trace.Account(fmt.Sprint(i))))
	}
	if series < 9_000 || series > 10_200 {
		t.Errorf("%d counts are kept", series)
	}
	if n := len(tally.Counts("499")); n == 0 {
		t.Error("nothing is kept of the last account")
	}
}
