package audit_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// FuzzRead gives any text to everything that reads files of an audit directory: nothing
// panics, and Verify accepts no file that differs from the written one.
func FuzzRead(f *testing.F) {
	fsys := vfs.NewMem()
	l, err := audit.Open(f.Context(), audit.Options{Dir: "a", FS: fsys, Signer: signer(), Owner: owner})
	if err != nil {
		f.Fatal(err)
	}
	write(f, l, numbered(0, 3)...)
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	read := func(name string) []byte {
		file, err := fsys.Open(name)
		if err != nil {
			f.Fatal(err)
		}
		size, _ := file.Size()
		b := make([]byte, size)
		_, _ = file.ReadAt(b, 0)
		return b
	}
	original := read("a/00000001.jsonl")
	f.Add(original)
	f.Add(read("a/head"))
	for line := range strings.Lines(string(original)) {
		f.Add([]byte(strings.TrimSuffix(line, "\n")))
	}
	f.Add(read("a/digests/" + list(f, fsys, "a/digests")[0]))
	f.Add([]byte(`{"fluoro-audit":1,"file":1,"first":18446744073709551615,"prev":""}`))
	f.Add([]byte(`{"seq":1,"prev":"00","event":null}`))
	f.Add([]byte("{\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		audit.ParseAll(text)
		changed := vfs.NewMem()
		if err := changed.MkdirAll("a/digests"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a/00000001.jsonl", "a/head", "a/digests/" + list(t, fsys, "a/digests")[0]} {
			content := read(name)
			if name == "a/00000001.jsonl" {
				content = text
			}
			file, err := changed.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = file.Write(content)
		}
		r := verify(t, changed, "a", seal.Off{})
		if same := string(text) == string(original); same != (len(r.Problems) == 0) {
			t.Errorf("same %v, problems %v", same, r.Problems)
		}
	})
}

// FuzzEvent puts any text into the members that come from requests: the record is one
// line of printable ASCII, and has the text again when it is read.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{"curl/8", "a\nb", "\x1b[2J", "\u2028\u0085\u009b31m", "\xff\xfe", `","eventName":"Other`, strings.Repeat("é", 2000), "😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := audit.NewEvent(owner, s, map[string]any{s: s})
		e.Agent, e.ErrorMessage, e.Parameters = s, s, map[string]any{"filterExpression": s}
		e.UserIdentity.UserName = s
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("byte %#x in %q", c, b)
			}
		}
		var again audit.Event
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && len(s) <= 1024 && (again.Agent != s || again.UserIdentity.UserName != s) {
			t.Errorf("%q became %q", s, again.Agent)
		}
		if len(again.Agent) > 3*1024 || again.ID == "" {
			t.Errorf("agent of %d bytes, id %q", len(again.Agent), again.ID)
		}
	})
}

// BenchmarkWrite measures one record, from the event to the file.
func BenchmarkWrite(b *testing.B) {
	for _, durable := range []bool{false, true} {
		for _, k := range []seal.Keys{seal.Off{}, keys{seal.NewKey(1, [32]byte{1})}} {
			name := map[bool]string{false: "written", true: "durable"}[durable]
			if _, off := k.(seal.Off); !off {
				name += " sealed"
			}
			b.Run(name, func(b *testing.B) {
				l, err := audit.Open(b.Context(), audit.Options{Dir: filepath.Join(b.TempDir(), "a"), Keys: k, Signer: signer(), Owner: owner, Durable: durable})
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				b.ReportAllocs()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						e := audit.NewEvent(owner, "GetTraceSummaries", nil)
						e.Parameters = map[string]any{"startTime": "2026-11-29T12:00:00Z", "endTime": "2026-11-29T13:00:00Z", "filterExpression": `service("shop") { fault }`}
						if err := l.Write(e); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
