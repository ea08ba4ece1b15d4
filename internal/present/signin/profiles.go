package signin

import (
	"context"
	"strings"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/login"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Profile is a verb about the logins of a user, in the words of AWS's IAM API.
type Profile struct {
	Name, Action string
	do           func(ctx context.Context, l *login.Logins, account trace.Account, q *profile) (any, error)
}

type profile struct{ UserName, Password, PasskeyId string }

// Profiles lists the verbs: POST /api/iam/VERB.
func Profiles() []Profile {
	set := func(name string, there bool) Profile {
		return Profile{name, "iam:" + name, func(ctx context.Context, l *login.Logins, account trace.Account, q *profile) (any, error) {
			old, err := l.Profile(ctx, account, q.UserName)
			missing := trace.KindOf(err) == trace.KindNotFound && err != nil
			if err != nil && (!missing || there) {
				return nil, err
			}
			if !missing && !there {
				return nil, trace.Errorf(trace.KindConflict, "Login Profile for user %s already exists.", old.UserName)
			}
			if err := l.SetPassword(ctx, account, q.UserName, q.Password, ""); err != nil {
				return nil, err
			}
			p, err := l.Profile(ctx, account, q.UserName)
			return map[string]any{"LoginProfile": shownProfile(p)}, err
		}}
	}
	return []Profile{
		set("CreateLoginProfile", false), set("UpdateLoginProfile", true),
		{"GetLoginProfile", "iam:GetLoginProfile", func(ctx context.Context, l *login.Logins, account trace.Account, q *profile) (any, error) {
			p, err := l.Profile(ctx, account, q.UserName)
			return map[string]any{"LoginProfile": shownProfile(p)}, err
		}},
		{"DeleteLoginProfile", "iam:DeleteLoginProfile", func(ctx context.Context, l *login.Logins, account trace.Account, q *profile) (any, error) {
			return nil, l.DeleteProfile(ctx, account, q.UserName)
		}},
		{"ListPasskeys", "fluoro:ListPasskeys", func(ctx context.Context, l *login.Logins, account trace.Account, q *profile) (any, error) {
			list, err := l.PasskeysOf(ctx, account, q.UserName)
			out := []map[string]any{}
			for _, k := range list {
				out = append(out, map[string]any{"PasskeyId": k.ID, "Title": k.Title, "CreateDate": k.Created, "LastUsed": k.Used})
			}
			return map[string]any{"Passkeys": out}, err
		}},
		{"DeletePasskey", "fluoro:DeletePasskey", func(ctx context.Context, l *login.Logins, account trace.Account, q *profile) (any, error) {
			return nil, l.DeletePasskey(ctx, account, q.UserName, q.PasskeyId)
		}},
	}
}

func shownProfile(p login.Profile) map[string]any {
	return map[string]any{"UserName": p.UserName, "CreateDate": p.CreateDate}
}

// Endpoint makes the endpoint of a verb, which asks the authorizer itself.
func (v Profile) Endpoint(l *login.Logins, limit int64) *manage.Endpoint {
	return manage.Verb(limit, func(ctx context.Context, q *profile) (any, error) {
		p, err := identity.From(ctx)
		if err != nil {
			return nil, err
		}
		if p.Type == identity.TypeAnonymous && !strings.HasPrefix(v.Name, "Get") && !strings.HasPrefix(v.Name, "List") {
			return nil, trace.Errorf(trace.KindDenied, "%s needs credentials, even where no others are required: who set a password now could use it later", v.Name)
		}
		if q.UserName == "" && p.Type == identity.TypeUser {
			q.UserName = p.Name
		}
		ask := identity.Question{Action: v.Action, Resource: iam.ARN(p.Account, "user/"+q.UserName), Keys: map[string][]string{}}
		u, err := l.Directory.UserOf(ctx, p.Account, q.UserName)
		if err != nil {
			return nil, err
		}
		if u != nil {
			ask.Resource = u.ARN
			for _, t := range u.Tags {
				ask.Keys["aws:ResourceTag/"+t.Key], ask.Keys["iam:ResourceTag/"+t.Key] = []string{t.Value}, []string{t.Value}
			}
		}
		if err := identity.Ask(ctx, ask); err != nil {
			return nil, err
		}
		out, err := v.do(ctx, l, p.Account, q)
		if out == nil {
			out = struct{}{}
		}
		return out, err
	})
}
