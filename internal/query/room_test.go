package query

import (
	"context"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestRoom_isGivenBackWithTheContext(t *testing.T) {
	r := NewRoom(100)
	first, done := context.WithCancel(t.Context())
	if err := r.Take(first, "0", 60); err != nil {
		t.Fatal(err)
	}
	if err := r.Take(first, "0", 40); err != nil {
		t.Fatalf("the rest: %v", err)
	}
	if err := r.Take(t.Context(), "0", 1); trace.KindOf(err) != trace.KindThrottled {
		t.Errorf("no room: %v", err)
	}
	r.patience = time.Minute
	waiting := make(chan error)
	second, doneToo := context.WithCancel(t.Context())
	defer doneToo()
	go func() { waiting <- r.Take(second, "0", 1000) }() // more than there is: all of it
	done()
	if err := <-waiting; err != nil {
		t.Errorf("after the first was done: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := r.Take(gone, "0", 1); err != context.Canceled {
		t.Errorf("who has gone: %v", err)
	}
	if err := (*Room)(nil).Take(t.Context(), "0", 1<<40); err != nil {
		t.Errorf("without bounds: %v", err)
	}
}
