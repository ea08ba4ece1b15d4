package iam

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

var _ identity.Credentials = (*Directory)(nil)

// The texts of AWS's front ends for credentials that identify nobody.
var (
	errInvalid = &trace.KindError{Kind: trace.KindDenied, Message: "The security token included in the request is invalid.", Err: identity.ErrUnknown}
	errExpired = &trace.KindError{Kind: trace.KindDenied, Message: "The security token included in the request is expired", Err: identity.ErrExpired}
)

// AccessKey returns the secret of an access key and its principal.
func (d *Directory) AccessKey(ctx context.Context, id, token string) (string, identity.Principal, error) {
	if token != "" {
		return d.temporary(ctx, id, token)
	}
	rest, ok := strings.CutPrefix(id, prefixKey)
	account, known := accountOfID(rest)
	if !ok || !known {
		return "", identity.Principal{}, errInvalid
	}
	s, err := d.of(ctx, account)
	if err != nil {
		return "", identity.Principal{}, unreadable(err)
	}
	if s == nil {
		return "", identity.Principal{}, errInvalid
	}
	k := s.keys[id]
	if k == nil || k.Status != Active {
		return "", identity.Principal{}, errInvalid
	}
	r := s.find(k.Of)
	if r == nil {
		return "", identity.Principal{}, errInvalid
	}
	secret, err := d.unsealed(ctx, purposeKey, keyBinding(account, id), k.Sealed)
	if err != nil {
		return "", identity.Principal{}, unreadable(err)
	}
	p := d.principal(account, r, id)
	p.Proof = identity.ProofSignature
	return string(secret), p, nil
}

// unreadable makes an error of the records one that clients may retry.
func unreadable(err error) error {
	if k := trace.KindOf(err); k == trace.KindUnavailable || errors.Is(err, context.Canceled) {
		return err
	}
	return &trace.KindError{Kind: trace.KindUnavailable, Message: "the credentials cannot be read now", Err: err}
}

// principal makes the principal of a user, or of a role without a session of STS: then
// the credential's id stands for the name of the session.
func (d *Directory) principal(account trace.Account, r record, keyID string) identity.Principal {
	e := r.entity()
	p := identity.Principal{Owner: trace.Owner{Account: account, Region: d.Region}, KeyID: keyID, Tags: tagMap(e.Tags)}
	if _, ok := r.(*User); ok {
		p.Type, p.ARN, p.ID, p.Name = identity.TypeUser, e.ARN, e.ID, e.Name
		return p
	}
	p.Type = identity.TypeRole
	p.ARN, p.ID, p.Name = sessionARN(account, e.Name, keyID), e.ID+":"+keyID, e.Name+"/"+keyID
	return p
}

func sessionARN(account trace.Account, role, session string) string {
	return "arn:aws:sts::" + string(account) + ":assumed-role/" + role + "/" + session
}

// Bearer returns the principal of a bearer token and the scopes of the token.
func (d *Directory) Bearer(ctx context.Context, token string) (identity.Principal, []string, error) {
	t, account, r, err := d.token(ctx, token)
	if err != nil {
		return identity.Principal{}, nil, err
	}
	if t.Purpose != "" {
		return identity.Principal{}, nil, errInvalid
	}
	p := d.principal(account, r, t.ID)
	p.Proof = identity.ProofToken
	if role, ok := r.(*Role); ok {
		p.Session = &identity.Session{Issued: t.Created, RoleARN: role.ARN}
		if t.Expires != nil {
			p.Session.Expires = *t.Expires
		}
	}
	return p, t.Scopes, nil
}

// token finds a token and its user or role.
func (d *Directory) token(ctx context.Context, text string) (*tokenRecord, trace.Account, record, error) {
	id, account, ok := idOfToken(text)
	if !ok {
		return nil, "", nil, errInvalid
	}
	s, err := d.of(ctx, account)
	if err != nil {
		return nil, "", nil, unreadable(err)
	}
	if s == nil {
		return nil, "", nil, errInvalid
	}
	t, hash := s.tokens[id], hashOf(text)
	if t == nil || subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash)) != 1 || t.Status != Active {
		return nil, "", nil, errInvalid
	}
	if t.Expires != nil && !d.Now().Before(*t.Expires) {
		return nil, "", nil, errExpired
	}
	r := s.find(t.Of)
	if r == nil || r.entity().ID != t.OfID {
		return nil, "", nil, errInvalid
	}
	if role, ok := r.(*Role); ok && role.Revoked != nil && t.Created.Before(*role.Revoked) {
		return nil, "", nil, errInvalid
	}
	return t, account, r, nil
}

// Certificate returns the principal of a client certificate whose chain was verified. Of
// several mappings the most exact one counts: fingerprint, URI, DNS name, email address,
// common name.
func (d *Directory) Certificate(ctx context.Context, c *x509.Certificate) (identity.Principal, error) {
	s, err := d.snapshot(ctx, system)
	if err != nil {
		return identity.Principal{}, unreadable(err)
	}
	var found *certificateRecord
	for _, m := range matches(c) {
		if found = s.certs[m]; found != nil {
			break
		}
	}
	if found == nil {
		return identity.Principal{}, errInvalid
	}
	of, err := d.of(ctx, found.Account)
	if err != nil {
		return identity.Principal{}, unreadable(err)
	}
	if of == nil {
		return identity.Principal{}, errInvalid
	}
	r := of.find(found.Of)
	if r == nil || r.entity().ID != found.OfID {
		return identity.Principal{}, errInvalid
	}
	id := matches(c)[0][len("sha256:"):][:tokenID]
	p := d.principal(found.Account, r, id)
	p.Proof = identity.ProofTLS
	if role, ok := r.(*Role); ok {
		if role.Revoked != nil && found.Created.Before(*role.Revoked) {
			return identity.Principal{}, errInvalid
		}
		p.Session = &identity.Session{Issued: c.NotBefore, Expires: c.NotAfter, RoleARN: role.ARN}
	}
	return p, nil
}
