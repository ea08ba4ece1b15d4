package server

import (
	"context"
	"regexp"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/quota"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// within waits until the quotas of an account allow one more request of a class. The
// caller calls done when it has served the request. Errors: KindThrottled, the error of
// ctx.
func (s *server) within(ctx context.Context, account trace.Account, c class) (done func(), err error) {
	done = func() {}
	if s.quotas == nil { // tests of doors have none
		return done, nil
	}
	switch c {
	case admitIngest:
		return done, s.quotas.Send(ctx, account)
	case admitAnswer, admitScan:
		err = s.quotas.Ask(ctx, account)
	}
	if err != nil || c != admitScan {
		return done, err
	}
	return s.quotas.Scan(ctx, account)
}

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
