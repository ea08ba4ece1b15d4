package seal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// contextAccount is the member of the encryption context that names the account.
const contextAccount = "fluoro:account"

// KMS is a key management service with the API of AWS KMS. Its methods take ARNs of keys,
// except Describe. Errors: *RefusedError if the service answered that the key cannot be
// used; everything else means that the service cannot be reached now.
type KMS interface {
	// Describe returns the ARN of a key that is given by alias, id or ARN. It fails with
	// a RefusedError unless the key is enabled, symmetric, and for encryption.
	Describe(ctx context.Context, key string) (arn string, err error)
	// Generate makes a data key of KeyBytes.
	Generate(ctx context.Context, arn string, with map[string]string) (plain, wrapped []byte, err error)
	// Encrypt and Decrypt wrap and unwrap a data key.
	Encrypt(ctx context.Context, arn string, with map[string]string, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, arn string, with map[string]string, wrapped []byte) ([]byte, error)
	// ReEncrypt wraps a data key under another key, inside of the service.
	ReEncrypt(ctx context.Context, from, to string, with map[string]string, wrapped []byte) ([]byte, error)
}

// RefusedError is the answer of a KMS that a key cannot be used.
type RefusedError struct {
	Code    string // such as DisabledException
	Message string // of the service
}

// Error names code and text of the service.
func (e *RefusedError) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// errNoKMS means that keys are wrapped by a KMS and the server does not know one.
var errNoKMS = errors.New("this server has no KMS; see --kms-endpoint and --kms-region")

func isLocal(wrapper string) bool { return strings.HasPrefix(wrapper, localPrefix) }

// unwrap returns a data key in the clear.
func (r *Ring) unwrap(ctx context.Context, w *wrappedKey) (secret []byte, err error) {
	switch {
	case isLocal(w.Wrapper):
		k, err := r.local.find(w.Wrapper)
		if err != nil {
			return nil, err
		}
		if secret, err = k.key.Open("data key", place(w.ID, w.Context), w.Wrapped); err != nil {
			return nil, fmt.Errorf("data key %d, wrapped by %s: %w", w.ID, w.Wrapper, err)
		}
	case r.o.KMS == nil:
		return nil, fmt.Errorf("they are wrapped by %s: %w", w.Wrapper, errNoKMS)
	default:
		if secret, err = r.o.KMS.Decrypt(ctx, w.Wrapper, w.Context, w.Wrapped); err != nil {
			return nil, fmt.Errorf("KMS key %s: %w", w.Wrapper, err)
		}
	}
	if len(secret) != KeyBytes || subtle.ConstantTimeCompare(check(w.ID, secret), w.Check) != 1 {
		return nil, fmt.Errorf("%s returned another key than data key %d", w.Wrapper, w.ID)
	}
	return secret, nil
}

// place returns the associated data of a data key that is wrapped by the key file.
func place(id uint32, with map[string]string) []byte {
	text, err := json.Marshal(with) // sorts the members
	if err != nil {
		panic(err) // a map of strings always has a JSON form
	}
	return fmt.Appendf(nil, "%d %s", id, text)
}

// check returns a value that proves which data key was unwrapped.
func check(id uint32, secret []byte) []byte {
	return NewKey(id, [KeyBytes]byte(secret)).Hash("check", nil)[:16]
}

// generate makes a data key under a wrapping key.
func (r *Ring) generate(ctx context.Context, account trace.Account, id uint32, target string) (wrappedKey, []byte, error) {
	w := wrappedKey{ID: id, Created: r.o.Now().UTC(), Wrapper: target, Context: map[string]string{contextAccount: string(account)}}
	var secret []byte
	var err error
	switch {
	case isLocal(target):
		secret = make([]byte, KeyBytes)
		if _, err = rand.Read(secret); err == nil {
			w.Wrapped, err = r.wrap(ctx, w, secret)
		}
	case r.o.KMS == nil:
		err = errNoKMS
	default:
		if secret, w.Wrapped, err = r.o.KMS.Generate(ctx, target, w.Context); err != nil {
			err = fmt.Errorf("KMS key %s: %w", target, err)
		} else if len(secret) != KeyBytes {
			err = fmt.Errorf("KMS key %s made a data key of %d bytes instead of %d", target, len(secret), KeyBytes)
		}
	}
	if err != nil {
		return wrappedKey{}, nil, err
	}
	w.Check = check(id, secret)
	return w, secret, nil
}

// wrap encrypts a data key under w.Wrapper.
func (r *Ring) wrap(ctx context.Context, w wrappedKey, secret []byte) ([]byte, error) {
	if isLocal(w.Wrapper) {
		k, err := r.local.find(w.Wrapper)
		if err != nil {
			return nil, err
		}
		return k.key.Seal("data key", place(w.ID, w.Context), secret)
	}
	if r.o.KMS == nil {
		return nil, errNoKMS
	}
	wrapped, err := r.o.KMS.Encrypt(ctx, w.Wrapper, w.Context, secret)
	if err != nil {
		return nil, fmt.Errorf("KMS key %s: %w", w.Wrapper, err)
	}
	return wrapped, nil
}

// rewrap returns a data key under another wrapping key, after it has read it back.
func (r *Ring) rewrap(ctx context.Context, w wrappedKey, target string) (wrappedKey, error) {
	moved := w
	moved.Wrapper = target
	var err error
	if !isLocal(w.Wrapper) && !isLocal(target) && r.o.KMS != nil {
		moved.Wrapped, err = r.o.KMS.ReEncrypt(ctx, w.Wrapper, target, w.Context, w.Wrapped)
		if err != nil {
			err = fmt.Errorf("KMS key %s to %s: %w", w.Wrapper, target, err)
		}
	} else {
		var secret []byte
		if secret, err = r.unwrap(ctx, &w); err == nil {
			moved.Wrapped, err = r.wrap(ctx, moved, secret)
		}
	}
	if err == nil {
		_, err = r.unwrap(ctx, &moved) // nothing may become unreadable
	}
	return moved, err
}

// target returns the id of the key that wraps new data keys of an account.
func (a *owner) target(ctx context.Context) (string, error) {
	s, r := a.state.Load(), a.ring
	switch {
	case s.Config.Type == TypeKMS:
		return s.Target, nil
	case r.o.Mode == ModeKMS:
		return r.serverTarget(ctx)
	}
	// If data keys are wrapped by a key file that is gone, a new file would hide that.
	k, err := r.local.newest(!r.usesKeyFile(), r.o.Now())
	return k.id, err
}

// serverTarget returns the ARN of Options.KMSKey.
func (r *Ring) serverTarget(ctx context.Context) (string, error) {
	r.mu.RLock()
	arn := r.serverT
	r.mu.RUnlock()
	if arn != "" {
		return arn, nil
	}
	arn, err := r.o.KMS.Describe(ctx, r.o.KMSKey)
	if err != nil {
		return "", fmt.Errorf("KMS key %s: %w", r.o.KMSKey, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serverT = arn
	return arn, nil
}

// usesKeyFile tells whether a data key is wrapped by the key file.
func (r *Ring) usesKeyFile() bool {
	for _, a := range r.list() {
		if a.state.Load().local() {
			return true
		}
	}
	return false
}
