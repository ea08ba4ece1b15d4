package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/lru"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

const (
	mostCeremonies = 4096
	ceremonyTime   = 5 * time.Minute
	mostPasskeys   = 20 // of a user
)

// passkey is the record of a passkey. Its name is the credential's id in base64url.
type passkey struct {
	User, UserID string
	Title        string
	Created      time.Time
	Used         *time.Time `json:",omitempty"`
	Credential   webauthn.Credential
}

// Passkey describes a passkey of a user.
type Passkey struct {
	ID, Title string
	Created   time.Time
	Used      *time.Time `json:",omitempty"`
}

// ceremony is a registration or a login that waits for the browser's answer (Web
// Authentication, Level 3).
type ceremony struct {
	data  webauthn.SessionData
	until time.Time
	key   string // id of the console session that registers; "" for a login
	title string
}

// ceremonies holds the ceremonies that wait. Each can be finished once.
type ceremonies struct {
	mu      sync.Mutex
	running *lru.Cache[string, *ceremony]
}

func (c *ceremonies) add(one *ceremony) string {
	id := random(idBytes)
	c.running.Put(id, one, 1)
	return id
}

func (c *ceremonies) take(id string, now time.Time) *ceremony {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.running.Get(id)
	if one == nil || now.After(one.until) {
		return nil
	}
	c.running.Put(id, nil, 0)
	return one
}

// person is a user for the library. Its handle leads from a passkey to the user.
type person struct {
	account trace.Account
	user    *iam.User
	keys    []passkey
}

func (p *person) WebAuthnID() []byte          { return []byte(string(p.account) + ":" + p.user.ID) }
func (p *person) WebAuthnName() string        { return p.user.Name }
func (p *person) WebAuthnDisplayName() string { return p.user.Name }
func (p *person) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, 0, len(p.keys))
	for _, k := range p.keys {
		out = append(out, k.Credential)
	}
	return out
}

// Origin returns the address of the console as the browser of a request sees it.
func (l *Logins) Origin(from From) string {
	if l.URL != "" {
		return strings.TrimSuffix(l.URL, "/")
	}
	if from.Secure {
		return "https://" + from.Host
	}
	return "http://" + from.Host
}

// Passkeys tells whether browsers offer passkeys for the address of a request: they do for
// names over TLS, and for localhost.
func (l *Logins) Passkeys(from From) bool {
	_, err := l.party(from)
	return err == nil
}

// party makes the relying party for the address of a request.
func (l *Logins) party(from From) (*webauthn.WebAuthn, error) {
	origin := l.Origin(from)
	u, err := url.Parse(origin)
	if err != nil {
		return nil, trace.Errorf(trace.KindInvalid, "the address of this console cannot be read")
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case net.ParseIP(host) != nil:
		return nil, trace.Errorf(trace.KindInvalid, "Passkeys need a host name; this console was opened by an IP address.")
	case u.Scheme != "https" && host != "localhost" && !strings.HasSuffix(host, ".localhost"):
		return nil, trace.Errorf(trace.KindInvalid, "Passkeys need TLS.")
	}
	return webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: "Fluoro", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired,
		},
	})
}

// person collects a user and its passkeys.
func (l *Logins) person(ctx context.Context, account trace.Account, u *iam.User) (*person, error) {
	p := &person{account: account, user: u}
	err := l.Records.View(ctx, account, func(tx meta.Tx) error {
		p.keys = nil
		return tx.List(kindPasskey, func(_ string, value json.RawMessage) error {
			var k passkey
			if err := json.Unmarshal(value, &k); err != nil {
				return &trace.KindError{Kind: trace.KindUnavailable, Message: "a passkey cannot be decoded", Err: err}
			}
			if k.UserID == u.ID {
				p.keys = append(p.keys, k)
			}
			return nil
		})
	})
	return p, err
}

// BeginPasskey asks the browser of a signed-in user to make a passkey. It returns an id
// for FinishPasskey and the options for navigator.credentials.create.
func (l *Logins) BeginPasskey(ctx context.Context, p identity.Principal, title string, from From) (id string, options any, err error) {
	who, party, err := l.owner(ctx, p, from)
	if err != nil {
		return "", nil, err
	}
	if len(who.keys) >= mostPasskeys {
		return "", nil, trace.Errorf(trace.KindLimit, "A user can have %d passkeys.", mostPasskeys)
	}
	exclude := make([]protocol.CredentialDescriptor, 0, len(who.keys))
	for _, k := range who.keys {
		exclude = append(exclude, k.Credential.Descriptor())
	}
	made, data, err := party.BeginRegistration(who, webauthn.WithExclusions(exclude))
	if err != nil {
		return "", nil, &trace.KindError{Kind: trace.KindInternal, Message: "The registration of a passkey could not begin.", Err: err}
	}
	if title = strings.TrimSpace(clip(strings.ToValidUTF8(title, ""), 100)); title == "" {
		title = "Passkey"
	}
	return l.ceremonies.add(&ceremony{*data, l.Now().Add(ceremonyTime), p.KeyID, title}), made.Response, nil
}

// owner returns the user of a console session.
func (l *Logins) owner(ctx context.Context, p identity.Principal, from From) (*person, *webauthn.WebAuthn, error) {
	if p.Type != identity.TypeUser || p.Proof != identity.ProofSession {
		return nil, nil, trace.Errorf(trace.KindInvalid, "Only users who are signed in to the console have passkeys.")
	}
	party, err := l.party(from)
	if err != nil {
		return nil, nil, err
	}
	u, err := l.user(ctx, p.Account, p.Name)
	if err != nil {
		return nil, nil, err
	}
	who, err := l.person(ctx, p.Account, u)
	return who, party, err
}

// FinishPasskey stores the passkey that the browser has made.
func (l *Logins) FinishPasskey(ctx context.Context, p identity.Principal, id string, answer []byte, from From) (out Passkey, err error) {
	defer func() {
		l.event(ctx, Event{Name: "CreatePasskey", Owner: p.Owner, Who: p.ARN, Session: p.KeyID, Method: ByPasskey}, from, err)
	}()
	who, party, err := l.owner(ctx, p, from)
	if err != nil {
		return out, err
	}
	c := l.ceremonies.take(id, l.Now())
	if c == nil || c.key != p.KeyID {
		return out, trace.Errorf(trace.KindInvalid, "The registration of the passkey took too long. Try again.")
	}
	parsed, err := protocol.ParseCredentialCreationResponseBody(bytes.NewReader(answer))
	if err != nil {
		return out, refusedKey(err)
	}
	made, err := party.CreateCredential(who, c.data, parsed)
	if err != nil {
		return out, refusedKey(err)
	}
	name := base64.RawURLEncoding.EncodeToString(made.ID)
	k := passkey{User: who.user.Name, UserID: who.user.ID, Title: c.title, Created: l.Now().UTC().Truncate(time.Second), Credential: *made}
	err = l.Records.Update(ctx, p.Account, func(tx meta.Tx) error {
		if there, err := tx.Get(kindPasskey, name, &passkey{}); err != nil || there {
			return trace.Errorf(trace.KindConflict, "This passkey is registered already.")
		}
		return tx.Put(kindPasskey, name, k)
	})
	return Passkey{ID: name, Title: k.Title, Created: k.Created}, err
}

// refusedKey is the error of an answer of a browser that does not verify.
func refusedKey(err error) error {
	return &trace.KindError{Kind: trace.KindInvalid, Message: "The passkey could not be verified.", Err: err}
}

// PasskeysOf lists the passkeys of a user.
func (l *Logins) PasskeysOf(ctx context.Context, account trace.Account, name string) ([]Passkey, error) {
	u, err := l.user(ctx, account, name)
	if err != nil {
		return nil, err
	}
	who, err := l.person(ctx, account, u)
	if err != nil {
		return nil, err
	}
	out := []Passkey{}
	for _, k := range who.keys {
		out = append(out, Passkey{base64.RawURLEncoding.EncodeToString(k.Credential.ID), k.Title, k.Created, k.Used})
	}
	return out, nil
}

// DeletePasskey deletes a passkey of a user.
func (l *Logins) DeletePasskey(ctx context.Context, account trace.Account, name, id string) error {
	u, err := l.user(ctx, account, name)
	if err != nil {
		return err
	}
	missing := trace.Errorf(trace.KindNotFound, "The user %s has no such passkey.", u.Name)
	if id == "" || len(id) > meta.MaxName {
		return missing
	}
	return l.Records.Update(ctx, account, func(tx meta.Tx) error {
		var k passkey
		if there, err := tx.Get(kindPasskey, id, &k); err != nil {
			return err
		} else if !there || k.UserID != u.ID {
			return missing
		}
		_, err := tx.Delete(kindPasskey, id)
		return err
	})
}

// BeginLogin asks a browser for any passkey of this server. It returns an id for
// FinishLogin and the options for navigator.credentials.get; they name no user.
func (l *Logins) BeginLogin(from From) (id string, options any, err error) {
	party, err := l.party(from)
	if err != nil {
		return "", nil, err
	}
	if _, err := l.attempt("", from); err != nil {
		return "", nil, err
	}
	asked, data, err := party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return "", nil, &trace.KindError{Kind: trace.KindInternal, Message: "The login could not begin.", Err: err}
	}
	return l.ceremonies.add(&ceremony{data: *data, until: l.Now().Add(ceremonyTime)}), asked.Response, nil
}

// FinishLogin signs in the user of a passkey.
func (l *Logins) FinishLogin(ctx context.Context, id string, answer []byte, from From) (s Session, err error) {
	e := Event{Name: "ConsoleLogin", Method: ByPasskey}
	defer func() { e.Session, e.As = s.ID, s.As; l.event(ctx, e, from, err) }()
	party, err := l.party(from)
	if err != nil {
		return s, err
	}
	c := l.ceremonies.take(id, l.Now())
	if c == nil || c.key != "" {
		return s, failed()
	}
	parsed, err := protocol.ParseCredentialRequestResponseBody(bytes.NewReader(answer))
	if err != nil {
		return s, failed()
	}
	var who *person
	var broken error
	_, made, err := party.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if who, broken = l.handle(ctx, handle); broken != nil {
			return nil, broken
		}
		return who, nil
	}, c.data, parsed)
	if who != nil {
		e.Owner, e.Who = trace.Owner{Account: who.account, Region: l.Owner.Region}, who.user.ARN
	}
	switch {
	case broken != nil && trace.KindOf(broken) == trace.KindUnavailable:
		return s, broken
	case err != nil || !made.Flags.UserVerified:
		return s, failed()
	case made.Authenticator.CloneWarning:
		l.Logger.Warn("a passkey was refused: its counter went back, so there may be a copy of it", "user", who.user.ARN)
		return s, failed()
	}
	if err := l.used(ctx, who, made); err != nil {
		return s, err
	}
	l.byAddress.give(addressKey(from.Source))
	return l.begin(ctx, record{Account: who.account, User: who.user.Name, UniqueID: who.user.ID, Method: ByPasskey, MFA: true}, from)
}

// handle finds the user of a handle.
func (l *Logins) handle(ctx context.Context, handle []byte) (*person, error) {
	account, id, ok := strings.Cut(string(handle), ":")
	if !ok {
		return nil, failed()
	}
	u, err := l.Directory.UserByID(ctx, trace.Account(account), id)
	if err != nil {
		return nil, err
	}
	if u == nil {
		return nil, failed()
	}
	return l.person(ctx, trace.Account(account), u)
}

// used writes the new counter of a passkey. It fails if the passkey was deleted
// meanwhile.
func (l *Logins) used(ctx context.Context, who *person, made *webauthn.Credential) error {
	now := l.Now().UTC().Truncate(time.Second)
	name := base64.RawURLEncoding.EncodeToString(made.ID)
	return l.Records.Update(ctx, who.account, func(tx meta.Tx) error {
		var k passkey
		if there, err := tx.Get(kindPasskey, name, &k); err != nil {
			return err
		} else if !there || k.UserID != who.user.ID {
			return failed()
		}
		k.Credential, k.Used = *made, &now
		return tx.Put(kindPasskey, name, k)
	})
}
