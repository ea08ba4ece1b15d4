package iam

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// LastUsed tells when, from where and for which action a credential was used last. It is
// written at most once a minute.
type LastUsed struct {
	At      time.Time
	Address string `json:",omitempty"` // IP address
	Action  string `json:",omitempty"`
}

const (
	usesEvery = time.Minute
	// mostUses bounds the credentials whose use is noted between two writes.
	mostUses = 10_000
)

// use is the last use of a credential that was not written yet.
type use struct {
	account trace.Account
	LastUsed
}

// uses holds what is not written yet, by the id of the credential: of an access key, a
// token or a role.
type uses struct {
	mu      sync.Mutex
	pending map[string]use
}

// Used notes that a principal's credential was used now.
func (d *Directory) Used(p identity.Principal, source string) {
	id := usedID(p)
	if id == "" || p.Account == "" {
		return
	}
	if host, _, err := net.SplitHostPort(source); err == nil {
		source = host
	}
	now := d.Now().UTC().Truncate(time.Second)
	d.uses.mu.Lock()
	defer d.uses.mu.Unlock()
	old, there := d.uses.pending[id]
	if !there && len(d.uses.pending) >= mostUses {
		return
	}
	d.uses.pending[id] = use{p.Account, LastUsed{now, source, old.Action}}
}

// usedID returns the id under which a use of a principal is noted: that of its key, token
// or certificate, and for temporary credentials that of the role or user.
func usedID(p identity.Principal) string {
	if strings.HasPrefix(p.KeyID, prefixTemp) {
		id, _, _ := strings.Cut(p.ID, ":")
		return id
	}
	return p.KeyID
}

// UsedFor notes the action of a use. A use that nobody noted with Used stays unknown: its
// proof may still be missing.
func (d *Directory) UsedFor(p identity.Principal, action string) {
	id := usedID(p)
	d.uses.mu.Lock()
	defer d.uses.mu.Unlock()
	if u, there := d.uses.pending[id]; there {
		u.Action = action
		d.uses.pending[id] = u
	}
}

// Run writes last uses until ctx ends, and then the rest.
func (d *Directory) Run(ctx context.Context) error {
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.flush(ctx)
		case <-ctx.Done():
			rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			d.flush(rest)
			return nil
		}
	}
}

// flush writes the noted uses. Uses that cannot be written are lost: they are only hints.
func (d *Directory) flush(ctx context.Context) {
	d.uses.mu.Lock()
	pending := d.uses.pending
	d.uses.pending = map[string]use{}
	d.uses.mu.Unlock()
	byAccount := map[trace.Account]map[string]LastUsed{}
	for id, u := range pending {
		if byAccount[u.account] == nil {
			byAccount[u.account] = map[string]LastUsed{}
		}
		byAccount[u.account][id] = u.LastUsed
	}
	for account, all := range byAccount {
		// The records that a snapshot holds do not change, so neither does the version.
		err := d.Records.Update(ctx, account, func(tx meta.Tx) error {
			for _, id := range sorted(all) {
				if exists, err := d.credential(tx, id); err != nil || !exists {
					if err != nil {
						return err
					}
					continue
				}
				if err := tx.Put(kindLastUsed, id, all[id]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			d.Logger.Warn("the last use of some credentials cannot be written", "account", account, "error", err)
		}
	}
}

// credential reports whether a key or token still exists. Ids of roles and users are not
// checked: their records stand under names, and ids are never used again.
func (d *Directory) credential(tx meta.Tx, id string) (bool, error) {
	if strings.HasPrefix(id, prefixRole) || strings.HasPrefix(id, prefixUser) {
		return true, nil
	}
	there, err := tx.Get(kindKey, id, &keyRecord{})
	if err != nil || there {
		return there, err
	}
	return tx.Get(kindToken, id, &tokenRecord{})
}

// lastUsed returns the last use of a credential, written or not; nil for never.
func (d *Directory) lastUsed(tx meta.Tx, id string) (*LastUsed, error) {
	d.uses.mu.Lock()
	u, there := d.uses.pending[id]
	d.uses.mu.Unlock()
	if there {
		return &u.LastUsed, nil
	}
	var l LastUsed
	there, err := tx.Get(kindLastUsed, named(id), &l)
	if err != nil || !there {
		return nil, err
	}
	return &l, nil
}

// LastUsed returns the last use of a key, token, role or user by its id, nil for never.
func (d *Directory) LastUsed(ctx context.Context, account trace.Account, id string) (l *LastUsed, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) (err error) {
		l, err = d.lastUsed(tx, id)
		return err
	})
	return l, err
}
