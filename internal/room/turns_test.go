package room

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// crowd starts n pieces of work of an account and returns the greatest number that ran at
// the same time.
func crowd(t *testing.T, turns *Turns, account trace.Account, n int) (most *atomic.Int64, all *sync.WaitGroup) {
	var running atomic.Int64
	most, all = new(atomic.Int64), new(sync.WaitGroup)
	for range n {
		all.Go(func() {
			done, err := turns.Wait(t.Context(), account)
			if err != nil {
				t.Error(err)
			}
			if now := running.Add(1); now > most.Load() {
				most.Store(now)
			}
			time.Sleep(10 * time.Millisecond)
			running.Add(-1)
			done()
			done()
		})
	}
	return most, all
}

func TestTurns_shareProcessorsWhileOthersArePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(4)
		most, all := crowd(t, turns, "a", 50)
		if all.Wait(); most.Load() != 50 {
			t.Errorf("alone, %d of 50 ran at once", most.Load())
		}
		one, err := turns.Wait(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		one()
		most, all = crowd(t, turns, "a", 50)
		time.Sleep(time.Millisecond)
		began := time.Now()
		if two, err := turns.Wait(t.Context(), "b"); err != nil || time.Since(began) != 0 {
			t.Errorf("the other account waited %v, %v", time.Since(began), err)
		} else {
			two()
		}
		if all.Wait(); most.Load() != 2 {
			t.Errorf("beside another, %d ran at once, want 2", most.Load())
		}
		time.Sleep(2 * lasting)
		most, all = crowd(t, turns, "a", 10)
		if all.Wait(); most.Load() != 10 {
			t.Errorf("alone again, %d of 10 ran at once", most.Load())
		}
	})
}

func TestTurns_forgetWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1)
		for _, account := range []trace.Account{"a", "b"} {
			done, _ := turns.Wait(t.Context(), account)
			done()
		}
		first, _ := turns.Wait(t.Context(), "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := turns.Wait(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		first()
		if done, err := turns.Wait(t.Context(), "a"); err != nil {
			t.Error(err)
		} else {
			done()
		}
	})
}
