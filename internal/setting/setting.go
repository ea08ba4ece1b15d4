// Package setting keeps the settings that apply to all traces of an account: the
// destination of segments, the share of indexed traces, and the encryption key.
package setting

import (
	"context"
	"regexp"
	"sync"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The kinds of the records, and the name of each kind's only record.
const (
	encryptionKind  meta.Kind = "encryption"
	destinationKind meta.Kind = "trace-segment-destination"
	indexingKind    meta.Kind = "indexing-rule"
	sharesKind      meta.Kind = "indexing-history"

	theOne = "config"
	// IndexingRule is the name of the only indexing rule.
	IndexingRule = "Default"
)

// Settings reads and changes settings. Its methods may be called by many
// goroutines.
type Settings struct {
	store meta.Store

	mu      sync.Mutex
	changes uint64
	shares  map[trace.Account][]share
}

// New makes Settings over records.
func New(store meta.Store) *Settings {
	return &Settings{store: store, shares: map[trace.Account][]share{}}
}

// Encryption is the encryption that an account has configured for its traces. Here it is
// only stored: package seal follows it.
type Encryption struct {
	Type  string // NONE or KMS
	KeyID string // of KMS: alias, id or ARN of a key
}

// keyForm matches the names of KMS keys (AWS KMS developer guide, "Key
// identifiers").
var keyForm = regexp.MustCompile(`^(alias/[A-Za-z0-9/_-]+|arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:(key/[A-Za-z0-9-]+|alias/[A-Za-z0-9/_-]+)|[A-Za-z0-9-]+)$`)

// Encryption returns the stored setting; NONE by default.
func (s *Settings) Encryption(ctx context.Context, account trace.Account) (Encryption, error) {
	e := Encryption{Type: "NONE"}
	err := s.get(ctx, account, encryptionKind, theOne, &e)
	return e, err
}

// Check returns an error, unless the setting has a valid form.
func (e Encryption) Check() error {
	switch {
	case e.Type != "NONE" && e.Type != "KMS":
		return trace.Errorf(trace.KindInvalid, "Type must be NONE or KMS") // not recorded
	case e.Type == "NONE" && e.KeyID != "":
		return trace.Errorf(trace.KindInvalid, "KeyId must be omitted if Type is NONE") // not recorded
	case e.Type == "KMS" && e.KeyID == "":
		return trace.Errorf(trace.KindInvalid, "KeyId is required if Type is KMS") // not recorded
	case e.Type == "KMS" && !keyForm.MatchString(e.KeyID):
		return trace.Errorf(trace.KindInvalid, "KeyId must be the alias, the id or the ARN of a key") // not recorded
	}
	return nil
}

// SetEncryption stores the setting.
func (s *Settings) SetEncryption(ctx context.Context, account trace.Account, e Encryption) error {
	if err := e.Check(); err != nil {
		return err
	}
	return s.put(ctx, account, encryptionKind, theOne, e)
}

// The destinations of segments.
const (
	XRay           = "XRay"
	CloudWatchLogs = "CloudWatchLogs"
)

type destination struct{ Destination string }

// Destination returns where segments go; XRay by default.
func (s *Settings) Destination(ctx context.Context, account trace.Account) (string, error) {
	d := destination{XRay}
	err := s.get(ctx, account, destinationKind, theOne, &d)
	return d.Destination, err
}

// SetDestination changes where segments go, and reports whether it was different
// before.
func (s *Settings) SetDestination(ctx context.Context, account trace.Account, to string, now trace.Time) (changed bool, err error) {
	if to != XRay && to != CloudWatchLogs {
		return false, trace.Errorf(trace.KindInvalid, "Destination must be XRay or CloudWatchLogs") // not recorded
	}
	d := destination{XRay}
	err = s.update(ctx, account, func(tx meta.Tx) error {
		if _, err := tx.Get(destinationKind, theOne, &d); err != nil {
			return err
		}
		changed = d.Destination != to
		if err := tx.Put(destinationKind, theOne, destination{to}); err != nil {
			return err
		}
		return remember(tx, now)
	})
	return changed, err
}

// Indexing is the indexing rule: the percentage of traces, chosen by id, that have
// summaries while segments go to CloudWatchLogs. Modified is 0 if the rule was never
// changed.
type Indexing struct {
	Percentage float64
	Modified   trace.Time
}

// defaultPercentage is the percentage that is free of charge natively (CloudWatch
// user guide, "Transaction Search").
const defaultPercentage = 1

// Indexing returns the present rule.
func (s *Settings) Indexing(ctx context.Context, account trace.Account) (Indexing, error) {
	r := Indexing{Percentage: defaultPercentage}
	err := s.get(ctx, account, indexingKind, IndexingRule, &r)
	return r, err
}

// SetIndexing changes the rule.
func (s *Settings) SetIndexing(ctx context.Context, account trace.Account, percentage float64, now trace.Time) (Indexing, error) {
	if !(percentage >= 0 && percentage <= 100) {
		return Indexing{}, trace.Errorf(trace.KindInvalid, "DesiredSamplingPercentage must be between 0 and 100") // not recorded
	}
	r := Indexing{percentage, now}
	return r, s.update(ctx, account, func(tx meta.Tx) error {
		if err := tx.Put(indexingKind, IndexingRule, r); err != nil {
			return err
		}
		return remember(tx, now)
	})
}

// share is the percentage of traces with summaries, from a time on.
type share struct {
	From       trace.Time
	Percentage float64
}

// maxShares is how many changes are remembered; beyond it the oldest are forgotten,
// and traces from that time are all indexed.
const maxShares = 1000

// remember records the share that applies from now on: all while segments go to
// XRay, the rule's percentage while they go to CloudWatchLogs.
func remember(tx meta.Tx, now trace.Time) error {
	d, r := destination{XRay}, Indexing{Percentage: defaultPercentage}
	var list []share
	if _, err := tx.Get(destinationKind, theOne, &d); err != nil {
		return err
	}
	if _, err := tx.Get(indexingKind, IndexingRule, &r); err != nil {
		return err
	}
	if _, err := tx.Get(sharesKind, theOne, &list); err != nil {
		return err
	}
	p := r.Percentage
	if d.Destination == XRay {
		p = 100
	}
	if len(list) == 0 && p == 100 || len(list) > 0 && list[len(list)-1].Percentage == p {
		return nil
	}
	list = append(list, share{now, p})
	return tx.Put(sharesKind, theOne, list[max(0, len(list)-maxShares):])
}

// Indexed returns a function that reports whether a trace has a summary: its id and
// the share at the receipt of its first document decide. nil means that all have.
// The settings are cached until one changes.
func (s *Settings) Indexed(ctx context.Context, account trace.Account) (func(id trace.ID, received trace.Time) bool, error) {
	s.mu.Lock()
	list, known := s.shares[account]
	changes := s.changes
	s.mu.Unlock()
	if !known {
		if err := s.get(ctx, account, sharesKind, theOne, &list); err != nil {
			return nil, err
		}
		s.mu.Lock()
		if s.changes == changes { // otherwise it may be outdated
			s.shares[account] = list
		}
		s.mu.Unlock()
	}
	if len(list) == 0 {
		return nil, nil
	}
	return func(id trace.ID, received trace.Time) bool {
		p := 100.0
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].From <= received {
				p = list[i].Percentage
				break
			}
		}
		return id.Share() < p/100
	}, nil
}

func (s *Settings) get(ctx context.Context, account trace.Account, kind meta.Kind, name string, into any) error {
	return s.store.View(ctx, account, func(tx meta.Tx) error {
		_, err := tx.Get(kind, name, into)
		return err
	})
}

func (s *Settings) put(ctx context.Context, account trace.Account, kind meta.Kind, name string, value any) error {
	return s.update(ctx, account, func(tx meta.Tx) error { return tx.Put(kind, name, value) })
}

// update changes records and makes the next reader see it.
func (s *Settings) update(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	err := s.store.Update(ctx, account, f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.shares, account)
	return err
}
