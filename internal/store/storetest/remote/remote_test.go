package remote_test

import (
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/storetest"
	"github.com/fluoro-io/fluoro/internal/store/storetest/remote"
)

// faults are so frequent that most queries of a case meet some.
var faults = remote.Faults{Lost: 25, Broken: 40, Slow: 100}

func TestContract(t *testing.T) {
	var servers sync.Map // by shelf
	open := func(server *remote.Server, rules store.Rules) store.Shelf {
		s := remote.Open(server, rules)
		servers.Store(s, server)
		return s
	}
	storetest.Run(t, storetest.Engine{
		Open: func(t testing.TB, rules store.Rules) store.Shelf {
			server := remote.NewServer(rules, faults, 1)
			t.Cleanup(server.Close)
			return open(server, rules)
		},
		Reopen: func(_ testing.TB, closed store.Shelf, rules store.Rules) store.Shelf {
			server, _ := servers.Load(closed)
			return open(server.(*remote.Server), rules)
		},
		Settle: func(testing.TB, store.Shelf) {},
	})
}
