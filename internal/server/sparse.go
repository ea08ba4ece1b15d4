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
	// sparseTime is the minimum time between two lines of one kind.
	sparseTime = time.Minute
	// sparseKinds is the maximum number of remembered kinds.
	sparseKinds = 1000
)

// sparse is a log handler that writes one kind of warning or error at most once a minute:
// while a disk is full, every request causes one. A kind is the message with the protocol
// and the system's error; the next line of a kind says how many were left out. Records
// without an error, and those with a request's id, are always written.
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
	more int // records left out since then
}

func newSparse(h slog.Handler) sparse {
	return sparse{h, &kinds{now: time.Now, of: map[kind]*said{}}}
}

// Handle writes a record unless one of its kind was written within sparseTime.
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

// say tells whether a record of a kind is due, and how many were left out before.
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
