package decode_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// chain returns n nested subsegments, with content in the innermost.
func chain(n int, content string) string {
	const head = `"name":"s","start_time":1,"end_time":2`
	open := `{"id":"53995c3f42cd8ad9",` + head + `,"subsegments":[`
	return edited(edit{"subsegments": "[" + strings.Repeat(open, n) + content + strings.Repeat("]}", n) + "]"})
}

// TestDocument_hostile limits the cost of a document.
func TestDocument_hostile(t *testing.T) {
	const one = `{"id":"53995c3f42cd8ad9","name":"s","start_time":1,"end_time":2}`
	repeat := func(s string, n int) string { return strings.Repeat(s+",", n-1) + s }
	tooLarge := func(n int) string {
		return fmt.Sprintf("Invalid segment. ErrorCode: DocumentTooLarge: %d bytes, at most 1048576 are taken", n)
	}
	tenMB := edited(edit{"metadata": `"` + strings.Repeat("x", 10<<20) + `"`})
	many := edited(edit{"subsegments": "[" + repeat(one, 100_000) + "]"})
	deepest := chain(255, "")
	keys := make([]string, 75_000/2)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":%d`, i, i%7)
	}
	for _, c := range []struct {
		name, doc, code, message string // code "": accepted
		entities                 int
	}{
		{"10 MB", tenMB, "DocumentTooLarge", tooLarge(len(tenMB)), 0},
		{"100,000 subsegments", many, "DocumentTooLarge", tooLarge(len(many)), 0},
		{"16,000 subsegments with one id", edited(edit{"subsegments": "[" + repeat(one, 16_000) + "]"}), "", "", 16_001},
		{"nested 10,000 deep", chain(10_000, ""), "ParseError", "Invalid segment. ErrorCode: ParseError", 0},
		{"arrays 10,000 deep", edited(edit{"metadata": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)}), "ParseError", "Invalid segment. ErrorCode: ParseError", 0},
		{"500,000 brackets", strings.Repeat("[", 500_000), "ParseError", "Invalid segment. ErrorCode: ParseError", 0},
		{"500,000 open objects", strings.Repeat(`{"":`, 200_000), "ParseError", "Invalid segment. ErrorCode: ParseError", 0},
		{"as deep as it goes", deepest, "", "", 256},
		{"as deep as it goes around 15,000", chain(254, repeat(one, 15_000)), "", "", 15_255},
		{"as deep as it goes around numbers", chain(254, strings.Replace(one, "}", `,"metadata":[`+repeat("0", 480_000)+`]}`, 1)), "", "", 256},
		{"330,000 exceptions", edited(edit{"cause": `{"exceptions":[` + repeat("{}", 330_000) + `]}`}), "", "", 1},
		{"170,000 annotations", edited(edit{"annotations": `{` + repeat(`"":1`, 170_000) + `}`}), "", "", 1},
		{"37,500 annotations, twice", edited(edit{"annotations": "{" + strings.Join(keys, ",") + "," + strings.Join(keys, ",") + "}"}), "", "", 1},
		{"330,000 empty links", edited(edit{"links": `[` + repeat("{}", 330_000) + `]`}), "", "", 1},
		{"100,000 times the same member", edited(nil)[:len(edited(nil))-1] + "," + repeat(`"name":"x"`, 90_000) + "}", "", "", 1},
		{"backslashes", edited(edit{"user": `"` + strings.Repeat(`\\`, 500_000) + `"`}), "", "", 1},
		{"quotes", edited(edit{"user": `"` + strings.Repeat(`\"`, 500_000) + `"`}), "", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := []byte(c.doc)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			segments, refusal := decode.Document(doc, at)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			switch {
			case c.code == "" && refusal != nil:
				t.Fatalf("refused: %s", refusal)
			case c.code != "" && (refusal == nil || refusal.Code != c.code || refusal.Message != c.message):
				t.Fatalf("got %v, want %s: %s", refusal, c.code, c.message)
			case c.code == "" && count(&segments[0].Entity) != c.entities:
				t.Errorf("%d entities, want %d", count(&segments[0].Entity), c.entities)
			}
			// Generous, for slow machines: rescanning at each level costs seconds.
			if took > time.Second {
				t.Errorf("took %v", took)
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			if limit := uint64(64*trace.MaxDocument + 1<<20); allocated > limit || c.code != "" && allocated > 1<<18 {
				t.Errorf("allocated %d bytes", allocated)
			}
			t.Logf("%d bytes: %v, %d bytes allocated", len(doc), took, allocated)
		})
	}
}

func count(e *trace.Entity) int {
	n := 1
	for _, child := range e.Subsegments {
		n += count(child)
	}
	return n
}
