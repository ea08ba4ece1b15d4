package sts

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// post sends a form to a Front as a principal.
func post(t *testing.T, p identity.Principal, form string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	ctx, _ := identity.WithGuard(identity.With(r.Context(), p), nil)
	w := httptest.NewRecorder()
	(&Front{Directory: iam.New(iam.Options{}), Other: http.NotFoundHandler(), Limit: 1000}).ServeHTTP(w, r.WithContext(ctx))
	if kind := w.Header().Get("Content-Type"); kind != "text/xml" || w.Header().Get("x-amzn-RequestId") == "" {
		t.Errorf("headers %v", w.Header())
	}
	return w.Code, w.Body.String()
}

func TestFront_formsAndErrors(t *testing.T) {
	alice := identity.Principal{Owner: trace.Owner{Account: "111122223333", Region: "us-east-1"}, Type: identity.TypeUser, ARN: "arn:aws:iam::111122223333:user/alice", ID: "AIDAX", Name: "alice"}
	later := identity.Principal{Owner: alice.Owner, Type: identity.TypeAnonymous, Proof: identity.ProofLater}
	scoped := alice
	scoped.Scopes = []string{"xray:*"}
	for _, k := range []struct {
		who    identity.Principal
		form   string
		status int
		want   string
	}{
		{alice, "Action=GetCallerIdentity&Version=2011-06-15", 200, "<GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/alice</Arn><UserId>AIDAX</UserId><Account>111122223333</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>"},
		{alice, "Version=2011-06-15", 400, "<Code>MissingAction</Code>"},
		{alice, "Action=Nope&Version=2011-06-15", 400, "<Code>InvalidAction</Code><Message>Could not find operation Nope for version 2011-06-15</Message>"},
		{alice, "Action=GetCallerIdentity", 400, "for version NO_VERSION_SPECIFIED"},
		{alice, "Action=GetCallerIdentity&Action=x&Version=2011-06-15", 400, "<Code>MalformedQueryString</Code>"},
		{alice, "Action=%zz", 400, "<Code>MalformedQueryString</Code>"},
		{alice, "Action=" + strings.Repeat("x", 1000), 413, "<Code>RequestEntityTooLarge</Code>"},
		{alice, "Action=AssumeRole&Version=2011-06-15&DurationSeconds=x", 400, "<Code>ValidationError</Code>"},
		{alice, "Action=AssumeRole&Version=2011-06-15&RoleSessionName=ab&RoleArn=%3Cscript%3E%3Cscript%3E%3Cscript%3E", 400, "&lt;script&gt;"},
		{scoped, "Action=GetCallerIdentity&Version=2011-06-15", 200, "user/alice"},
		{scoped, "Action=GetSessionToken&Version=2011-06-15", 403, "scopes of the bearer token do not include the sts:GetSessionToken action"},
		{scoped, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=ab", 403, "<Code>AccessDenied</Code>"},
		{later, "Action=GetCallerIdentity&Version=2011-06-15", 403, "<Code>MissingAuthenticationToken</Code>"},
		{later, "Action=AssumeRole&Version=2011-06-15", 403, "<Code>MissingAuthenticationToken</Code>"},
		{later, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&Tags.member.1.Key=a", 400, "from the token only"},
		{later, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=ab&WebIdentityToken=aaaaa", 400, "<Code>InvalidIdentityToken</Code>"},
	} {
		status, answer := post(t, k.who, k.form)
		if status != k.status || !strings.Contains(answer, k.want) {
			t.Errorf("%.80s: %d %s, want %d …%s…", k.form, status, answer, k.status, k.want)
		}
	}
}

// Errors of the door and of the directory have the names of the query protocol.
func TestToFailure(t *testing.T) {
	denied := func(cause error) error {
		return &trace.KindError{Kind: trace.KindDenied, Message: "m", Err: cause}
	}
	for _, k := range []struct {
		err    error
		status int
		code   string
	}{
		{denied(identity.ErrUnknown), 403, "InvalidClientTokenId"},
		{denied(identity.ErrExpired), 403, "ExpiredToken"},
		{denied(iam.AccessDenied), 403, "AccessDenied"},
		{denied(nil), 403, "AccessDenied"},
		{&identity.Failure{Exception: "InvalidSignatureException"}, 403, "SignatureDoesNotMatch"},
		{&identity.Failure{Exception: "UnrecognizedClientException"}, 403, "InvalidClientTokenId"},
		{&identity.Failure{Exception: "MissingAuthenticationTokenException"}, 403, "MissingAuthenticationToken"},
		{&identity.Failure{Exception: "ExpiredTokenException"}, 403, "ExpiredToken"},
		{&trace.KindError{Kind: trace.KindInvalid, Err: iam.ExpiredToken}, 400, "ExpiredTokenException"},
		{&trace.KindError{Kind: trace.KindInvalid, Err: iam.PackedPolicyTooLarge}, 400, "PackedPolicyTooLarge"},
		{&trace.KindError{Kind: trace.KindUnavailable}, 503, "ServiceUnavailable"},
		{&trace.KindError{Kind: trace.KindThrottled}, 400, "Throttling"},
		{errors.New("secret"), 500, "InternalFailure"},
	} {
		f := toFailure(fmt.Errorf("around: %w", k.err))
		if f.status != k.status || f.code != k.code || strings.Contains(f.message, "secret") {
			t.Errorf("%v: %+v", k.err, f)
		}
	}
}

// Any form is read without a panic, and what is answered is XML.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=ab&Tags.member.1.Key=a&Tags.member.1.Value=b&PolicyArns.member.1.arn=x&TransitiveTagKeys.member.1=a",
		"Action=GetCallerIdentity&Version=2011-06-15", "Action=%00&Version=%ff", "&&&===", "%", "a;b", strings.Repeat("Tags.member.1.Key=&", 20),
	} {
		f.Add(seed)
	}
	front := &Front{Directory: iam.New(iam.Options{}), Other: http.NotFoundHandler(), Limit: 1 << 16}
	f.Fuzz(func(t *testing.T, form string) {
		v, err := parse(form)
		if err == nil {
			_, _ = (&call{form: v}).assume()
		}
		w := httptest.NewRecorder()
		name := v.Get("Action")
		front.fail(w, &failure{400, clean(name), clean(v.Get("Version"))})
		if err := xml.Unmarshal(w.Body.Bytes(), new(struct{})); err != nil {
			t.Errorf("%q: %v: %s", form, err, w.Body)
		}
	})
}
