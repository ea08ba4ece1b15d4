// Package access decides what principals may do: it joins their policies, the resource
// policies of the account and the condition keys of a request, and words refusals as AWS
// does. The rules are in package policy.
package access

import (
	"context"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/lru"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Grants finds the policies of principals: identity policies, permissions boundary, SCPs
// and the facts about the organization. Sets are shared, so nobody changes them. Many
// goroutines may call it at once. Errors: KindDenied if the principal no longer exists,
// KindUnavailable if the records cannot be read.
type Grants interface {
	Grants(ctx context.Context, p identity.Principal) (*policy.Set, error)
}

// Resources finds the resource policies of accounts. Many goroutines may call it at once.
type Resources interface {
	Documents(ctx context.Context, account trace.Account) ([]policy.Policy, error)
}

// Options are the parts and settings of an Access.
type Options struct {
	Grants    Grants    // nil: nobody has policies
	Resources Resources // nil: there are no resource policies
	// Open allows anonymous principals everything in their account (--auth open).
	Open bool
	// Now is the clock, nil for the system's.
	Now func() time.Time
}

// Access is the Authorizer that evaluates policies.
type Access struct {
	Options
	sights   *lru.Cache[string, sight.Sight]      // by fingerprint, to share what they remember
	sessions *lru.Cache[string, *policy.Document] // session policies by their text
}

// The memory of an Access for sights and session policies, by estimates of their sizes. A
// sight remembers the answers for about a thousand services.
const (
	sightBytes   = 128 << 10
	maxSights    = 64 * sightBytes
	maxSessions  = 4 << 20
	documentCost = 16 // bytes of memory for each byte of a policy's text
)

// New makes an Access.
func New(o Options) *Access {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Access{
		Options: o, sights: lru.New[string, sight.Sight](maxSights, maxSights),
		sessions: lru.New[string, *policy.Document](maxSessions, maxSessions),
	}
}

// Authorize decides one question. A process of the operator on this machine may do
// everything: no policy can lock it out.
func (a *Access) Authorize(ctx context.Context, p identity.Principal, c identity.Call, q identity.Question) (sight.Sight, error) {
	switch {
	case q.Proposed != "":
		return nil, a.proposed(ctx, p, c, q)
	case p.Proof == identity.ProofSocket, a.Open && p.Type == identity.TypeAnonymous:
		return nil, nil
	case principal(&p).Kind == policy.PrincipalAnonymous:
		// A resource policy may allow everybody, but X-Ray takes no unsigned requests.
		return nil, refusal(&p, &policy.Request{Resource: "*"}, policy.Decision{Action: q.Action, By: policy.LayerIdentity})
	}
	set, err := a.set(ctx, p, q)
	if err != nil {
		return nil, err
	}
	r := a.request(&p, &c, &q, set)
	if scope := scopeOf(q.Action); scope != noSegments {
		d, limit := set.DecidePartly(r)
		if limit != nil && scope == allSegments {
			return nil, trace.Errorf(trace.KindDenied, "User: %s is not authorized to perform: %s because the action is about all segments, and policies allow only some of them", name(&p), q.Action) // our own text
		}
		return a.shared(limit), refusal(&p, r, d)
	}
	d := set.Decide(r)
	if r.Action == putSpans && !d.Allowed && !d.Explicit {
		r.Action = putSegments
		if set.Decide(r).Allowed {
			return nil, nil
		}
		r.Action = putSpans
	}
	return nil, refusal(&p, r, d)
}

// Whoever may send segments may send spans, unless a policy denies it: AWS's managed
// policies for writers do not contain the action of the OTLP endpoint.
const (
	putSpans    = "xray:PutSpans"
	putSegments = "xray:PutTraceSegments"
)

// set collects the policies for a question.
func (a *Access) set(ctx context.Context, p identity.Principal, q identity.Question) (*policy.Set, error) {
	own := &policy.Set{}
	if a.Grants != nil {
		var err error
		if own, err = a.Grants.Grants(ctx, p); err != nil {
			return nil, err
		}
	}
	var resource []policy.Policy
	if a.Resources != nil && strings.HasPrefix(q.Action, "xray:") {
		var err error
		if resource, err = a.Resources.Documents(ctx, trace.Account(resourceAccount(&p, &q))); err != nil {
			return nil, &trace.KindError{Kind: trace.KindUnavailable, Message: "the resource policies of the account cannot be read", Err: err}
		}
	}
	narrowed := p.Session != nil && p.Session.Policies != nil && own.Session == nil
	if len(resource) == 0 && !narrowed {
		return own, nil
	}
	set := *own
	set.Resource = resource
	if narrowed {
		set.Session = []policy.Policy{}
		for _, text := range p.Session.Policies {
			d, err := a.sessionPolicy(text)
			if err != nil {
				return nil, trace.Errorf(trace.KindInternal, "the session policy of %s cannot be read: %v", p.ARN, err)
			}
			set.Session = append(set.Session, policy.Policy{Name: "session policy", Document: d})
		}
	}
	return &set, nil
}

func (a *Access) sessionPolicy(text string) (*policy.Document, error) {
	if d := a.sessions.Get(text); d != nil {
		return d, nil
	}
	d, err := policy.Parse(text)
	if err == nil {
		a.sessions.Put(text, d, documentCost*int64(len(text)))
	}
	return d, err
}

// shared returns the sight that other requests with the same limit use.
func (a *Access) shared(limit sight.Sight) sight.Sight {
	if limit == nil {
		return nil
	}
	key := limit.Fingerprint()
	if s := a.sights.Get(key); s != nil {
		return s
	}
	a.sights.Put(key, limit, sightBytes)
	return limit
}

// request describes a call for policies.
func (a *Access) request(p *identity.Principal, c *identity.Call, q *identity.Question, set *policy.Set) *policy.Request {
	r := &policy.Request{Principal: principal(p), Action: q.Action, Resource: q.Resource, ResourceAccount: resourceAccount(p, q)}
	if !typed(q.Action) || r.Resource == "" {
		r.Resource = "*"
	}
	r.Keys = &facts{p: p, c: c, q: q, set: set, request: r, now: a.Now().UTC()}
	return r
}

// principal describes a principal for policies.
func principal(p *identity.Principal) policy.Principal {
	out := policy.Principal{ARN: p.ARN, ID: p.ID, Account: string(p.Account)}
	switch p.Type {
	case identity.TypeRoot:
		out.Kind = policy.PrincipalRoot
	case identity.TypeUser:
		out.Kind = policy.PrincipalUser
	case identity.TypeRole:
		out.Kind = policy.PrincipalSession
		if p.Session != nil {
			out.RoleARN = p.Session.RoleARN
		}
		if out.RoleARN == "" {
			out.RoleARN = policy.PrincipalOf(p.ARN, "").RoleARN
		}
	case identity.TypeService:
		out.Kind, out.Service = policy.PrincipalService, p.Name
	default:
		out.Kind = policy.PrincipalAnonymous
	}
	return out
}

// resourceAccount returns the account of the resource of a question: that of its ARN, or
// the principal's.
func resourceAccount(p *identity.Principal, q *identity.Question) string {
	if account := accountOf(q.Resource); account != "" && typed(q.Action) {
		return account
	}
	return string(p.Account)
}

// accountOf returns the account in an ARN, "" if it has none.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || len(parts[4]) != 12 {
		return ""
	}
	return parts[4]
}

// proposed returns an error if a resource policy that is not in force yet would deny the
// caller. Whoever needs no policies is judged as the account's root user.
func (a *Access) proposed(ctx context.Context, p identity.Principal, c identity.Call, q identity.Question) error {
	d, err := policy.Parse(q.Proposed)
	if err != nil {
		return trace.Errorf(trace.KindInvalid, "%v", err)
	}
	set := &policy.Set{Resource: []policy.Policy{{Document: d}}}
	needsNone := p.Type == identity.TypeAnonymous || p.Proof == identity.ProofSocket
	if a.Grants != nil && !needsNone {
		own, err := a.Grants.Grants(ctx, p)
		if err != nil {
			return err
		}
		set.OrgID, set.OrgPaths = own.OrgID, own.OrgPaths
	}
	r := a.request(&p, &c, &q, set)
	if needsNone {
		r.Principal = policy.PrincipalOf("arn:aws:iam::"+string(p.Account)+":root", "")
	}
	if decision := set.Decide(r); !decision.Allowed && decision.Explicit {
		return refusal(&p, r, decision)
	}
	return nil
}

// Assumption asks whether a role may be assumed.
type Assumption struct {
	Caller identity.Principal
	// Provider is the ARN of the identity provider of AssumeRoleWithWebIdentity; then Caller
	// has only an account and a region.
	Provider string
	Call     identity.Call
	Question identity.Question // its resource is the role
	Set      *policy.Set       // of the caller; nil for a web identity
	Trust    policy.Policy     // of the role
}

// Assume returns nil if the trust policy of a role, and the caller's own policies where
// they are needed, allow to assume it.
func (a *Access) Assume(q Assumption) error {
	set := policy.Set{}
	if q.Set != nil {
		set = *q.Set
	}
	set.Resource, set.Trust = []policy.Policy{q.Trust}, true
	r := a.request(&q.Caller, &q.Call, &q.Question, &set)
	if q.Provider != "" {
		r.Principal = policy.Principal{Kind: policy.PrincipalWebIdentity, Service: q.Provider, Account: r.ResourceAccount}
		if !set.Decide(r).Allowed {
			return trace.Errorf(trace.KindDenied, "Not authorized to perform %s", q.Question.Action)
		}
		return nil
	}
	return refusal(&q.Caller, r, set.Decide(r))
}

// refusal returns the error for a decision, with the text of AWS's AccessDeniedException;
// nil if the decision allows. Across accounts, resource and trust policies give no reason:
// it would tell others what they contain.
func refusal(p *identity.Principal, r *policy.Request, d policy.Decision) error {
	if d.Allowed {
		return nil
	}
	var b strings.Builder
	b.WriteString("User: " + name(p) + " is not authorized to perform: " + d.Action)
	if r.Resource != "*" {
		b.WriteString(" on resource: " + r.Resource)
	}
	if !d.CrossAccount || d.By != policy.LayerResource && d.By != policy.LayerTrust {
		b.WriteString(" " + d.Cause())
	}
	return trace.Errorf(trace.KindDenied, "%s", b.String())
}

// name returns the name of a principal for refusals.
func name(p *identity.Principal) string {
	if p.ARN == "" {
		return p.Name
	}
	return p.ARN
}
