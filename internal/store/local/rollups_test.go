package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const rollupStart = 1_780_000_000 // some 13 minutes into an hour

// call makes a segment of trace n with a remote call, received at some second.
func call(t testing.TB, n, segment, parent int, at float64) *trace.Segment {
	t.Helper()
	start := rollupStart + float64(n)
	up := ""
	if parent > 0 {
		up = fmt.Sprintf(`"parent_id":"%016x",`, 1000+parent)
	}
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x",%s"name":"svc-%d","start_time":%f,"end_time":%f,"fault":%v,"subsegments":[{"id":"%016x","name":"svc-%d","namespace":"remote","start_time":%f,"end_time":%f}]}`,
		idOf(n), segment, up, segment%4, start, start+float64(segment)/7, segment%5 == 0, 1000+segment, (segment+1)%4, start, start+float64(segment)/9)
	list, refusal := decode.Document([]byte(doc), trace.FromSeconds(at))
	if refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	return list[0]
}

func groupOf(t testing.TB) *answer.Group {
	t.Helper()
	version := func(id, text string, from, until float64, old bool) answer.GroupVersion {
		e, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return answer.GroupVersion{ID: id, Filter: e, Received: trace.Window{Start: trace.FromSeconds(from), End: trace.FromSeconds(until)}, Old: old}
	}
	return &answer.Group{Versions: []answer.GroupVersion{
		version("g.1", `service("svc-1")`, rollupStart+20, rollupStart+90.25, true),
		version("g.2", `fault`, rollupStart+90.25, 1e10, false),
	}}
}

// Rollups count the same as the traces, in any window and after any settling, reopening,
// merge, deletion, retention or crash.
func TestRollups_followTheTraces(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { rollupsFollow(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func rollupsFollow(t *testing.T, rnd *rand.Rand) {
	group := groupOf(t)
	l := life{
		steps: 60,
		change: func(o *options) {
			o.Groups = func(context.Context, trace.Account) ([]answer.GroupVersion, error) { return group.Versions, nil }
		},
		segment: func(segment int) *trace.Segment {
			at := rollupStart + float64(rnd.IntN(300)) + []float64{0, 0.25, 0.5}[rnd.IntN(3)]
			return call(t, rnd.IntN(30), segment, rnd.IntN(segment), at)
		},
	}
	l.live(t, rnd, func(s *opened) {
		w := someWindow(rnd)
		if rnd.IntN(4) == 0 { // all of some blocks, or of all
			w = wideWindow(rnd)
		}
		compareCounts(t, s, w, nil)
		compareCounts(t, s, w, group)
	})
}

// life changes a shelf at random: segments arrive, settle, are merged, deleted and
// read again after a restart or a crash.
type life struct {
	steps   int
	change  func(*options)
	segment func(number int) *trace.Segment
}

// live makes the changes, and calls look after each.
func (l *life) live(t *testing.T, rnd *rand.Rand, look func(*opened)) {
	t.Helper()
	fs := vfs.NewMem()
	now := time.Unix(rollupStart+400, 0)
	o := small(fs)
	o.Now = func() time.Time { return now }
	l.change(&o)
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	segment := 0
	for range l.steps {
		switch rnd.IntN(9) {
		case 0, 1:
			err = s.Flush(context.Background())
		case 2:
			s.Merge()
		case 3:
			err = remove(s, rnd.IntN(30))
		case 4:
			if err = s.Close(); err == nil {
				if rnd.IntN(2) == 0 {
					o.FS = fs.Crash(rnd)
					fs = o.FS.(*vfs.Mem)
				}
				s, err = open(o)
			}
		default:
			var batch []*trace.Segment
			for range 1 + rnd.IntN(6) {
				segment++
				batch = append(batch, l.segment(segment))
			}
			_, err = s.Append(context.Background(), owner, batch)
		}
		if err != nil {
			t.Fatal(err)
		}
		look(s)
	}
}

// someWindow returns a window that may have receipts, and may be empty.
func someWindow(rnd *rand.Rand) trace.Window {
	from := rollupStart + float64(rnd.IntN(200)) + []float64{0, 0.25}[rnd.IntN(2)]
	return trace.Window{Start: trace.FromSeconds(from), End: trace.FromSeconds(from + float64(rnd.IntN(200)) + []float64{0, 0.5}[rnd.IntN(2)])}
}

// wideWindow returns a window that ends behind all receipts.
func wideWindow(rnd *rand.Rand) trace.Window {
	return trace.Window{Start: trace.FromSeconds(rollupStart - 60 + float64(rnd.IntN(120))), End: trace.FromSeconds(rollupStart + 360)}
}

// compareCounts compares Graph and Series with those of all traces.
func compareCounts(t *testing.T, s *opened, w trace.Window, g *answer.Group) {
	t.Helper()
	graph, series := assemble.NewGraph(&w), assemble.NewSeries(w, time.Minute, nil)
	for n := range 30 {
		for tr, err := range s.Traces(context.Background(), owner, []trace.ID{idOf(n)}, answer.Reach{}) {
			if err != nil {
				t.Fatal(err)
			}
			if member, any := g.Member(tr, assemble.Summary(tr)); any {
				graph.Add(tr, member)
				series.Add(tr, member)
			}
		}
	}
	got, err := s.Graph(context.Background(), owner, answer.GraphQuery{Window: w, Group: g})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := graphText(got), graphText(graph.Graph()); got != want {
		t.Fatalf("graph of %v:\n got %s\nwant %s", w, got, want)
	}
	points, err := s.Series(context.Background(), owner, answer.SeriesQuery{Window: w, Period: time.Minute, Group: g})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := seriesText(points), seriesText(series.Series()); got != want {
		t.Fatalf("series of %v:\n got %s\nwant %s", w, got, want)
	}
}

func graphText(g *trace.Graph) string {
	text := fmt.Sprint(g.Start, g.End, g.OldGroupVersions)
	for _, s := range g.Services {
		text += fmt.Sprintf("\n%+v %s root=%v %d-%d %+v %v %v", s.Service, s.State, s.Root, s.Start, s.End, s.Statistics, s.Durations.Entries(), s.ResponseTimes.Entries())
		for _, e := range s.Edges {
			text += fmt.Sprintf("\n  to %+v %+v %v %v", e.To.Service, e.Statistics, e.ResponseTimes.Entries(), e.Aliases)
		}
	}
	return text
}

func seriesText(s *trace.Series) string {
	text := fmt.Sprint(s.OldGroupVersions)
	for _, p := range s.Points {
		text += fmt.Sprintf("\n%d %+v %v", p.End, p.Statistics, p.ResponseTimes.Entries())
	}
	return text
}
