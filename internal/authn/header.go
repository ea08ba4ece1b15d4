package authn

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// algorithm is the only one that X-Ray takes.
const algorithm = "AWS4-HMAC-SHA256"

// maxParts is the maximum number of signed headers, and of parameters in the query of a
// signed request. Sorting many costs time, which strangers could ask for.
const maxParts = 200

// isoBasic is the form of X-Amz-Date: ISO 8601, basic format, in UTC.
const isoBasic = "20060102T150405Z"

// signature holds an Authorization header of Signature Version 4 and the headers that
// belong to it.
type signature struct {
	keyID, date, region, service, term string
	signed                             []string // names of headers, sorted, in lower case
	hex                                string
	when                               time.Time
	stamp                              string // when, as signed
	token                              string // session token, "" for none
	claim                              string // X-Amz-Content-Sha256, "" for none
}

// scope returns the credential scope of a string to sign.
func (s *signature) scope() string {
	return s.date + "/" + s.region + "/" + s.service + "/" + s.term
}

// isSignature tells whether an Authorization header is of some version of AWS's
// signatures.
func isSignature(header string) bool { return strings.HasPrefix(header, "AWS4-") }

// parse reads an Authorization header and the headers that belong to it. It looks at
// nothing that needs a secret.
func parse(header string, h http.Header) (*signature, error) {
	name, rest, _ := strings.Cut(header, " ")
	if name != algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': this service takes %s.", algorithm) // not recorded
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, notPairs(header)
		}
		if _, twice := parts[key]; twice {
			return nil, incomplete("Authorization header has two '%.40s' parameters.", key) // not recorded
		}
		parts[key] = strings.TrimSpace(value)
	}
	var missing []string
	for _, key := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[key] == "" {
			missing = append(missing, fmt.Sprintf("Authorization header requires '%s' parameter.", key))
		}
	}
	if len(h["X-Amz-Date"]) == 0 && len(h["Date"]) == 0 {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if missing != nil {
		return nil, incomplete("%s (Hashed with SHA-256 and encoded with Base64) Authorization=%s", strings.Join(missing, " "), hashed(header))
	}
	s := &signature{hex: parts["Signature"]}
	credential := strings.Split(parts["Credential"], "/")
	if len(credential) != 5 {
		// AWS repeats the credential. It may be a secret in the wrong place.
		return nil, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%d elements'", len(credential))
	}
	s.keyID, s.date, s.region, s.service, s.term = credential[0], credential[1], credential[2], credential[3], credential[4]
	if err := s.readHeaders(parts["SignedHeaders"], h); err != nil {
		return nil, err
	}
	return s, s.readDate(h)
}

// readHeaders reads the names of the signed headers, and checks that those which must be
// signed are there, once.
func (s *signature) readHeaders(names string, h http.Header) error {
	if strings.Count(names, ";") >= maxParts {
		return incomplete("SignedHeaders has more than %d names.", maxParts) // not recorded
	}
	s.signed = strings.Split(strings.ToLower(names), ";")
	slices.Sort(s.signed)
	for i, name := range s.signed {
		if name == "" || i > 0 && name == s.signed[i-1] {
			return incomplete("SignedHeaders has an empty name, or a name twice.") // not recorded
		}
	}
	if !s.signs("host") && !s.signs(":authority") {
		return invalid(ReasonSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name, values := range h {
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") {
			continue
		}
		if !s.signs(strings.ToLower(name)) {
			return invalid(ReasonSignature, "'%.60s' must be a 'SignedHeader' in the AWS Authorization.", name) // not recorded
		}
		if len(values) > 1 && slices.Contains([]string{"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}, name) {
			return incomplete("'%s' is there %d times.", name, len(values)) // not recorded
		}
	}
	s.token, s.claim = h.Get("X-Amz-Security-Token"), h.Get("X-Amz-Content-Sha256")
	return nil
}

func (s *signature) signs(name string) bool {
	_, ok := slices.BinarySearch(s.signed, name)
	return ok
}

// readDate reads the time of the signature: X-Amz-Date, or else Date.
func (s *signature) readDate(h http.Header) error {
	text := h.Get("X-Amz-Date")
	if text == "" {
		if text = h.Get("Date"); len(text) != len(isoBasic) {
			if t, err := http.ParseTime(text); err == nil {
				text = t.UTC().Format(isoBasic)
			}
		}
	}
	t, err := time.Parse(isoBasic, text)
	if err != nil || len(text) != len(isoBasic) { // time.Parse also takes fractions of seconds
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%.40s'. See http://en.wikipedia.org/wiki/ISO_8601", text)
	}
	s.when, s.stamp = t, text
	return nil
}

// notPairs is the error for an Authorization header of another kind. The newer texts
// of AWS hash the header, because it may contain a secret.
func notPairs(header string) error {
	return incomplete("'***' not a valid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '%s'.", hashed(header))
}

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
