package memory_test

import (
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/store/storetest"
)

func TestContract(t *testing.T) {
	var kept sync.Map // the data of shelves
	open := func(data *memory.Data) store.Shelf {
		s := memory.Open(data)
		kept.Store(s, data)
		return s
	}
	storetest.Run(t, storetest.Engine{
		Open: func(testing.TB, store.Rules) store.Shelf { return open(memory.NewData()) },
		Reopen: func(_ testing.TB, closed store.Shelf, _ store.Rules) store.Shelf {
			data, _ := kept.Load(closed)
			return open(data.(*memory.Data))
		},
		Settle: func(testing.TB, store.Shelf) {}, // nothing ever moves
	})
}
