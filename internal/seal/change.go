package seal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// maxKeys limits the data keys of an account: one a day for 130 years. Beyond it, the newest
// one stays in use.
const maxKeys = 50_000

// rewrapBatch is how many data keys get a new wrapping key between two writes of a file.
const rewrapBatch = 16

// first returns the newest key of an account, and makes it if there is none.
func (a *owner) first(ctx context.Context) (*Key, error) {
	return a.once(ctx, "new", func(ctx context.Context) (*Key, error) { return a.create(ctx, 0) })
}

// replaceSoon makes a new key in the background, unless another one replaced the key old
// already. Until then, and if that fails, the old one stays in use.
func (a *owner) replaceSoon(old uint32) {
	if a.ring.o.ReadOnly || a.paused(a.wrapperName()) != nil || !a.replacing.CompareAndSwap(false, true) {
		return
	}
	a.ring.later(func() {
		defer a.replacing.Store(false)
		_, _ = a.once(context.Background(), "new", func(ctx context.Context) (*Key, error) { return a.create(ctx, old) })
	})
}

// create makes a new data key that replaces the key old; 0 for none. If the newest key is
// another one, it returns that.
func (a *owner) create(ctx context.Context, old uint32) (*Key, error) {
	a.change.Lock()
	defer a.change.Unlock()
	if n := a.state.Load().newest(); n != nil && n.ID != old {
		return a.load(ctx, n.ID)
	}
	return a.createLocked(ctx)
}

func (a *owner) createLocked(ctx context.Context) (*Key, error) {
	if a.damage != "" {
		return nil, a.lost(nil, 0)
	}
	if a.ring.o.ReadOnly {
		return nil, trace.Errorf(trace.KindUnavailable, "account %s has no data key, and none is made here", a.account)
	}
	began := a.ring.o.Now()
	s := a.state.Load().clone()
	s.Last = s.next(began)
	var k *Key
	err := a.try(ctx, a.wrapperName(), func(ctx context.Context) error {
		target, err := a.target(ctx)
		if err != nil {
			return err
		}
		w, secret, err := a.ring.generate(ctx, a.account, s.Last, target)
		if err != nil {
			return err
		}
		s.Keys, k = append(s.Keys, w), NewKey(w.ID, [KeyBytes]byte(secret))
		return nil
	})
	if err != nil {
		return nil, a.explain(err)
	}
	// Nothing may be encrypted under a key that a crash would lose.
	if err := a.write(s); err != nil {
		return nil, err
	}
	a.ring.o.Logger.Info("an account has a new data key", "account", a.account, "id", k.id, "wrapped_by", s.newest().Wrapper)
	return a.remember(k, began), nil
}

// wrapperName returns the name under which failures of the key for new data keys are
// remembered: the key itself may be unknown, if the KMS cannot be asked.
func (a *owner) wrapperName() string {
	s, r := a.state.Load(), a.ring
	switch {
	case s.Config.Type == TypeKMS:
		return s.Target
	case r.o.Mode == ModeKMS:
		return r.o.KMSKey
	}
	return r.o.KeyFile
}

// write makes a state durable, then valid. The caller holds a.change.
func (a *owner) write(s *state) error {
	switch {
	case a.damage != "":
		return a.lost(s, 0)
	case a.ring.o.ReadOnly:
		return trace.Errorf(trace.KindUnavailable, "the keys of account %s are only read here", a.account)
	case len(s.Keys) > maxKeys:
		return trace.Errorf(trace.KindLimit, "account %s has %d data keys already", a.account, maxKeys)
	}
	// Two rings of one directory would drop each other's keys. Only the lock of the
	// directory excludes that, so this is for somebody who forgot it.
	if other, _, err := readStates(a.ring.o.FS, a.ring.o.Dir, a.account); err == nil && other != nil && other.Revision > a.tried {
		a.state.Store(other)
		a.tried = other.Revision
		return trace.Errorf(trace.KindUnavailable, "the data keys of account %s were changed by another process; try again", a.account)
	}
	// A failed write may be on disk in one copy: its revision must not be used again.
	a.tried++
	s.Revision = a.tried
	if err := writeState(a.ring.o.FS, a.ring.o.Dir, s); err != nil {
		return trace.Errorf(trace.KindUnavailable, "the data keys of account %s cannot be stored: %v", a.account, err)
	}
	a.state.Store(s)
	return nil
}

// Remember records the mode of this ring, so that commands without the settings of the
// server do not write in the clear what it encrypts (see Remembered).
func (r *Ring) Remember() error {
	a, err := r.owner(System)
	if err != nil {
		return err
	}
	mode, key := r.o.Mode, r.o.KMSKey
	if mode == ModeOff {
		mode, key = "", ""
	}
	if mode != ModeKMS {
		key = ""
	}
	a.change.Lock()
	defer a.change.Unlock()
	s := a.state.Load().clone()
	if s.Mode == mode && s.KMSKey == key {
		return nil
	}
	s.Mode, s.KMSKey = mode, key
	return a.write(s)
}

// Remembered returns the mode that a server recorded in a data directory, and the key of
// the KMS that goes with it. Without a record it is ModeOff.
func Remembered(files vfs.FS, dir string) (Mode, string, error) {
	if files == nil {
		files = vfs.OS{}
	}
	s, _, err := readStates(files, dir, System)
	switch {
	case err != nil:
		return ModeOff, "", err
	case s == nil || s.Mode == "":
		return ModeOff, "", nil
	}
	return s.Mode, s.KMSKey, nil
}

// Configure changes the key under which the data keys of an account are wrapped. It
// returns when the change is on disk and begun; Report tells when it is complete. Errors:
// KindInvalid if the key cannot be used, KindThrottled if the KMS cannot be reached.
func (r *Ring) Configure(ctx context.Context, account trace.Account, c Config) error {
	a, err := r.owner(account)
	if err != nil {
		return err
	}
	target := ""
	if c.Type == TypeKMS {
		if target, err = r.usable(ctx, account, c.KeyID); err != nil {
			return err
		}
	} else {
		c = Config{Type: TypeNone}
	}
	a.change.Lock()
	defer a.change.Unlock()
	s := a.state.Load().clone()
	s.Config, s.Target, s.Updating = c, target, true
	if err := a.write(s); err != nil {
		return err
	}
	a.mu.Lock()
	delete(a.failures, target) // it was repaired, or it would have been refused
	a.mu.Unlock()
	r.wakeUp()
	return nil
}

// usable returns the ARN of a key of the KMS after it has made and read a data key with it.
// The texts of the errors are not recorded.
func (r *Ring) usable(ctx context.Context, account trace.Account, key string) (string, error) {
	if r.o.KMS == nil {
		return "", trace.Errorf(trace.KindInvalid, "KeyId %s cannot be used: %v", key, errNoKMS)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callTime)
	defer cancel()
	arn, err := r.o.KMS.Describe(ctx, key)
	if err == nil {
		var w wrappedKey
		if w, _, err = r.generate(ctx, account, 1, arn); err == nil {
			_, err = r.unwrap(ctx, &w)
		}
	}
	if e, ok := errors.AsType[*RefusedError](err); ok {
		return "", trace.Errorf(trace.KindInvalid, "KeyId %s cannot be used: %v", key, e)
	}
	if err != nil {
		return "", trace.Errorf(trace.KindThrottled, "the KMS cannot be asked about KeyId %s now, try again later: %v", key, err)
	}
	return arn, nil
}

// maintain completes a change of the configuration, and wraps old keys under the present
// key.
func (a *owner) maintain(ctx context.Context) {
	s := a.state.Load()
	// If encryption is off, only keys of the key file are kept in order.
	if a.damage != "" || !s.Updating && !(a.encrypts() && len(s.Keys) > 0 || s.local()) {
		return
	}
	if err := a.switchKeys(ctx); err != nil {
		a.mu.Lock()
		a.left = err.Error()
		a.mu.Unlock()
	}
}

func (a *owner) switchKeys(ctx context.Context) error {
	var target string
	err := a.try(ctx, a.wrapperName(), func(ctx context.Context) (err error) {
		if a.encrypts() || a.usesKeys() {
			target, err = a.target(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	if n := a.state.Load().newest(); target != "" && a.encrypts() && (n == nil || n.Wrapper != target) {
		if err := a.replaceNow(ctx, target); err != nil {
			return err
		}
	}
	left, transient := a.rewrapAll(ctx, target, false)
	a.mu.Lock()
	a.left = ""
	if left != nil {
		a.left = left.Error()
	}
	a.mu.Unlock()
	if transient {
		return left
	}
	return a.finish(target)
}

func (a *owner) usesKeys() bool { return len(a.state.Load().Keys) > 0 }

// replaceNow makes a new data key, unless the newest is under the target already.
func (a *owner) replaceNow(ctx context.Context, target string) error {
	a.change.Lock()
	defer a.change.Unlock()
	if n := a.state.Load().newest(); n != nil && n.Wrapper == target {
		return nil
	}
	_, err := a.createLocked(ctx)
	return err
}

// rewrapAll wraps the data keys of other wrapping keys under the target; all of them if
// again is set. It writes after every few keys, so a crash loses little work. transient
// tells that trying again soon may help.
func (a *owner) rewrapAll(ctx context.Context, target string, again bool) (left error, transient bool) {
	var batch []wrappedKey
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := a.exchange(batch)
		batch = nil
		return err
	}
	s := a.state.Load()
	leave := !a.encrypts() && !s.Updating && !again // keys of a KMS: encryption is off
	for _, w := range s.Keys {
		if target == "" || w.Wrapper == target && !again || leave && !isLocal(w.Wrapper) || ctx.Err() != nil {
			continue
		}
		var moved wrappedKey
		err := a.try(ctx, w.Wrapper, func(ctx context.Context) (err error) {
			moved, err = a.ring.rewrap(ctx, w, target)
			return err
		})
		if err != nil {
			left = fmt.Errorf("data key %d is still wrapped by %s: %w", w.ID, w.Wrapper, err)
			if _, refused := errors.AsType[*RefusedError](err); !refused {
				transient = true
			}
			continue
		}
		if batch = append(batch, moved); len(batch) == rewrapBatch {
			if err := flush(); err != nil {
				return err, true
			}
		}
	}
	if err := flush(); err != nil {
		return err, true
	}
	if ctx.Err() != nil {
		return ctx.Err(), true
	}
	return left, transient
}

// exchange replaces wrapped keys by the same keys under another wrapping key.
func (a *owner) exchange(batch []wrappedKey) error {
	a.change.Lock()
	defer a.change.Unlock()
	s := a.state.Load().clone()
	for _, w := range batch {
		for i := range s.Keys {
			if s.Keys[i].ID == w.ID {
				s.Keys[i] = w
			}
		}
	}
	return a.write(s)
}

// finish marks a change as complete, unless another one has begun.
func (a *owner) finish(target string) error {
	a.change.Lock()
	defer a.change.Unlock()
	s := a.state.Load()
	if !s.Updating || s.Config.Type == TypeKMS && s.Target != target {
		return nil
	}
	s = s.clone()
	s.Updating = false
	if err := a.write(s); err != nil {
		return err
	}
	a.ring.o.Logger.Info("the encryption of an account is switched", "account", a.account, "type", s.Config.Type, "key", s.Config.KeyID)
	return nil
}

// Rotate makes a new data key for an account. Older data keys stay: what is stored is not
// encrypted again.
func (r *Ring) Rotate(ctx context.Context, account trace.Account) error {
	a, err := r.owner(account)
	if err != nil {
		return err
	}
	if !a.encrypts() && !a.usesKeys() {
		return trace.Errorf(trace.KindConflict, "account %s has no data keys: its data is not encrypted", account)
	}
	a.change.Lock()
	defer a.change.Unlock()
	_, err = a.createLocked(ctx)
	return err
}

// RotateKeyFile adds a new key to the key file. Maintain then wraps all data keys under it.
// The old keys stay in the file, because backups need them.
func (r *Ring) RotateKeyFile() error {
	if !r.usesKeyFile() {
		return trace.Errorf(trace.KindConflict, "no data key is wrapped by the key file %s", r.o.KeyFile)
	}
	if _, err := r.local.newest(false, r.o.Now()); err != nil {
		return trace.Errorf(trace.KindUnavailable, "%v", err)
	}
	if err := r.local.add(r.o.Now()); err != nil {
		return trace.Errorf(trace.KindUnavailable, "%v", err)
	}
	r.wakeUp()
	return nil
}

// Rewrap wraps all data keys of an account again under the present wrapping key, for
// instance under the new key material after a rotation in the KMS.
func (r *Ring) Rewrap(ctx context.Context, account trace.Account) error {
	a, err := r.owner(account)
	if err != nil {
		return err
	}
	target, err := a.target(ctx)
	if err != nil {
		return a.explain(err)
	}
	if left, _ := a.rewrapAll(ctx, target, true); left != nil {
		return a.explain(left)
	}
	return nil
}

// Forget destroys all data keys of an account: everything that was encrypted under them is
// unreadable for good. New data of the account gets new keys.
func (r *Ring) Forget(account trace.Account) error {
	a, err := r.owner(account)
	if err != nil {
		return err
	}
	a.change.Lock()
	defer a.change.Unlock()
	switch {
	case a.damage != "":
		return a.lost(nil, 0)
	case !a.usesKeys():
		return trace.Errorf(trace.KindConflict, "account %s has no data keys: its data is not encrypted", account)
	}
	now := r.o.Now().UTC().Truncate(time.Second)
	s := a.state.Load().clone()
	s.Keys, s.Destroyed, s.Config, s.Target, s.Updating = nil, &now, Config{Type: TypeNone}, "", false
	if err := a.write(s); err != nil {
		return err
	}
	a.mu.Lock()
	clear(a.cache)
	a.current.Store(nil)
	clear(a.failures)
	a.left = ""
	a.mu.Unlock()
	r.o.Logger.Warn("the data keys of an account were destroyed: its encrypted data is unreadable for good", "account", account, "files", filepath.Join(r.o.Dir, Folder, string(account)))
	return nil
}
