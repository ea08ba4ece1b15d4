package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/room"
)

const (
	// livePause is the minimum time between two events of one kind on a stream.
	livePause = 500 * time.Millisecond
	// keepAlive is the time between comments on an idle stream, so that proxies keep it open.
	keepAlive = 15 * time.Second
	// writeLimit is how long a client may take to receive one event.
	writeLimit = 10 * time.Second
	// maxStreams is how many streams may be open at a time.
	maxStreams = 256
)

// Live is a source of events.
type Live interface {
	// Subscribe returns a channel of events for the identity in ctx, and closes it when
	// ctx ends; it may close it earlier, which ends the stream. It may drop events for
	// a subscriber that is too slow.
	Subscribe(ctx context.Context) <-chan Event
}

// Event is one event; exactly one member is set.
type Event struct {
	Traces  *Traces
	Refused *Refused
	Finding *FindingNews
}

// FindingNews tells that there is a new security finding.
type FindingNews struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
}

// Traces tells that segments were stored.
type Traces struct {
	Segments int64   `json:"traces"` // accepted segments since the start
	Time     float64 `json:"time"`   // epoch seconds
}

// liveHandler streams server-sent events: "traces" after segments were stored, "refused"
// with the newest refusal, "finding" with the newest security finding, at most two of each a
// second.
func liveHandler(live Live) http.Handler {
	streams := room.New(maxStreams)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := identity.From(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if streams.Try(p.Account, 1, 0) != room.Granted {
			w.Header().Set("Retry-After", "10")
			http.Error(w, fmt.Sprintf("%d live streams are open already", streams.Held(p.Account)), http.StatusServiceUnavailable)
			return
		}
		defer streams.Give(p.Account, 1)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // asks a proxy not to buffer events
		if r.Method == http.MethodHead {
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		news := live.Subscribe(ctx) // before the client learns that it listens
		s := &stream{w: w, control: http.NewResponseController(w)}
		if err := s.send(": fluoro\n\nretry: 1000\n\n"); err != nil {
			return
		}
		s.run(ctx, news)
	})
}

// stream is one open console.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	traces  *Traces  // newest one that is not sent
	refused *Refused // newest one that is not sent
	finding *FindingNews
}

// run sends events until the client is gone, ctx ends or news is closed.
func (s *stream) run(ctx context.Context, news <-chan Event) {
	idle := time.NewTicker(keepAlive)
	defer idle.Stop()
	var pause <-chan time.Time // runs since the last event was sent
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case e, open := <-news:
			if !open {
				return
			}
			s.note(e)
			if pause == nil {
				pause = time.After(livePause)
				err = s.flush()
			}
		case <-pause:
			pause = nil
			if s.traces != nil || s.refused != nil || s.finding != nil {
				pause = time.After(livePause)
				err = s.flush()
			}
		case <-idle.C:
			err = s.send(": still here\n\n")
		}
		if err != nil {
			return
		}
	}
}

// note keeps the newest event of each kind.
func (s *stream) note(e Event) {
	if e.Traces != nil {
		s.traces = e.Traces
	}
	if e.Refused != nil {
		s.refused = e.Refused
	}
	if e.Finding != nil {
		s.finding = e.Finding
	}
}

// flush sends the events noted since the last flush.
func (s *stream) flush() error {
	var text string
	if s.traces != nil {
		text += event("traces", s.traces)
	}
	if s.refused != nil {
		text += event("refused", s.refused)
	}
	if s.finding != nil {
		text += event("finding", s.finding)
	}
	s.traces, s.refused, s.finding = nil, nil, nil
	return s.send(text)
}

// event writes an event with JSON data, which has no line breaks.
func event(name string, data any) string {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Sprintf(": %s cannot be written\n\n", name)
	}
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, b)
}

func (s *stream) send(text string) error {
	if text == "" {
		return nil
	}
	// Not every writer supports deadlines; those of the server do.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return s.control.Flush()
}
