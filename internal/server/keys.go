package server

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/seal/kms"
	"github.com/fluoro-io/fluoro/internal/setting"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// startTime limits how long the start waits for a KMS.
const startTime = 10 * time.Second

// OpenKeys opens the data keys of a data directory for commands that change it while no
// server runs; the caller holds its lock. If the settings do not say that the directory is
// encrypted, the record of its last server does. It is an error if the keys of such a
// directory cannot be used: nothing may be written in the clear then.
func OpenKeys(ctx context.Context, c *config.Config) (*seal.Ring, error) {
	if err := remembered(c); err != nil {
		return nil, err
	}
	ring, err := openRing(ctx, c, nil, false)
	if err != nil {
		return nil, err
	}
	if _, err := ring.Newest(ctx, seal.System); err != nil {
		ring.Close()
		return nil, fmt.Errorf("data directory %s is encrypted: %w", c.Data, err)
	}
	return ring, nil
}

// ReadKeys opens the data keys of a data directory for commands that only read it.
func ReadKeys(ctx context.Context, c *config.Config) (*seal.Ring, error) {
	if err := remembered(c); err != nil {
		return nil, err
	}
	return openRing(ctx, c, nil, true)
}

// remembered completes the settings with the mode that the last server of the directory
// had.
func remembered(c *config.Config) error {
	if c.Encrypt != "" && c.Encrypt != string(seal.ModeOff) {
		return nil
	}
	mode, key, err := seal.Remembered(nil, c.Data)
	if err != nil {
		return err
	}
	c.Encrypt = string(mode)
	if mode == seal.ModeKMS && c.KMSKey == "" {
		c.KMSKey = key
	}
	return nil
}

func openRing(ctx context.Context, c *config.Config, log *slog.Logger, readOnly bool) (*seal.Ring, error) {
	e := c.Encryption
	o := seal.Options{
		Dir: c.Data, KeyFile: e.KeyFile, Mode: seal.Mode(e.Encrypt), KMSKey: e.KMSKey,
		CacheTime: e.KeyCache, KeyAge: e.DataKeyAge, KeyBytes: e.DataKeyBytes, Logger: log, ReadOnly: readOnly,
	}
	if o.KeyBytes == 0 {
		o.KeyBytes = math.MaxInt64
	}
	endpoint := e.KMSEndpoint
	if endpoint == "" && o.Mode == seal.ModeKMS {
		endpoint = kms.AWS
	}
	if endpoint != "" {
		region := e.KMSRegion
		if region == "" {
			region = c.Region
		}
		service, err := kms.New(ctx, kms.Options{Endpoint: endpoint, Region: region, CA: e.KMSCA, Cert: e.KMSCert, Key: e.KMSCertKey, Plain: c.Insecure})
		if err != nil {
			return nil, fmt.Errorf("--kms-endpoint: %w", err)
		}
		o.KMS = service
	}
	return seal.Open(o)
}

// systemKinds are the kinds of records that are sealed under the keys of the server, not of
// their account. Doors need them: with the key of its account disabled, nobody could call
// PutEncryptionConfig to choose another key.
var systemKinds = []meta.Kind{"access-key", "token", "session-key", "last-used", "oidc-provider", "client-certificate", "organization", "resource-policy", "quota"}

// RecordOptions returns how control-plane records are encrypted.
func RecordOptions(keys seal.Keys) sqlite.Options {
	return sqlite.Options{Keys: keys, System: func(kind meta.Kind) bool {
		for _, k := range systemKinds {
			if k == kind {
				return true
			}
		}
		return strings.HasPrefix(string(kind), "iam-")
	}}
}

// openKeys opens the data keys, and makes those of the server itself: if these cannot be
// used, the server does not start, because nothing can be read. An account whose keys
// cannot be used harms no other.
func (s *server) openKeys() (err error) {
	if s.keys, err = openRing(context.Background(), s.config, s.log, false); err != nil {
		return err
	}
	s.reseal = make(chan bool, 1)
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if _, err := s.keys.Newest(ctx, seal.System); err != nil {
		return fmt.Errorf("data directory %s is encrypted: %w", s.config.Data, err)
	}
	if err := s.keys.Remember(); err != nil {
		return err
	}
	if _, err := s.keys.Newest(ctx, s.own()); err != nil {
		s.log.Error("the server starts, but data of this account can be neither stored nor read", "account", s.own(), "error", err)
	}
	return nil
}

// tendKeys keeps keys and records in order until ctx ends.
func (s *server) tendKeys(ctx context.Context) error {
	var records sync.WaitGroup
	defer records.Wait()
	records.Go(func() {
		renew := false
		for {
			again := time.Hour
			if s.meta != nil {
				if err := s.meta.Reseal(ctx, renew); err != nil && ctx.Err() == nil {
					s.log.Warn("some control-plane records are not yet encrypted as they should be; this is tried again", "error", err)
					again = 15 * time.Second
				}
			}
			select {
			case <-ctx.Done():
				return
			case renew = <-s.reseal:
			case <-time.After(again):
			}
		}
	})
	return s.keys.Run(ctx)
}

// resealSoon makes records follow a change of the keys; renew: to new keys.
func (s *server) resealSoon(renew bool) {
	select {
	case s.reseal <- renew:
	default: // it runs soon anyway
	}
}

// encryption answers the API's questions about encryption (present/api).
type encryption struct {
	server   *server
	settings *setting.Settings
}

// stored reports whether the setting is only stored: this server encrypts nothing and
// knows no KMS, so it cannot follow it.
func (e encryption) stored() bool {
	c := e.server.config
	return c.Encrypt == string(seal.ModeOff) && c.KMSEndpoint == ""
}

// Get returns the present setting of an account, and its status.
func (e encryption) Get(ctx context.Context, account trace.Account) (setting.Encryption, string, error) {
	r, err := e.server.keys.Account(account)
	if err != nil || r.Type == seal.TypeKMS || r.Status == seal.StatusUpdating || !e.stored() {
		return setting.Encryption{Type: r.Type, KeyID: r.KeyID}, r.Status, err
	}
	s, err := e.settings.Encryption(ctx, account)
	return s, seal.StatusActive, err
}

// Set changes the setting of an account.
func (e encryption) Set(ctx context.Context, account trace.Account, to setting.Encryption) error {
	if err := to.Check(); err != nil {
		return err
	}
	if r, err := e.server.keys.Account(account); err == nil && e.stored() && r.Type == seal.TypeNone {
		if to.Type != seal.TypeNone {
			e.server.log.Warn("an encryption key was set, but this server encrypts nothing: start it with --kms-endpoint or --encryption", "account", account, "key", to.KeyID)
		}
		return e.settings.SetEncryption(ctx, account, to)
	}
	if err := e.server.keys.Configure(ctx, account, seal.Config{Type: to.Type, KeyID: to.KeyID}); err != nil {
		return err
	}
	e.server.resealSoon(false)
	return nil
}

// oneAccount is a request about the keys of an account.
type oneAccount struct {
	Account string `json:"account"` // 12 digits or system; "" for all where that is possible
	// Confirm must repeat the account before its keys are destroyed.
	Confirm string `json:"confirm"`
	KeyFile bool   `json:"key_file"` // make a new key in the key file, too
}

// accounts returns the accounts that a request names.
func (q *oneAccount) accounts(s *server) (list []trace.Account, err error) {
	if q.Account != "" && q.Account != string(seal.System) && !accountForm.MatchString(q.Account) {
		return nil, trace.Errorf(trace.KindInvalid, "account is %.50q: want 12 digits, or %s for the server's own data", q.Account, seal.System)
	}
	if q.Account != "" {
		return []trace.Account{trace.Account(q.Account)}, nil
	}
	for _, a := range s.keys.Report().Accounts {
		if a.Keys > 0 {
			list = append(list, a.Account)
		}
	}
	return list, nil
}

// keyRoutes are the rows of data keys. Everybody may ask about the keys of their own
// account; the rest is for the server's own account.
func keyRoutes() []route {
	post := func(verb string, whole bool, call func(*server, context.Context, *oneAccount) (any, error)) route {
		return route{on: onHTTP, method: "POST", path: "/api/encryption/" + verb, action: "fluoro:" + verb + "DataKeys", class: admitAlways, limit: maxRequest, whole: whole,
			handler: func(s *server, rt *route) endpoint {
				return manage.Verb(rt.limit, func(ctx context.Context, q *oneAccount) (any, error) { return call(s, ctx, q) })
			}}
	}
	return []route{
		post("Get", false, func(s *server, ctx context.Context, _ *oneAccount) (any, error) {
			p, err := identity.From(ctx)
			if err != nil {
				return nil, err
			}
			return s.keys.Account(p.Account)
		}),
		post("List", true, func(s *server, _ context.Context, _ *oneAccount) (any, error) { return s.keys.Report(), nil }),
		post("Rotate", true, (*server).rotateKeys),
		post("Rewrap", true, (*server).rewrapKeys),
		post("Forget", true, (*server).forgetKeys),
	}
}

func (s *server) rotateKeys(ctx context.Context, q *oneAccount) (any, error) {
	accounts, err := q.accounts(s)
	if err == nil {
		err = rotateAll(ctx, s.keys, accounts, q.KeyFile)
	}
	if err != nil {
		return nil, err
	}
	s.resealSoon(true)
	return s.keys.Report(), nil
}

// rotateAll makes new data keys for accounts; keyFile: after a new key in the key file.
func rotateAll(ctx context.Context, keys *seal.Ring, accounts []trace.Account, keyFile bool) error {
	if keyFile {
		if err := keys.RotateKeyFile(); err != nil {
			return err
		}
		keys.Maintain(ctx)
	}
	for _, account := range accounts {
		if err := keys.Rotate(ctx, account); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) rewrapKeys(ctx context.Context, q *oneAccount) (any, error) {
	accounts, err := q.accounts(s)
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		if err := s.keys.Rewrap(ctx, account); err != nil {
			return nil, err
		}
	}
	return s.keys.Report(), nil
}

// forgetKeys deletes the traces of an account, then destroys its keys.
func (s *server) forgetKeys(ctx context.Context, q *oneAccount) (any, error) {
	switch {
	case !accountForm.MatchString(q.Account):
		return nil, trace.Errorf(trace.KindInvalid, "account is %.50q: want 12 digits", q.Account)
	case q.Confirm != q.Account:
		return nil, trace.Errorf(trace.KindInvalid, "confirm must repeat the account whose keys are to be destroyed")
	}
	account := trace.Account(q.Account)
	if r, err := s.keys.Account(account); err != nil || r.Keys == 0 {
		return nil, trace.Errorf(trace.KindConflict, "account %s has no data keys: its data is not encrypted", account)
	}
	n := 0
	if s.store != nil { // else no server runs, and nothing is in memory
		// Open traces are in memory in the clear, and would be served until a restart.
		var err error
		if n, err = s.store.Delete(ctx, account, answer.DeleteQuery{Window: trace.Window{Start: math.MinInt64 + 1, End: math.MaxInt64}}); err != nil {
			s.log.Warn("not all traces of an account could be deleted before its keys are destroyed", "account", account, "error", err)
		}
	}
	if err := s.keys.Forget(account); err != nil {
		return nil, err
	}
	s.resealSoon(false)
	r, err := s.keys.Account(account)
	return map[string]any{"deleted_traces": n, "keys": r}, err
}
