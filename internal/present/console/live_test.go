package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluoro-io/fluoro/internal/present/console"
)

// feed is a channel of events that a test sends.
type feed chan console.Event

func (f feed) Subscribe(context.Context) <-chan console.Event { return f }

// recorder is a client that records its answer; its methods may be called while the
// stream writes.
type recorder struct {
	mu   sync.Mutex
	head http.Header
	text strings.Builder
}

func (r *recorder) Header() http.Header { return r.head }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Flush()              {}
func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// take returns the text received since the last take.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.text.String()
	r.text.Reset()
	return text
}

// open starts a stream; the returned function ends it and waits. done is closed
// when the stream has ended.
func open(t *testing.T, f feed) (w *recorder, stop func(), done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w = &recorder{head: http.Header{}}
	ended := make(chan struct{})
	h := handler(console.Options{Live: f})
	go func() {
		defer close(ended)
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/console/api/live", nil))
	}()
	synctest.Wait()
	return w, func() { cancel(); <-ended }, ended
}

func traces(n int64) console.Event {
	return console.Event{Traces: &console.Traces{Segments: n, Time: 1.5}}
}

func TestLive_sendsTheFirstAtOnceAndThenTwoASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := make(feed)
		w, stop, _ := open(t, f)
		defer stop()
		if got := w.head.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("Content-Type = %q", got)
		}
		w.take()
		f <- traces(1)
		synctest.Wait()
		if got, want := w.take(), "event: traces\ndata: {\"traces\":1,\"time\":1.5}\n\n"; got != want {
			t.Errorf("first: got %q, want %q", got, want)
		}
		for n := int64(2); n <= 40; n++ { // ten a second for four seconds
			time.Sleep(100 * time.Millisecond)
			f <- traces(n)
		}
		time.Sleep(time.Second)
		text := w.take()
		if got := strings.Count(text, "event: traces"); got < 7 || got > 9 {
			t.Errorf("%d events in four seconds, want about 8", got)
		}
		if !strings.Contains(text, "\"traces\":40,") {
			t.Error("the newest was not sent")
		}
	})
}

func TestLive_sendsTheNewestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := make(feed)
		w, stop, _ := open(t, f)
		defer stop()
		w.take()
		f <- traces(1)
		f <- console.Event{Refused: &console.Refused{Reason: "First", Message: "a\nb"}}
		f <- console.Event{Refused: &console.Refused{Reason: "Second", Message: "a\nb"}}
		time.Sleep(600 * time.Millisecond)
		text := w.take()
		if strings.Contains(text, "First") || !strings.Contains(text, "event: refused\ndata: {") || !strings.Contains(text, `"reason":"Second","message":"a\nb"`) {
			t.Errorf("got %q", text)
		}
	})
}

func TestLive_keepsAnIdleStreamAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop, _ := open(t, make(feed))
		defer stop()
		w.take()
		time.Sleep(31 * time.Second)
		if got := strings.Count(w.take(), ": still here\n\n"); got != 2 {
			t.Errorf("%d comments in 31 s, want 2", got)
		}
	})
}

func TestLive_endsWithItsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := make(feed)
		_, stop, done := open(t, f)
		defer stop()
		close(f)
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("the stream is still open")
		}
	})
}

func TestLive_outlivesTheServersReadLimit(t *testing.T) {
	f := make(feed)
	server := httptest.NewUnstartedServer(handler(console.Options{Live: f}))
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	defer server.Close()
	defer close(f)
	r, err := server.Client().Get(server.URL + "/console/api/live")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	buffer := make([]byte, 256)
	if _, err := r.Body.Read(buffer); err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond)
	f <- traces(9)
	n, err := r.Body.Read(buffer)
	if err != nil || !strings.Contains(string(buffer[:n]), "\"traces\":9") {
		t.Errorf("after the limit: %q, %v", buffer[:n], err)
	}
}

func TestLive_boundsOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := handler(console.Options{Live: make(feed)})
		var group sync.WaitGroup
		for range 256 {
			group.Go(func() {
				h.ServeHTTP(&recorder{head: http.Header{}}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/console/api/live", nil))
			})
		}
		synctest.Wait()
		if r := get(t, h, "/console/api/live"); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("stream 257: status = %d, want 503", r.StatusCode)
		}
		cancel()
		group.Wait()
	})
}
