package authn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
)

const (
	terminator = "aws4_request"
	// globalRegion signs requests to services that have one endpoint for the world.
	globalRegion = "us-east-1"
	// keysKept is how many signing keys are cached. Each belongs to an access key, a day, a
	// region and a service.
	keysKept = 4096
)

// emptyHash is the SHA-256 of nothing.
var emptyHash = sha256.Sum256(nil)

// keyName names a signing key.
type keyName struct{ id, date, region, service string }

// signingKey is a cached signing key, with the secret it was made of: a key whose secret
// has changed must not stay valid.
type signingKey struct {
	secret string
	key    []byte
}

// signed verifies a request with a Signature Version 4. The order of the checks: form,
// key, scope, time, signature. If the signature covers a body whose hash the client did
// not send, the body proves the identity at its end.
func (a *Authenticator) signed(ctx context.Context, c identity.Call, header string) (identity.Principal, error) {
	r := c.Request
	s, err := parse(header, r.Header)
	if err != nil {
		return identity.Principal{}, err
	}
	claim, err := s.claimed()
	if err != nil {
		return identity.Principal{}, err
	}
	if strings.Count(r.URL.RawQuery, "&") >= maxParts {
		return identity.Principal{}, incomplete("The query has more than %d parameters.", maxParts) // not recorded
	}
	parts := partsOf(r)
	prefix := parts.canonical(s.signed)
	secret, p, err := a.Credentials.AccessKey(ctx, s.keyID, s.token)
	if err != nil {
		// Somebody who guesses ids must not learn from the time of the answer more than its
		// text says: an unknown key costs the same work.
		a.verify(s, "", prefix, hex.EncodeToString(emptyHash[:]))
		return identity.Principal{}, refusal(err)
	}
	p = a.complete(p, identity.ProofSignature, s.keyID)
	if err := s.checkScope(services(c.Action), p.Region); err != nil {
		return identity.Principal{}, err
	}
	if err := s.checkTime(a.Now(), a.Skew); err != nil {
		return identity.Principal{}, err
	}
	bodiless := r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody
	if claim == nil && bodiless {
		claim = emptyHash[:]
	}
	proven := func(sum []byte) error {
		hash := s.claim
		if hash == "" {
			hash = hex.EncodeToString(sum)
		}
		if !a.verify(s, secret, prefix, hash) {
			return mismatch()
		}
		return nil
	}
	if claim != nil {
		if err := proven(claim); err != nil {
			return identity.Principal{}, err
		}
	}
	if bodiless {
		if !hmac.Equal(claim, emptyHash[:]) {
			return identity.Principal{}, mismatch()
		}
		a.Credentials.Used(p, c.Source)
		return p, nil
	}
	r.Body = newBody(r.Body, r.ContentLength, func(sum []byte) error {
		var err error
		switch {
		case claim == nil:
			err = proven(sum)
		case !hmac.Equal(claim, sum):
			err = mismatch()
		}
		if err == nil {
			a.Credentials.Used(p, c.Source)
		} else if a.Failed != nil {
			a.Failed(c, err)
		}
		return err
	})
	return p, nil
}

// claimed returns the hash of the body that the client claims, nil if it claims none.
func (s *signature) claimed() ([]byte, error) {
	if s.claim == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(s.claim)
	if err != nil || len(sum) != sha256.Size {
		// UNSIGNED-PAYLOAD and STREAMING-… are for Amazon S3 only. The text was not recorded.
		return nil, invalid(ReasonSignature, "X-Amz-Content-Sha256 must be the hexadecimal SHA-256 of the body. Unsigned and streaming payloads are for Amazon S3 only.")
	}
	return sum, nil
}

// verify compares the signature with ours, in constant time. A secret of "" belongs to
// nobody and never matches.
func (a *Authenticator) verify(s *signature, secret string, prefix []byte, hash string) bool {
	canonical := sha256.Sum256(append(prefix[:len(prefix):len(prefix)], hash...))
	toSign := make([]byte, 0, 256)
	toSign = append(toSign, algorithm...)
	toSign = append(append(toSign, '\n'), s.stamp...)
	toSign = append(append(toSign, '\n'), s.scope()...)
	toSign = hex.AppendEncode(append(toSign, '\n'), canonical[:])
	ours := sign(a.key(s, secret), toSign)
	theirs, err := hex.DecodeString(s.hex)
	return hmac.Equal(ours, theirs) && err == nil && secret != ""
}

// key returns the signing key of a secret (AWS, "Create a signed AWS API request", step 4).
func (a *Authenticator) key(s *signature, secret string) []byte {
	name := keyName{s.keyID, s.date, s.region, s.service}
	if secret != "" {
		if k := a.keys.Get(name); k != nil && hmac.Equal([]byte(k.secret), []byte(secret)) {
			return k.key
		}
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, s.term} {
		key = sign(key, []byte(part))
	}
	if secret != "" && s.term == terminator {
		a.keys.Put(name, &signingKey{secret, key}, 1)
	}
	return key
}

func sign(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// services returns the names under which requests for an action may be signed. AWS signs
// OTLP as xray too.
func services(action string) []string {
	switch prefix, _, _ := strings.Cut(action, ":"); prefix {
	case "sts", "iam":
		return []string{prefix}
	}
	return []string{"xray", "fluoro"}
}

// checkScope checks service, region, terminator and day of a credential scope.
func (s *signature) checkScope(services []string, region string) error {
	var wrong []string
	if s.region != region && !(services[0] != "xray" && s.region == globalRegion) {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped to a valid region, not '%.40s'. ", s.region))
	}
	if s.service != services[0] && s.service != services[len(services)-1] {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped to correct service: '%s'. ", services[0]))
	}
	if s.term != terminator {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped with a valid terminator: '%s', not '%.40s'. ", terminator, s.term))
	}
	if day := s.stamp[:8]; s.date != day {
		wrong = append(wrong, fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.40s' != '%s', from '%s'.", s.date, day, s.stamp))
	}
	if wrong == nil {
		return nil
	}
	return invalid(ReasonScope, "%s", strings.TrimSpace(strings.Join(wrong, "")))
}

// checkTime checks that a request was signed at most skew ago, or ahead.
func (s *signature) checkTime(now time.Time, skew time.Duration) error {
	now = now.UTC().Truncate(time.Second)
	stamp := func(t time.Time) string { return t.Format(isoBasic) }
	window := fmt.Sprintf("%g min.", skew.Minutes())
	if limit := now.Add(-skew); s.when.Before(limit) {
		return invalid(ReasonSkew, "Signature expired: %s is now earlier than %s (%s - %s)", s.stamp, stamp(limit), stamp(now), window)
	}
	if limit := now.Add(skew); s.when.After(limit) {
		return invalid(ReasonSkew, "Signature not yet current: %s is still later than %s (%s + %s)", s.stamp, stamp(limit), stamp(now), window)
	}
	return nil
}
