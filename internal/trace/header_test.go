package trace_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	root   = "1-5759e988-bd862e3fe1be46a994272793"
	parent = "53995c3f42cd8ad8"
)

func TestParseHeader(t *testing.T) {
	joined := "Root=" + root + ";Parent=" + parent
	type fields = []trace.HeaderField
	for _, c := range []struct {
		name, header string
		want         trace.Header
		written, err string
	}{
		{"as SDKs write it", joined + ";Sampled=1", trace.Header{Root: root, Parent: parent, Sampled: trace.Sampled}, joined + ";Sampled=1", ""},
		{"not sampled", joined + ";Sampled=0", trace.Header{Root: root, Parent: parent, Sampled: trace.NotSampled}, joined + ";Sampled=0", ""},
		{"asks for a decision", "Root=" + root + ";Sampled=?", trace.Header{Root: root, Sampled: trace.DecisionRequested}, "Root=" + root + ";Sampled=?", ""},
		{"no decision", joined, trace.Header{Root: root, Parent: parent}, joined + ";", ""},
		{"other decision", joined + ";Sampled=true", trace.Header{Root: root, Parent: parent}, joined + ";", ""},
		{"decision with blanks", joined + ";Sampled= 1", trace.Header{Root: root, Parent: parent}, joined + ";", ""},
		{"blanks around", " \tRoot=" + root + " ;  Parent=" + parent + "; Sampled=1 ", trace.Header{Root: root, Parent: parent, Sampled: trace.Sampled}, joined + ";Sampled=1", ""},
		{"other order", "Sampled=1;Parent=" + parent + ";Root=" + root, trace.Header{Root: root, Parent: parent, Sampled: trace.Sampled}, joined + ";Sampled=1", ""},
		{"load balancer", "Self=1-67891234-12456789abcdef012345678;Root=" + root, trace.Header{Root: root}, "Root=" + root + ";", ""},
		{"lineage", joined + ";Sampled=1;Lineage=100:e3b0c442:11", trace.Header{Root: root, Parent: parent, Sampled: trace.Sampled, Extra: fields{{"Lineage", "100:e3b0c442:11"}}}, joined + ";Sampled=1;Lineage=100:e3b0c442:11", ""},
		{"extra keys in order, last value", "b=1;Root=" + root + ";a=2;b=3=4", trace.Header{Root: root, Extra: fields{{"b", "3=4"}, {"a", "2"}}}, "Root=" + root + ";;b=3=4;a=2", ""},
		{"keys in other case are other keys", "root=x;Root=" + root, trace.Header{Root: root, Extra: fields{{"root", "x"}}}, "Root=" + root + ";;root=x", ""},
		{"blank before the equals sign", "Root=" + root + ";Sampled =1", trace.Header{Root: root, Extra: fields{{"Sampled ", "1"}}}, "Root=" + root + ";;Sampled =1", ""},
		{"the last of two roots", "Root=x;Root=" + root, trace.Header{Root: root}, "Root=" + root + ";", ""},
		{"parts without equals sign", ";garbage;;Root=" + root + ";Sampled", trace.Header{Root: root}, "Root=" + root + ";", ""},
		{"empty key", "Root=" + root + ";=v", trace.Header{Root: root, Extra: fields{{"", "v"}}}, "Root=" + root + ";;=v", ""},
		{"empty parent", "Root=" + root + ";Parent=", trace.Header{Root: root}, "Root=" + root + ";", ""},
		{"id of the no-op segment", "Root=1-00000000-000000000000000000000000;Sampled=0", trace.Header{Root: "1-00000000-000000000000000000000000", Sampled: trace.NotSampled}, "Root=1-00000000-000000000000000000000000;Sampled=0", ""},

		{"empty", "", trace.Header{}, "", "tracing header has no Root"},
		{"a root alone", root, trace.Header{}, "", "tracing header has no Root"},
		{"parent alone", "Parent=" + parent, trace.Header{Parent: parent}, "Parent=" + parent + ";", "tracing header has no Root"},
		{"decision alone", "Sampled=1", trace.Header{Sampled: trace.Sampled}, "Sampled=1", "tracing header has no Root"},
		{"root of another version", "Root=2-5759e988-bd862e3fe1be46a994272793", trace.Header{Root: "2-5759e988-bd862e3fe1be46a994272793"}, "Root=2-5759e988-bd862e3fe1be46a994272793;", "tracing header: Root: trace id"},
		{"root in W3C form", "Root=5759e988bd862e3fe1be46a994272793", trace.Header{Root: "5759e988bd862e3fe1be46a994272793"}, "Root=5759e988bd862e3fe1be46a994272793;", "tracing header: Root: trace id"},
		{"short parent", "Root=" + root + ";Parent=1", trace.Header{Root: root, Parent: "1"}, "Root=" + root + ";Parent=1;", "tracing header: Parent: segment id"},
		{"too long", "Root=" + root + ";x=" + strings.Repeat("y", trace.MaxHeader), trace.Header{}, "", "tracing header of 4139 bytes: at most 4096 are read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := trace.ParseHeader(c.header)
			if !reflect.DeepEqual(got, c.want) || got.String() != c.written {
				t.Errorf("got  %+v, %q\nwant %+v, %q", got, got.String(), c.want, c.written)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestHeader_ids(t *testing.T) {
	h, err := trace.ParseHeader("Root=" + strings.ToUpper(root) + ";Parent=" + strings.ToUpper(parent))
	if err != nil {
		t.Fatal(err)
	}
	id, err := h.TraceID()
	if err != nil || id.String() != root {
		t.Errorf("%s, %v", id, err)
	}
	if p, err := h.ParentID(); err != nil || p.String() != parent {
		t.Errorf("%s, %v", p, err)
	}
	h.Parent = ""
	if p, err := h.ParentID(); err != nil || !p.IsZero() {
		t.Errorf("%s, %v", p, err)
	}
}

// TestParseHeader_corpus compares with recordings of the X-Ray SDK for Go.
func TestParseHeader_corpus(t *testing.T) {
	shared := os.Getenv("FLUORO_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	text, err := os.ReadFile(filepath.Join(shared, "corpus", "propagation", "xray-sdk-go-header.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the corpus is missing: %v (FLUORO_SHARED names its folder)", err)
		}
		t.Skipf("no corpus: %v (FLUORO_SHARED names its folder)", err)
	}
	var cases []struct{ Header, Root, Parent, Sampled, Reserialised string }
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for _, c := range cases {
		h, err := trace.ParseHeader(c.Header)
		sampled := ""
		if h.Sampled != trace.NoDecision {
			sampled = "Sampled=" + string(h.Sampled)
		}
		if h.Root != c.Root || h.Parent != c.Parent || sampled != c.Sampled {
			t.Errorf("%q: got %+v, want %+v", c.Header, h, c)
		}
		// The recording has no text where the SDK's order of fields is random.
		if got := h.String(); got != c.Reserialised && (c.Reserialised != "" || c.Root+c.Parent+c.Sampled == "") {
			t.Errorf("%q: written as %q, want %q", c.Header, got, c.Reserialised)
		}
		if joins := strings.HasPrefix(c.Root, "1-") && len(c.Root) == 35; joins != (err == nil) {
			t.Errorf("%q: %v", c.Header, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"", "Root=" + root + ";Parent=" + parent + ";Sampled=1", "Root=" + root + "; Sampled=?;Lineage=1:a|2:b", "Self=x;Root=y;=;a=b=c;a=d; e = f ", "Sampled=true;Parent=\xff;\u00a0Root=1", ";;;", "=", "a=;a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := trace.ParseHeader(s)
		if err == nil {
			id, idErr := h.TraceID()
			_, parentErr := h.ParentID()
			if idErr != nil || parentErr != nil || !strings.EqualFold(id.String(), h.Root) {
				t.Fatalf("%+v: %v, %v", h, idErr, parentErr)
			}
		}
		written := h.String()
		if len(written) > len(s)+1+len(h.Extra) {
			t.Fatalf("%q became %q", s, written)
		}
		if len(written) > trace.MaxHeader {
			return
		}
		again, againErr := trace.ParseHeader(written)
		if !reflect.DeepEqual(again, h) || again.String() != written {
			t.Fatalf("%q: %+v written as %q, read again as %+v", s, h, written, again)
		}
		if len(s) <= trace.MaxHeader && (err == nil) != (againErr == nil) {
			t.Fatalf("%q: %v, written anew %v", s, err, againErr)
		}
	})
}
