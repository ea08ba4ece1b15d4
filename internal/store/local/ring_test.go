package local_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// ring is a seal.Keys whose keys a test can disable, destroy and replace.
type ring struct {
	mu        sync.Mutex
	off       bool // nothing new is sealed
	newest    map[trace.Account]uint32
	disabled  map[trace.Account]bool
	destroyed map[trace.Account]uint32 // keys up to this one
}

func newRing() *ring {
	return &ring{newest: map[trace.Account]uint32{}, disabled: map[trace.Account]bool{}, destroyed: map[trace.Account]uint32{}}
}

func keyOf(account trace.Account, id uint32) *seal.Key {
	return seal.NewKey(id, sha256.Sum256(fmt.Append(nil, account, id)))
}

func (r *ring) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *ring) state(account trace.Account) error {
	if r.disabled[account] {
		return trace.Errorf(trace.KindUnavailable, "the keys of account %s are disabled", account)
	}
	return nil
}

func (r *ring) Newest(_ context.Context, account trace.Account) (*seal.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.off {
		return nil, nil
	}
	return keyOf(account, 1+max(r.newest[account], r.destroyed[account])), r.state(account)
}

func (r *ring) Find(_ context.Context, account trace.Account, id uint32) (*seal.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id <= r.destroyed[account] {
		return nil, &trace.KindError{Kind: trace.KindUnavailable, Message: fmt.Sprintf("key %d of account %s was destroyed", id, account), Err: seal.ErrDestroyed}
	}
	if id == 0 || id > 1+max(r.newest[account], r.destroyed[account]) {
		return nil, errors.New("no such key")
	}
	return keyOf(account, id), r.state(account)
}

// Secrets returns the same keys as if encryption was on.
func (r *ring) Secrets() seal.Keys { return onRing{r} }

type onRing struct{ *ring }

func (r onRing) Newest(ctx context.Context, account trace.Account) (*seal.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return keyOf(account, 1+max(r.newest[account], r.destroyed[account])), r.state(account)
}

// everywhere seals everything in every test that does not choose keys itself, if
// $FLUORO_TEST_ENCRYPTION is set.
func everywhere() seal.Keys {
	if os.Getenv("FLUORO_TEST_ENCRYPTION") == "" {
		return nil
	}
	return newRing()
}
