package server

import (
	"context"
	"net/http"
	"regexp"
	"sync"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/quota"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// within waits until the quotas of an account allow one more request of a class, and for
// a question also for a turn of the account. The caller calls done when the answer is
// ready, and may call it again. Errors: KindThrottled, the error of ctx.
func (s *server) within(ctx context.Context, account trace.Account, c class) (done func(), err error) {
	nothing := func() {}
	if s.quotas == nil { // tests of doors have none
		return nothing, nil
	}
	switch c {
	case admitIngest:
		return nothing, s.quotas.Send(ctx, account)
	case admitAnswer, admitScan:
		err = s.quotas.Ask(ctx, account)
	default:
		return nothing, nil
	}
	scanned := nothing
	if err == nil && c == admitScan {
		scanned, err = s.quotas.Scan(ctx, account)
	}
	if err != nil {
		return nothing, err
	}
	turn, err := s.turns.Wait(ctx, account)
	return sync.OnceFunc(func() { turn(); scanned() }), err
}

// ready is a ResponseWriter that calls a function when the answer begins: sending it to a
// slow client is no work of the processor.
type ready struct {
	http.ResponseWriter
	begins func()
}

// WriteHeader begins the answer.
func (r *ready) WriteHeader(status int) {
	r.begins()
	r.ResponseWriter.WriteHeader(status)
}

// Write begins the answer.
func (r *ready) Write(b []byte) (int, error) {
	r.begins()
	return r.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the connection.
func (r *ready) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// accountQuota is a request to change the quotas of an account.
type accountQuota struct {
	Account string       `json:"account"`
	Limits  quota.Limits `json:"limits"`
}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

func (q *accountQuota) of() (trace.Account, error) {
	if !accountForm.MatchString(q.Account) {
		return "", trace.Errorf(trace.KindInvalid, "account is %.50q: want 12 digits", q.Account)
	}
	return trace.Account(q.Account), nil
}

// quotaRoutes are the rows of quotas. Everybody may read the quotas of their own account;
// only the server's own account changes quotas.
func quotaRoutes() []route {
	post := func(verb, action string, whole bool, make func(*server, *route) endpoint) route {
		return route{on: onHTTP, method: "POST", path: "/api/quota/" + verb, action: action, class: admitAlways, limit: maxRequest, whole: whole, handler: make}
	}
	return []route{
		post("Get", "fluoro:GetQuota", false, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, _ *struct{}) (any, error) {
				p, err := identity.From(ctx)
				if err != nil {
					return nil, err
				}
				return s.quotas.Use(ctx, p.Account)
			})
		}),
		post("GetFor", "fluoro:GetQuotaOfAccount", true, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *accountQuota) (any, error) {
				account, err := q.of()
				if err != nil {
					return nil, err
				}
				return s.quotas.Use(ctx, account)
			})
		}),
		post("Put", "fluoro:PutQuota", true, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *accountQuota) (any, error) {
				account, err := q.of()
				if err == nil {
					err = s.quotas.Put(ctx, account, q.Limits)
				}
				if err != nil {
					return nil, err
				}
				return s.quotas.Use(ctx, account)
			})
		}),
		post("Reset", "fluoro:ResetQuota", true, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *accountQuota) (any, error) {
				account, err := q.of()
				if err == nil {
					err = s.quotas.Reset(ctx, account)
				}
				if err != nil {
					return nil, err
				}
				return s.quotas.Use(ctx, account)
			})
		}),
	}
}
