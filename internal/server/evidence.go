package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/erase"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/hold"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// vaultDir is the directory of held traces in a data directory.
const vaultDir = "holds"

// signers keep the key that signs reports. It is that of the audit log.
type signers struct {
	mu     sync.Mutex
	signer *audit.Signer
}

// signer returns the signer of reports. The first one makes the key, also if there is no
// audit log.
func (s *server) signer(ctx context.Context) (*audit.Signer, error) {
	s.signers.mu.Lock()
	defer s.signers.mu.Unlock()
	if s.signers.signer == nil {
		signer, err := audit.OpenSigner(ctx, filepath.Join(s.config.Data, AuditDir), s.auditKeys())
		if err != nil {
			return nil, err
		}
		s.signers.signer = signer
	}
	return s.signers.signer, nil
}

// On names the holds on traces; the store asks for them.
func (s *server) On(ctx context.Context, account trace.Account) (func(trace.ID) []string, error) {
	holds := s.holds.Load()
	if holds == nil {
		return func(trace.ID) []string { return nil }, nil
	}
	return holds.On(ctx, account)
}

// Segments returns the held segments of a trace; the store asks for them.
func (s *server) Segments(ctx context.Context, account trace.Account, id trace.ID) ([]*trace.Segment, error) {
	holds := s.holds.Load()
	if holds == nil {
		return nil, nil
	}
	return holds.Segments(ctx, account, id)
}

// openVault opens the store of held traces. It keeps them for ever.
func (s *server) openVault() (hold.Store, error) {
	dir, err := local.Lock(filepath.Join(s.config.Data, vaultDir))
	if err != nil {
		return nil, err
	}
	const memory = 8 << 20
	v, err := answer.Open(context.Background(), answer.Options{Retention: -1, CacheBytes: memory, Restore: decode.Restorer(s.mapper), Logger: s.log}, func(rules store.Rules) (store.Shelf, error) {
		shelf, err := local.Open(local.Options{Directory: dir, Keys: s.keys, Rules: rules, MemoryLimit: memory, CacheBytes: memory, SettleAfter: s.config.Settle, Logger: s.log})
		if err != nil {
			return nil, err
		}
		s.vault.Store(shelf)
		return shelf, nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// openEvidence makes legal holds and erasures. Without control-plane records there are
// none.
func (s *server) openEvidence(ctx context.Context) error {
	if s.meta == nil {
		return nil
	}
	holds, err := hold.New(ctx, hold.Options{Records: s.records, Main: s.store, Vault: s.openVault, Filter: s.parseFilter, Logger: s.log})
	if err != nil {
		return fmt.Errorf("open the legal holds: %w", err)
	}
	s.holds.Store(holds)
	return nil
}

// parseFilter parses a filter expression for an owner.
func (s *server) parseFilter(owner trace.Owner, text string) (*filter.Expr, error) {
	e, err := s.questions.Filter(owner, text)
	if err != nil && trace.KindOf(err) == trace.KindInternal {
		err = trace.Errorf(trace.KindInvalid, "filter: %v", err)
	}
	return e, err
}

// erased returns the function that tells why segments of an account must not be stored.
func (s *server) erased(ctx context.Context, account trace.Account) (func(*trace.Segment) string, error) {
	if s.meta == nil {
		return nil, nil // the records are lost: traces are received in any case
	}
	return s.eraser.Refuses(ctx, account)
}

// newEraser makes the eraser.
func (s *server) newEraser() {
	s.eraser = erase.New(erase.Options{
		Store: s.store, Records: s.records, Held: s.On, Signer: s.signer, Guard: s.config.EraseGuard, Logger: s.log,
		Filter: s.parseFilter, Kinds: []meta.Kind{"finding"}, // of package finding: its subjects are users
	})
}

// target is the account that a request is about: that of its principal, or another one
// that the server's own account names.
func (s *server) target(ctx context.Context, account string) (owner trace.Owner, by string, err error) {
	p, err := identity.From(ctx)
	if err != nil {
		return owner, "", err
	}
	by = p.ARN
	if by == "" {
		by = p.Name
	}
	switch {
	case account == "" || account == string(p.Account):
		return p.Owner, by, nil
	case !accountForm.MatchString(account):
		return owner, "", trace.Errorf(trace.KindInvalid, "account is %.50q: want 12 digits", account)
	case p.Account != s.own():
		return owner, "", trace.Errorf(trace.KindDenied, "only account %s may name another account", s.own())
	}
	return trace.Owner{Account: trace.Account(account), Region: p.Region}, by, nil
}

type erasureRequest struct {
	Account string `json:"account"`
	erase.Request
}

type holdRequest struct {
	Account string   `json:"account"`
	Name    string   `json:"name"`
	Reason  string   `json:"reason"`
	Traces  []string `json:"traces"`
	Filter  string   `json:"filter"`
	Group   string   `json:"group"`
}

// usableHolds returns the holds, or why there are none.
func (s *server) usableHolds() (*hold.Holds, error) {
	holds := s.holds.Load()
	if holds == nil {
		return nil, trace.Errorf(trace.KindUnavailable, "control-plane records cannot be read: %s", s.recordsLost)
	}
	return holds, nil
}

// evidenceRoutes are the rows of erasures and legal holds.
func evidenceRoutes() []route {
	post := func(path, action string, class class, make func(*server, *route) endpoint) route {
		return route{on: onHTTP, method: "POST", path: "/api/" + path, action: action, class: class, limit: maxRequest, everything: true, handler: make}
	}
	return []route{
		post("erasure/Create", "fluoro:EraseTraces", admitScan, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *erasureRequest) (any, error) { return s.erase(ctx, q) })
		}),
		post("hold/Add", "fluoro:AddHold", admitScan, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *holdRequest) (any, error) {
				owner, by, err := s.target(ctx, q.Account)
				if err != nil {
					return nil, err
				}
				h, err := s.usableHolds()
				if err != nil {
					return nil, err
				}
				return h.Add(ctx, owner, hold.Hold{Name: q.Name, Reason: q.Reason, By: by, Traces: q.Traces, Filter: q.Filter, Group: q.Group})
			})
		}),
		post("hold/List", "fluoro:ListHolds", admitAlways, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *holdRequest) (any, error) {
				owner, _, err := s.target(ctx, q.Account)
				if err != nil {
					return nil, err
				}
				h, err := s.usableHolds()
				if err != nil {
					return nil, err
				}
				list, err := h.List(ctx, owner.Account)
				return map[string]any{"holds": list}, err
			})
		}),
		post("hold/Release", "fluoro:ReleaseHold", admitScan, func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *holdRequest) (any, error) {
				owner, _, err := s.target(ctx, q.Account)
				if err != nil {
					return nil, err
				}
				h, err := s.usableHolds()
				if err != nil {
					return nil, err
				}
				n, err := h.Release(ctx, owner.Account, q.Name)
				return map[string]any{"releasedTraces": n}, err
			})
		}),
	}
}

// erasureAnswer is the answer of an erasure: the signed report, and the same as text. A
// dry run has no signature.
type erasureAnswer struct {
	Signed *audit.SignedText `json:"signed,omitempty"`
	Text   string            `json:"text"`
}

func (s *server) erase(ctx context.Context, q *erasureRequest) (any, error) {
	owner, by, err := s.target(ctx, q.Account)
	if err != nil {
		return nil, err
	}
	signed, err := s.eraser.Erase(ctx, owner, by, q.Request)
	if err != nil {
		return nil, err
	}
	r, d := signed.Report, audit.Of(ctx)
	d.Traces(r.TraceIDs...)
	d.Set("erasure", r.ID)
	d.Set("deletedTraces", r.Deleted)
	d.Set("heldTraces", len(r.Held))
	if q.DryRun {
		return erasureAnswer{Text: r.Text()}, nil
	}
	return erasureAnswer{&signed.SignedText, r.Text()}, nil
}

// noteBackup remembers a backup for the reports of erasures.
func (s *server) noteBackup(ctx context.Context, at time.Time, bytes int64) {
	_, by, err := s.target(ctx, "")
	if err == nil {
		err = erase.NoteBackup(context.WithoutCancel(ctx), s.records, erase.Backup{Time: at.UTC(), Bytes: bytes, By: by})
	}
	if err != nil {
		s.log.Error("reports of erasures will not name this backup", "error", err)
	}
}

// closeEvidence closes the vault.
func (s *server) closeEvidence() error {
	holds := s.holds.Load()
	if holds == nil {
		return nil
	}
	err := holds.Close()
	if err != nil {
		err = errors.Join(errors.New("close the store of held traces"), err)
	}
	return err
}
