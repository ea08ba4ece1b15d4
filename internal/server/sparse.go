package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

const (
	// sparseTime is how often one kind of trouble is logged.
	sparseTime = time.Minute
	// sparseKinds bounds how many kinds are told apart.
	sparseKinds = 1000
)

// sparse is a log that says the same trouble once in a while, however many requests
// meet it: while a disk is full each of them does. A kind is the message with the
// protocol and the reason of the system; the next line of a kind says how many
// there were in between. What has no error, or a request's id, is always said.
type sparse struct {
	slog.Handler
	kinds *kinds
}

type kinds struct {
	now func() time.Time
	mu  sync.Mutex
	of  map[kind]*said
}

type kind struct {
	message, protocol string
	reason            syscall.Errno
}

type said struct {
	at   time.Time
	more int // since then
}

func newSparse(h slog.Handler) sparse {
	return sparse{h, &kinds{now: time.Now, of: map[kind]*said{}}}
}

// Handle writes a record unless its kind was written a moment ago.
func (s sparse) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		if k, ok := kindOf(r); ok {
			more, say := s.kinds.say(k)
			if !say {
				return nil
			}
			if more > 0 {
				r = r.Clone()
				r.AddAttrs(slog.Int("not_logged_since", more))
			}
		}
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s sparse) WithAttrs(a []slog.Attr) slog.Handler { return sparse{s.Handler.WithAttrs(a), s.kinds} }

// WithGroup implements slog.Handler.
func (s sparse) WithGroup(name string) slog.Handler {
	return sparse{s.Handler.WithGroup(name), s.kinds}
}

func kindOf(r slog.Record) (k kind, ok bool) {
	k.message = r.Message
	each := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "request_id":
			each = true
		case "protocol":
			k.protocol = a.Value.String()
		case "error":
			ok = true
			if err, is := a.Value.Any().(error); is {
				_ = errors.As(err, &k.reason)
			}
		}
		return true
	})
	return k, ok && !each
}

// say says whether a kind is due, and how often it was held back before.
func (k *kinds) say(which kind) (more int, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if s := k.of[which]; s != nil {
		if now.Sub(s.at) < sparseTime {
			s.more++
			return 0, false
		}
		more = s.more
	} else if len(k.of) >= sparseKinds {
		clear(k.of)
	}
	k.of[which] = &said{at: now}
	return more, true
}
