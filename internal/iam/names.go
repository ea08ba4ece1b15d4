package iam

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Prefixes of unique ids (IAM user guide, "Understanding unique ID prefixes").
const (
	prefixUser   = "AIDA"
	prefixRole   = "AROA"
	prefixGroup  = "AGPA"
	prefixPolicy = "ANPA"
	prefixKey    = "AKIA" // long-term access key
	prefixTemp   = "ASIA" // temporary access key
)

// Maximum lengths (IAM user guide, "IAM and STS character limits").
const (
	maxUserName   = 64
	maxRoleName   = 64
	maxGroupName  = 128
	maxPolicyName = 128
	maxPath       = 512
	maxTagKey     = 128
	maxTagValue   = 256
	maxTags       = 50
	maxSession    = 64
)

var (
	nameForm    = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathForm    = regexp.MustCompile(`^(/|/[\x21-\x7e]+/)$`)
	tagForm     = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	base32ID    = base32.StdEncoding.WithPadding(base32.NoPadding)
)

// newID makes the unique id of a user, role, group or policy: 21 characters as AWS's.
func newID(prefix string) string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // it never fails
	return prefix + base32ID.EncodeToString(b[:])[:17]
}

// newKeyID makes the id of an access key or token. As in AWS's ids, the account is part
// of it (bits 1 to 40), so that a key's account is known before any record is read.
func newKeyID(prefix string, account trace.Account) string {
	var b [10]byte
	_, _ = rand.Read(b[:])
	n, _ := strconv.ParseUint(string(account), 10, 40)
	head := 1<<47 | n<<7 | uint64(b[5]&0x7f)
	var wide [8]byte
	binary.BigEndian.PutUint64(wide[:], head)
	copy(b[:6], wide[2:])
	return prefix + base32ID.EncodeToString(b[:])
}

// accountOfID returns the account of the id of an access key or token, without its prefix.
func accountOfID(id string) (trace.Account, bool) {
	b, err := base32ID.DecodeString(id)
	if err != nil || len(id) != tokenID || len(b) != 10 || b[0]&0x80 == 0 {
		return "", false
	}
	n := binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...)) >> 7 & (1<<40 - 1)
	account := fmt.Sprintf("%012d", n)
	return trace.Account(account), len(account) == 12
}

// newSecret makes the secret of a long-term access key: 40 characters, 240 random bits.
func newSecret() string {
	var b [30]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// folded is the form of names that are not distinguished by case (IAM user guide, "IAM
// name requirements").
func folded(name string) string { return strings.ToLower(name) }

// checkName checks the name of a user, role, group or policy.
func checkName(what, name string, most int) error {
	if name == "" || len(name) > most || !nameForm.MatchString(name) {
		return fail(ValidationError, "The specified value for %s is invalid: %.140q. It must have 1 to %d characters, only alphanumeric ones and the following: +=,.@_-", what, name, most)
	}
	return nil
}

// checkPath checks a path and returns "/" for none.
func checkPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if len(path) > maxPath || !pathForm.MatchString(path) {
		return "", fail(ValidationError, "The specified value for path is invalid: %.100q. It must begin and end with / and contain only ASCII characters, at most %d.", path, maxPath)
	}
	return path, nil
}

// Tag is a tag of a principal or session.
type Tag struct{ Key, Value string }

// checkTags checks a list of tags.
func checkTags(tags []Tag) error {
	if len(tags) > maxTags {
		return fail(LimitExceeded, "Cannot exceed quota for TagsPerResource: %d", maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || !tagForm.MatchString(t.Key):
			return fail(InvalidInput, "The tag key %.140q must have 1 to %d characters, only letters, digits, spaces and _.:/=+-@", t.Key, maxTagKey)
		case strings.HasPrefix(folded(t.Key), "aws:"):
			return fail(InvalidInput, "The tag key %.140q begins with aws:, which is reserved for system tags", t.Key)
		case utf8.RuneCountInString(t.Value) > maxTagValue || !tagForm.MatchString(t.Value):
			return fail(InvalidInput, "The value of tag %q must have at most %d characters, only letters, digits, spaces and _.:/=+-@", t.Key, maxTagValue)
		case seen[folded(t.Key)]:
			return fail(InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[folded(t.Key)] = true
	}
	return nil
}

// mergeTags sets tags, whose keys are not distinguished by case.
func mergeTags(old, set []Tag) []Tag {
	out := append([]Tag(nil), old...)
next:
	for _, t := range set {
		for i := range out {
			if folded(out[i].Key) == folded(t.Key) {
				out[i] = t
				continue next
			}
		}
		out = append(out, t)
	}
	return out
}

// tagMap returns tags as a map, nil for none.
func tagMap(tags []Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}
