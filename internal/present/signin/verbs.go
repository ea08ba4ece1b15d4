package signin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/login"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// methods tells everyone how they can sign in. It tells nothing about users.
func (f *Front) methods(c *request) (any, error) {
	out := map[string]any{"required": f.Required, "password": true, "passkey": f.Logins.Passkeys(c.from), "oidc": f.Logins.OIDC != nil, "leastPassword": login.LeastPassword}
	if err := f.safe(c); err != nil {
		out["problem"] = err.Error()
	}
	return out, nil
}

// signedIn answers a login with its cookie.
func (f *Front) signedIn(c *request, s login.Session, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	http.SetCookie(c.w, s.Cookie)
	return map[string]any{"user": s.User, "expires": s.Expires}, nil
}

type passwordLogin struct{ Account, User, Password string }

func (f *Front) password(c *request, q *passwordLogin) (any, error) {
	if err := f.safe(c); err != nil {
		return nil, err
	}
	s, err := f.Logins.Password(c.Context(), trace.Account(q.Account), q.User, q.Password, c.from)
	return f.signedIn(c, s, err)
}

// started is a ceremony for the browser: the options for navigator.credentials.
func started(id string, options any, err error) (any, error) {
	return map[string]any{"id": id, "options": options}, err
}

func (f *Front) beginLogin(c *request, _ *struct{}) (any, error) {
	if err := f.safe(c); err != nil {
		return nil, err
	}
	return started(f.Logins.BeginLogin(c.from))
}

// answered is the answer of a browser in a ceremony.
type answered struct {
	ID     string
	Answer json.RawMessage
}

func (f *Front) finishLogin(c *request, q *answered) (any, error) {
	if err := f.safe(c); err != nil {
		return nil, err
	}
	s, err := f.Logins.FinishLogin(c.Context(), q.ID, q.Answer, c.from)
	return f.signedIn(c, s, err)
}

type setup struct {
	Token, User, Password string
	Check                 bool // only tell whether the link is valid
}

func (f *Front) setup(c *request, q *setup) (any, error) {
	if err := f.safe(c); err != nil {
		return nil, err
	}
	if q.Check {
		return nil, f.Logins.CheckSetup(c.Context(), q.Token, c.from)
	}
	s, err := f.Logins.Setup(c.Context(), q.Token, q.User, q.Password, c.from)
	return f.signedIn(c, s, err)
}

// session tells a caller who it is, and what it may do.
func (f *Front) session(c *request) (any, error) {
	identity.Exempt(c.Context()) // everyone may know that
	p := c.who
	out := map[string]any{
		"required": f.Required, "type": p.Type, "name": p.Name, "arn": p.ARN, "account": p.Account, "region": p.Region, "proof": p.Proof,
		"actions": f.Actions(c.Context(), p, c.call),
	}
	if p.Proof != identity.ProofSession {
		return out, nil
	}
	token, s, err := f.Logins.Token(c.Context(), p)
	if err != nil {
		return nil, err
	}
	out["token"], out["session"], out["idle"] = token, shown(s, p.KeyID), int(f.Logins.Idle/time.Second)
	if p.Type == identity.TypeUser {
		out["passkeys"] = f.Logins.Passkeys(c.from)
		_, err := f.Logins.Profile(c.Context(), p.Account, p.Name)
		out["password"] = err == nil
	}
	return out, nil
}

func (f *Front) logout(c *request, _ *struct{}) (any, error) {
	identity.Exempt(c.Context())
	if c.who.Proof != identity.ProofSession {
		return nil, trace.Errorf(trace.KindInvalid, "only a console session can be ended")
	}
	cookie, err := f.Logins.Logout(c.Context(), c.who, c.from)
	if err == nil {
		http.SetCookie(c.w, cookie)
	}
	return nil, err
}

// listed is a session in a list.
type listed struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	ARN     string    `json:"arn"`
	Method  string    `json:"method"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
	Expires time.Time `json:"expires"`
	Address string    `json:"address"`
	Agent   string    `json:"agent"`
	Current bool      `json:"current"`
}

func shown(s login.Session, current string) listed {
	return listed{s.ID, s.User, s.ARN, string(s.Method), s.Created, s.Used, s.Expires, s.Address, s.Agent, s.ID == current}
}

// sessions lists the caller's own sessions; with all=true those of the account.
func (f *Front) sessions(c *request) (any, error) {
	arn := c.who.ARN
	if c.URL.Query().Get("all") == "true" || c.who.Proof != identity.ProofSession {
		if err := identity.Ask(c.Context(), identity.Question{Action: "fluoro:ListSessions", Resource: "*"}); err != nil {
			return nil, err
		}
		arn = ""
	} else {
		identity.Exempt(c.Context())
	}
	all, err := f.Logins.Sessions(c.Context(), c.who.Account, arn)
	list := []listed{}
	for _, s := range all {
		list = append(list, shown(s, c.who.KeyID))
	}
	return map[string]any{"sessions": list}, err
}

type ending struct {
	ID        string // of a session
	Principal string // ARN: all sessions of a user, or of a role's session name
	Others    bool   // all own sessions but this one
}

// revoke ends sessions: own ones, or with permission those of others.
func (f *Front) revoke(c *request, q *ending) (any, error) {
	ctx, p := c.Context(), c.who
	arn := q.Principal
	if q.ID != "" && arn == "" {
		var err error
		if arn, err = f.Logins.SessionARN(ctx, p.Account, q.ID); err != nil {
			return nil, err
		}
	}
	own := p.Proof == identity.ProofSession && (q.Others || arn == p.ARN)
	if own {
		identity.Exempt(ctx)
	} else if err := f.mayChange(c, "fluoro:RevokeSession", "*"); err != nil {
		return nil, err
	}
	if q.Others && p.Proof == identity.ProofSession {
		all, err := f.Logins.Sessions(ctx, p.Account, p.ARN)
		n := 0
		for _, s := range all {
			if s.ID != p.KeyID && err == nil {
				_, err = f.Logins.Revoke(ctx, p.Account, s.ID, "")
				n++
			}
		}
		return map[string]int{"ended": n}, err
	}
	n, err := f.Logins.Revoke(ctx, p.Account, q.ID, q.Principal)
	if err == nil && n == 0 && q.ID != "" {
		err = trace.Errorf(trace.KindNotFound, "there is no such session")
	}
	return map[string]int{"ended": n}, err
}

// mayChange asks whether the caller may change something of others. Without credentials
// nobody may, even where none are required.
func (f *Front) mayChange(c *request, action, resource string) error {
	if c.who.Type == identity.TypeAnonymous {
		return trace.Errorf(trace.KindDenied, "%s needs credentials, even where no others are required", action)
	}
	return identity.Ask(c.Context(), identity.Question{Action: action, Resource: resource})
}

type change struct{ Old, New string }

// changePassword replaces the caller's own password.
func (f *Front) changePassword(c *request, q *change) (any, error) {
	if err := f.own(c); err != nil {
		return nil, err
	}
	return nil, f.Logins.ChangePassword(c.Context(), c.who, q.Old, q.New, c.from)
}

// own lets users change what belongs to themselves: who has signed in needs no permission
// for that.
func (f *Front) own(c *request) error {
	if c.who.Proof != identity.ProofSession || c.who.Type != identity.TypeUser {
		return trace.Errorf(trace.KindDenied, "only users who are signed in to the console have passwords and passkeys")
	}
	identity.Exempt(c.Context())
	return nil
}

func (f *Front) passkeys(c *request) (any, error) {
	if err := f.own(c); err != nil {
		return nil, err
	}
	list, err := f.Logins.PasskeysOf(c.Context(), c.who.Account, c.who.Name)
	out := []map[string]any{}
	for _, k := range list {
		out = append(out, map[string]any{"id": k.ID, "title": k.Title, "created": k.Created, "used": k.Used})
	}
	return map[string]any{"passkeys": out}, err
}

func (f *Front) beginPasskey(c *request, q *struct{ Title string }) (any, error) {
	if err := f.own(c); err != nil {
		return nil, err
	}
	return started(f.Logins.BeginPasskey(c.Context(), c.who, q.Title, c.from))
}

func (f *Front) finishPasskey(c *request, q *answered) (any, error) {
	if err := f.own(c); err != nil {
		return nil, err
	}
	k, err := f.Logins.FinishPasskey(c.Context(), c.who, q.ID, q.Answer, c.from)
	return map[string]any{"id": k.ID, "title": k.Title, "created": k.Created}, err
}

func (f *Front) deletePasskey(c *request, q *struct{ ID string }) (any, error) {
	if err := f.own(c); err != nil {
		return nil, err
	}
	return nil, f.Logins.DeletePasskey(c.Context(), c.who.Account, c.who.Name, q.ID)
}
