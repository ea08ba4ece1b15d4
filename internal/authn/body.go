package authn

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// body hashes a request body while it is read. If check does not accept the hash of all
// bytes, the last Read fails, and all later ones: instead of returning the last bytes of a
// body of announced length, or at the end of another.
type body struct {
	io.ReadCloser
	left  int64 // bytes until the announced end, negative if none was announced
	sum   hash.Hash
	check func(sum []byte) error
	ended bool
	err   error
}

func newBody(from io.ReadCloser, length int64, check func(sum []byte) error) *body {
	return &body{ReadCloser: from, left: length, sum: sha256.New(), check: check}
}

// Read reads bytes of the body.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.sum.Write(p[:n])
	known := b.left >= 0
	if known {
		b.left = max(0, b.left-int64(n))
	}
	// Readers that know the length do not wait for the end of the stream.
	if !b.ended && (known && b.left == 0 || errors.Is(err, io.EOF)) {
		b.ended = true
		if b.err = b.check(b.sum.Sum(nil)); b.err != nil {
			clear(p[:n])
			return 0, b.err
		}
	}
	return n, err
}

// Unproved tells that the hash of the body is not known yet, so that the identity of the
// request is not proved.
func (b *body) Unproved() bool { return !b.ended || b.err != nil }
