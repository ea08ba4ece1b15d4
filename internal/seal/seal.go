// Package seal keeps the data keys under which everything on disk is encrypted. Each
// account has its own data keys. They are stored wrapped by a key that is not in the data
// directory: a local key file, or a key of a KMS (AWS Key Management Service API).
package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// System is the owner of data that belongs to no single account.
const System trace.Account = "system"

// KeyBytes is the length of a data key: AES-256.
const KeyBytes = 32

// Keys finds data keys. All methods may be called by many goroutines at once and are
// cheap: keys are cached for a limited time. So ask again for each piece of work, and keep
// neither a Key nor an AEAD of it for more than a minute: otherwise a key that was disabled
// stays in use. Errors: KindUnavailable if the key of the
// account is disabled, deleted or cannot be reached; the message names the account and
// the reason. The keys of other accounts stay usable.
type Keys interface {
	// Newest returns the key for new data of an account. A nil Key means that new data is
	// not encrypted.
	Newest(ctx context.Context, account trace.Account) (*Key, error)
	// Find returns the key with an id, for data that was sealed earlier.
	Find(ctx context.Context, account trace.Account, id uint32) (*Key, error)
}

// Key is a data key of an account.
type Key struct {
	id     uint32 // from 1, unique in its account, never reused
	secret [KeyBytes]byte
	sealed atomic.Int64 // bytes, since the key was read
}

// NewKey makes a Key of its parts.
func NewKey(id uint32, secret [KeyBytes]byte) *Key { return &Key{id: id, secret: secret} }

// Count notes that n bytes were encrypted under the key: after Options.KeyBytes a new key
// replaces it. Whoever encrypts with AEAD calls it, at any granularity; Seal does so.
func (k *Key) Count(n int64) { k.sealed.Add(n) }

// Format writes the number of the key only, with every verb: secrets must not reach logs
// and errors.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "data key %d", k.id) }

// ID returns the number of the key, which is stored beside sealed data.
func (k *Key) ID() uint32 { return k.id }

// AEAD returns AES-256-GCM under a key derived with HKDF-SHA256 from the data key, a
// purpose (such as "wal 1") and a salt (at least 16 random bytes, stored with the data).
// So each file has a key of its own and may use a counter as nonce.
func (k *Key) AEAD(purpose string, salt []byte) (cipher.AEAD, error) {
	if len(salt) < 16 {
		return nil, fmt.Errorf("seal: a salt of %d bytes, want at least 16", len(salt))
	}
	derived, err := hkdf.Key(sha256.New, k.secret[:], salt, "fluoro "+purpose, KeyBytes)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Off is the Keys of a server that encrypts nothing.
type Off struct{}

// Newest returns nil.
func (Off) Newest(context.Context, trace.Account) (*Key, error) { return nil, nil }

// Find fails: there are no keys.
func (Off) Find(_ context.Context, account trace.Account, id uint32) (*Key, error) {
	return nil, trace.Errorf(trace.KindUnavailable, "data of account %s is encrypted under key %d, but this server has no keys; see --encryption", account, id)
}
