package login

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// setupTime is how long a setup link is valid.
const setupTime = time.Hour

// setup is the record of a setup link: the hash of its token.
type setup struct {
	Hash    string
	Expires time.Time
}

const setupName = "link"

// Empty tells whether nobody can sign in to the server's own account: there is neither a
// password nor a passkey, and no identity provider.
func (l *Logins) Empty(ctx context.Context) (bool, error) {
	if l.OIDC != nil {
		return false, nil
	}
	found := false
	err := l.Records.View(ctx, l.Owner.Account, func(tx meta.Tx) error {
		found = false
		for _, kind := range []meta.Kind{kindProfile, kindPasskey} {
			if err := tx.List(kind, func(string, json.RawMessage) error { found = true; return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	return !found && err == nil, err
}

// NewSetup makes the token of a setup link. Tokens before it become void.
func (l *Logins) NewSetup(ctx context.Context) (token string, err error) {
	token = random(secretBytes)
	return token, l.Records.Update(ctx, l.Owner.Account, func(tx meta.Tx) error {
		return tx.Put(kindSetup, setupName, setup{hashOf(token), l.Now().UTC().Add(setupTime)})
	})
}

// badLink is the error of a setup link that cannot be used.
func badLink() error {
	return trace.Errorf(trace.KindDenied, "The setup link is wrong, was used, or has expired. The next start of the server prints a new one while nobody can sign in; fluoro users password NAME works at any time.")
}

// Setup makes the first administrator, with a password; if it is "", the session is for
// registering a passkey. The link works once.
func (l *Logins) Setup(ctx context.Context, token, name, password string, from From) (s Session, err error) {
	e := Event{Name: "ConsoleSetup", Owner: l.Owner, Who: Hidden, Method: BySetup}
	defer func() { e.Session, e.As = s.ID, s.As; l.event(ctx, e, from, err) }()
	succeeded, err := l.attempt("", from)
	if err != nil {
		return s, err
	}
	if err := l.checkSetup(ctx, token); err != nil {
		return s, err
	}
	if password == "" {
		if _, err := l.party(from); err != nil {
			return s, err
		}
	} else if err := checkPassword(name, password); err != nil {
		return s, err
	}
	u, err := l.administrator(ctx, name)
	if err != nil {
		return s, err
	}
	e.Who = u.ARN
	if password != "" {
		if err := l.store(ctx, l.Owner.Account, u, password); err != nil {
			return s, err
		}
	}
	if err := l.Records.Update(ctx, l.Owner.Account, func(tx meta.Tx) error {
		if err := l.valid(tx, token); err != nil { // somebody else may have used it meanwhile
			return err
		}
		_, err := tx.Delete(kindSetup, setupName)
		return err
	}); err != nil {
		return s, err
	}
	succeeded()
	return l.begin(ctx, record{Account: l.Owner.Account, User: u.Name, UniqueID: u.ID, Method: BySetup}, from)
}

// CheckSetup tells whether the token of a setup link is valid.
func (l *Logins) CheckSetup(ctx context.Context, token string, from From) error {
	succeeded, err := l.attempt("", from)
	if err != nil {
		return err
	}
	if err := l.checkSetup(ctx, token); err != nil {
		return err
	}
	succeeded()
	return nil
}

func (l *Logins) checkSetup(ctx context.Context, token string) error {
	empty, err := l.Empty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		return badLink()
	}
	return l.Records.View(ctx, l.Owner.Account, func(tx meta.Tx) error { return l.valid(tx, token) })
}

func (l *Logins) valid(tx meta.Tx, token string) error {
	var s setup
	if there, err := tx.Get(kindSetup, setupName, &s); err != nil {
		return err
	} else if !there || !same(s.Hash, hashOf(token)) || !l.Now().Before(s.Expires) {
		return badLink()
	}
	return nil
}

// administrator makes the first user, or makes a user an administrator.
func (l *Logins) administrator(ctx context.Context, name string) (*iam.User, error) {
	_, err := l.Directory.CreateUser(ctx, l.Owner.Account, iam.NewEntity{Name: name})
	if err != nil && trace.KindOf(err) != trace.KindConflict {
		return nil, err
	}
	if _, err := l.Directory.Attach(ctx, l.Owner.Account, iam.TypeUser, name, iam.Administrator); err != nil {
		return nil, err
	}
	return l.user(ctx, l.Owner.Account, name)
}
