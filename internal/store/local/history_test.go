package local_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/store/storetest"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// inMemory is a shelf on a file system that can crash, with a clock of its own.
type inMemory struct {
	*local.Shelf
	fs  *vfs.Mem
	now *atomic.Int64
}

func openInMemory(t testing.TB, fs *vfs.Mem, now *atomic.Int64, rules store.Rules) store.Shelf {
	t.Helper()
	s, err := local.Open(local.Options{
		Rules: rules, Dir: "data", FS: fs, Keys: everywhere(), LogFileBytes: 20_000, SettleAfter: time.Minute, FlushAfter: time.Minute,
		Now: func() time.Time { return time.Unix(1_790_000_000, now.Load()) },
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return &inMemory{s, fs, now}
}

// setting reads a number of the environment, for longer runs than usual.
func setting(t testing.TB, name string, fallback uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("$%s: %v", name, err)
	}
	return n
}

// Any order, any batches, settling, merging, deletions, restarts and crashes at
// any time give the answers that one batch would. $FLUORO_HISTORIES says how many
// histories are lived (120), $FLUORO_HISTORY_SEED the first one's seed (0): with
// both, a history that failed is lived again.
func TestHistory_givesTheAnswersOfTheModel(t *testing.T) {
	count := setting(t, "FLUORO_HISTORIES", 120)
	if testing.Short() {
		count = min(count, 10)
	}
	engine := storetest.Engine{
		Open: func(t testing.TB, rules store.Rules) store.Shelf {
			return openInMemory(t, vfs.NewMem(), &atomic.Int64{}, rules)
		},
		Reopen: func(t testing.TB, closed store.Shelf, rules store.Rules) store.Shelf {
			return openInMemory(t, closed.(*inMemory).fs, closed.(*inMemory).now, rules)
		},
		Settle: func(t testing.TB, s store.Shelf) {
			if err := s.(*inMemory).Flush(context.Background()); err != nil {
				t.Fatalf("Flush: %v", err)
			}
		},
	}
	first := setting(t, "FLUORO_HISTORY_SEED", 0)
	for seed := first; seed < first+count; seed++ {
		ok := t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			storetest.History(t, engine, seed, func(rnd *rand.Rand, s store.Shelf) func(store.Rules) store.Shelf {
				m := s.(*inMemory)
				switch rnd.IntN(7) {
				case 0, 1:
					engine.Settle(t, s)
				case 2, 3: // time goes by: what has been idle for long enough settles
					m.now.Add(rnd.Int64N(int64(90 * time.Second)))
					m.SettleDue()
				case 4:
					m.Merge()
				case 5:
					return func(rules store.Rules) store.Shelf { return engine.Reopen(t, s, rules) }
				case 6:
					m.fs.Before(func(vfs.Op) error { return vfs.ErrCrashed })
					return func(rules store.Rules) store.Shelf { return openInMemory(t, m.fs.Crash(rnd), m.now, rules) }
				}
				return nil
			})
		})
		if !ok {
			t.Fatalf("live it again with FLUORO_HISTORIES=1 FLUORO_HISTORY_SEED=%d", seed)
		}
	}
}
