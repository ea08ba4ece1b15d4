package receive_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newTally(t testing.TB) (*receive.Tally, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	return receive.NewTally(reg, func() time.Time { return time.Unix(1e9, 0) }, nil), reg
}

func TestTally_countsByReasonAndSource(t *testing.T) {
	tally, reg := newTally(t)
	tally.Accept(receive.ProtocolUDP, 3)
	tally.Refuse(receive.ProtocolUDP, "127.0.0.1:5000", "InvalidId", "bad id")
	tally.Refuse(receive.ProtocolUDP, "127.0.0.1:5001", "InvalidId", "bad id")
	tally.Drop(receive.ProtocolUDP, "", "KernelBufferFull", "too fast", 7)
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
	counts := tally.Counts()
	if len(counts) != 3 || counts[2] != (receive.Count{Protocol: "udp", Outcome: "rejected", Reason: "InvalidId", Source: "127.0.0.1", Count: 2}) {
		t.Errorf("counts %+v", counts)
	}
	refused := tally.Refused()
	if len(refused) != 3 || refused[0].Reason != "KernelBufferFull" || refused[2].Source != "127.0.0.1:5000" || refused[0].Time != 1e9 {
		t.Errorf("refused %+v", refused)
	}
}

func TestTally_isBounded(t *testing.T) {
	tally, _ := newTally(t)
	for i := range 5000 {
		tally.Refuse(receive.ProtocolUDP, fmt.Sprintf("10.0.%d.%d:1", i/250, i%250), "InvalidId", "bad id")
	}
	var total int64
	for _, c := range tally.Counts() {
		total += c.Count
	}
	if n := len(tally.Counts()); n > 1001 || total != 5000 || len(tally.Refused()) != 50 {
		t.Errorf("%d counts with a total of %d, %d refusals", n, total, len(tally.Refused()))
	}
}
