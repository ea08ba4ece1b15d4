package local_test

import (
	"context"
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/store/storetest"
)

// engine is the shelf on the real file system. Reopen needs to know the directory of
// a shelf, so it is kept beside it.
func engine(change func(*local.Options)) storetest.Engine {
	var dirs sync.Map // of shelves
	open := func(t testing.TB, dir string, rules store.Rules) store.Shelf {
		t.Helper()
		o := local.Options{Dir: dir, Rules: rules, Keys: everywhere()}
		if change != nil {
			change(&o)
		}
		s, err := local.Open(o)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		dirs.Store(s, dir)
		return s
	}
	return storetest.Engine{
		Open: func(t testing.TB, rules store.Rules) store.Shelf { return open(t, t.TempDir(), rules) },
		Reopen: func(t testing.TB, closed store.Shelf, rules store.Rules) store.Shelf {
			dir, _ := dirs.Load(closed.(*local.Shelf))
			return open(t, dir.(string), rules)
		},
		Settle: func(t testing.TB, s store.Shelf) {
			if err := s.(*local.Shelf).Flush(context.Background()); err != nil {
				t.Fatalf("Flush: %v", err)
			}
		},
	}
}

func TestContract(t *testing.T) { storetest.Run(t, engine(nil)) }
