package room

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// flood takes one after the other until an account gets no more.
func flood(r *Room, account trace.Account) {
	for r.Try(account, 1, 0) == Granted {
	}
}

func TestTry_anAccountAloneMayTakeAll(t *testing.T) {
	r := New(100)
	flood(r, "a")
	if r.Held("a") != 100 || r.Try("a", 1, 0) != Full {
		t.Errorf("holds %d", r.Held("a"))
	}
	r.Give("a", 100)
	if r.Used() != 0 {
		t.Errorf("%d are left", r.Used())
	}
}

// However many accounts flood the room, each gets as much as the others, and the same
// amount is free for the next one.
func TestTry_whoFloodsLeavesRoomForTheNext(t *testing.T) {
	r := New(1200)
	for n := range 5 {
		for i := range n + 1 {
			r.Try(trace.Account(fmt.Sprint(i)), 0, 0)
		}
		for i := range n + 1 {
			a := trace.Account(fmt.Sprint(i))
			r.Give(a, r.Held(a))
		}
		for range 1200 { // all at the same time
			for i := range n + 1 {
				r.Try(trace.Account(fmt.Sprint(i)), 1, 0)
			}
		}
		if n == 0 {
			continue // alone
		}
		for i := range n + 1 {
			if held := r.Held(trace.Account(fmt.Sprint(i))); held < int64(1200/(n+2)-2) || held > int64(1200/(n+2)+2) {
				t.Errorf("of %d accounts one holds %d", n+1, held)
			}
		}
	}
}

// A flood that took all while it was alone shrinks as soon as another one asks, even
// if that one is refused at first.
func TestTry_aFloodGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(100)
		flood(r, "a")
		if v := r.Try("b", 10, 0); v != Full {
			t.Fatalf("while all is taken: %v", v)
		}
		for range 60 {
			r.Give("a", 1)
			if r.Try("a", 1, 0) == Granted && r.Held("a") > 50 {
				t.Fatalf("the flood goes on with %d", r.Held("a"))
			}
		}
		if v := r.Try("b", 10, 0); v != Granted {
			t.Errorf("afterwards: %v", v)
		}
		r.Give("b", 10)
		time.Sleep(lasting / 2)
		r.Give("a", r.Held("a"))
		if flood(r, "a"); r.Held("a") > 50 {
			t.Errorf("half a minute later the flood holds %d", r.Held("a"))
		}
		time.Sleep(lasting)
		if flood(r, "a"); r.Held("a") != 100 || len(r.shares) != 1 {
			t.Errorf("alone again it holds %d", r.Held("a"))
		}
	})
}

// The only request of an account may take what is free, step by step.
func TestTry_oneRequestMayBeLarge(t *testing.T) {
	r := New(100)
	r.Try("a", 10, 0)
	for own := int64(0); own < 90; own += 30 {
		if v := r.Try("b", 30, own); v != Granted {
			t.Errorf("with %d: %v", own, v)
		}
	}
	if v := r.Try("b", 1, 0); v != Over {
		t.Errorf("another request: %v", v)
	}
	if v := r.Try("b", 1, 90); v != Full {
		t.Errorf("more than there is: %v", v)
	}
}

// Whoever waits longer gets in first, large or small, as long as all is one account's.
func TestWait_isInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(100)
		r.Try("a", 60, 0)
		order := make(chan string, 3)
		for _, w := range []struct {
			name   string
			amount int64
		}{{"large", 1000}, {"small", 10}, {"tiny", 1}} {
			go func() {
				if r.Wait(t.Context(), "a", w.amount) == nil {
					order <- w.name
				}
			}()
			synctest.Wait()
		}
		if len(order) > 0 {
			t.Fatal("somebody overtook the large one")
		}
		r.Give("a", 60)
		if got := <-order; got != "large" {
			t.Errorf("%s came first", got)
		}
		r.Give("a", 100)
		synctest.Wait()
		if len(order) != 2 || r.Used() != 11 {
			t.Errorf("%d more, %d used", len(order), r.Used())
		}
	})
}

// A thousand that wait do not keep another account waiting.
func TestWait_aCrowdOfOneAccountDoesNotHoldUpAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(100)
		ctx, leave := context.WithCancel(t.Context())
		for range 1000 {
			go func() { _ = r.Wait(ctx, "a", 10) }()
		}
		synctest.Wait()
		if r.Held("a") != 100 {
			t.Fatalf("the crowd holds %d", r.Held("a"))
		}
		came := make(chan struct{})
		go func() {
			if r.Wait(t.Context(), "b", 20) == nil {
				close(came)
			}
		}()
		synctest.Wait()
		r.Give("a", 10)
		r.Give("a", 10)
		select {
		case <-came:
		default:
			synctest.Wait()
			select {
			case <-came:
			default:
				t.Errorf("b waits behind %d of a", len(r.shares["a"].waiting))
			}
		}
		leave()
		synctest.Wait()
		if n := len(r.shares["a"].waiting); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestWait_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(10)
		r.Try("a", 10, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(ctx, "a", 1); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		r.Give("a", 10)
		if err := r.Wait(ctx, "a", 1); err == nil || r.Used() != 0 {
			t.Errorf("after the end: %v, %d used", err, r.Used())
		}
	})
}

func BenchmarkTry(b *testing.B) {
	r := New(100)
	for b.Loop() {
		r.Try("a", 10, 0)
		r.Give("a", 10)
	}
}
