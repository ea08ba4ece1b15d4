package finding_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/finding"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const tenant trace.Account = "111111111111"

var someTrace = trace.ID{1, 2, 3}

// world is an account with a clock that tests move, and a graph that they choose.
type world struct {
	t     *testing.T
	store meta.Store
	at    time.Time
	graph map[string][]string // callees by service; those without a key send nothing
	found []finding.Finding
	f     *finding.Findings
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := &world{t: t, store: store, at: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), graph: map[string][]string{"web": {"api"}, "api": {"db"}}}
	w.restart()
	return w
}

func (w *world) restart() {
	w.f = finding.New(finding.Options{Store: w.store, Source: w, Learn: time.Hour, Now: func() time.Time { return w.at }, Found: func(_ trace.Account, one finding.Finding) { w.found = append(w.found, one) }})
}

// Graph makes the graph.
func (w *world) Graph(context.Context, trace.Account, trace.Window) (*trace.Graph, error) {
	g, nodes := &trace.Graph{}, map[string]*trace.GraphService{}
	node := func(name string) *trace.GraphService {
		if nodes[name] == nil {
			nodes[name] = &trace.GraphService{Service: trace.Service{Name: name, Type: "remote"}, State: trace.StateUnknown}
			g.Services = append(g.Services, nodes[name])
		}
		return nodes[name]
	}
	for name := range w.graph {
		n := node(name)
		n.Type, n.State = "", trace.StateActive
	}
	for name, list := range w.graph {
		for _, to := range list {
			node(name).Edges = append(node(name).Edges, &trace.GraphEdge{To: node(to), Statistics: trace.Statistics{OK: 3}})
		}
	}
	return g, nil
}

// Sample returns the same trace for each edge.
func (w *world) Sample(context.Context, trace.Account, trace.Window, string, string) (trace.ID, error) {
	return someTrace, nil
}

// request is one segment of a service.
func request(service, client, user string, size int64) *trace.Segment {
	s := &trace.Segment{TraceID: someTrace}
	s.Name, s.User, s.HTTP = service, user, trace.HTTP{ClientIP: client, Length: size}
	return s
}

// minutes lets time pass with some requests in each minute.
func (w *world) minutes(n int, batch ...*trace.Segment) {
	for range n {
		w.at = w.at.Add(time.Minute)
		w.f.Observe(tenant, append(batch, request("web", "", "", 0)))
		w.f.Look(w.t.Context())
	}
}

// learn lets two hours of normal traffic pass.
func (w *world) learn() {
	w.minutes(120, request("web", "203.0.113.7", "ann", 1000), request("web", "203.0.113.9", "ann", 1100), request("web", "198.51.100.1", "bob", 900))
	w.none()
}

func (w *world) none() {
	w.t.Helper()
	if len(w.found) > 0 {
		w.t.Fatalf("found %+v", w.found)
	}
}

func (w *world) kinds() (list []string) {
	for _, one := range w.found {
		list = append(list, fmt.Sprintf("%s %s %s", one.Kind, one.Service, one.Subject))
	}
	slices.Sort(list)
	return list
}

func (w *world) want(list ...string) {
	w.t.Helper()
	if got := w.kinds(); !slices.Equal(got, list) {
		w.t.Fatalf("found %q, want %q", got, list)
	}
}

func TestLook_findsWhatIsNew(t *testing.T) {
	w := newWorld(t)
	w.learn()
	w.graph["web"] = []string{"api", "db"}              // known nodes, new call
	w.graph["api"] = []string{"db", "evil.example.com"} // new node
	w.minutes(3, request("web", "192.0.2.44", "", 0))
	w.want("new-client web 192.0.2.0/24", "new-edge web db", "new-remote api evil.example.com")
	for _, one := range w.found {
		if one.TraceID != someTrace.String() || one.Expected == "" || one.State != finding.Open {
			t.Errorf("%+v", one)
		}
	}
}

func TestLook_findsFanOut(t *testing.T) {
	w := newWorld(t)
	w.learn()
	w.graph["api"] = nil
	for i := range 12 {
		w.graph["api"] = append(w.graph["api"], fmt.Sprintf("host-%d", i))
	}
	w.minutes(1)
	if got := w.kinds(); got[0] != "fan-out api api" || len(got) != 13 {
		t.Errorf("found %q", got)
	}
}

func TestLook_findsUnusualTraffic(t *testing.T) {
	w := newWorld(t)
	w.learn()
	var flood []*trace.Segment
	for range 200 {
		flood = append(flood, request("web", "203.0.113.7", "ann", 1000))
	}
	w.minutes(1, flood...)
	w.want("unusual-rate web ann")
	w.found = nil
	w.minutes(1, request("web", "203.0.113.7", "bob", 50_000_000))
	w.want("unusual-size web web")
	w.found = nil
	for i := range 6 {
		w.minutes(1, request("web", fmt.Sprintf("203.0.%d.1", i), "bob", 0))
	}
	if got := w.kinds(); !slices.Contains(got, "many-addresses web bob") {
		t.Errorf("found %q", got)
	}
}

// A restart forgets nothing, and nothing is announced twice.
func TestLook_survivesARestart(t *testing.T) {
	w := newWorld(t)
	w.learn()
	w.restart()
	w.minutes(5, request("web", "203.0.113.7", "ann", 1000))
	w.none()
	w.graph["web"] = []string{"api", "db"}
	w.minutes(1)
	w.want("new-edge web db")
	w.restart()
	w.found = nil
	w.minutes(5)
	w.none()
}

// Many new things at once do not flood the list.
func TestLook_isBounded(t *testing.T) {
	w := newWorld(t)
	w.learn()
	var list []*trace.Segment
	for i := range 250 {
		list = append(list, request("web", fmt.Sprintf("100.64.%d.1", i), "", 0))
	}
	w.minutes(1, list...)
	if got := w.kinds(); len(got) != 21 || !slices.Contains(got, "new-client  many at once") {
		t.Errorf("%d findings: %q", len(got), got)
	}
	w.found = nil
	w.minutes(2, list...) // they are learnt
	w.none()
}

// only sees the services that it names, with a blank after each.
type only string

func (o only) Sees(s *sight.Segment) bool { return strings.Contains(string(o)+" ", s.Service+" ") }
func (o only) NeedsGroups() bool          { return false }
func (o only) OnlyServices() bool         { return true }
func (o only) Fingerprint() string        { return string(o) }

// inProduction also asks for something that a finding does not know.
type inProduction struct{ only }

func (inProduction) OnlyServices() bool    { return false }
func (o inProduction) Fingerprint() string { return "in production " + string(o.only) }

// Whoever may not see the caller or the called service, or only segments with some property
// besides their service, sees nothing of a finding about a call.
func TestFindings_ofHiddenServices(t *testing.T) {
	w := newWorld(t)
	w.learn()
	w.graph["web"] = []string{"api", "db"}
	w.minutes(1)
	list, err := w.f.List(t.Context(), tenant, nil)
	if err != nil || len(list) != 1 || list[0].Kind != finding.NewEdge || list[0].Subject != "db" {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, c := range []struct {
		who  sight.Sight
		sees int
	}{{only("web db"), 1}, {only("web"), 0}, {only("db"), 0}, {inProduction{"web db"}, 0}, {sight.Both(only("web db"), only("api web db")), 1}, {sight.Both(only("web db"), inProduction{"web db"}), 0}} {
		got, err := w.f.List(t.Context(), tenant, c.who)
		if err != nil || len(got) != c.sees {
			t.Errorf("%v sees %+v, %v", c.who, got, err)
		}
		if _, err := w.f.Get(t.Context(), tenant, c.who, list[0].ID); (err == nil) != (c.sees == 1) {
			t.Errorf("%v gets it: %v", c.who, err)
		}
	}
}

func TestFindings_areDecidedAndHidden(t *testing.T) {
	w := newWorld(t)
	w.learn()
	w.graph["web"] = []string{"api", "db"}
	w.minutes(1)
	ctx := t.Context()
	list, err := w.f.List(ctx, tenant, nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	id := list[0].ID
	if list, err := w.f.List(ctx, tenant, only("api")); err != nil || len(list) != 0 {
		t.Errorf("who may only see api sees %+v, %v", list, err)
	}
	if _, err := w.f.Decide(ctx, tenant, only("api"), finding.Decision{ID: id, State: finding.Dismissed}); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("who may only see api decides: %v", err)
	}
	one, err := w.f.Decide(ctx, tenant, only("web db"), finding.Decision{ID: id, State: finding.Acknowledged, Note: "planned", By: "ann"})
	if err != nil || one.State != finding.Acknowledged || one.Note != "planned" || one.By != "ann" {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := w.f.Decide(ctx, tenant, nil, finding.Decision{ID: id, State: "gone"}); trace.KindOf(err) != trace.KindInvalid {
		t.Errorf("a wrong state: %v", err)
	}
	for _, other := range []string{"", "none", string(make([]byte, 5000))} {
		if _, err := w.f.Get(ctx, tenant, nil, other); trace.KindOf(err) != trace.KindNotFound {
			t.Errorf("%.10q: %v", other, err)
		}
	}
	if list, _ := w.f.List(ctx, "222222222222", nil); len(list) != 0 {
		t.Errorf("another account sees %+v", list)
	}
}

func BenchmarkObserve(b *testing.B) {
	w := finding.New(finding.Options{})
	var batch []*trace.Segment
	for i := range 1000 {
		s := request("web", "", "", 0)
		if i%10 == 0 {
			s = request("web", fmt.Sprintf("203.0.113.%d", i%200), fmt.Sprintf("user-%d", i%50), 1000)
		} else {
			s.Subsegment = i%3 == 0
		}
		batch = append(batch, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Observe(tenant, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/segment")
}
