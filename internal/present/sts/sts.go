// Package sts serves temporary credentials in the forms that AWS SDKs expect: the query
// protocol of AWS Security Token Service, and the endpoint for credentials of containers.
package sts

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/authn"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/google/uuid"
)

const (
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	version   = "2011-06-15"
	// timeForm is that of expirations: SDKs read RFC 3339.
	timeForm = "2006-01-02T15:04:05Z"
)

// Front answers the query protocol (STS API reference).
type Front struct {
	Directory *iam.Directory
	// Other answers requests that are not in the form of the query protocol.
	Other  http.Handler
	Logger *slog.Logger
	// Limit bounds a body in bytes.
	Limit int64
}

// Unsigned reports whether a request carries no credentials: only an exchange of a web
// identity may be like that.
func Unsigned(r *http.Request) bool {
	return r.Header.Get("Authorization") == "" && !r.URL.Query().Has("X-Amz-Signature")
}

// ServeHTTP answers one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		identity.Exempt(r.Context()) // it answers with an error
		f.Other.ServeHTTP(w, r)
		return
	}
	form, err := f.form(r)
	if err != nil {
		f.fail(w, err)
		return
	}
	name := form.Get("Action")
	do := actions[name]
	switch {
	case name == "":
		f.fail(w, &failure{http.StatusBadRequest, "MissingAction", "Missing Action"})
	case do == nil || form.Get("Version") != version:
		f.fail(w, &failure{http.StatusBadRequest, "InvalidAction", "Could not find operation " + clean(name) + " for version " + clean(form.Get("Version"))})
	default:
		note(r.Context(), name, form)
		result, err := f.call(r, name, do, form)
		if err != nil {
			if e, ok := errors.AsType[*failure](err); ok {
				audit.Of(r.Context()).Fail(e.code, e.message)
			} else {
				audit.Of(r.Context()).Fail(codeOf(err), err.Error())
			}
			f.fail(w, err)
			return
		}
		f.answer(w, name, result)
	}
}

// recorded are the parameters that records show: no tokens, no documents.
var recorded = []string{"RoleArn", "RoleSessionName", "DurationSeconds", "ProviderId", "SerialNumber", "SourceIdentity", "ExternalId", "AccessKeyId"}

// note records an action and its parameters.
func note(ctx context.Context, name string, form url.Values) {
	d := audit.Of(ctx)
	d.Name("sts:" + name)
	values := map[string]any{}
	for _, p := range recorded {
		if v := form.Get(p); v != "" {
			values[strings.ToLower(p[:1])+p[1:]] = v
		}
	}
	d.Request(values)
	if arn := form.Get("RoleArn"); arn != "" {
		d.Use(arn)
	}
}

// codeOf returns the code of an error in records.
func codeOf(err error) string {
	if trace.KindOf(err) == trace.KindDenied {
		return "AccessDenied"
	}
	return "InternalFailure"
}

// clean shortens a text of the request for a message.
func clean(text string) string {
	if text == "" {
		return "NO_VERSION_SPECIFIED"
	}
	return strings.ToValidUTF8(text[:min(len(text), 100)], "?")
}

// form reads the parameters of the body.
func (f *Front) form(r *http.Request) (url.Values, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, f.Limit+1))
	switch {
	case err != nil && trace.KindOf(err) != trace.KindInternal:
		return nil, err
	case err != nil:
		return nil, &failure{http.StatusBadRequest, "MalformedInput", "The body could not be read to its end"}
	case int64(len(b)) > f.Limit:
		return nil, &failure{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The body has more than " + strconv.FormatInt(f.Limit, 10) + " bytes"}
	}
	return parse(string(b))
}

// parse reads a form.
func parse(text string) (url.Values, error) {
	v, err := url.ParseQuery(text)
	if err != nil {
		return nil, &failure{http.StatusBadRequest, "MalformedQueryString", "The body is not a form: " + err.Error()}
	}
	for name, values := range v {
		if len(values) > 1 {
			return nil, &failure{http.StatusBadRequest, "MalformedQueryString", "The parameter " + clean(name) + " is there twice"}
		}
	}
	return v, nil
}

// call answers one action.
func (f *Front) call(r *http.Request, name string, do action, form url.Values) (any, error) {
	p, err := identity.From(r.Context())
	if err != nil {
		return nil, err
	}
	if p.Proof == identity.ProofLater && name != "AssumeRoleWithWebIdentity" {
		return nil, &failure{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	if p.Scopes != nil && name != "GetCallerIdentity" && !authn.InScope(p.Scopes, "sts:"+name) {
		return nil, &failure{http.StatusForbidden, "AccessDenied", "User: " + p.ARN + " is not authorized to perform: sts:" + name + " because the scopes of the bearer token do not include the sts:" + name + " action"}
	}
	c := &call{Front: f, form: form, caller: p, request: identity.Call{Action: "sts:" + name, Listener: "http", Request: r, Source: r.RemoteAddr}}
	return do(r.Context(), c)
}

// call is a request to an action.
type call struct {
	*Front
	form    url.Values
	caller  identity.Principal
	request identity.Call
}

// action answers an action with the content of its result element.
type action func(ctx context.Context, c *call) (any, error)

var actions = map[string]action{
	"GetCallerIdentity":         getCallerIdentity,
	"AssumeRole":                assumeRole,
	"AssumeRoleWithWebIdentity": assumeRoleWithWebIdentity,
	"GetSessionToken":           getSessionToken,
	"GetAccessKeyInfo":          getAccessKeyInfo,
}

// getCallerIdentity needs no permission.
func getCallerIdentity(ctx context.Context, c *call) (any, error) {
	identity.Exempt(ctx)
	out := callerIdentity{Arn: c.caller.ARN, UserID: c.caller.ID, Account: string(c.caller.Account)}
	if c.caller.Type == identity.TypeAnonymous || out.Arn == "" { // no credentials are required
		out.Arn, out.UserID = iam.ARN(c.caller.Account, "root"), out.Account
	}
	return out, nil
}

type callerIdentity struct {
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

func credentialsOf(c iam.Credentials) credentials {
	return credentials{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expiration.UTC().Format(timeForm)}
}

type assumedRoleUser struct {
	AssumedRoleID string `xml:"AssumedRoleId"`
	Arn           string
}

type assumed struct {
	SubjectFromWebIdentityToken string `xml:",omitempty"`
	Audience                    string `xml:",omitempty"`
	AssumedRoleUser             assumedRoleUser
	Credentials                 credentials
	Provider                    string `xml:",omitempty"`
	PackedPolicySize            int    `xml:",omitempty"`
	SourceIdentity              string `xml:",omitempty"`
}

func assumedOf(a iam.Assumed) assumed {
	return assumed{
		SubjectFromWebIdentityToken: a.Subject, Audience: a.Audience, AssumedRoleUser: assumedRoleUser{a.ID, a.ARN},
		Credentials: credentialsOf(a.Credentials), Provider: a.Provider, PackedPolicySize: a.Packed, SourceIdentity: a.Source,
	}
}

// assumeRole asks the trust policy of the role in the directory. Callers without
// credentials have no policies, so the door's authorizer decides about them.
func assumeRole(ctx context.Context, c *call) (any, error) {
	q, err := c.assume()
	if err != nil {
		return nil, err
	}
	if c.caller.Type == identity.TypeAnonymous {
		if err := identity.Ask(ctx, identity.Question{Action: "sts:AssumeRole", Resource: q.RoleARN}); err != nil {
			return nil, err
		}
	}
	identity.Exempt(ctx)
	a, err := c.Directory.AssumeRole(ctx, c.caller, q)
	if err != nil {
		return nil, err
	}
	return assumedOf(a), nil
}

// assumeRoleWithWebIdentity needs no caller: the token proves who asks.
func assumeRoleWithWebIdentity(ctx context.Context, c *call) (any, error) {
	q, err := c.assume()
	if err != nil {
		return nil, err
	}
	if len(q.Tags) > 0 || q.ExternalID != "" || q.SourceIdentity != "" {
		return nil, &failure{http.StatusBadRequest, "ValidationError", "AssumeRoleWithWebIdentity takes tags and source identity from the token only"}
	}
	q.Token = c.form.Get("WebIdentityToken")
	identity.Exempt(ctx)
	a, err := c.Directory.AssumeRoleWithWebIdentity(ctx, q)
	if err != nil {
		return nil, err
	}
	return assumedOf(a), nil
}

func getSessionToken(ctx context.Context, c *call) (any, error) {
	seconds, err := c.number("DurationSeconds")
	if err != nil {
		return nil, err
	}
	// It needs no permission (STS API reference), and gives none.
	identity.Exempt(ctx)
	got, err := c.Directory.SessionToken(ctx, c.caller, seconds)
	if err != nil {
		return nil, err
	}
	return struct{ Credentials credentials }{credentialsOf(got)}, nil
}

func getAccessKeyInfo(ctx context.Context, c *call) (any, error) {
	if err := identity.Ask(ctx, identity.Question{Action: "sts:GetAccessKeyInfo", Resource: "*"}); err != nil {
		return nil, err
	}
	account, ok := iam.AccountOfKey(c.form.Get("AccessKeyId"))
	if !ok {
		return nil, &failure{http.StatusBadRequest, "ValidationError", "The access key id " + clean(c.form.Get("AccessKeyId")) + " is not valid"}
	}
	return struct{ Account string }{string(account)}, nil
}

// number reads a parameter that is a number, 0 if it is absent.
func (c *call) number(name string) (int, error) {
	text := c.form.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, &failure{http.StatusBadRequest, "ValidationError", "The value " + clean(text) + " of " + name + " is no positive number"}
	}
	return n, nil
}

// mostMembers bounds the lists of a request.
const mostMembers = 100

// assume reads the parameters of both forms of AssumeRole.
func (c *call) assume() (q iam.AssumeRequest, err error) {
	get := c.form.Get
	q = iam.AssumeRequest{
		RoleARN: get("RoleArn"), Session: get("RoleSessionName"), ExternalID: get("ExternalId"), Policy: get("Policy"),
		SourceIdentity: get("SourceIdentity"), Call: c.request,
	}
	if q.Duration, err = c.number("DurationSeconds"); err != nil {
		return q, err
	}
	for i := 1; i <= mostMembers; i++ {
		n := strconv.Itoa(i)
		arn, key, passed := get("PolicyArns.member."+n+".arn"), "Tags.member."+n+".Key", get("TransitiveTagKeys.member."+n)
		if arn == "" && !c.form.Has(key) && passed == "" {
			break
		}
		if arn != "" {
			q.PolicyARNs = append(q.PolicyARNs, arn)
		}
		if c.form.Has(key) {
			q.Tags = append(q.Tags, iam.Tag{Key: get(key), Value: get("Tags.member." + n + ".Value")})
		}
		if passed != "" {
			q.Transitive = append(q.Transitive, passed)
		}
	}
	return q, nil
}

// result is an answer: NAMEResponse, in it NAMEResult and the id of the request.
type result struct {
	XMLName  xml.Name
	Result   inner
	Metadata struct {
		RequestID string `xml:"RequestId"`
	} `xml:"ResponseMetadata"`
}

type inner struct {
	XMLName xml.Name
	Content any
}

// MarshalXML writes the content without an element of its own.
func (i inner) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(i.Content, xml.StartElement{Name: i.XMLName})
}

// answer writes a result.
func (f *Front) answer(w http.ResponseWriter, name string, content any) {
	out := result{XMLName: xml.Name{Space: namespace, Local: name + "Response"}, Result: inner{xml.Name{Local: name + "Result"}, content}}
	out.Metadata.RequestID = uuid.NewString()
	write(w, http.StatusOK, out.Metadata.RequestID, out)
}

func write(w http.ResponseWriter, status int, id string, body any) {
	h := w.Header()
	h.Set("Content-Type", "text/xml")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("x-amzn-RequestId", id)
	b, err := xml.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte("<ErrorResponse/>")
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone
}

// failure is an error with its code in the query protocol.
type failure struct {
	status        int
	code, message string
}

func (e *failure) Error() string { return e.message }

type errorResponse struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Error   struct {
		Type, Code, Message string
	}
	RequestID string `xml:"RequestId"`
}

// Refuse answers a request that its door refused.
func (f *Front) Refuse(w http.ResponseWriter, _ *http.Request, err error) { f.fail(w, err) }

// fail writes an error.
func (f *Front) fail(w http.ResponseWriter, err error) {
	e := toFailure(err)
	out := errorResponse{RequestID: uuid.NewString()}
	out.Error.Type, out.Error.Code, out.Error.Message = "Sender", e.code, e.message
	if e.status >= http.StatusInternalServerError {
		out.Error.Type = "Receiver"
		if f.Logger != nil && e.status == http.StatusInternalServerError {
			f.Logger.Error("request failed", "request_id", out.RequestID, "error", err)
		}
	}
	write(w, e.status, out.RequestID, out)
}

// queryNames has the names of the query protocol for exceptions of other protocols, if
// more than the final "Exception" differs.
var queryNames = map[string]string{
	"UnrecognizedClientException": "InvalidClientTokenId", "InvalidSignatureException": "SignatureDoesNotMatch",
}

// toFailure converts errors to those of the query protocol. For credentials that identify
// nobody its names differ from those of other protocols.
func toFailure(err error) *failure {
	if e, ok := errors.AsType[*failure](err); ok {
		return e
	}
	if f := identity.FailureOf(err); f != nil {
		name, known := queryNames[f.Exception]
		if !known {
			name = strings.TrimSuffix(f.Exception, "Exception")
		}
		return &failure{http.StatusForbidden, name, f.Message}
	}
	code, coded := errors.AsType[iam.Code](err)
	ke, ok := errors.AsType[*trace.KindError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{499, "RequestCancelled", "the client went away"}
	case !ok || ke.Kind == trace.KindInternal:
		return &failure{http.StatusInternalServerError, "InternalFailure", "internal failure; the log has the request id"}
	case errors.Is(err, identity.ErrExpired):
		return &failure{http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"}
	case errors.Is(err, identity.ErrUnknown):
		return &failure{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	case coded && ke.Kind == trace.KindDenied:
		return &failure{http.StatusForbidden, string(code), ke.Message}
	case coded:
		return &failure{http.StatusBadRequest, string(code), ke.Message}
	case ke.Kind == trace.KindDenied:
		return &failure{http.StatusForbidden, "AccessDenied", ke.Message}
	case ke.Kind == trace.KindThrottled:
		return &failure{http.StatusBadRequest, "Throttling", ke.Message}
	case ke.Kind == trace.KindUnavailable:
		return &failure{http.StatusServiceUnavailable, "ServiceUnavailable", ke.Message}
	}
	return &failure{http.StatusBadRequest, "ValidationError", ke.Message}
}
