package receive

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// squeeze compresses with the libraries that senders use.
func squeeze(t testing.TB, how string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zlib":
		w = zlib.NewWriter(&out)
	case "raw":
		w, err = flate.NewWriter(&out, 6)
	case "stored":
		w, err = flate.NewWriter(&out, 0)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "zstd all":
		z, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return z.EncodeAll(b, nil)
	case "zstd wide":
		w, err = zstd.NewWriter(&out, zstd.WithWindowSize(64<<20))
	case "snappy":
		return snappy.Encode(nil, b)
	case "framed":
		w = snappy.NewBufferedWriter(&out)
	case "":
		return b
	}
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCodingsOf(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"", ""}, {"identity", ""}, {"gzip", "gzip"}, {"GZIP", "gzip"}, {"X-GZip", "gzip"}, {" gzip ", "gzip"}, {"deflate", "deflate"}, {"zlib", "deflate"},
		{"Zstd", "zstd"}, {"snappy", "snappy"}, {"x-snappy-framed", "snappy"}, {"gzip, identity", "gzip"}, {"deflate,gzip", "deflate gzip"}, {"gzip,,", "gzip"},
		{"br", "unsupported"}, {"compress", "unsupported"}, {"gzip, br", "unsupported"}, {"gzip,gzip,gzip,gzip", "unsupported"}, {"gzip;q=1", "unsupported"},
	} {
		got, err := codingsOf([]string{c.header})
		var names []string
		for _, g := range got {
			names = append(names, string(g))
		}
		if err != nil {
			names = []string{"unsupported"}
			if trace.KindOf(err) != trace.KindUnsupported || !strings.Contains(err.Error(), "want") {
				t.Errorf("%q: %v", c.header, err)
			}
		}
		if strings.Join(names, " ") != c.want {
			t.Errorf("%q: %v, want %s", c.header, names, c.want)
		}
	}
	if got, err := codingsOf([]string{"deflate", "gzip"}); err != nil || len(got) != 2 || got[1] != gzipCoding {
		t.Errorf("two headers: %v, %v", got, err)
	}
}

func TestDecompress(t *testing.T) {
	text := []byte(strings.Repeat("What came compressed is what was sent. ", 20_000))
	in := New(Options{MaxInFlight: 64 << 20})
	for _, c := range []struct {
		coding string
		body   []byte
	}{
		{"gzip", squeeze(t, "gzip", text)},
		{"gzip", append(squeeze(t, "gzip", text[:1000]), squeeze(t, "gzip", text[1000:])...)},
		{"deflate", squeeze(t, "zlib", text)},
		{"deflate", squeeze(t, "raw", text)},
		{"deflate", squeeze(t, "stored", text)},
		{"zstd", squeeze(t, "zstd", text)},
		{"zstd", squeeze(t, "zstd all", text)},
		{"zstd", append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00skip"), squeeze(t, "zstd", text)...)},
		{"zstd", append(squeeze(t, "zstd all", text[:1000]), squeeze(t, "zstd", text[1000:])...)},
		{"snappy", squeeze(t, "snappy", text)},
		{"snappy", squeeze(t, "framed", text)},
		{"deflate, gzip", squeeze(t, "gzip", squeeze(t, "zlib", text))},
		{"snappy, zstd, gzip", squeeze(t, "gzip", squeeze(t, "zstd", squeeze(t, "snappy", text)))},
		{"identity", text},
	} {
		codings, err := codingsOf([]string{c.coding})
		if err != nil {
			t.Fatal(err)
		}
		for _, reuse := range []bool{false, true} { // twice, because readers and buffers are used again
			taken := &reservation{in: in}
			got, err := in.decompress(bytes.Clone(c.body), codings, taken, 1<<20, reuse)
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes, %v", c.coding, len(got), err)
			}
			if int64(cap(got)) > taken.bytes && len(codings) > 0 {
				t.Errorf("%s: room %d for %d bytes", c.coding, taken.bytes, cap(got))
			}
			if taken.release(); in.InFlight() != 0 {
				t.Errorf("%s: %d in flight", c.coding, in.InFlight())
			}
		}
	}
}

// A body that is not compressed as declared, does not fit or continues after its end is
// refused, and its room is freed.
func TestDecompress_bad(t *testing.T) {
	text := []byte(strings.Repeat("x", 2<<20))
	in := New(Options{MaxInFlight: 32 << 20})
	for _, c := range []struct {
		name, coding string
		body         []byte
		kind         trace.Kind
	}{
		{"empty", "gzip", nil, trace.KindInvalid},
		{"empty", "zstd", nil, trace.KindInvalid},
		{"empty", "snappy", nil, trace.KindInvalid},
		{"plain", "gzip", []byte("plain text"), trace.KindInvalid},
		{"plain", "deflate", []byte("plain text"), trace.KindInvalid},
		{"plain", "zstd", []byte("plain text"), trace.KindInvalid},
		{"plain", "snappy", []byte("plain text"), trace.KindInvalid},
		{"cut", "gzip", squeeze(t, "gzip", text)[:1000], trace.KindInvalid},
		{"cut", "deflate", squeeze(t, "zlib", text)[:1000], trace.KindInvalid},
		{"cut", "deflate", squeeze(t, "raw", text)[:1000], trace.KindInvalid},
		{"cut", "zstd", squeeze(t, "zstd", text)[:60], trace.KindInvalid},
		{"cut", "snappy", squeeze(t, "framed", text)[:1000], trace.KindInvalid},
		{"more", "gzip", append(squeeze(t, "gzip", text[:9]), "more"...), trace.KindInvalid},
		{"more", "deflate", append(squeeze(t, "zlib", text[:9]), "more"...), trace.KindInvalid},
		{"more", "deflate", append(squeeze(t, "raw", text[:9]), "more"...), trace.KindInvalid},
		{"more", "zstd", append(squeeze(t, "zstd", text[:9]), "more"...), trace.KindInvalid},
		{"bomb", "gzip", squeeze(t, "gzip", text), trace.KindTooLarge},
		{"bomb", "deflate", squeeze(t, "zlib", text), trace.KindTooLarge},
		{"bomb", "zstd", squeeze(t, "zstd", text), trace.KindTooLarge},
		{"bomb", "snappy", squeeze(t, "snappy", text), trace.KindTooLarge},
		{"bomb", "snappy", squeeze(t, "framed", text), trace.KindTooLarge},
		{"bomb between", "gzip, gzip", squeeze(t, "gzip", bytes.Repeat(squeeze(t, "gzip", nil), 100_000)), trace.KindTooLarge},
		{"wide bomb", "zstd", squeeze(t, "zstd wide", bytes.Repeat(text, 40)), trace.KindTooLarge},
	} {
		codings, err := codingsOf([]string{c.coding})
		if err != nil {
			t.Fatal(err)
		}
		taken := &reservation{in: in}
		_, err = in.decompress(bytes.Clone(c.body), codings, taken, 1<<20, false)
		if err == nil || trace.KindOf(err) != c.kind {
			t.Errorf("%s %s: %v, want kind %d", c.name, c.coding, err, c.kind)
		}
		if taken.release(); in.InFlight() != 0 {
			t.Errorf("%s %s: %d in flight", c.name, c.coding, in.InFlight())
		}
	}
	tight := New(Options{MaxInFlight: 1 << 20})
	for _, how := range []string{"gzip", "zlib", "zstd", "snappy"} {
		codings, _ := codingsOf([]string{how})
		taken := &reservation{in: tight}
		if _, err := tight.decompress(squeeze(t, how, text), codings, taken, 64<<20, false); trace.KindOf(err) != trace.KindTooLarge {
			t.Errorf("%s does not fit: %v", how, err)
		}
		if taken.release(); tight.InFlight() != 0 {
			t.Errorf("%s: %d in flight", how, tight.InFlight())
		}
	}
}

// No body takes more than its limit or panics, whatever coding it declares.
func FuzzDecompress(f *testing.F) {
	for _, how := range []string{"gzip", "zlib", "raw", "stored", "zstd", "zstd all", "snappy", "framed"} {
		coding := map[string]string{"zlib": "deflate", "raw": "deflate", "stored": "deflate", "zstd all": "zstd", "framed": "snappy"}[how]
		if coding == "" {
			coding = how
		}
		f.Add(coding, squeeze(f, how, []byte("a body of a request, a body of a request")))
	}
	f.Add("gzip,zstd", []byte("\x28\xb5\x2f\xfd\x24\xff"))
	f.Add("snappy", binaryLength)
	in := New(Options{MaxInFlight: 16 << 20})
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		codings, err := codingsOf([]string{header})
		if err != nil {
			return
		}
		taken := &reservation{in: in}
		out, err := in.decompress(bytes.Clone(body), codings, taken, 1<<20, true)
		if err == nil && len(codings) > 0 && (len(out) > 1<<20 || taken.bytes < int64(cap(out))) {
			t.Fatalf("%d bytes of %d in room of %d", len(out), cap(out), taken.bytes)
		}
		if taken.release(); in.InFlight() != 0 {
			t.Fatalf("%d in flight", in.InFlight())
		}
	})
}

// binaryLength is a snappy block that announces 4 GB.
var binaryLength = append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, s2.Encode(nil, []byte("x"))...)
