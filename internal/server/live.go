package server

import (
	"context"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/store/answer"
)

// live hands what happens to the consoles that are open. A console that does not
// keep up misses events, which only say that there is something to ask for.
type live struct {
	mu          sync.Mutex
	subscribers map[chan console.Event]struct{}
	segments    int64
}

func newLive() *live { return &live{subscribers: map[chan console.Event]struct{}{}} }

// Subscribe returns events until ctx ends; the channel is closed then.
func (l *live) Subscribe(ctx context.Context) <-chan console.Event {
	ch := make(chan console.Event, 16)
	l.mu.Lock()
	l.subscribers[ch] = struct{}{}
	l.mu.Unlock()
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.end(ch)
	})
	return ch
}

// end closes a subscriber's channel, once. The caller holds mu.
func (l *live) end(ch chan console.Event) {
	if _, ok := l.subscribers[ch]; ok {
		delete(l.subscribers, ch)
		close(ch)
	}
}

func (l *live) publish(e console.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch := range l.subscribers {
		select {
		case ch <- e:
		default:
		}
	}
}

func (l *live) refused(r receive.Refused) {
	l.publish(console.Event{Refused: &console.Refused{Time: r.Time, Protocol: r.Protocol, Source: r.Source, Reason: r.Reason, Message: r.Message}})
}

// follow publishes what is stored until ctx ends, and then ends all streams: the
// server waits for them when it stops.
func (l *live) follow(ctx context.Context, s *answer.Store) error {
	for e := range s.Follow(ctx) {
		l.segments += int64(e.Segments)
		l.publish(console.Event{Traces: &console.Traces{Segments: l.segments, Time: float64(time.Now().UnixMilli()) / 1000}})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch := range l.subscribers {
		l.end(ch)
	}
	return nil
}

// storeStats is what gauges look at.
type storeStats = answer.Stats
