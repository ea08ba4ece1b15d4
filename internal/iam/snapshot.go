package iam

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// freshFor is how long a snapshot is used before its account's version is read again. A
// change by another process is seen that late; a change in this process at once.
const freshFor = 2 * time.Second

// snapshot holds the records of one account as of one moment. Nothing in it changes.
type snapshot struct {
	version  string
	users    map[string]*User
	groups   map[string]*Group
	roles    map[string]*Role
	policies map[string]*Policy // by ARN
	keys     map[string]*keyRecord
	tokens   map[string]*tokenRecord
	certs    map[string]*certificateRecord // of the whole server, in the snapshot of system
	accounts map[trace.Account]bool        // that have records, in the snapshot of system
	org      *Organization                 // in the snapshot of system; nil for none
	signing  []signingKey                  // in the snapshot of system

	grants sync.Map // granted by the ARN of a user or role

	mu       sync.Mutex
	checked  time.Time           // when its version was last compared
	narrowed map[string]narrowed // by the id of a temporary key
}

// load is a snapshot that is being read. Others wait for it.
type load struct {
	done chan struct{}
	s    *snapshot
	err  error
}

// registry is the set of accounts that have records.
type registry struct {
	mu   sync.Mutex
	seen map[trace.Account]bool // accounts that this process registered
}

// versionRecord changes whenever a record of the account changes.
type versionRecord struct{ Version string }

// update changes records of an account. It marks the account's snapshot as old.
func (d *Directory) update(ctx context.Context, account trace.Account, f func(tx meta.Tx) error) error {
	if account != system && !accountForm.MatchString(string(account)) {
		return fail(ValidationError, "%.40q is no account id: it must have 12 digits", account)
	}
	if err := d.register(ctx, account); err != nil {
		return err
	}
	err := d.Records.Update(ctx, account, func(tx meta.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		var b [16]byte
		_, _ = rand.Read(b[:])
		return tx.Put(kindVersion, "current", versionRecord{hex.EncodeToString(b[:])})
	})
	d.forget(account)
	return err
}

// register notes that an account has records. Requests with unknown keys of other
// accounts then read nothing.
func (d *Directory) register(ctx context.Context, account trace.Account) error {
	d.accounts.mu.Lock()
	known := d.accounts.seen[account]
	d.accounts.mu.Unlock()
	if account == system || known {
		return nil
	}
	s, err := d.snapshot(ctx, system)
	if err != nil {
		return err
	}
	if !s.accounts[account] {
		if err := d.update(ctx, system, func(tx meta.Tx) error {
			return tx.Put(kindAccount, string(account), struct{ Since time.Time }{d.Now().UTC()})
		}); err != nil {
			return err
		}
	}
	d.accounts.mu.Lock()
	defer d.accounts.mu.Unlock()
	if d.accounts.seen == nil {
		d.accounts.seen = map[trace.Account]bool{}
	}
	d.accounts.seen[account] = true
	return nil
}

// forget makes the next request read an account's records again.
func (d *Directory) forget(account trace.Account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// A running load may have read the state before the change: nobody may keep it.
	delete(d.loading, account)
	d.loaded.Put(account, nil, 1)
}

// of returns the snapshot of an account, nil if the account has no records.
func (d *Directory) of(ctx context.Context, account trace.Account) (*snapshot, error) {
	s, err := d.snapshot(ctx, system)
	if err != nil || !s.accounts[account] {
		return nil, err
	}
	return d.snapshot(ctx, account)
}

// snapshot returns the snapshot of an account.
func (d *Directory) snapshot(ctx context.Context, account trace.Account) (*snapshot, error) {
	d.mu.Lock()
	s := d.loaded.Get(account)
	l := d.loading[account]
	if s != nil && d.isFresh(s) {
		d.mu.Unlock()
		return s, nil
	}
	if l == nil {
		l = &load{done: make(chan struct{})}
		d.loading[account] = l
		// The load outlives the request that started it, because others wait for it.
		go d.load(context.WithoutCancel(ctx), account, s, l)
	}
	d.mu.Unlock()
	select {
	case <-l.done:
		return l.s, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// isFresh reports whether the version of a snapshot was compared a moment ago.
func (d *Directory) isFresh(s *snapshot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := d.Now().Sub(s.checked)
	return age >= 0 && age < freshFor
}

// load reads an account's records, or only compares their version with that of the old
// snapshot.
func (d *Directory) load(ctx context.Context, account trace.Account, old *snapshot, l *load) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	size := 0
	began := d.Now()
	l.err = d.Records.View(ctx, account, func(tx meta.Tx) (err error) {
		var v versionRecord
		if _, err := tx.Get(kindVersion, "current", &v); err != nil {
			return err
		}
		if old != nil && old.version == v.Version {
			l.s = old
			return nil
		}
		l.s, size, err = read(tx)
		if err == nil {
			l.s.version = v.Version
		}
		return err
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.err != nil {
		l.s = nil
	} else {
		l.s.mu.Lock()
		l.s.checked = began
		l.s.mu.Unlock()
	}
	if d.loading[account] == l { // else a change came meanwhile
		delete(d.loading, account)
		if l.s != nil && l.s != old {
			d.loaded.Put(account, l.s, int64(min(size, maxSnapshot)))
		}
	}
	close(l.done)
}

// read reads all records of an account. size is their JSON's.
func read(tx meta.Tx) (s *snapshot, size int, err error) {
	s = &snapshot{
		users: map[string]*User{}, groups: map[string]*Group{}, roles: map[string]*Role{}, policies: map[string]*Policy{},
		keys: map[string]*keyRecord{}, tokens: map[string]*tokenRecord{}, certs: map[string]*certificateRecord{}, accounts: map[trace.Account]bool{},
	}
	size = 1 << 10
	for kind, into := range map[meta.Kind]func(name string, value []byte) error{
		kindUser:  keep(s.users),
		kindGroup: keep(s.groups),
		kindRole:  keep(s.roles),
		kindKey:   keep(s.keys),
		kindToken: keep(s.tokens),
		kindPolicy: func(_ string, value []byte) error {
			var p Policy
			err := json.Unmarshal(value, &p)
			s.policies[p.ARN] = &p
			return err
		},
		kindCertificate: keep(s.certs),
		kindAccount:     func(name string, _ []byte) error { s.accounts[trace.Account(name)] = true; return nil },
		kindOrganization: func(_ string, value []byte) error {
			s.org = &Organization{}
			return json.Unmarshal(value, s.org)
		},
		kindSessionKey: func(name string, value []byte) error {
			k := signingKey{}
			err := json.Unmarshal(value, &k)
			s.signing = append(s.signing, k)
			return err
		},
	} {
		if err := tx.List(kind, func(name string, value json.RawMessage) error {
			size += len(name) + len(value) + 200
			if err := into(name, value); err != nil {
				return &trace.KindError{Kind: trace.KindUnavailable, Message: "the " + string(kind) + " " + name + " cannot be decoded", Err: err}
			}
			return nil
		}); err != nil {
			return nil, 0, err
		}
	}
	return s, size, nil
}

func keep[T any](m map[string]*T) func(string, []byte) error {
	return func(name string, value []byte) error {
		v := new(T)
		m[name] = v
		return json.Unmarshal(value, v)
	}
}

// find returns the entity that a credential refers to, nil if it does not exist.
func (s *snapshot) find(r Ref) record {
	switch r.Type {
	case TypeUser:
		if u := s.users[folded(r.Name)]; u != nil {
			return u
		}
	case TypeRole:
		if u := s.roles[folded(r.Name)]; u != nil {
			return u
		}
	}
	return nil
}

// role returns the role with an ARN, nil if it does not exist.
func (s *snapshot) role(arn string) *Role {
	r := s.roles[folded(arn[strings.LastIndexByte(arn, '/')+1:])]
	if r == nil || r.ARN != arn {
		return nil
	}
	return r
}

func decimal(n int) string { return strconv.Itoa(n) }

// Check decodes all records about principals of an account, and parses their policies, as
// requests do. It returns what cannot be read.
func Check(ctx context.Context, records meta.Store, account trace.Account) (failed []error) {
	err := records.View(ctx, account, func(tx meta.Tx) error {
		s, _, err := read(tx)
		if err != nil {
			return err
		}
		note := func(what string, err error) {
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", what, err))
			}
		}
		for _, name := range sorted(s.users) {
			_, err := grantsOf(s, s.users[name])
			note("user "+name, err)
		}
		for _, name := range sorted(s.roles) {
			_, err := grantsOf(s, s.roles[name])
			note("role "+name, err)
			_, err = Document{Name: "trust policy", Text: s.roles[name].Trust}.parsed()
			note("role "+name, err)
		}
		if s.org != nil {
			note("organization", s.org.applyTo(&policy.Set{}, ""))
		}
		return list(tx, kindProvider, func(string, Provider) error { return nil })
	})
	if err != nil {
		failed = append(failed, err)
	}
	return failed
}
