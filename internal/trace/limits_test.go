package trace

import (
	"strings"
	"testing"
)

func TestCutName(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"", ""}, {"a", "a"}, {strings.Repeat("a", 200), strings.Repeat("a", 200)}, {strings.Repeat("a", 201), strings.Repeat("a", 200)},
		{strings.Repeat("日", 200), strings.Repeat("日", 200)}, {strings.Repeat("日", 201), strings.Repeat("日", 200)}, {strings.Repeat("\xff", 201), strings.Repeat("\xff", 200)},
	} {
		if got := CutName(c.name); got != c.want {
			t.Errorf("%.10q of %d bytes: %d bytes, want %d", c.name, len(c.name), len(got), len(c.want))
		}
	}
}

func TestParseStatus(t *testing.T) {
	for text, want := range map[string]int64{
		"503": 503, " 503 ": 503, "503.0": 503, "5.03e2": 503, "503 Service Unavailable": 503, "HTTP/1.1 503 Service Unavailable": 503, "http/2 404": 404, "200,": 200, "0": 0,
		"": -1, "OK": -1, "-1": -1, "503.5": -1, "HTTP/1.1": -1, "1e300": -1, "0x1f": -1, "١٢": -1,
	} {
		got, ok := ParseStatus(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
