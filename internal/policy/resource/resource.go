// Package resource keeps the resource policies of accounts: they tell who, besides the
// account's own users, may call X-Ray (X-Ray API model, PutResourcePolicy).
package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// kind is the kind of the records; a record has the policy's name.
const kind meta.Kind = "resource-policy"

// maxPolicies is the maximum number of an account's policies (X-Ray API model).
const maxPolicies = 5

// Reasons to refuse a policy. They are the causes of KindErrors with longer
// messages.
var (
	ErrMalformed = policy.ErrMalformed
	ErrTooLarge  = policy.ErrTooLarge
	ErrTooMany   = errors.New("policy count limit exceeded")
	ErrLockout   = errors.New("lockout prevention")
	ErrRevision  = errors.New("invalid policy revision id")
)

func refuse(k trace.Kind, cause error, format string, args ...any) error {
	return &trace.KindError{Kind: k, Message: fmt.Sprintf(format, args...), Err: cause}
}

// Policy is a policy under its name. Revision counts from 1.
type Policy struct {
	Name, Document string
	Revision       int
	Updated        trace.Time
}

// RevisionID returns the revision as the API shows it.
func (p *Policy) RevisionID() string { return strconv.Itoa(p.Revision) }

// record is a stored policy.
type record struct {
	Document string
	Revision int
	Updated  trace.Time
}

func (r record) policy(name string) Policy {
	return Policy{Name: name, Document: r.Document, Revision: r.Revision, Updated: r.Updated}
}

// Policies reads and changes policies. Its methods may be called by many
// goroutines.
type Policies struct {
	store meta.Store

	mu       sync.Mutex
	compiled map[trace.Account]compiled
	changes  int // counts changes of this process, so that an older reading is not kept
}

// compiled holds the policies of an account, ready for decisions.
type compiled struct {
	list []policy.Policy
	read time.Time
}

// New makes Policies over records.
func New(store meta.Store) *Policies {
	return &Policies{store: store, compiled: map[trace.Account]compiled{}}
}

// Request is a request of PutResourcePolicy. Revision, if not nil, must be the
// present revision, "0" if the policy does not exist. Bypass skips the check whether
// the policy locks out the account's root user or the caller.
type Request struct {
	Name, Document string
	Revision       *string
	Bypass         bool
	// Caller returns a KindDenied error if the document forbids the caller to replace it;
	// nil skips this check.
	Caller func(document string) error
}

// Put makes a policy or replaces it.
func (p *Policies) Put(ctx context.Context, account trace.Account, q Request, now trace.Time) (out Policy, err error) {
	if len(q.Document) > policy.MaxResource {
		return Policy{}, refuse(trace.KindLimit, ErrTooLarge, "The resource policy %s has %d bytes, the limit is %d", q.Name, len(q.Document), policy.MaxResource) // not recorded
	}
	d, err := policy.Validate(policy.KindResource, q.Document)
	if err != nil {
		return Policy{}, refuse(trace.KindInvalid, ErrMalformed, "%v", err)
	}
	if err := q.lockout(d, account); err != nil {
		return Policy{}, err
	}
	defer p.forget(account)
	err = p.store.Update(ctx, account, func(tx meta.Tx) error {
		var r record
		found, err := tx.Get(kind, q.Name, &r)
		switch {
		case err != nil:
			return err
		case q.Revision != nil && *q.Revision != strconv.Itoa(r.Revision): // 0 where there is no policy
			return conflict("modified", q.Name)
		}
		if !found {
			count := 0
			if err := tx.List(kind, func(string, json.RawMessage) error { count++; return nil }); err != nil {
				return err
			}
			if count >= maxPolicies {
				return refuse(trace.KindLimit, ErrTooMany, "An account can have at most %d resource policies", maxPolicies) // not recorded
			}
		}
		r = record{Document: shown(q.Document), Revision: r.Revision + 1, Updated: now}
		out = r.policy(q.Name)
		return tx.Put(kind, q.Name, r)
	})
	return out, err
}

// lockout refuses a document that forbids the root user or the caller to replace it.
func (q *Request) lockout(d *policy.Document, account trace.Account) error {
	locked := LocksOut(d, account)
	if !q.Bypass && !locked && q.Caller != nil {
		switch err := q.Caller(q.Document); {
		case trace.KindOf(err) == trace.KindDenied:
			locked = true
		case err != nil:
			return err
		}
	}
	if q.Bypass || !locked {
		return nil
	}
	return refuse(trace.KindInvalid, ErrLockout, "The new resource policy will not allow the caller of this request to call PutResourcePolicy in the future.")
}

// conflict returns the error for a revision that is not the present one.
func conflict(done, name string) error {
	return refuse(trace.KindConflict, ErrRevision, "Another concurrent request has %s the resource policy %s", done, name)
}

// List returns all policies, by name.
func (p *Policies) List(ctx context.Context, account trace.Account) (out []Policy, err error) {
	err = p.store.View(ctx, account, func(tx meta.Tx) error {
		return tx.List(kind, func(name string, value json.RawMessage) error {
			var r record
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("record of resource policy %q: %w", name, err)
			}
			out = append(out, r.policy(name))
			return nil
		})
	})
	return out, err
}

// Compiled policies are read again after some time, because another process may have
// changed them. The number of accounts in memory is bounded.
const (
	fresh       = 2 * time.Second
	maxCompiled = 4096
)

// Documents returns the policies of an account, compiled for decisions. Changes by other
// processes take up to two seconds. A stored policy that cannot be read is an error: a
// decision without it could allow what it denies.
func (p *Policies) Documents(ctx context.Context, account trace.Account) ([]policy.Policy, error) {
	p.mu.Lock()
	c, known := p.compiled[account]
	changes := p.changes
	p.mu.Unlock()
	if known && time.Since(c.read) < fresh {
		return c.list, nil
	}
	c = compiled{read: time.Now()}
	stored, err := p.List(ctx, account)
	if err != nil {
		return nil, err
	}
	for _, s := range stored {
		d, err := policy.Parse(s.Document)
		if err != nil {
			return nil, fmt.Errorf("resource policy %q: %w", s.Name, err)
		}
		c.list = append(c.list, policy.Policy{Name: s.Name, Document: d})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if changes == p.changes {
		if len(p.compiled) >= maxCompiled {
			clear(p.compiled)
		}
		p.compiled[account] = c
	}
	return c.list, nil
}

// forget makes the next decision read the account's policies.
func (p *Policies) forget(account trace.Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.compiled, account)
	p.changes++
}

// Delete removes a policy; revision, if not nil, must be its present one. A policy
// that does not exist has no revision.
func (p *Policies) Delete(ctx context.Context, account trace.Account, name string, revision *string) error {
	defer p.forget(account)
	return p.store.Update(ctx, account, func(tx meta.Tx) error {
		var r record
		found, err := tx.Get(kind, name, &r)
		if err != nil {
			return err
		}
		switch {
		case revision != nil && (!found || *revision != strconv.Itoa(r.Revision)):
			return conflict("modified or deleted", name)
		case !found:
			return trace.Errorf(trace.KindInvalid, "The resource policy %s does not exist.", name)
		}
		_, err = tx.Delete(kind, name)
		return err
	})
}
