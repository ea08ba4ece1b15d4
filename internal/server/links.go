package server

import (
	"context"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/oam"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// linkedHeader lets a request of a monitoring account leave out linked accounts: exclude.
// The X-Ray API has no parameter for it.
const linkedHeader = "X-Fluoro-Linked-Accounts"

// linked lists the accounts whose traces a request of an account reads, too. If the links
// cannot be read, it reads only its own.
func (s *server) linked(rt *route, p *identity.Principal, r *http.Request) []trace.Linked {
	if rt.class != admitAnswer && rt.class != admitScan || r != nil && r.Header.Get(linkedHeader) == "exclude" {
		return nil
	}
	return s.linkedTo(p.Account)
}

// linkedTo lists the accounts that are linked to an account.
func (s *server) linkedTo(account trace.Account) []trace.Linked {
	if s.links == nil { // tests of doors have none
		return nil
	}
	list, err := s.links.Of(context.Background(), account)
	if err != nil {
		s.log.Warn("linked accounts are left out: the links cannot be read", "account", account, "error", err)
	}
	return list
}

// Requests of the OAM API. Lists have one page.
type (
	sinkRequest struct {
		Name string
		Tags map[string]string
	}
	sinkPolicyRequest struct{ SinkIdentifier, Policy string }
	sinkIdentifier    struct{ SinkIdentifier string }
	identifier        struct{ Identifier string }
	pageRequest       struct {
		MaxResults int
		NextToken  string
	}
	attachedRequest struct {
		SinkIdentifier string
		MaxResults     int
		NextToken      string
	}
	items[T any] struct {
		Items     []T
		NextToken *string
	}
	sinkPolicy struct{ SinkArn, SinkId, Policy string }
	linkView   struct {
		oam.Link
		Since float64 // epoch seconds
	}
)

func viewOf(l oam.Link) linkView { return linkView{l, l.Since.Seconds()} }

func viewsOf(list []oam.Link) items[linkView] {
	out := items[linkView]{Items: []linkView{}}
	for _, l := range list {
		out.Items = append(out.Items, viewOf(l))
	}
	return out
}

// one refuses a token: lists have one page.
func one(token string) error {
	if token != "" {
		return trace.Errorf(trace.KindInvalid, "NextToken: there is only one page")
	}
	return nil
}

// may returns the owner of a request's data if its principal may use a sink or a link.
func may(ctx context.Context, action, resource, id string, keys map[string][]string) (trace.Owner, error) {
	p, err := identity.From(ctx)
	if err != nil {
		return trace.Owner{}, err
	}
	if len(id) < 4 || id[:4] != "arn:" {
		id = "arn:aws:oam:" + p.Region + ":" + string(p.Account) + ":" + resource + "/" + id
	}
	return p.Owner, identity.Ask(ctx, identity.Question{Action: action, Resource: id, Keys: keys})
}

// linkRoutes are the rows of sinks and links. Paths and members are those of the OAM API
// below /api/oam.
func linkRoutes() []route {
	return []route{
		linkRoute("CreateSink", func(ctx context.Context, l *oam.Links, q *sinkRequest) (any, error) {
			o, err := may(ctx, "oam:CreateSink", "sink", "*", nil)
			if err != nil {
				return nil, err
			}
			return l.CreateSink(ctx, o, q.Name, q.Tags)
		}),
		linkRoute("ListSinks", func(ctx context.Context, l *oam.Links, q *pageRequest) (any, error) {
			o, err := may(ctx, "oam:ListSinks", "sink", "*", nil)
			if err == nil {
				err = one(q.NextToken)
			}
			if err != nil {
				return nil, err
			}
			list, err := l.ListSinks(ctx, o)
			return items[oam.Sink]{Items: append([]oam.Sink{}, list...)}, err
		}),
		linkRoute("GetSinkPolicy", func(ctx context.Context, l *oam.Links, q *sinkIdentifier) (any, error) {
			o, err := may(ctx, "oam:GetSinkPolicy", "sink", q.SinkIdentifier, nil)
			if err != nil {
				return nil, err
			}
			s, err := l.Sink(ctx, o, q.SinkIdentifier)
			return sinkPolicy{s.Arn, s.Id, s.Policy}, err
		}),
		linkRoute("PutSinkPolicy", func(ctx context.Context, l *oam.Links, q *sinkPolicyRequest) (any, error) {
			o, err := may(ctx, "oam:PutSinkPolicy", "sink", q.SinkIdentifier, nil)
			if err != nil {
				return nil, err
			}
			s, err := l.PutSinkPolicy(ctx, o, q.SinkIdentifier, q.Policy)
			return sinkPolicy{s.Arn, s.Id, s.Policy}, err
		}),
		linkRoute("DeleteSink", func(ctx context.Context, l *oam.Links, q *identifier) (any, error) {
			o, err := may(ctx, "oam:DeleteSink", "sink", q.Identifier, nil)
			if err != nil {
				return nil, err
			}
			return struct{}{}, l.DeleteSink(ctx, o, q.Identifier)
		}),
		linkRoute("ListAttachedLinks", func(ctx context.Context, l *oam.Links, q *attachedRequest) (any, error) {
			o, err := may(ctx, "oam:ListAttachedLinks", "sink", q.SinkIdentifier, nil)
			if err == nil {
				err = one(q.NextToken)
			}
			if err != nil {
				return nil, err
			}
			list, err := l.Attached(ctx, o, q.SinkIdentifier)
			return viewsOf(list), err
		}),
		linkRoute("CreateLink", createLink),
		linkRoute("GetLink", func(ctx context.Context, l *oam.Links, q *identifier) (any, error) {
			o, err := may(ctx, "oam:GetLink", "link", q.Identifier, nil)
			if err != nil {
				return nil, err
			}
			link, err := l.Link(ctx, o, q.Identifier)
			return viewOf(link), err
		}),
		linkRoute("ListLinks", func(ctx context.Context, l *oam.Links, q *pageRequest) (any, error) {
			o, err := may(ctx, "oam:ListLinks", "link", "*", nil)
			if err == nil {
				err = one(q.NextToken)
			}
			if err != nil {
				return nil, err
			}
			list, err := l.ListLinks(ctx, o)
			return viewsOf(list), err
		}),
		linkRoute("DeleteLink", func(ctx context.Context, l *oam.Links, q *identifier) (any, error) {
			o, err := may(ctx, "oam:DeleteLink", "link", q.Identifier, nil)
			if err != nil {
				return nil, err
			}
			return struct{}{}, l.DeleteLink(ctx, o, q.Identifier)
		}),
	}
}

// createLink needs two permissions: to make links, and to share traces by a link.
func createLink(ctx context.Context, l *oam.Links, q *oam.LinkRequest) (any, error) {
	o, err := may(ctx, "oam:CreateLink", "link", "*", map[string][]string{"oam:ResourceTypes": q.ResourceTypes})
	if err == nil {
		err = identity.Ask(ctx, identity.Question{Action: "xray:Link", Resource: "*"})
	}
	if err != nil {
		return nil, err
	}
	p, err := identity.From(ctx)
	if err != nil {
		return nil, err
	}
	link, err := l.CreateLink(ctx, o, p.ARN, *q, trace.TimeOf(time.Now()))
	return viewOf(link), err
}

// linkRoute makes the row of a verb.
func linkRoute[Q any](verb string, call func(context.Context, *oam.Links, *Q) (any, error)) route {
	return route{on: onHTTP, method: http.MethodPost, path: "/api/oam/" + verb, action: "oam:" + verb, class: admitAlways, limit: maxRequest, asks: true,
		handler: func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *Q) (any, error) {
				out, err := call(ctx, s.links, q)
				if err != nil {
					return nil, err
				}
				return out, nil
			})
		}}
}
