package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/finding"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// live sends each open console the events of its account. A console that is too slow
// misses events; they only announce that there is something new to query.
type live struct {
	sees   func(trace.Account) []trace.Account
	linked func(trace.Account) []trace.Linked

	mu          sync.Mutex
	subscribers map[trace.Account]map[chan console.Event]subscriber // by the account whose events they get
	segments    map[trace.Account]int64                             // accepted since the start
}

// subscriber is an open console. A limited one does not see all segments of its account:
// it learns only that something was stored, neither how much nor what was refused. The
// same is true of one that gets events of a linked account.
type subscriber struct {
	limited bool
	by      trace.Account // the monitoring account, "" without a link
}

// newLive makes a live. sees returns the accounts whose events an account gets, linked
// those that are linked to it at the moment.
func newLive(sees func(trace.Account) []trace.Account, linked func(trace.Account) []trace.Linked) *live {
	return &live{sees: sees, linked: linked, subscribers: map[trace.Account]map[chan console.Event]subscriber{}, segments: map[trace.Account]int64{}}
}

// Subscribe returns the events of the account in ctx, and closes the channel when ctx
// ends. Without an identity it closes the channel at once.
func (l *live) Subscribe(ctx context.Context) <-chan console.Event {
	ch := make(chan console.Event, 16)
	p, err := identity.From(ctx)
	if err != nil {
		close(ch)
		return ch
	}
	linked := l.linked(p.Account)
	l.mu.Lock()
	for _, account := range l.sees(p.Account) {
		l.add(account, ch, subscriber{limited: p.Sight != nil})
	}
	for _, other := range linked {
		l.add(other.Account, ch, subscriber{limited: true, by: p.Account})
	}
	l.mu.Unlock()
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.end(ch)
	})
	return ch
}

// add adds a subscriber to the events of an account. The caller holds mu.
func (l *live) add(account trace.Account, ch chan console.Event, s subscriber) {
	if l.subscribers[account] == nil {
		l.subscribers[account] = map[chan console.Event]subscriber{}
	}
	l.subscribers[account][ch] = s
}

// end closes a subscriber's channel, once. The caller holds mu.
func (l *live) end(ch chan console.Event) {
	open := false
	for account, channels := range l.subscribers {
		if _, ok := channels[ch]; ok {
			open = true
			delete(channels, ch)
		}
		if len(channels) == 0 {
			delete(l.subscribers, account)
		}
	}
	if open {
		close(ch)
	}
}

// publish sends an event to the subscribers of an account.
func (l *live) publish(account trace.Account, e console.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch, s := range l.subscribers[account] {
		e := e
		if s.limited {
			if e.Traces == nil || s.by != "" && !slices.ContainsFunc(l.linked(s.by), func(o trace.Linked) bool { return o.Account == account }) {
				continue
			}
			e.Traces = &console.Traces{Time: e.Traces.Time}
		}
		select {
		case ch <- e:
		default:
		}
	}
}

func (l *live) refused(account trace.Account, r receive.Refused) {
	l.publish(account, console.Event{Refused: &console.Refused{Time: r.Time, Protocol: r.Protocol, Source: r.Source, Reason: r.Reason, Message: r.Message}})
}

// found publishes a security finding.
func (l *live) found(account trace.Account, one finding.Finding) {
	l.publish(account, console.Event{Finding: &console.FindingNews{ID: one.ID, Kind: string(one.Kind), Severity: string(one.Severity)}})
}

// follow publishes an event after each append until ctx ends. Then it ends all streams,
// because the server waits for them when it stops.
func (l *live) follow(ctx context.Context, s *answer.Store) error {
	for e := range s.Follow(ctx) {
		l.segments[e.Account] += int64(e.Segments)
		l.publish(e.Account, console.Event{Traces: &console.Traces{Segments: l.segments[e.Account], Time: float64(time.Now().UnixMilli()) / 1000}})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, channels := range l.subscribers {
		for ch := range channels {
			l.end(ch)
		}
	}
	return nil
}
