package local_test

import (
	"context"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/store/storetest"
)

// onDisk is the engine on the real file system. Reopen needs to know the
// directory of a store, so it is kept beside it.
type onDisk struct {
	*local.Store
	options local.Options
}

func engine(change func(*local.Options)) storetest.Engine {
	open := func(t testing.TB, o local.Options) store.Store {
		t.Helper()
		s, err := local.Open(o)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return &onDisk{s, o}
	}
	return storetest.Engine{
		Open: func(t testing.TB) store.Store {
			o := local.Options{Dir: t.TempDir(), Retention: -1}
			if change != nil {
				change(&o)
			}
			return open(t, o)
		},
		Reopen: func(t testing.TB, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return open(t, s.(*onDisk).options)
		},
		Settle: func(t testing.TB, s store.Store) {
			if err := s.(*onDisk).Flush(context.Background()); err != nil {
				t.Fatalf("Flush: %v", err)
			}
		},
	}
}

func TestContract(t *testing.T) { storetest.Run(t, engine(nil)) }
