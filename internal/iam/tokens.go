package iam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A token is fluoro_, its id of 16 characters, 43 characters for 256 random bits, and 6
// characters for a checksum (CRC-32 of the rest). Scanners of repositories recognise the
// form, and the checksum tells them that it is no example.
//
// Only SHA-256 of the token is stored. Slow hashes (argon2, bcrypt) protect secrets that
// people choose, because those can be guessed. Nobody guesses 256 random bits, and a slow
// hash for each request would let anyone keep the processor busy.
const (
	tokenPrefix = "fluoro_"
	tokenID     = 16
	tokenSecret = 43
	tokenSum    = 6
	tokenLength = len(tokenPrefix) + tokenID + tokenSecret + tokenSum
)

// maxTokens is the maximum number of tokens of a user or role.
const maxTokens = 100

// maxScopes is the maximum number of scopes of a token.
const maxScopes = 50

// PurposeContainer marks tokens that only get credentials from the container endpoint.
const PurposeContainer = "container"

// Token is a bearer token without its secret.
type Token struct {
	ID          string
	Of          Ref
	Description string     `json:",omitempty"`
	Purpose     string     `json:",omitempty"` // PurposeContainer, or "" for bearer tokens
	Scopes      []string   `json:",omitempty"` // actions with * and ?; none: all of its principal's
	Expires     *time.Time `json:",omitempty"`
	Status      string
	Created     time.Time
	LastUsed    *LastUsed `json:",omitempty"`
}

// tokenRecord is a stored token.
type tokenRecord struct {
	Token
	OfID string // unique id of its user or role
	Hash string // SHA-256 in hexadecimal
}

// TokenRequest asks for a token. Exactly one of User and Role is set.
type TokenRequest struct {
	User, Role  string
	Description string
	Purpose     string
	Scopes      []string
	Expires     *time.Time
}

// scopeForm is the form of an action with wildcards.
var scopeForm = regexp.MustCompile(`^(\*|[a-z0-9-]+:[A-Za-z0-9*?]+)$`)

// ref returns the user or role of a request.
func (q *TokenRequest) ref() (Ref, error) {
	if (q.User == "") == (q.Role == "") {
		return Ref{}, fail(ValidationError, "A token needs a user or a role, and not both")
	}
	if q.Role != "" {
		return Ref{TypeRole, q.Role}, nil
	}
	return Ref{TypeUser, q.User}, nil
}

// CreateToken makes a token and returns its text, which is shown only once.
func (d *Directory) CreateToken(ctx context.Context, account trace.Account, q TokenRequest) (Token, string, error) {
	of, err := q.ref()
	if err != nil {
		return Token{}, "", err
	}
	now := d.Now().UTC().Truncate(time.Second)
	switch {
	case len(q.Description) > 1000:
		return Token{}, "", fail(ValidationError, "The description of a token must have at most 1000 bytes")
	case q.Purpose != "" && q.Purpose != PurposeContainer:
		return Token{}, "", fail(ValidationError, "The purpose of a token must be %q or none, not %.40q", PurposeContainer, q.Purpose)
	case q.Expires != nil && !q.Expires.After(now):
		return Token{}, "", fail(ValidationError, "The token would have expired already at %s", q.Expires.Format(time.RFC3339))
	case len(q.Scopes) > maxScopes:
		return Token{}, "", fail(LimitExceeded, "Cannot exceed quota for ScopesPerToken: %d", maxScopes)
	case q.Purpose == PurposeContainer && len(q.Scopes) > 0:
		return Token{}, "", fail(ValidationError, "A token for containers has no scopes: limit the policies of its %s", of.Type)
	}
	for _, s := range q.Scopes {
		if !scopeForm.MatchString(s) {
			return Token{}, "", fail(ValidationError, "%.100q is no scope: want an action such as xray:PutTraceSegments or xray:Get*", s)
		}
	}
	id, text := newToken(account)
	t := Token{ID: id, Of: of, Description: q.Description, Purpose: q.Purpose, Scopes: q.Scopes, Expires: q.Expires, Status: Active, Created: now}
	err = d.update(ctx, account, func(tx meta.Tx) error {
		r := of.Type.blank()
		if there, err := get(tx, types[of.Type].kind, of.Name, r); err != nil {
			return err
		} else if !there {
			return of.Type.missing(of.Name)
		}
		t.Of.Name = r.entity().Name
		n := 0
		if err := list(tx, kindToken, func(_ string, other tokenRecord) error {
			if other.Of.is(of.Type, of.Name) {
				n++
			}
			return nil
		}); err != nil {
			return err
		}
		if n >= maxTokens {
			return fail(LimitExceeded, "Cannot exceed quota for TokensPer%s: %d", types[of.Type].title, maxTokens)
		}
		return tx.Put(kindToken, id, tokenRecord{t, r.entity().ID, hashOf(text)})
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, text, nil
}

// newToken makes a token of an account.
func newToken(account trace.Account) (id, text string) {
	id = newKeyID("", account)
	var b [32]byte
	_, _ = rand.Read(b[:])
	text = tokenPrefix + id + base62(new(big.Int).SetBytes(b[:]), tokenSecret)
	return id, text + checksum(text)
}

func base62(n *big.Int, width int) string {
	text := n.Text(62)
	return strings.Repeat("0", width-len(text)) + text
}

func checksum(text string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text)))), tokenSum)
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// idOfToken returns the id in a token, if the token has the right form and checksum.
func idOfToken(text string) (id string, account trace.Account, ok bool) {
	if len(text) != tokenLength || !strings.HasPrefix(text, tokenPrefix) || checksum(text[:tokenLength-tokenSum]) != text[tokenLength-tokenSum:] {
		return "", "", false
	}
	id = text[len(tokenPrefix) : len(tokenPrefix)+tokenID]
	account, ok = accountOfID(id)
	return id, account, ok
}

// Tokens returns the tokens of a user or role, or all for an empty Ref.
func (d *Directory) Tokens(ctx context.Context, account trace.Account, of Ref) (out []Token, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		out = nil
		return list(tx, kindToken, func(id string, t tokenRecord) (err error) {
			if of.Name == "" || t.Of.is(of.Type, of.Name) {
				t.LastUsed, err = d.lastUsed(tx, id)
				out = append(out, t.Token)
			}
			return err
		})
	})
	return out, err
}

// Token returns a token without its secret.
func (d *Directory) Token(ctx context.Context, account trace.Account, id string) (out Token, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		var t tokenRecord
		if there, err := tx.Get(kindToken, named(id), &t); err != nil {
			return err
		} else if !there {
			return noToken(id)
		}
		out = t.Token
		out.LastUsed, err = d.lastUsed(tx, id)
		return err
	})
	return out, err
}

func noToken(id string) error {
	return fail(NoSuchEntity, "The token with id %.140s cannot be found.", id)
}

// SetTokenStatus makes a token Active or Inactive.
func (d *Directory) SetTokenStatus(ctx context.Context, account trace.Account, id, status string) error {
	if status != Active && status != Inactive {
		return fail(ValidationError, "1 validation error detected: Value '%.40s' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]", status)
	}
	return d.update(ctx, account, func(tx meta.Tx) error {
		var t tokenRecord
		if there, err := tx.Get(kindToken, named(id), &t); err != nil {
			return err
		} else if !there {
			return noToken(id)
		}
		t.Status = status
		return tx.Put(kindToken, id, t)
	})
}

// DeleteToken deletes a token.
func (d *Directory) DeleteToken(ctx context.Context, account trace.Account, id string) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		if there, err := tx.Get(kindToken, named(id), &tokenRecord{}); err != nil {
			return err
		} else if !there {
			return noToken(id)
		}
		return dropIf(tx, kindToken, id, true)
	})
}

// Certificate is a client certificate, or a name in certificates, that identifies a user
// or role. The authorities that may sign such certificates are a setting of the server.
type Certificate struct {
	// Match is sha256:FINGERPRINT of a certificate in hexadecimal, or a name of its
	// subject: uri:URI, dns:NAME, email:ADDRESS or cn:COMMON NAME.
	Match       string
	Account     trace.Account
	Of          Ref
	Description string `json:",omitempty"`
	Created     time.Time
}

type certificateRecord struct {
	Certificate
	OfID string // unique id of its user or role
}

var matchForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|uri:[\x21-\x7e]{1,1000}|dns:[a-z0-9_*.-]{1,253}|email:[\x21-\x7e]{3,320}|cn:[^\x00-\x1f\x7f]{1,200})$`)

// PutCertificate maps a certificate, or a name in certificates, to a user or role.
func (d *Directory) PutCertificate(ctx context.Context, c Certificate) (Certificate, error) {
	if kind, rest, _ := strings.Cut(c.Match, ":"); kind == "sha256" || kind == "dns" {
		c.Match = kind + ":" + strings.ToLower(strings.ReplaceAll(rest, ":", ""))
	}
	if !matchForm.MatchString(c.Match) {
		return Certificate{}, fail(ValidationError, "%.100q describes no certificate: want sha256:FINGERPRINT, uri:URI, dns:NAME, email:ADDRESS or cn:NAME", c.Match)
	}
	if c.Of.Type != TypeUser && c.Of.Type != TypeRole {
		return Certificate{}, fail(ValidationError, "A certificate needs a user or a role")
	}
	found, err := d.Find(ctx, c.Account, c.Of.Type, c.Of.Name)
	if err != nil {
		return Certificate{}, err
	}
	c.Of.Name, c.Created = found.(record).entity().Name, d.Now().UTC().Truncate(time.Second)
	err = d.update(ctx, system, func(tx meta.Tx) error {
		return tx.Put(kindCertificate, c.Match, certificateRecord{c, found.(record).entity().ID})
	})
	return c, err
}

// Certificates returns all certificates of the server.
func (d *Directory) Certificates(ctx context.Context) (out []Certificate, err error) {
	err = d.Records.View(ctx, system, func(tx meta.Tx) error {
		out = nil
		return list(tx, kindCertificate, func(_ string, c certificateRecord) error { out = append(out, c.Certificate); return nil })
	})
	return out, err
}

// DeleteCertificate ends the mapping of a certificate.
func (d *Directory) DeleteCertificate(ctx context.Context, match string) error {
	return d.update(ctx, system, func(tx meta.Tx) error {
		there, err := tx.Delete(kindCertificate, named2048(match))
		if err == nil && !there {
			err = fail(NoSuchEntity, "The certificate %.100q cannot be found.", match)
		}
		return err
	})
}

func named2048(name string) string {
	if name == "" || len(name) > meta.MaxName {
		return "-"
	}
	return name
}

// dropCertificates deletes the certificates of an entity that was deleted.
func (d *Directory) dropCertificates(ctx context.Context, account trace.Account, t Type, name string) error {
	all, err := d.Certificates(ctx)
	if err != nil || !slices.ContainsFunc(all, func(c Certificate) bool { return c.Account == account && c.Of.is(t, name) }) {
		return err
	}
	return d.update(ctx, system, func(tx meta.Tx) error {
		return list(tx, kindCertificate, func(match string, c certificateRecord) error {
			if c.Account != account || !c.Of.is(t, name) {
				return nil
			}
			_, err := tx.Delete(kindCertificate, match)
			return err
		})
	})
}

// matches returns the texts by which a certificate may be mapped, the most exact first.
func matches(c *x509.Certificate) []string {
	sum := sha256.Sum256(c.Raw)
	out := []string{"sha256:" + hex.EncodeToString(sum[:])}
	for _, u := range c.URIs {
		out = append(out, "uri:"+u.String())
	}
	for _, n := range c.DNSNames {
		out = append(out, "dns:"+strings.ToLower(n))
	}
	for _, a := range c.EmailAddresses {
		out = append(out, "email:"+a)
	}
	if c.Subject.CommonName != "" {
		out = append(out, fmt.Sprintf("cn:%s", c.Subject.CommonName))
	}
	return out
}
