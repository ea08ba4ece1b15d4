package iam

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Credentials are temporary credentials.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

// Assumed is the session of a role.
type Assumed struct {
	Credentials Credentials
	ID, ARN     string // of the session
	RoleARN     string
	Packed      int    // per cent of the room for policies and tags
	Source      string // source identity
	// The rest is known for web identities only.
	Subject, Audience, Provider string
}

// AssumeRequest asks for a session of a role (STS API reference, AssumeRole).
type AssumeRequest struct {
	RoleARN, Session string
	Duration         int // seconds; 0 for the default
	ExternalID       string
	Policy           string
	PolicyARNs       []string
	Tags             []Tag
	Transitive       []string // keys of Tags that pass on to further roles
	SourceIdentity   string
	// Token is the JWT of AssumeRoleWithWebIdentity.
	Token string
	// Call is the request, for condition keys.
	Call identity.Call
}

// Limits of requests (STS API reference).
const (
	leastDuration   = 900
	chainedDuration = 3600
	maxSessionText  = 2048 // of session policies, in characters
	maxSessionARNs  = 10
	// packedRoom is the room for policies and tags of a session in bytes of a token. AWS
	// does not tell its own.
	packedRoom = 8192
)

var (
	roleForm     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):role(/[\x21-\x7e]*)?/[\w+=,.@-]+$`)
	externalForm = regexp.MustCompile(`^[\w+=,.@:/-]*$`)
)

// violation is the text of the STS API about a parameter.
func violation(value, name, rule string) error {
	return fail(ValidationError, "1 validation error detected: Value '%.200s' at '%s' failed to satisfy constraint: %s", value, name, rule)
}

// check checks everything that needs no record.
func (q *AssumeRequest) check() error {
	switch {
	case len(q.RoleARN) < 20:
		return violation(q.RoleARN, "roleArn", "Member must have length greater than or equal to 20")
	case len(q.RoleARN) > 2048:
		return violation(q.RoleARN, "roleArn", "Member must have length less than or equal to 2048")
	case len(q.Session) < 2:
		return violation(q.Session, "roleSessionName", "Member must have length greater than or equal to 2")
	case len(q.Session) > maxSession:
		return violation(q.Session, "roleSessionName", "Member must have length less than or equal to 64")
	case !nameForm.MatchString(q.Session):
		return violation(q.Session, "roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	case q.Duration != 0 && q.Duration < leastDuration:
		return violation(decimal(q.Duration), "durationSeconds", "Member must have value greater than or equal to 900")
	case q.Duration > mostSession:
		return violation(decimal(q.Duration), "durationSeconds", "Member must have value less than or equal to 43200")
	case q.ExternalID != "" && (len(q.ExternalID) < 2 || len(q.ExternalID) > 1224 || !externalForm.MatchString(q.ExternalID)):
		return violation(q.ExternalID, "externalId", `Member must satisfy regular expression pattern: [\w+=,.@:\/-]*`)
	case q.SourceIdentity != "" && (len(q.SourceIdentity) < 2 || len(q.SourceIdentity) > maxSession || !nameForm.MatchString(q.SourceIdentity) || strings.HasPrefix(folded(q.SourceIdentity), "aws:")):
		return violation(q.SourceIdentity, "sourceIdentity", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	case !roleForm.MatchString(q.RoleARN):
		return fail(ValidationError, "%s is invalid", q.RoleARN)
	case len(q.PolicyARNs) > maxSessionARNs:
		return fail(ValidationError, "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionARNs)
	}
	size := policy.Size(q.Policy)
	for _, arn := range q.PolicyARNs {
		size += len(arn)
	}
	if size > maxSessionText {
		return fail(PackedPolicyTooLarge, "Packed policy consumes %d%% of allotted space, please use smaller policy.", 100*size/maxSessionText)
	}
	return checkTags(q.Tags)
}

// AssumeRole makes a session of a role for a caller.
func (d *Directory) AssumeRole(ctx context.Context, caller identity.Principal, q AssumeRequest) (Assumed, error) {
	if err := q.check(); err != nil {
		return Assumed{}, err
	}
	s := session{Tags: map[string]string{}, Passed: map[string]string{}, Source: q.SourceIdentity}
	chained := caller.Session != nil && caller.Session.RoleARN != ""
	if caller.Session != nil {
		s.MFA = caller.Session.MFA
		if err := s.inherit(caller.Session, &q); err != nil {
			return Assumed{}, err
		}
	}
	if err := s.tag(&q); err != nil {
		return Assumed{}, err
	}
	denied := fail(AccessDenied, "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller.ARN, q.RoleARN)
	role, account, err := d.roleOf(ctx, q.RoleARN)
	if err != nil {
		return Assumed{}, err
	}
	if role == nil {
		return Assumed{}, denied // as for a role whose trust policy does not name the caller
	}
	// The operator's socket, and everyone where no credentials are required, may do
	// everything.
	if caller.Proof != identity.ProofSocket && caller.Type != identity.TypeAnonymous {
		g, err := d.Grants(ctx, caller)
		if err != nil {
			return Assumed{}, err
		}
		ask := access.Assumption{Caller: caller, Call: q.Call, Set: g}
		ask.Question.Keys = q.keys(&s)
		if err := d.mayAssume(role, ask, q.actions("sts:AssumeRole", &s)); err != nil {
			return Assumed{}, err
		}
	}
	most := role.MaxSession
	if chained {
		most = chainedDuration
		if q.Duration > most {
			return Assumed{}, fail(ValidationError, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
		}
	}
	return d.assume(ctx, role, account, &q, s, most)
}

// mayAssume asks for each permission that a request needs.
func (d *Directory) mayAssume(r *Role, ask access.Assumption, actions []string) (err error) {
	if ask.Trust, err = (Document{Name: "trust policy of role " + r.Name, Text: r.Trust}).parsed(); err != nil {
		return err
	}
	ask.Question.Resource = r.ARN
	for _, ask.Question.Action = range actions {
		err := d.Assume(ask)
		switch {
		case err == nil:
		case trace.KindOf(err) != trace.KindDenied:
			return err
		case ask.Provider != "":
			return fail(AccessDenied, "Not authorized to perform %s", ask.Question.Action)
		default:
			return fail(AccessDenied, "%v", err)
		}
	}
	return nil
}

// roleOf finds a role by its ARN, nil if there is none.
func (d *Directory) roleOf(ctx context.Context, arn string) (*Role, trace.Account, error) {
	m := roleForm.FindStringSubmatch(arn)
	if m == nil {
		return nil, "", nil
	}
	account := trace.Account(m[1])
	s, err := d.of(ctx, account)
	if err != nil {
		return nil, "", unreadable(err)
	}
	if s == nil {
		return nil, account, nil
	}
	return s.role(arn), account, nil
}

// inherit takes over what passes on from the caller's session: transitive tags and the
// source identity.
func (s *session) inherit(from *identity.Session, q *AssumeRequest) error {
	if from.SourceIdentity != "" {
		if q.SourceIdentity != "" && q.SourceIdentity != from.SourceIdentity {
			return fail(AccessDenied, "The source identity %s of the session cannot be changed", from.SourceIdentity) // not recorded
		}
		s.Source = from.SourceIdentity
	}
	for k, v := range from.TransitiveTags {
		for _, t := range q.Tags {
			if strings.EqualFold(t.Key, k) {
				return fail(InvalidInput, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
			}
		}
		s.Tags[k], s.Passed[k] = v, v
	}
	return nil
}

// tag adds the tags of a request.
func (s *session) tag(q *AssumeRequest) error {
	for _, t := range q.Tags {
		s.Tags[t.Key] = t.Value
	}
	for _, k := range q.Transitive {
		v, there := s.Tags[k]
		if !there {
			return fail(InvalidInput, "The transitive tag key %.140q is no key of a session tag", k) // not recorded
		}
		s.Passed[k] = v
	}
	return nil
}

// keys returns the condition keys of a request.
func (q *AssumeRequest) keys(s *session) map[string][]string {
	out := map[string][]string{"sts:RoleSessionName": {q.Session}}
	set := func(name, value string) {
		if value != "" {
			out[name] = []string{value}
		}
	}
	set("sts:ExternalId", q.ExternalID)
	set("sts:SourceIdentity", s.Source)
	if q.Duration != 0 {
		set("sts:DurationSeconds", decimal(q.Duration))
	}
	for _, t := range q.Tags {
		set("aws:RequestTag/"+t.Key, t.Value)
		out["aws:TagKeys"] = append(out["aws:TagKeys"], t.Key)
	}
	if len(q.Transitive) > 0 {
		out["sts:TransitiveTagKeys"] = q.Transitive
	}
	return out
}

// actions lists the permissions that a request needs.
func (q *AssumeRequest) actions(first string, s *session) []string {
	out := []string{first}
	if len(q.Tags) > 0 {
		out = append(out, "sts:TagSession")
	}
	if s.Source != "" {
		out = append(out, "sts:SetSourceIdentity")
	}
	return out
}

// assume makes the session. most is the longest duration in seconds.
func (d *Directory) assume(ctx context.Context, r *Role, account trace.Account, q *AssumeRequest, s session, most int) (Assumed, error) {
	duration := q.Duration
	if duration == 0 {
		duration = min(leastSession, most)
	}
	if duration > most {
		return Assumed{}, fail(ValidationError, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	if q.Policy != "" {
		if err := validate(policy.KindSession, q.Policy); err != nil {
			return Assumed{}, err
		}
	}
	of, err := d.of(ctx, account)
	if err != nil {
		return Assumed{}, unreadable(err)
	}
	for _, arn := range q.PolicyARNs {
		if of == nil || of.policies[arn] == nil {
			if doc, found := builtIn(arn); !found || doc.ARN != arn {
				return Assumed{}, fail(ValidationError, "The policy %.200s does not exist, or belongs to another account than the role", arn) // not recorded
			}
		}
	}
	now := d.Now().UTC()
	s.Account, s.Role, s.ID, s.Name = account, r.ARN, r.ID, q.Session
	s.Issued, s.Expires = now.UnixMilli(), now.Add(time.Duration(duration)*time.Second).Truncate(time.Second).UnixMilli()
	s.Policy, s.ARNs = q.Policy, q.PolicyARNs
	out := Assumed{ID: r.ID + ":" + q.Session, ARN: sessionARN(account, r.Name, q.Session), RoleARN: r.ARN, Source: s.Source}
	if out.Packed, err = s.packed(); err != nil {
		return Assumed{}, err
	}
	out.Credentials, err = d.issue(ctx, s)
	return out, err
}

// packed returns how much of the room for policies and tags a session takes, in per cent.
func (s *session) packed() (int, error) {
	if s.Policy == "" && len(s.ARNs) == 0 && len(s.Tags) == 0 {
		return 0, nil
	}
	b, err := json.Marshal(struct {
		P string
		Q []string
		T map[string]string
		X []string
	}{s.Policy, s.ARNs, s.Tags, sorted(maps.Clone(s.Passed))})
	percent := max(1, 100*len(b)/packedRoom)
	if percent > 100 {
		return 0, fail(PackedPolicyTooLarge, "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return percent, err
}

// SessionToken makes temporary credentials of a user (STS API reference,
// GetSessionToken). duration is in seconds, 0 for 12 hours.
func (d *Directory) SessionToken(ctx context.Context, caller identity.Principal, duration int) (Credentials, error) {
	switch {
	case caller.Type != identity.TypeUser || caller.Session != nil:
		return Credentials{}, fail(AccessDenied, "Cannot call GetSessionToken with session credentials")
	case duration == 0:
		duration = mostSession
	case duration < leastDuration:
		return Credentials{}, violation(decimal(duration), "durationSeconds", "Member must have value greater than or equal to 900")
	case duration > 129600:
		return Credentials{}, violation(decimal(duration), "durationSeconds", "Member must have value less than or equal to 129600")
	}
	now := d.Now().UTC()
	return d.issue(ctx, session{
		Account: caller.Account, User: caller.Name, ID: caller.ID,
		Issued: now.UnixMilli(), Expires: now.Add(time.Duration(duration) * time.Second).Truncate(time.Second).UnixMilli(),
	})
}

// containerDuration is the life of credentials from the container endpoint. SDKs renew
// them some minutes before they expire.
const containerDuration = 3600

// Container exchanges the token of a container for temporary credentials of its user or
// role. RoleARN is "" for a user.
func (d *Directory) Container(ctx context.Context, text string) (c Credentials, account trace.Account, roleARN string, err error) {
	t, account, r, err := d.token(ctx, text)
	if err != nil {
		return c, "", "", err
	}
	if t.Purpose != PurposeContainer {
		return c, "", "", errInvalid
	}
	now := d.Now().UTC()
	end := now.Add(containerDuration * time.Second)
	if t.Expires != nil && t.Expires.Before(end) {
		end = *t.Expires
	}
	s := session{Account: account, ID: r.entity().ID, Issued: now.UnixMilli(), Expires: end.Truncate(time.Second).UnixMilli()}
	if role, ok := r.(*Role); ok {
		s.Role, s.Name, roleARN = role.ARN, "container-"+t.ID, role.ARN
	} else {
		s.User = r.entity().Name
	}
	c, err = d.issue(ctx, s)
	return c, account, roleARN, err
}

// AccountOfKey returns the account of an access key's id (STS API reference,
// GetAccessKeyInfo). The key need not exist.
func AccountOfKey(id string) (trace.Account, bool) {
	if len(id) < 4 || id[:4] != prefixKey && id[:4] != prefixTemp {
		return "", false
	}
	return accountOfID(id[4:])
}
