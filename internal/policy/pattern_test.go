package policy

import (
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{{"", "", true}, {"*", "", true}, {"**", "a", true}, {"a*c", "abbc", true}, {"a*c", "abcb", false}, {"?", "", false}, {"?b*", "ab", true}, {"a", "b", false}, {"*ab*ab", "abab", true}, {"*ab*ab", "ab", false}} {
		if got := globBytes(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.text, got)
		}
	}
	if globBytes(strings.Repeat("*a", 2000), strings.Repeat("a", 1999)+"b") { // must not take for ever
		t.Error("matched")
	}
}
