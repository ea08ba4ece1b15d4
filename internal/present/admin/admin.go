// Package admin serves the directory of principals as JSON: POST /api/iam/VERB, with the
// verbs and members of AWS's IAM API.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Prefix begins the paths of all verbs.
const Prefix = "/api/iam/"

// API answers the verbs.
type API struct {
	Directory *iam.Directory
}

// Verb is an operation.
type Verb struct {
	Name   string
	Action string // for policies, such as iam:CreateUser
	// Whole tells that it is about all accounts of the server.
	Whole   bool
	members []string // of its input
	do      func(ctx context.Context, c *call) (any, error)
}

// call is a request to a verb.
type call struct {
	*API
	account trace.Account
	caller  identity.Principal
	in      input
}

// Endpoint makes the endpoint of a verb, which asks the authorizer itself. limit bounds a
// body in bytes.
func (a *API) Endpoint(v *Verb, limit int64) *manage.Endpoint {
	return manage.Verb(limit, func(ctx context.Context, body *json.RawMessage) (any, error) {
		p, err := identity.From(ctx)
		if err != nil {
			return nil, err
		}
		if p.Type == identity.TypeAnonymous && !v.reads() {
			return nil, trace.Errorf(trace.KindDenied, "%s needs credentials, even where no others are required: who made a key now could use it later, when credentials are required. The command fluoro on the server's machine needs none", v.Name)
		}
		c := &call{API: a, account: p.Account, caller: p}
		if err := c.in.parse(v, *body); err != nil {
			return nil, err
		}
		out, err := v.do(ctx, c)
		if out == nil {
			out = struct{}{}
		}
		return out, err
	})
}

// reads reports whether a verb changes nothing.
func (v *Verb) reads() bool {
	return strings.HasPrefix(v.Name, "Get") || strings.HasPrefix(v.Name, "List")
}

// parse reads the input of a verb. It refuses members that the verb does not have, and
// members that are there twice.
func (in *input) parse(v *Verb, body []byte) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	scanned, err := jsonscan.Parse(body)
	if err != nil {
		return trace.Errorf(trace.KindInvalid, "%s: the body is not JSON: %v", v.Name, err)
	}
	if scanned.Kind() != jsonscan.Object {
		return trace.Errorf(trace.KindInvalid, "%s: the body is no JSON object", v.Name)
	}
	seen := map[string]bool{}
	for name := range scanned.Members() {
		n := jsonscan.Unquote(name)
		if !slices.Contains(v.members, n) {
			return trace.Errorf(trace.KindInvalid, "%s has no member %.100q; it has %s", v.Name, n, strings.Join(v.members, ", "))
		}
		if seen[n] {
			return trace.Errorf(trace.KindInvalid, "%s: the member %s is there twice", v.Name, n)
		}
		seen[n] = true
	}
	if err := json.Unmarshal(body, in); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return trace.Errorf(trace.KindInvalid, "%s: the member %s cannot be a %s", v.Name, e.Field, e.Value)
		}
		return trace.Errorf(trace.KindInvalid, "%s: %v", v.Name, err)
	}
	return nil
}

// Limits of lists.
const (
	defaultItems = 100
	maxItems     = 1000
)

// page is a part of a list. Marker continues it.
type page struct {
	IsTruncated bool
	Marker      string `json:",omitempty"`
}

// paged returns the items after the marker of a request, in order of their keys.
func paged[T any](c *call, all []T, key func(T) string) ([]T, page, error) {
	limit := c.in.MaxItems
	if limit == 0 {
		limit = defaultItems
	}
	if limit < 1 || limit > maxItems {
		return nil, page{}, trace.Errorf(trace.KindInvalid, "MaxItems must be from 1 to %d", maxItems)
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	out := []T{}
	for _, item := range all {
		if key(item) <= c.in.Marker && c.in.Marker != "" {
			continue
		}
		if len(out) == limit {
			return out, page{true, key(out[limit-1])}, nil
		}
		out = append(out, item)
	}
	return out, page{}, nil
}

// ask asks about a resource. keys are pairs of names and values; those with an empty
// value are left out.
func (c *call) ask(ctx context.Context, action, resource string, keys ...string) error {
	q := identity.Question{Action: action, Resource: resource, Keys: map[string][]string{}}
	for i := 0; i+1 < len(keys); i += 2 {
		if keys[i+1] != "" {
			q.Keys[keys[i]] = append(q.Keys[keys[i]], keys[i+1])
		}
	}
	return identity.Ask(ctx, q)
}
