package otlp

import (
	"strings"
	"testing"
)

// Every name has its key, a name that differs in one byte has none, and a lookup
// examines few slots.
func TestKeyOf(t *testing.T) {
	seen := map[string]bool{}
	most := 0
	for k := keyOther + 1; k < keyCount; k++ {
		name := keyNames[k]
		if name == "" || seen[name] || len(name) < shortestKey {
			t.Fatalf("key %d has the name %q", k, name)
		}
		seen[name] = true
		if got := keyOf(strings.Clone(name)); got != k {
			t.Errorf("%s is key %d, want %d", name, got, k)
		}
		steps := 1
		for i := keyHash(name); keySlots[i] != k; i = (i + 1) % len(keySlots) {
			steps++
		}
		most = max(most, steps)
		for i := range name {
			for _, other := range []string{name[:i] + "~" + name[i+1:], name[:i], name + name[:i+1]} {
				if got := keyOf(other); got != keyOther && keyNames[got] != other {
					t.Errorf("%q is key %d, %s", other, got, keyNames[got])
				}
			}
		}
	}
	if most > 5 {
		t.Errorf("a lookup looks at %d slots", most)
	}
	for _, name := range []string{"", "a", "http.", "app.tenant", "HTTP.METHOD"} {
		if got := keyOf(name); got != keyOther {
			t.Errorf("%q is key %d", name, got)
		}
	}
}

func BenchmarkKeyOf(b *testing.B) {
	names := []string{"http.request.method", "http.route", "url.path", "url.scheme", "http.response.status_code", "user_agent.original", "client.address",
		"network.protocol.version", "app.tenant", "server.address", "db.query.text", "code.function.name", "thread.name", "rpc.method", "aws.request_id"}
	for b.Loop() {
		for _, name := range names {
			if keyOf(name) == keyCount {
				b.Fatal(name)
			}
		}
	}
}
