package server

import (
	"context"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/login"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/present/admin"
	"github.com/fluoro-io/fluoro/internal/present/sts"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	maxForm  = 64 << 10  // of the query protocol
	maxAdmin = 256 << 10 // of verbs about principals
)

// ContainerPath is the path for the credentials of containers.
const ContainerPath = "/container-credentials"

// principalRoutes are the rows about principals and their credentials. Who has none yet
// may come to those with unsigned set.
func principalRoutes() []route {
	list := []route{
		{on: onHTTP, method: http.MethodPost, path: "/", action: "sts:AssumeRole", class: admitAlways, limit: maxForm, asks: true, unsigned: sts.Unsigned,
			handler: func(s *server, rt *route) endpoint {
				return &sts.Front{Directory: s.directory, Other: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.api.Unserved(w, r) }), Logger: s.log, Limit: rt.limit}
			}},
		{on: onHTTP, method: http.MethodGet, path: ContainerPath, action: "fluoro:GetContainerCredentials", class: admitAlways, asks: true,
			unsigned: func(*http.Request) bool { return true },
			handler:  func(s *server, _ *route) endpoint { return &sts.Container{Directory: s.directory, Logger: s.log} }},
	}
	for _, v := range admin.Verbs() {
		list = append(list, route{on: onHTTP, method: http.MethodPost, path: admin.Prefix + v.Name, action: v.Action, class: admitAlways, limit: maxAdmin, whole: v.Whole, asks: true,
			handler: func(s *server, rt *route) endpoint { return (&admin.API{Directory: s.directory}).Endpoint(v, rt.limit) }})
	}
	return list
}

// openDirectory opens the principals in the records. Unless options say otherwise, they
// are those that the authenticator knows, and their policies decide.
func (s *server) openDirectory() error {
	s.directory = iam.New(iam.Options{
		Records: s.records, Secrets: s.keys.Secrets(), Region: s.config.Region, Management: s.own(), Logger: s.log, Assume: access.New(access.Options{}).Assume,
		Forget: func(tx meta.Tx, u *iam.User) error { return login.Forget(tx, u.ID) },
	})
	if err := s.openLogins(); err != nil {
		return err
	}
	if s.credentials == nil && s.authenticator == nil {
		s.credentials = s.directory
		if s.grants == nil && s.authorizer == nil {
			s.grants = &grants{s.directory, s.config.Auth != config.Required}
		}
	}
	if s.authenticator == nil {
		var err error
		if s.authenticator, err = s.newAuthenticator(); err != nil {
			return err
		}
	}
	if s.authorizer == nil {
		s.authorizer = identity.Everything{}
	}
	s.authenticator = &callers{s.authenticator, s.directory, s.own(), s.config.Region, s.config.Auth != config.Required}
	return nil
}

// socketKey marks the contexts of requests that came through the admin socket.
type socketKey struct{}

// accountHeader names the account that the operator acts for, on the admin socket only.
const accountHeader = "Fluoro-Account"

// callers knows the callers who need no credentials: those of the admin socket, and those
// of routes whose handlers identify callers themselves. It asks another authenticator
// about the rest.
type callers struct {
	rest   identity.Authenticator
	notes  *iam.Directory
	own    trace.Account
	region string
	open   bool // no credentials are required
}

// Authenticate returns who makes a call.
func (a *callers) Authenticate(ctx context.Context, c identity.Call) (identity.Principal, error) {
	if c.Request == nil {
		return a.rest.Authenticate(ctx, c)
	}
	if c.Request.Context().Value(socketKey{}) != nil {
		return a.operator(c.Request.Header.Get(accountHeader))
	}
	unsigned := unsignedActions[c.Action]
	if unsigned == nil || !unsigned(c.Request) {
		p, err := a.rest.Authenticate(ctx, c)
		if err == nil {
			a.notes.UsedFor(p, c.Action)
		}
		return p, err
	}
	if c.Action == "sts:AssumeRole" {
		// A certificate or a console session may prove the caller, and where no credentials
		// are required, everyone is somebody.
		if p, err := a.rest.Authenticate(ctx, c); err == nil && (a.open || p.Type != identity.TypeAnonymous) {
			return p, nil
		}
	}
	return identity.Principal{Owner: trace.Owner{Account: a.own, Region: a.region}, Type: identity.TypeAnonymous, Name: "unsigned", Proof: identity.ProofLater}, nil
}

// unsignedActions has the rules of the routes with unsigned requests.
var unsignedActions = func() map[string]func(*http.Request) bool {
	out := map[string]func(*http.Request) bool{}
	for _, rt := range principalRoutes() {
		if rt.unsigned != nil {
			out[rt.action] = rt.unsigned
		}
	}
	return out
}()

// operator is the principal of the admin socket: the root user of an account.
func (a *callers) operator(account string) (identity.Principal, error) {
	if account == "" {
		account = string(a.own)
	}
	if !accountForm.MatchString(account) {
		return identity.Principal{}, trace.Errorf(trace.KindInvalid, "the account is %.50q: want 12 digits", account)
	}
	return identity.Principal{
		Owner: trace.Owner{Account: trace.Account(account), Region: a.region}, Type: identity.TypeRoot,
		ARN: iam.ARN(trace.Account(account), "root"), ID: account, Name: "root", Proof: identity.ProofSocket,
	}, nil
}
