// Package setting keeps what an account sets once for all its traces: where
// segments go, which share of them is indexed, and what encrypts them.
package setting

import (
	"context"
	"regexp"
	"sync"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The kinds of the records, with the name of the only record of each.
const (
	encryptionKind  meta.Kind = "encryption"
	destinationKind meta.Kind = "trace-segment-destination"
	indexingKind    meta.Kind = "indexing-rule"

	theOne = "config"
	// IndexingRule is the name of the only indexing rule.
	IndexingRule = "Default"
)

// Settings reads and changes settings. Its methods may be called by many
// goroutines.
type Settings struct {
	store meta.Store

	mu       sync.Mutex
	changes  uint64
	indexing map[trace.Account]float64 // what IndexingPercentage answers
}

// New makes Settings over records.
func New(store meta.Store) *Settings {
	return &Settings{store: store, indexing: map[trace.Account]float64{}}
}

// Encryption is what an account wants its traces encrypted with. Fluoro keeps the
// wish; it encrypts nothing itself.
type Encryption struct {
	Type  string // NONE or KMS
	KeyID string // of KMS: alias, id or ARN of a key
}

// keyForm is how KMS keys are named (AWS KMS developer guide, "Key identifiers").
var keyForm = regexp.MustCompile(`^(alias/[A-Za-z0-9/_-]+|arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:(key/[A-Za-z0-9-]+|alias/[A-Za-z0-9/_-]+)|[A-Za-z0-9-]+)$`)

// Encryption is the present setting; NONE if none was made.
func (s *Settings) Encryption(ctx context.Context, account trace.Account) (Encryption, error) {
	e := Encryption{Type: "NONE"}
	err := s.get(ctx, account, encryptionKind, theOne, &e)
	return e, err
}

// SetEncryption changes the setting.
func (s *Settings) SetEncryption(ctx context.Context, account trace.Account, e Encryption) error {
	switch {
	case e.Type != "NONE" && e.Type != "KMS":
		return trace.Errorf(trace.KindInvalid, "Type must be NONE or KMS")
	case e.Type == "NONE" && e.KeyID != "":
		return trace.Errorf(trace.KindInvalid, "KeyId must be omitted if Type is NONE")
	case e.Type == "KMS" && e.KeyID == "":
		return trace.Errorf(trace.KindInvalid, "KeyId is required if Type is KMS")
	case e.Type == "KMS" && !keyForm.MatchString(e.KeyID):
		return trace.Errorf(trace.KindInvalid, "KeyId must be the alias, the id or the ARN of a key")
	}
	return s.put(ctx, account, encryptionKind, theOne, e)
}

// The destinations of segments.
const (
	XRay           = "XRay"
	CloudWatchLogs = "CloudWatchLogs"
)

type destination struct{ Destination string }

// Destination is where segments go; XRay if that was never changed.
func (s *Settings) Destination(ctx context.Context, account trace.Account) (string, error) {
	d := destination{XRay}
	err := s.get(ctx, account, destinationKind, theOne, &d)
	return d.Destination, err
}

// SetDestination changes where segments go, and says whether that is a change.
func (s *Settings) SetDestination(ctx context.Context, account trace.Account, to string) (changed bool, err error) {
	if to != XRay && to != CloudWatchLogs {
		return false, trace.Errorf(trace.KindInvalid, "Destination must be XRay or CloudWatchLogs")
	}
	d := destination{XRay}
	err = s.update(ctx, account, func(tx meta.Tx) error {
		if _, err := tx.Get(destinationKind, theOne, &d); err != nil {
			return err
		}
		changed = d.Destination != to
		return tx.Put(destinationKind, theOne, destination{to})
	})
	return changed, err
}

// Indexing is the indexing rule: of how many of a hundred traces, chosen by
// their id, there are summaries when segments go to CloudWatchLogs. Modified is
// 0 if that was never changed.
type Indexing struct {
	Percentage float64
	Modified   trace.Time
}

// defaultPercentage is natively free of charge (CloudWatch user guide,
// "Transaction Search").
const defaultPercentage = 1

// Indexing is the present rule.
func (s *Settings) Indexing(ctx context.Context, account trace.Account) (Indexing, error) {
	r := Indexing{Percentage: defaultPercentage}
	err := s.get(ctx, account, indexingKind, IndexingRule, &r)
	return r, err
}

// SetIndexing changes the rule.
func (s *Settings) SetIndexing(ctx context.Context, account trace.Account, percentage float64, now trace.Time) (Indexing, error) {
	if !(percentage >= 0 && percentage <= 100) {
		return Indexing{}, trace.Errorf(trace.KindInvalid, "DesiredSamplingPercentage must be between 0 and 100")
	}
	r := Indexing{percentage, now}
	return r, s.put(ctx, account, indexingKind, IndexingRule, r)
}

// IndexingPercentage is of how many of a hundred traces there are summaries: all
// while segments go to XRay, as the rule says when they go to CloudWatchLogs. It
// is held in memory until a setting changes.
func (s *Settings) IndexingPercentage(ctx context.Context, account trace.Account) (float64, error) {
	s.mu.Lock()
	p, known := s.indexing[account]
	changes := s.changes
	s.mu.Unlock()
	if known {
		return p, nil
	}
	d, r := destination{XRay}, Indexing{Percentage: defaultPercentage}
	err := s.store.View(ctx, account, func(tx meta.Tx) error {
		if _, err := tx.Get(destinationKind, theOne, &d); err != nil {
			return err
		}
		_, err := tx.Get(indexingKind, IndexingRule, &r)
		return err
	})
	if err != nil {
		return 0, err
	}
	if p = r.Percentage; d.Destination == XRay {
		p = 100
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == changes { // else it may be old already
		s.indexing[account] = p
	}
	return p, nil
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

// update changes records and lets the next reader see it.
func (s *Settings) update(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	err := s.store.Update(ctx, account, f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.indexing, account)
	return err
}
