package seal

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// The layout of a sealed record (docs/format/keys.md): version, id of the data key, salt,
// nonce, ciphertext with its tag.
const (
	recordVersion = 1
	saltBytes     = 16
	nonceBytes    = 12
	headBytes     = 1 + 4 + saltBytes + nonceBytes
	tagBytes      = 16

	// RecordOverhead is the number of bytes by which a sealed record is longer than its
	// value.
	RecordOverhead = headBytes + tagBytes
)

// ErrForged means that sealed bytes are damaged, or were sealed for another place: another
// purpose, account or associated data.
var ErrForged = errors.New("it is damaged, or was sealed for another place")

// Seal encrypts a small value, such as a control-plane record or the secret of an access
// key. purpose names the kind of the value; data is its place, which Open must repeat, so
// that nobody can swap two values. Each record has a random salt, from which its own key
// is derived, and a random nonce: any number of records may be sealed under one Key.
func (k *Key) Seal(purpose string, data, value []byte) ([]byte, error) {
	out := make([]byte, headBytes, RecordOverhead+len(value))
	out[0] = recordVersion
	binary.BigEndian.PutUint32(out[1:], k.id)
	if _, err := rand.Read(out[5:headBytes]); err != nil {
		return nil, err
	}
	aead, err := k.AEAD("record "+purpose, out[5:5+saltBytes])
	if err != nil {
		return nil, err
	}
	k.Count(int64(len(value)))
	return aead.Seal(out, out[5+saltBytes:headBytes], value, placed(out[:5], data)), nil
}

// Open decrypts the bytes that Seal returned. It fails with ErrForged if they, the purpose
// or data differ.
func (k *Key) Open(purpose string, data, sealed []byte) ([]byte, error) {
	id, err := RecordKey(sealed)
	if err != nil {
		return nil, err
	}
	if id != k.id {
		return nil, fmt.Errorf("sealed under key %d, not under %d: %w", id, k.id, ErrForged)
	}
	aead, err := k.AEAD("record "+purpose, sealed[5:5+saltBytes])
	if err != nil {
		return nil, err
	}
	value, err := aead.Open(nil, sealed[5+saltBytes:headBytes], sealed[headBytes:], placed(sealed[:5], data))
	if err != nil {
		return nil, ErrForged
	}
	return value, nil
}

// placed returns the associated data of a record.
func placed(head, data []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(data)), head...), data...)
}

// RecordKey returns the id of the key under which a record was sealed.
func RecordKey(sealed []byte) (uint32, error) {
	if len(sealed) < RecordOverhead {
		return 0, fmt.Errorf("a sealed record has %d bytes, at least %d are expected: %w", len(sealed), RecordOverhead, ErrForged)
	}
	if sealed[0] != recordVersion {
		return 0, fmt.Errorf("a sealed record has version %d, this fluoro reads %d: %w", sealed[0], recordVersion, ErrForged)
	}
	return binary.BigEndian.Uint32(sealed[1:]), nil
}

// Hash returns a keyed hash (HMAC-SHA256) of a value: it finds a value without showing it.
// Different purposes have different hashes.
func (k *Key) Hash(purpose string, value []byte) []byte {
	inner := hmac.New(sha256.New, k.secret[:])
	inner.Write([]byte("fluoro hash " + purpose))
	outer := hmac.New(sha256.New, inner.Sum(nil))
	outer.Write(value)
	return outer.Sum(nil)
}

// SealRecord encrypts a small value under the newest key of an account; see [Key.Seal]. It
// fails if keys encrypts nothing for the account: use Keys of [Ring.Secrets] or [Secrets]
// for values that must never be in the clear.
func SealRecord(ctx context.Context, keys Keys, account trace.Account, purpose string, data, value []byte) ([]byte, error) {
	k, err := keys.Newest(ctx, account)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return nil, trace.Errorf(trace.KindInternal, "a secret of account %s must be sealed, but encryption is off", account)
	}
	return k.Seal(purpose, append([]byte(account+"\x00"), data...), value)
}

// OpenRecord decrypts the bytes that SealRecord returned. Errors: those of Keys.Find, and
// ErrForged.
func OpenRecord(ctx context.Context, keys Keys, account trace.Account, purpose string, data, sealed []byte) ([]byte, error) {
	id, err := RecordKey(sealed)
	if err != nil {
		return nil, err
	}
	k, err := keys.Find(ctx, account, id)
	if err != nil {
		return nil, err
	}
	return k.Open(purpose, append([]byte(account+"\x00"), data...), sealed)
}
