package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
	"golang.org/x/crypto/argon2"
)

// Limits of passwords (NIST SP 800-63B: a minimum length, at least 64 characters allowed,
// no rules about their kinds).
const (
	LeastPassword = 12   // characters
	MostPassword  = 1024 // bytes
)

// cost are the parameters of Argon2id (RFC 9106).
type cost struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
}

// present is the cost of new hashes (OWASP Password Storage Cheat Sheet). A login with an
// older hash replaces it.
var present = cost{19 << 10, 2, 1}

const (
	saltBytes = 16
	hashBytes = 32
)

// hashed is a password's hash.
type hashed struct {
	cost
	salt, hash []byte
}

// make hashes a password.
func (c cost) make(password string) hashed {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt)
	return hashed{c, salt, argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.lanes, hashBytes)}
}

// matches compares in constant time.
func (h hashed) matches(password string) bool {
	got := argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.hash)))
	return subtle.ConstantTimeCompare(got, h.hash) == 1
}

// String writes a hash in the PHC string format.
func (h hashed) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes, b64(h.salt), b64(h.hash))
}

// parseHash reads the PHC string format. It refuses costs that would stop the server.
func parseHash(text string) (h hashed, err error) {
	bad := trace.Errorf(trace.KindUnavailable, "a stored password hash cannot be read")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return hashed{}, bad
	}
	var lanes uint32
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &lanes); err != nil {
		return hashed{}, bad
	}
	h.lanes = uint8(lanes)
	if h.memory < 8 || h.memory > 1<<20 || h.passes < 1 || h.passes > 16 || lanes < 1 || lanes > 16 {
		return hashed{}, bad
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return hashed{}, bad
	}
	if h.hash, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.hash) < 16 || len(h.hash) > 64 || h.String() != text {
		return hashed{}, bad
	}
	return h, nil
}

// dummy is compared with the passwords of users that do not exist: that takes as long.
var dummy = hashed{present, make([]byte, saltBytes), make([]byte, hashBytes)}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

// profile is the record of a user's password. Its name is the user's unique id, so that a
// new user with the same name does not inherit it.
type profile struct {
	User    string
	Hash    string
	Changed time.Time
}

// Profile tells that a user can sign in with a password.
type Profile struct {
	UserName   string
	CreateDate time.Time
}

// slot waits until a password may be hashed.
func (l *Logins) slot(ctx context.Context) (release func(), err error) {
	select {
	case l.waiting <- struct{}{}:
		defer func() { <-l.waiting }()
	default:
		return nil, throttled(0)
	}
	select {
	case l.hashing <- struct{}{}:
		return func() { <-l.hashing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checkPassword checks a new password.
func checkPassword(user, password string) error {
	switch {
	case !utf8.ValidString(password):
		return trace.Errorf(trace.KindInvalid, "The password is not valid UTF-8.")
	case utf8.RuneCountInString(password) < LeastPassword:
		return trace.Errorf(trace.KindInvalid, "The password is too short: it needs at least %d characters.", LeastPassword)
	case len(password) > MostPassword:
		return trace.Errorf(trace.KindInvalid, "The password is too long: at most %d bytes.", MostPassword)
	case strings.Trim(password, password[:1]) == "" || user != "" && strings.Trim(strings.ReplaceAll(strings.ToLower(password), strings.ToLower(user), ""), "0123456789-_.!") == "":
		return trace.Errorf(trace.KindInvalid, "The password is too easy to guess: it is one character again and again, or the user's name.")
	}
	return nil
}

// user finds a user that must exist.
func (l *Logins) user(ctx context.Context, account trace.Account, name string) (*iam.User, error) {
	u, err := l.Directory.UserOf(ctx, account, name)
	if err == nil && u == nil {
		err = iam.NoUser(name)
	}
	return u, err
}

// SetPassword sets the password of a user, and ends the user's sessions except one.
func (l *Logins) SetPassword(ctx context.Context, account trace.Account, name, password, except string) error {
	u, err := l.user(ctx, account, name)
	if err != nil {
		return err
	}
	if err := checkPassword(u.Name, password); err != nil {
		return err
	}
	if err := l.store(ctx, account, u, password); err != nil {
		return err
	}
	_, err = l.revoke(ctx, account, func(r *record) bool { return r.UniqueID == u.ID && r.ID != except })
	return err
}

// store writes the hash of a password.
func (l *Logins) store(ctx context.Context, account trace.Account, u *iam.User, password string) error {
	release, err := l.slot(ctx)
	if err != nil {
		return err
	}
	h := present.make(password)
	release()
	return l.Records.Update(ctx, account, func(tx meta.Tx) error {
		return tx.Put(kindProfile, u.ID, profile{u.Name, h.String(), l.Now().UTC().Truncate(time.Second)})
	})
}

// Profile returns the profile of a user: KindNotFound if the user has no password.
func (l *Logins) Profile(ctx context.Context, account trace.Account, name string) (out Profile, err error) {
	u, err := l.user(ctx, account, name)
	if err != nil {
		return out, err
	}
	p, there, err := l.profile(ctx, account, u.ID)
	if err == nil && !there {
		err = iam.NoProfile(u.Name)
	}
	return Profile{u.Name, p.Changed}, err
}

// profile reads the record of a user's password.
func (l *Logins) profile(ctx context.Context, account trace.Account, id string) (p profile, there bool, err error) {
	err = l.Records.View(ctx, account, func(tx meta.Tx) error {
		there, err = tx.Get(kindProfile, id, &p)
		return err
	})
	return p, there, err
}

// DeleteProfile deletes a user's password, and ends the user's sessions.
func (l *Logins) DeleteProfile(ctx context.Context, account trace.Account, name string) error {
	u, err := l.user(ctx, account, name)
	if err != nil {
		return err
	}
	there := false
	if err := l.Records.Update(ctx, account, func(tx meta.Tx) error {
		there, err = tx.Delete(kindProfile, u.ID)
		return err
	}); err != nil {
		return err
	}
	if !there {
		return iam.NoProfile(u.Name)
	}
	_, err = l.revoke(ctx, account, func(r *record) bool { return r.UniqueID == u.ID })
	return err
}

// Password signs a user in with a password. An unknown user and a wrong password have the
// same answer, after the same work.
func (l *Logins) Password(ctx context.Context, account trace.Account, name, password string, from From) (s Session, err error) {
	if account == "" {
		account = l.Owner.Account
	}
	e := Event{Name: "ConsoleLogin", Owner: trace.Owner{Account: account, Region: l.Owner.Region}, Who: Hidden, Method: ByPassword}
	defer func() {
		e.Session, e.As = s.ID, s.As
		l.event(ctx, e, from, err)
	}()
	succeeded, err := l.attempt(string(account)+"/"+strings.ToLower(clip(name, 200)), from)
	if err != nil {
		return Session{}, err
	}
	u, h, err := l.hashOf(ctx, account, name)
	if err != nil {
		return Session{}, err
	}
	if u != nil {
		e.Who = u.ARN
	} else if !accountForm.MatchString(string(account)) {
		e.Owner = l.Owner
	}
	release, err := l.slot(ctx)
	if err != nil {
		return Session{}, err
	}
	ok := h.matches(clip(password, MostPassword+1)) && u != nil
	release()
	if !ok {
		return Session{}, failed()
	}
	succeeded()
	if h.cost != present {
		if err := l.store(ctx, account, u, password); err != nil {
			l.Logger.Warn("the hash of a password could not be renewed", "error", err)
		}
	}
	return l.begin(ctx, record{Account: account, User: u.Name, UniqueID: u.ID, Method: ByPassword}, from)
}

// hashOf returns the hash of a user's password; a nil user, and the dummy, if there is
// no such user or the user has no password.
func (l *Logins) hashOf(ctx context.Context, account trace.Account, name string) (*iam.User, hashed, error) {
	u, err := l.Directory.UserOf(ctx, account, name)
	if err != nil || u == nil {
		return nil, dummy, err
	}
	p, there, err := l.profile(ctx, account, u.ID)
	if err != nil || !there {
		return nil, dummy, err
	}
	h, err := parseHash(p.Hash)
	return u, h, err
}

// ChangePassword replaces the password of a session's own user, who must know the old
// one. A user without a password needs none.
func (l *Logins) ChangePassword(ctx context.Context, p identity.Principal, old, fresh string, from From) (err error) {
	defer func() {
		l.event(ctx, Event{Name: "ChangePassword", Owner: p.Owner, Who: p.ARN, Session: p.KeyID, Method: ByPassword}, from, err)
	}()
	if p.Type != identity.TypeUser {
		return trace.Errorf(trace.KindInvalid, "Only users have passwords.")
	}
	succeeded, err := l.attempt(string(p.Account)+"/"+strings.ToLower(p.Name), from)
	if err != nil {
		return err
	}
	_, there, err := l.profile(ctx, p.Account, p.ID)
	if err != nil {
		return err
	}
	if there {
		_, h, err := l.hashOf(ctx, p.Account, p.Name)
		if err != nil {
			return err
		}
		release, err := l.slot(ctx)
		if err != nil {
			return err
		}
		ok := h.matches(clip(old, MostPassword+1))
		release()
		if !ok {
			return trace.Errorf(trace.KindDenied, "The old password is wrong.")
		}
	}
	succeeded()
	return l.SetPassword(ctx, p.Account, p.Name, fresh, p.KeyID)
}

// Forget deletes the records of a user. It runs in the transaction that deletes the user.
func Forget(tx meta.Tx, userID string) error {
	if _, err := tx.Delete(kindProfile, userID); err != nil {
		return err
	}
	if err := drop(tx, kindPasskey, func(p passkey) bool { return p.UserID == userID }); err != nil {
		return err
	}
	return drop(tx, kindSession, func(r record) bool { return r.UniqueID == userID })
}

// drop deletes records of a kind.
func drop[R any](tx meta.Tx, kind meta.Kind, is func(R) bool) error {
	return tx.List(kind, func(name string, value json.RawMessage) error {
		var r R
		if json.Unmarshal(value, &r) != nil || !is(r) {
			return nil
		}
		_, err := tx.Delete(kind, name)
		return err
	})
}
