package iam

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A session token is a sealed record of its session: any server with the session keys can
// check it without a record of the session. In base64: version, number of the session key
// (4 bytes, big endian), salt (16 bytes), the JSON of a session encrypted with AES-256-GCM
// under a key derived from session key and salt, with the bytes before as associated data.
// Each token has its own key, so the nonce is zero.
const (
	tokenVersion = 1
	headBytes    = 1 + 4
	saltBytes    = 16
	maxToken     = 16 << 10 // bytes of base64
	keyLife      = 30 * 24 * time.Hour
	// mostLife is the longest life of a session, after which nobody needs its key.
	mostLife = 36 * time.Hour
)

// session is the content of a session token. Exactly one of Role and User is set.
type session struct {
	Key      string            `json:"k"` // ASIA…
	Account  trace.Account     `json:"a"`
	Role     string            `json:"r,omitempty"` // ARN
	User     string            `json:"u,omitempty"` // name
	ID       string            `json:"i"`           // unique id of role or user
	Name     string            `json:"n,omitempty"` // of the session
	Issued   int64             `json:"s"`           // Unix milliseconds
	Expires  int64             `json:"e"`           // Unix milliseconds
	Policy   string            `json:"p,omitempty"`
	ARNs     []string          `json:"q,omitempty"`
	Tags     map[string]string `json:"t,omitempty"`
	Passed   map[string]string `json:"x,omitempty"` // transitive tags, already in Tags
	Source   string            `json:"o,omitempty"`
	Provider string            `json:"w,omitempty"`
	MFA      bool              `json:"m,omitempty"`
}

// signingKey is a stored session key. Its record's name is its number.
type signingKey struct {
	ID      uint32
	Created time.Time
	Sealed  []byte
}

// sessionKey is a session key in use.
type sessionKey struct {
	id     uint32
	secret [seal.KeyBytes]byte
	key    *seal.Key
}

// signing holds the session keys that were opened, by number.
type signing struct {
	mu   sync.Mutex
	keys map[uint32]*sessionKey
}

// opened is a verified session token: what it says does not change.
type opened struct {
	session
	secret string
}

// open returns a session key that is stored.
func (d *Directory) open(ctx context.Context, k signingKey) (*sessionKey, error) {
	d.signing.mu.Lock()
	defer d.signing.mu.Unlock()
	if out := d.signing.keys[k.ID]; out != nil {
		return out, nil
	}
	b, err := d.unsealed(ctx, purposeSession, decimal(int(k.ID)), k.Sealed)
	if err != nil {
		return nil, err
	}
	if len(b) != seal.KeyBytes {
		return nil, trace.Errorf(trace.KindUnavailable, "session key %d has %d bytes", k.ID, len(b))
	}
	out := &sessionKey{id: k.ID, secret: [seal.KeyBytes]byte(b)}
	out.key = seal.NewKey(k.ID, out.secret)
	if d.signing.keys == nil {
		d.signing.keys = map[uint32]*sessionKey{}
	}
	d.signing.keys[k.ID] = out
	return out, nil
}

// newest returns the session key for new tokens. It makes one if there is none or the
// last is old, and deletes keys that no session needs.
func (d *Directory) newest(ctx context.Context) (*sessionKey, error) {
	s, err := d.snapshot(ctx, system)
	if err != nil {
		return nil, unreadable(err)
	}
	now := d.Now().UTC()
	last := func(keys []signingKey) (k signingKey) {
		for _, other := range keys {
			if other.ID > k.ID {
				k = other
			}
		}
		return k
	}
	if k := last(s.signing); k.ID > 0 && now.Sub(k.Created) < keyLife {
		return d.open(ctx, k)
	}
	var secret [seal.KeyBytes]byte
	_, _ = rand.Read(secret[:])
	var made signingKey
	next := last(s.signing).ID + 1
	// Sealing may need the network, and an update must not wait for that.
	sealed, err := d.sealed(ctx, purposeSession, decimal(int(next)), secret[:])
	if err != nil {
		return nil, err
	}
	err = d.update(ctx, system, func(tx meta.Tx) error {
		var all []signingKey
		if err := list(tx, kindSessionKey, func(_ string, k signingKey) error { all = append(all, k); return nil }); err != nil {
			return err
		}
		if made = last(all); made.ID >= next { // another request made it
			return nil
		}
		for _, k := range all {
			if now.Sub(k.Created) > keyLife+mostLife {
				if _, err := tx.Delete(kindSessionKey, decimal(int(k.ID))); err != nil {
					return err
				}
			}
		}
		made = signingKey{next, now, sealed}
		return tx.Put(kindSessionKey, decimal(int(next)), made)
	})
	if err != nil {
		return nil, err
	}
	return d.open(ctx, made)
}

// issue makes the credentials of a session.
func (d *Directory) issue(ctx context.Context, s session) (Credentials, error) {
	k, err := d.newest(ctx)
	if err != nil {
		return Credentials{}, err
	}
	s.Key = newKeyID(prefixTemp, s.Account)
	plain, err := json.Marshal(s)
	if err != nil {
		return Credentials{}, err
	}
	head := make([]byte, headBytes+saltBytes)
	head[0] = tokenVersion
	binary.BigEndian.PutUint32(head[1:], k.id)
	_, _ = rand.Read(head[headBytes:])
	aead, err := k.key.AEAD("session token", head[headBytes:])
	if err != nil {
		return Credentials{}, err
	}
	sealed := aead.Seal(slices.Clone(head), make([]byte, aead.NonceSize()), plain, head)
	out := Credentials{
		AccessKeyID: s.Key, SecretAccessKey: k.derive(s.Key, head), SessionToken: base64.StdEncoding.EncodeToString(sealed),
		Expiration: time.UnixMilli(s.Expires).UTC(),
	}
	if len(out.SessionToken) > maxToken {
		return Credentials{}, fail(PackedPolicyTooLarge, "The session's policies and tags are too large together")
	}
	return out, nil
}

// derive returns the secret of a temporary key. It depends on the whole token through its
// salt, and is not stored anywhere.
func (k *sessionKey) derive(id string, head []byte) string {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte("fluoro secret of a session\x00" + id + "\x00"))
	mac.Write(head)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)[:30])
}

var errToken = errors.New("it is no session token")

// splitToken decodes a token's outer form.
func splitToken(token string) (key uint32, head, sealed []byte, err error) {
	if len(token) > maxToken {
		return 0, nil, nil, errToken
	}
	b, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < headBytes+saltBytes || b[0] != tokenVersion {
		return 0, nil, nil, errToken
	}
	return binary.BigEndian.Uint32(b[1:]), b[:headBytes+saltBytes], b[headBytes+saltBytes:], nil
}

// unseal opens the inner form of a token under its session key.
func (k *sessionKey) unseal(head, sealed []byte) (s session, err error) {
	aead, err := k.key.AEAD("session token", head[headBytes:])
	if err != nil {
		return session{}, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, head)
	if err != nil {
		return session{}, errToken
	}
	in := json.NewDecoder(bytes.NewReader(plain))
	if err := in.Decode(&s); err != nil {
		return session{}, errToken
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return session{}, errToken
	}
	return s, nil
}

// temporary returns the secret and principal of a temporary access key.
func (d *Directory) temporary(ctx context.Context, id, token string) (string, identity.Principal, error) {
	o, err := d.verify(ctx, token)
	if err != nil {
		return "", identity.Principal{}, err
	}
	if subtle.ConstantTimeCompare([]byte(o.Key), []byte(id)) != 1 {
		return "", identity.Principal{}, errInvalid
	}
	p, err := d.resolve(ctx, &o.session)
	return o.secret, p, err
}

// verify opens a session token. Recent ones are cached.
func (d *Directory) verify(ctx context.Context, token string) (*opened, error) {
	cacheKey := hashOf(token)
	if o := d.sessions.Get(cacheKey); o != nil {
		return o, nil
	}
	number, head, sealed, err := splitToken(token)
	if err != nil {
		return nil, errInvalid
	}
	all, err := d.snapshot(ctx, system)
	if err != nil {
		return nil, unreadable(err)
	}
	at := slices.IndexFunc(all.signing, func(k signingKey) bool { return k.ID == number })
	if at < 0 {
		return nil, errInvalid
	}
	k, err := d.open(ctx, all.signing[at])
	if err != nil {
		return nil, unreadable(err)
	}
	s, err := k.unseal(head, sealed)
	if err != nil {
		return nil, errInvalid
	}
	o := &opened{s, k.derive(s.Key, head)}
	d.sessions.Put(cacheKey, o, int64(len(token)+500))
	return o, nil
}

// resolve returns the principal of a session that has neither expired nor been revoked.
func (d *Directory) resolve(ctx context.Context, s *session) (identity.Principal, error) {
	issued := time.UnixMilli(s.Issued).UTC()
	if d.Now().UnixMilli() >= s.Expires {
		return identity.Principal{}, errExpired
	}
	of, err := d.of(ctx, s.Account)
	if err != nil {
		return identity.Principal{}, unreadable(err)
	}
	if of == nil {
		return identity.Principal{}, errInvalid
	}
	p := identity.Principal{
		Owner: trace.Owner{Account: s.Account, Region: d.Region}, Proof: identity.ProofSignature, KeyID: s.Key,
		Session: &identity.Session{
			Issued: issued, Expires: time.UnixMilli(s.Expires).UTC(), MFA: s.MFA, Provider: s.Provider, SourceIdentity: s.Source,
			RoleARN: s.Role, TransitiveTags: s.Passed,
		},
	}
	var e *Entity
	if s.Role == "" {
		u := of.users[folded(s.User)]
		if u == nil || u.ID != s.ID {
			return identity.Principal{}, errInvalid
		}
		e = &u.Entity
		p.Type, p.ARN, p.ID, p.Name = identity.TypeUser, e.ARN, e.ID, e.Name
	} else {
		r := of.role(s.Role)
		if r == nil || r.ID != s.ID || r.Revoked != nil && issued.Before(*r.Revoked) {
			return identity.Principal{}, errInvalid
		}
		e = &r.Entity
		p.Type, p.ARN = identity.TypeRole, sessionARN(s.Account, e.Name, s.Name)
		p.ID, p.Name = e.ID+":"+s.Name, e.Name+"/"+s.Name
	}
	p.Tags = sessionTags(e.Tags, s.Tags)
	sessionPolicies(of, s, &p)
	return p, nil
}

// sessionTags merges the tags of a role with those of a session, which win. Keys are not
// distinguished by case.
func sessionTags(tags []Tag, session map[string]string) map[string]string {
	out := tagMap(tags)
	if out == nil {
		return maps.Clone(session)
	}
	for k, v := range session {
		maps.DeleteFunc(out, func(old, _ string) bool { return strings.EqualFold(old, k) })
		out[k] = v
	}
	return out
}

// sessionPolicies sets the session policies of a principal: the inline one, and the
// present texts of the managed ones.
func sessionPolicies(of *snapshot, s *session, p *identity.Principal) {
	if s.Policy == "" && len(s.ARNs) == 0 {
		return
	}
	p.Session.Policies = []string{}
	if s.Policy != "" {
		p.Session.Policies = append(p.Session.Policies, s.Policy)
	}
	for _, arn := range s.ARNs {
		if own := of.policies[arn]; own != nil {
			p.Session.Policies = append(p.Session.Policies, own.text())
		} else if doc, found := builtIn(arn); found {
			p.Session.Policies = append(p.Session.Policies, doc.Text)
		} // a deleted policy grants nothing
	}
}
