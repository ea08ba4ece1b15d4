package assemble

import (
	"bytes"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// withParent changes nothing but the parent, whatever the bytes are.
func FuzzWithParent(f *testing.F) {
	span := "\x0a\x02ab\x12\x0812345678\x22\x08parentid\x2a\x02op\x39\x01\x02\x03\x04\x05\x06\x07\x08\x85\x01\x01\x02\x03\x04\x30\x05"
	for _, seed := range []string{span, "", "\x22\x08short", "\x22\x88\x00parentid", "\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "\x22\x04four", "\x0b", span + span} {
		f.Add([]byte(seed))
	}
	other := trace.SegmentID([]byte("OTHER_ID"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		out := withParent(raw, other)
		if !bytes.Equal(raw, before) || len(out) != len(raw) {
			t.Fatalf("%q became %q", before, raw)
		}
		if again := withParent(out, other); !bytes.Equal(again, out) {
			t.Fatalf("%q, then %q", out, again)
		}
		if string(raw) == span && bytes.Contains(out, []byte("parentid")) {
			t.Fatalf("the parent stays: %q", out)
		}
	})
}
