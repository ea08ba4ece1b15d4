package seal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// fake is a KMS whose faults a test controls. TestService in package kms runs a real one.
type fake struct {
	mu       sync.Mutex
	disabled map[string]bool
	unknown  bool          // no key exists
	down     bool          // it does not answer
	delay    time.Duration // of every answer
	calls    map[string]int
	contexts []map[string]string
}

const (
	keyA = "arn:aws:kms:us-east-1:000000000000:key/aaaa"
	keyB = "arn:aws:kms:us-east-1:000000000000:key/bbbb"
)

func newFake() *fake { return &fake{disabled: map[string]bool{}, calls: map[string]int{}} }

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) count(operations ...string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range operations {
		n += f.calls[o]
	}
	return n
}

// use counts a call and fails it as the test wants.
func (f *fake) use(ctx context.Context, operation, arn string, with map[string]string) error {
	f.mu.Lock()
	f.calls[operation]++
	f.contexts = append(f.contexts, with)
	delay, down, disabled, unknown := f.delay, f.down, f.disabled[arn], f.unknown
	f.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case down:
		return errors.New("no answer: connection refused")
	case disabled:
		return &RefusedError{"DisabledException", arn + " is disabled."}
	case unknown:
		return &RefusedError{"NotFoundException", "Key '" + arn + "' does not exist"}
	}
	return nil
}

func keyOf(arn string) *Key { return NewKey(0, sha256.Sum256([]byte(arn))) }

func text(with map[string]string) []byte {
	b, _ := json.Marshal(with)
	return b
}

func (f *fake) Describe(ctx context.Context, key string) (string, error) {
	arn := key
	switch key {
	case "alias/a":
		arn = keyA
	case "alias/b":
		arn = keyB
	}
	return arn, f.use(ctx, "Describe", arn, nil)
}

func (f *fake) Generate(ctx context.Context, arn string, with map[string]string) (plain, wrapped []byte, err error) {
	if err := f.use(ctx, "Generate", arn, with); err != nil {
		return nil, nil, err
	}
	plain = make([]byte, KeyBytes)
	_, _ = rand.Read(plain)
	wrapped, err = keyOf(arn).Seal("fake", text(with), plain)
	return plain, wrapped, err
}

func (f *fake) Encrypt(ctx context.Context, arn string, with map[string]string, plain []byte) ([]byte, error) {
	if err := f.use(ctx, "Encrypt", arn, with); err != nil {
		return nil, err
	}
	return keyOf(arn).Seal("fake", text(with), plain)
}

func (f *fake) open(arn string, with map[string]string, wrapped []byte) ([]byte, error) {
	plain, err := keyOf(arn).Open("fake", text(with), wrapped)
	if err != nil {
		return nil, &RefusedError{"InvalidCiphertextException", ""}
	}
	return plain, nil
}

func (f *fake) Decrypt(ctx context.Context, arn string, with map[string]string, wrapped []byte) ([]byte, error) {
	if err := f.use(ctx, "Decrypt", arn, with); err != nil {
		return nil, err
	}
	return f.open(arn, with, wrapped)
}

func (f *fake) ReEncrypt(ctx context.Context, from, to string, with map[string]string, wrapped []byte) ([]byte, error) {
	for _, arn := range []string{from, to} {
		if err := f.use(ctx, "ReEncrypt", arn, with); err != nil {
			return nil, err
		}
	}
	plain, err := f.open(from, with, wrapped)
	if err != nil {
		return nil, err
	}
	return keyOf(to).Seal("fake", text(with), plain)
}
