package audit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxTraceIDs is how many trace ids a record lists; it counts all of them.
const maxTraceIDs = 100

// Details collect the facts about one request that only its handler knows. All methods
// do nothing on a nil Details: then the request is not audited. Many goroutines may use
// one.
type Details struct {
	mu         sync.Mutex
	event      Event
	changes    bool // the request changes something: responses are recorded
	ids        []string
	count      int
	additional map[string]any
	hash       func(string) string // of filter expressions; nil: they are recorded
}

type detailsKey struct{}

// Of returns the Details of the request of a context, nil if it is not audited.
func Of(ctx context.Context) *Details {
	d, _ := ctx.Value(detailsKey{}).(*Details)
	return d
}

// Hasher makes the function that replaces filter expressions in records: a keyed hash, so
// that equal filters can be recognised and others not be guessed. The key lives as long
// as the process.
func Hasher() func(string) string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return func(s string) string {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(s))
		return "hmac-sha256:" + hex.EncodeToString(m.Sum(nil))
	}
}

// Begin starts the record of a call by a principal. hash, if not nil, replaces filter
// expressions.
func Begin(ctx context.Context, c identity.Call, p *identity.Principal, hash func(string) string) (context.Context, *Details) {
	d := &Details{hash: hash, additional: map[string]any{}}
	e := &d.event
	e.Source, e.Name = sourceOf(c.Action)
	e.Type, e.APIVersion = TypeCall, versionOf(c.Action)
	e.ReadOnly, e.Management, e.Category = readOnly(c.Action), true, "Management"
	d.changes = !e.ReadOnly
	if dataActions[c.Action] {
		e.Management, e.Category = false, "Data"
		e.Resources = []Resource{{Type: "AWS::XRay::Trace"}}
		d.changes = false
	}
	e.UserIdentity = IdentityOf(p)
	e.Region, e.Recipient = p.Region, string(p.Account)
	e.Address = host(c.Source)
	d.additional["listener"] = c.Listener
	if p.Proof != "" {
		d.additional["authentication"] = p.Proof
	}
	if p.Proof == identity.ProofSession {
		e.SessionConsole = "true"
	}
	if r := c.Request; r != nil {
		e.Agent = r.UserAgent()
		e.TLS = tlsOf(r)
	}
	return context.WithValue(ctx, detailsKey{}, d), d
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

func tlsOf(r *http.Request) *TLS {
	if r.TLS == nil {
		return nil
	}
	// CloudTrail writes TLSv1.3 where Go writes "TLS 1.3".
	return &TLS{Version: strings.Replace(tls.VersionName(r.TLS.Version), "TLS ", "TLSv", 1), Cipher: tls.CipherSuiteName(r.TLS.CipherSuite), Host: cut(r.Host, maxText)}
}

// IdentityOf describes a principal.
func IdentityOf(p *identity.Principal) UserIdentity {
	u := UserIdentity{Type: "Unknown", PrincipalID: p.ID, ARN: p.ARN, AccountID: string(p.Account)}
	if p.Proof == identity.ProofSignature {
		u.AccessKeyID = p.KeyID
	} else {
		u.CredentialID = p.KeyID
	}
	switch p.Type {
	case identity.TypeRoot:
		u.Type = "Root"
		if u.PrincipalID == "" {
			u.PrincipalID = u.AccountID
		}
	case identity.TypeUser:
		u.Type, u.UserName = "IAMUser", p.Name
	case identity.TypeRole:
		u.Type = "AssumedRole"
	case identity.TypeService:
		u.Type, u.InvokedBy = "AWSService", p.Name
	default:
		// CloudTrail has no type for callers without credentials.
		if u.PrincipalID == "" {
			u.PrincipalID = p.Name
		}
	}
	if s := p.Session; s != nil {
		u.Session = sessionOf(p, s)
	}
	return u
}

func sessionOf(p *identity.Principal, s *identity.Session) *SessionContext {
	c := &SessionContext{SourceIdentity: s.SourceIdentity, Attributes: &SessionAttributes{Created: s.Issued.UTC().Format(time.RFC3339), MFA: "false"}}
	if s.MFA {
		c.Attributes.MFA = "true"
	}
	if s.RoleARN != "" {
		id, _, _ := strings.Cut(p.ID, ":")
		name := s.RoleARN[strings.LastIndexByte(s.RoleARN, '/')+1:]
		c.Issuer = &Issuer{Type: "Role", PrincipalID: id, ARN: s.RoleARN, AccountID: string(p.Account), UserName: name}
	}
	if s.Provider != "" {
		c.Federation = &Federation{Provider: s.Provider, Attributes: map[string]string{}}
	}
	return c
}

func (d *Details) do(f func()) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// filters are the members that hold filter expressions or searched texts, which can hold
// personal data.
var filters = map[string]bool{"filterExpression": true, "filter": true, "against": true, "entitySelectorExpression": true, "text": true}

// Request sets requestParameters. names are in lowerCamelCase; values must not hold
// documents or secrets. With no values they are null, as natively.
func (d *Details) Request(values map[string]any) {
	d.do(func() {
		if len(values) == 0 {
			return
		}
		if d.hash != nil {
			for name, v := range values {
				if s, ok := v.(string); ok && filters[name] {
					values[name] = d.hash(s)
				}
			}
		}
		d.event.Parameters = values
	})
}

// Respond sets responseElements, which are recorded for calls that change something.
func (d *Details) Respond(value any) {
	d.do(func() {
		if d.changes {
			d.event.Response = value
		}
	})
}

// Changes reports whether the response of the request belongs into its record.
func (d *Details) Changes() (yes bool) {
	d.do(func() { yes = d.changes })
	return yes
}

// Traces adds trace ids that the request read, wrote or deleted.
func (d *Details) Traces(ids ...string) {
	d.do(func() {
		d.count += len(ids)
		d.ids = append(d.ids, ids[:min(len(ids), max(0, maxTraceIDs-len(d.ids)))]...)
	})
}

// TraceIDs is Traces for parsed ids.
func (d *Details) TraceIDs(ids []trace.ID) {
	if d == nil {
		return
	}
	d.do(func() { d.count += len(ids) })
	for _, id := range ids {
		full := false
		d.do(func() {
			if full = len(d.ids) >= maxTraceIDs; !full {
				d.ids = append(d.ids, id.String())
			}
		})
		if full {
			return
		}
	}
}

// Set adds a member to additionalEventData, such as a count.
func (d *Details) Set(name string, value any) { d.do(func() { d.additional[name] = value }) }

// Fail records that the request failed. Codes of denials are AccessDenied, as natively.
// Requests that failed for their form have no parameters.
func (d *Details) Fail(code, message string) {
	d.do(func() {
		d.event.ErrorCode, d.event.ErrorMessage = code, message
		switch code {
		case "AccessDeniedException", "AccessDenied":
			d.event.ErrorCode, d.event.Parameters = "AccessDenied", nil
		case "ValidationException", "SerializationException":
			d.event.Parameters = nil
		}
	})
}

// Use adds a resource that the request used, once.
func (d *Details) Use(arn string) {
	d.do(func() {
		r := Resource{ARN: arn, Account: d.event.Recipient, Type: kindOf(arn)}
		if !slices.Contains(d.event.Resources, r) && len(d.event.Resources) < maxResources {
			d.event.Resources = append(d.event.Resources, r)
		}
	})
}

// maxResources bounds the resources of a record.
const maxResources = 100

// kinds are the types of resources with ARNs, by service and the beginning of the name.
var kinds = map[string]string{
	"xray:group": "AWS::XRay::Group", "xray:sampling-rule": "AWS::XRay::SamplingRule", "iam:user": "AWS::IAM::User",
	"iam:role": "AWS::IAM::Role", "iam:group": "AWS::IAM::Group", "iam:policy": "AWS::IAM::Policy",
}

// kindOf returns the type of a resource by its ARN, "" if it has none.
func kindOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	name, _, _ := strings.Cut(parts[5], "/")
	return kinds[parts[2]+":"+name]
}

// Resource returns the ARN of the first resource with one, "" for none.
func (d *Details) Resource() (arn string) {
	d.do(func() {
		for _, r := range d.event.Resources {
			if arn == "" {
				arn = r.ARN
			}
		}
	})
	return arn
}

// As replaces the identity: for calls whose caller is known only to the handler, such as
// a login.
func (d *Details) As(u UserIdentity) { d.do(func() { d.event.UserIdentity = u }) }

// Name makes the record one of another action, for routes that serve several.
func (d *Details) Name(action string) {
	d.do(func() {
		d.event.Source, d.event.Name = sourceOf(action)
		d.event.ReadOnly, d.event.APIVersion = readOnly(action), versionOf(action)
	})
}

// SignIn makes the record one of a sign-in to the console. CloudTrail's response is
// {"ConsoleLogin":"Success"} or {"ConsoleLogin":"Failure"}.
func (d *Details) SignIn(name string, succeeded bool) {
	d.do(func() {
		result := "Failure"
		if succeeded {
			result = "Success"
		}
		d.event.Type, d.event.Source, d.event.Name, d.event.ReadOnly = TypeSignIn, "signin.amazonaws.com", name, false
		d.event.Response = map[string]any{name: result}
	})
}

// codes are the error codes of answers that come without one.
var codes = map[int]string{
	http.StatusBadRequest: "InvalidRequestException", http.StatusForbidden: "AccessDenied", http.StatusNotFound: "ResourceNotFoundException",
	http.StatusConflict: "ConflictException", http.StatusRequestEntityTooLarge: "RequestEntityTooLargeException",
	http.StatusTooManyRequests: "ThrottledException", http.StatusServiceUnavailable: "ServiceUnavailableException",
}

// End returns the finished record of an answer with a status and an id.
func (d *Details) End(status int, requestID string) *Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.event // later notes do not change it
	e.RequestID = requestID
	if status >= http.StatusBadRequest && e.ErrorCode == "" {
		if e.ErrorCode = codes[status]; e.ErrorCode == "" {
			e.ErrorCode = "InternalFailure"
		}
	}
	if e.ErrorCode != "" {
		e.Response = nil
	}
	e.Additional = make(map[string]any, len(d.additional)+3)
	for name, v := range d.additional {
		e.Additional[name] = v
	}
	e.Additional["status"] = status
	if d.count > 0 {
		e.Additional["traceIds"], e.Additional["traceCount"] = d.ids[:len(d.ids):len(d.ids)], d.count
	}
	return &e
}

// Camel converts JSON to the form of records: names of members in lowerCamelCase. Objects
// without members are nil.
func Camel(b []byte) map[string]any {
	var v map[string]any
	if json.Unmarshal(b, &v) != nil || len(v) == 0 {
		return nil
	}
	return camelOf(v).(map[string]any)
}

func camelOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			if seconds, ok := value.(float64); ok && times[name] {
				value = time.UnixMilli(int64(seconds * 1000)).UTC().Format(time.RFC3339Nano)
			}
			out[lowerFirst(name)] = camelOf(value)
		}
		return out
	case []any:
		for i := range v {
			v[i] = camelOf(v[i])
		}
	}
	return v
}

// times lists the members of the X-Ray API that are times, in seconds.
var times = map[string]bool{
	"StartTime": true, "EndTime": true, "Timestamp": true, "CreatedAt": true, "ModifiedAt": true, "LastUpdatedTime": true, "LastRuleModification": true,
}

// lowerFirst converts a name of the API to that of records: GroupName is groupName,
// ResourceARN resourceARN.
func lowerFirst(name string) string {
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		return name
	}
	return string(name[0]+'a'-'A') + name[1:]
}
