package storetest_test

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
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/store/storetest"
	"github.com/fluoro-io/fluoro/internal/store/storetest/remote"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// onDisk is a shelf on a file system that can crash, with a separate clock.
type onDisk struct {
	*local.Shelf
	fs  *vfs.Mem
	now *atomic.Int64
}

func openOnDisk(t testing.TB, fs *vfs.Mem, now *atomic.Int64, rules store.Rules) store.Shelf {
	s, err := local.Open(local.Options{
		Rules: rules, Dir: "data", FS: fs, LogFileBytes: 20_000, SettleAfter: time.Minute, FlushAfter: time.Minute,
		Now: func() time.Time { return time.Unix(1_790_000_000, now.Load()) },
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return &onDisk{s, fs, now}
}

func flush(t testing.TB, s store.Shelf) {
	if err := s.(*onDisk).Flush(context.Background()); err != nil {
		t.Fatalf("Flush: %v", err)
	}
}

// engines returns the memory shelf, the embedded engine, which settles, restarts and
// crashes, and the remote stand-in, which is flaky.
func engines(t testing.TB, seed uint64) []storetest.Named {
	return []storetest.Named{
		{Name: "memory", Engine: storetest.Engine{
			Open:   func(testing.TB, store.Rules) store.Shelf { return memory.Open(memory.NewData()) },
			Settle: func(testing.TB, store.Shelf) {},
		}},
		{Name: "local", Engine: storetest.Engine{
			Open: func(t testing.TB, rules store.Rules) store.Shelf {
				return openOnDisk(t, vfs.NewMem(), &atomic.Int64{}, rules)
			},
			Settle: flush,
		}, Upset: func(rnd *rand.Rand, s store.Shelf) func(store.Rules) store.Shelf {
			d := s.(*onDisk)
			again := func(rules store.Rules) store.Shelf { return openOnDisk(t, d.fs, d.now, rules) }
			switch rnd.IntN(4) {
			case 0:
				return again
			case 1:
				d.fs.Before(func(vfs.Op) error { return vfs.ErrCrashed })
				return func(rules store.Rules) store.Shelf { return openOnDisk(t, d.fs.Crash(rnd), d.now, rules) }
			default:
				flush(t, s)
			}
			return nil
		}},
		{Name: "remote", Engine: storetest.Engine{
			Open: func(t testing.TB, rules store.Rules) store.Shelf {
				server := remote.NewServer(rules, remote.Faults{Lost: 30, Broken: 40, Slow: 100}, seed)
				t.Cleanup(server.Close)
				return remote.Open(server, rules)
			},
			Settle: func(testing.TB, store.Shelf) {},
		}},
	}
}

// setting reads a number from the environment, for longer runs than usual.
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

// Three shelves run the same histories and answer every query with the same bytes.
// $FLUORO_HISTORIES is the number of histories (60), $FLUORO_HISTORY_SEED the seed of
// the first one (0).
func TestShelves_giveTheSameBytes(t *testing.T) {
	count := setting(t, "FLUORO_HISTORIES", 60)
	if testing.Short() {
		count = 10
	}
	first := setting(t, "FLUORO_HISTORY_SEED", 0)
	for seed := first; seed < first+count; seed++ {
		if !t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { storetest.Agree(t, engines(t, seed), seed) }) {
			break
		}
	}
}
