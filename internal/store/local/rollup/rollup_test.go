package rollup_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const base = int64(1_764_000_000) - 40 // not just before a full hour, which would be too easy

// randomTrace makes a trace with a few services that call each other, documents
// received at different times, inferred callees, entities in progress and links.
func randomTrace(rnd *rand.Rand, n int) *trace.Trace {
	var id trace.ID
	id[15], id[14] = byte(n), byte(n>>8)
	start := trace.Time(base+rnd.Int64N(2*3600))*1e9 + trace.Time(rnd.Int64N(1e9))
	services := []string{"front", "cart", "stock", "pay"}
	var segments []*trace.Segment
	for i := range 1 + rnd.IntN(5) {
		s := &trace.Segment{TraceID: id, Source: trace.SourceDocument, ReceivedAt: start + trace.Time(rnd.Int64N(100e9))}
		s.ID, s.Name, s.Start = trace.SegmentID{1, byte(i)}, services[rnd.IntN(len(services))], start
		s.End = start + trace.Time(rnd.Int64N(int64(5*time.Second)))
		s.Fault, s.Error = rnd.IntN(5) == 0, rnd.IntN(5) == 0
		s.InProgress = rnd.IntN(10) == 0
		if i > 0 {
			s.ParentID = trace.SegmentID{2, byte(rnd.IntN(i))}
		}
		call := &trace.Entity{ID: trace.SegmentID{2, byte(i)}, ParentID: s.ID, Name: services[rnd.IntN(len(services))], Namespace: "remote", Start: start, End: s.End, Subsegment: true}
		s.Subsegments = []*trace.Entity{call}
		if rnd.IntN(4) == 0 {
			s.Links = []trace.Link{{TraceID: trace.ID{15: byte(rnd.IntN(n + 1))}, ID: trace.SegmentID{1, 0}, Child: rnd.IntN(2) == 0}}
		}
		segments = append(segments, s)
	}
	return assemble.Trace(id, segments)
}

func build(t *testing.T, owner rollup.Owner, list []*trace.Trace) *rollup.File {
	var b rollup.Builder
	for _, tr := range list {
		b.Add(owner, tr, trace.Window{Start: trace.MinTime, End: trace.MaxTime})
	}
	return open(t, b.Encode())
}

func open(t *testing.T, b []byte) *rollup.File {
	t.Helper()
	f, err := rollup.InMemory(b, rollup.NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	return f
}

func graphJSON(t *testing.T, b *assemble.GraphBuilder, all []*trace.Trace) string {
	t.Helper()
	linked := b.Linked()
	for _, tr := range all {
		if slices.Contains(linked, tr.ID) {
			b.Resolve(tr)
		}
	}
	text := ""
	g := b.Graph()
	for _, s := range g.Services {
		text += fmt.Sprintf("\n%+v %s root=%v %d-%d %+v %v %v", s.Service, s.State, s.Root, s.Start, s.End, s.Statistics, s.Durations.Entries(), s.ResponseTimes.Entries())
		for _, e := range s.Edges {
			text += fmt.Sprintf("\n  to %+v link=%v %+v %v %v %v", e.To.Service, e.Link, e.Statistics, e.ResponseTimes.Entries(), e.EventAges.Entries(), e.Aliases)
		}
	}
	return fmt.Sprint(g.Start, g.End, text)
}

// For any whole seconds, rollups count exactly like the traces, also after merges
// and subtractions.
func TestRollups_sayWhatTheTracesSay(t *testing.T) {
	owner := rollup.Owner{Account: "111122223333"}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var kept, gone, other []*trace.Trace
		for i := range 60 {
			tr := randomTrace(rnd, i)
			switch rnd.IntN(3) {
			case 0:
				gone = append(gone, tr)
			case 1:
				other = append(other, tr)
			default:
				kept = append(kept, tr)
			}
		}
		plus := []*rollup.File{build(t, owner, append(slices.Clone(kept), gone...)), build(t, owner, other)}
		minus := []*rollup.File{build(t, owner, gone)}
		b, _, err := rollup.Merge(plus, minus, 0)
		if err != nil {
			t.Fatal(err)
		}
		merged := open(t, b)
		all := append(slices.Clone(kept), other...)
		for range 30 {
			from := base + rnd.Int64N(3*3600) - 600
			to := from + rnd.Int64N(2*3600)
			if rnd.IntN(2) == 0 {
				from, to = from/60*60, to/60*60
			}
			window := trace.Window{Start: trace.Time(from) * 1e9, End: trace.Time(to) * 1e9}
			direct := assemble.NewGraph(&window)
			for _, tr := range all {
				direct.Add(tr, nil)
			}
			want := graphJSON(t, direct, all)
			parts, whole := assemble.NewGraph(nil), assemble.NewGraph(nil)
			for _, f := range plus {
				check(t, f.AddTo(parts.Sum(), owner, from, to, 1))
			}
			check(t, minus[0].AddTo(parts.Sum(), owner, from, to, -1))
			check(t, merged.AddTo(whole.Sum(), owner, from, to, 1))
			for name, b := range map[string]*assemble.GraphBuilder{"parts": parts, "merged": whole} {
				if got := graphJSON(t, b, all); got != want {
					t.Fatalf("seed %d, %s, seconds %d to %d:\n got %s\nwant %s", seed, name, from-base, to-base, got, want)
				}
			}
			compareSeries(t, owner, window, merged, all)
		}
	}
}

func compareSeries(t *testing.T, owner rollup.Owner, window trace.Window, f *rollup.File, all []*trace.Trace) {
	t.Helper()
	for _, text := range []string{"", `service("cart")`, `edge("front", "cart")`} {
		var of *filter.Entities
		if text != "" {
			var err error
			if of, err = filter.ParseEntities(text); err != nil {
				t.Fatal(err)
			}
		}
		direct, rolled := assemble.NewSeries(window, 5*time.Minute, of), assemble.NewSeries(window, 5*time.Minute, of)
		for _, tr := range all {
			direct.Add(tr, nil)
		}
		w := assemble.Minutes(window)
		check(t, f.AddSeries(rolled, owner, rollup.Second(w.Start), rollup.Second(w.End), 1))
		if got, want := seriesText(t, rolled), seriesText(t, direct); got != want {
			t.Fatalf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func seriesText(t *testing.T, b *assemble.SeriesBuilder) string {
	t.Helper()
	text := ""
	for _, p := range b.Series().Points {
		s, err := json.Marshal(p.Statistics)
		check(t, err)
		text += fmt.Sprintf("\n%d %s %v", p.End, s, p.ResponseTimes.Entries())
	}
	return text
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOwners_areApart(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	tr := randomTrace(rnd, 1)
	var b rollup.Builder
	everything := trace.Window{Start: trace.MinTime, End: trace.MaxTime}
	b.Add(rollup.Owner{Account: "1"}, tr, everything)
	b.Add(rollup.Owner{Account: "1", Version: "g.1"}, tr, trace.Window{Start: trace.MinTime, End: tr.FirstReceived + 1})
	f := open(t, b.Encode())
	var one, group, two assemble.Sum
	check(t, f.AddTo(&one, rollup.Owner{Account: "1"}, 0, 1<<40, 1))
	check(t, f.AddTo(&group, rollup.Owner{Account: "1", Version: "g.1"}, 0, 1<<40, 1))
	check(t, f.AddTo(&two, rollup.Owner{Account: "2"}, 0, 1<<40, 1))
	if one.Entities == 0 || group.Entities >= one.Entities && len(tr.Segments) > 1 || two.Entities != 0 {
		t.Errorf("entities: all %d, group %d, other account %d", one.Entities, group.Entities, two.Entities)
	}
}

func sample() []byte {
	rnd := rand.New(rand.NewPCG(3, 4))
	var b rollup.Builder
	for i := range 20 {
		b.Add(rollup.Owner{Account: "1"}, randomTrace(rnd, i), trace.Window{Start: trace.MinTime, End: trace.MaxTime})
	}
	return b.Encode()
}

// A flipped bit anywhere is found.
func TestFile_findsDamage(t *testing.T) {
	whole := sample()
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 1 << (i % 8)
		f, err := rollup.InMemory(b, rollup.NewCache(0))
		if err == nil {
			err = f.Check()
		}
		if err == nil {
			t.Fatalf("a flipped bit at %d of %d was not found", i, len(whole))
		}
	}
}

func FuzzInMemory(f *testing.F) {
	f.Add(sample())
	f.Add([]byte("FLUOROL\n"))
	folded := rollup.Builder{Limit: 2}
	for i := range 20 {
		folded.Add(rollup.Owner{Account: "1"}, randomTrace(rand.New(rand.NewPCG(uint64(i), 5)), i), trace.Window{Start: trace.MinTime, End: trace.MaxTime})
	}
	f.Add(folded.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := rollup.InMemory(b, rollup.NewCache(0))
		if err != nil {
			return
		}
		var sum assemble.Sum
		_ = r.AddTo(&sum, rollup.Owner{Account: "1"}, 0, 1<<40, 1) // damage is an error, never a panic
		_ = r.Names()
		if merged, _, err := rollup.Merge([]*rollup.File{r}, nil, 2); err == nil {
			if _, err := rollup.InMemory(merged, rollup.NewCache(0)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
