// Package finding watches traces for what is new or unusual to people who look after
// security: services, clients and remote hosts that were never seen together before, a
// service that suddenly calls many, users with unusual traffic. Each finding names the
// numbers that it was measured against, and the first trace as evidence.
//
// Two sources feed it. [Findings.Observe] sees each stored segment and only counts.
// [Findings.Look] runs once a minute: it reads the service graph of the last minutes, compares
// everything with the baseline of the account, and writes findings as records. The
// result depends only on the traces and their times.
package finding

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Kind tells what was found.
type Kind string

// The kinds of findings.
const (
	NewEdge       Kind = "new-edge"       // a service calls another one for the first time
	NewRemote     Kind = "new-remote"     // a service calls a host, database or AWS resource that nobody called before
	NewClient     Kind = "new-client"     // requests come from a network never seen before
	FanOut        Kind = "fan-out"        // a service calls many more others than before
	UnusualSize   Kind = "unusual-size"   // a response of a service is much larger than its others
	UnusualRate   Kind = "unusual-rate"   // a user makes many more requests than before
	ManyAddresses Kind = "many-addresses" // a user comes from many networks in an hour
)

// Severity orders findings.
type Severity string

// The severities.
const (
	Low    Severity = "low"
	Medium Severity = "medium"
	High   Severity = "high"
)

// severities of the kinds.
var severities = map[Kind]Severity{
	NewEdge: Low, NewRemote: Medium, NewClient: Low, FanOut: High, UnusualSize: High, UnusualRate: Medium, ManyAddresses: High,
}

// State tells what people have decided about a finding.
type State string

// The states of a finding. An expected finding is learnt: its subject is not found again.
const (
	Open         State = "open"
	Acknowledged State = "acknowledged"
	Dismissed    State = "dismissed"
)

// Finding is one finding. Subjects that were found before only raise Count and Last.
type Finding struct {
	ID       string   `json:"id"` // depends on kind and subject only
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	State    State    `json:"state"`
	// Service is the service that the finding is about. Who may not see it does not see
	// the finding.
	Service string `json:"service"`
	// Subject names the new or unusual thing: the called service, the network, the user.
	Subject string `json:"subject"`
	// Text says in a sentence what was found, Expected what was known before.
	Text     string  `json:"text"`
	Expected string  `json:"expected"`
	First    float64 `json:"first"` // epoch seconds
	Last     float64 `json:"last"`
	Count    int64   `json:"count"`
	TraceID  string  `json:"trace_id"` // the first trace, "" if it is not known
	Note     string  `json:"note"`     // of the person who decided
	By       string  `json:"by"`
}

// idOf returns the id of a finding.
func idOf(kind Kind, service, subject string) string {
	sum := sha256.Sum256([]byte(string(kind) + "\x00" + service + "\x00" + subject))
	return hex.EncodeToString(sum[:8])
}

const (
	kind         meta.Kind = "finding"
	baselineKind meta.Kind = "finding-baseline"
	// keepFindings is how many findings an account keeps; beyond it, those that were seen
	// last the longest ago are forgotten.
	keepFindings = 2000
	// newAtOnce is how many findings of a kind one look makes. The next one says how many
	// more there were.
	newAtOnce = 20
)

// List returns the findings that a sight allows, newest first.
func (f *Findings) List(ctx context.Context, account trace.Account, s sight.Sight) ([]Finding, error) {
	list := []Finding{}
	err := f.store.View(ctx, account, func(tx meta.Tx) error {
		list = list[:0]
		return tx.List(kind, func(id string, value json.RawMessage) error {
			var one Finding
			if err := json.Unmarshal(value, &one); err != nil {
				return fmt.Errorf("record of finding %q: %w", id, err)
			}
			if sees(s, &one) {
				list = append(list, one)
			}
			return nil
		})
	})
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.ID, b.ID))
	})
	return list, err
}

// sees tells whether a sight allows a finding. A finding is about many segments, and
// it knows only their service: a sight that also asks for environments, groups or annotations
// cannot allow it. Whoever may not see a called service must not learn its name.
func sees(s sight.Sight, one *Finding) bool {
	if s == nil {
		return true
	}
	service := func(name string) bool { return name != "" && s.Sees(&sight.Segment{Service: name}) }
	return sight.OnlyServices(s) && service(one.Service) && (one.Kind != NewEdge || service(one.Subject))
}

// Get returns a finding. An unknown one, and one that the sight does not allow, is
// KindNotFound.
func (f *Findings) Get(ctx context.Context, account trace.Account, s sight.Sight, id string) (one Finding, err error) {
	err = f.store.View(ctx, account, func(tx meta.Tx) error { return find(tx, s, id, &one) })
	return one, err
}

func find(tx meta.Tx, s sight.Sight, id string, into *Finding) error {
	found := false
	var err error
	if id != "" && len(id) <= meta.MaxName {
		found, err = tx.Get(kind, id, into)
	}
	if err == nil && (!found || !sees(s, into)) {
		err = trace.Errorf(trace.KindNotFound, "there is no finding %.50q", id)
	}
	return err
}

// Decide sets the state of a finding, with a note and the name of who decided.
func (f *Findings) Decide(ctx context.Context, account trace.Account, s sight.Sight, d Decision) (one Finding, err error) {
	switch {
	case d.State != Open && d.State != Acknowledged && d.State != Dismissed:
		return one, trace.Errorf(trace.KindInvalid, "state is %.50q: want open, acknowledged or dismissed", d.State)
	case len(d.Note) > 1000:
		return one, trace.Errorf(trace.KindInvalid, "note has %d bytes: want at most 1000", len(d.Note))
	}
	err = f.store.Update(ctx, account, func(tx meta.Tx) error {
		if err := find(tx, s, d.ID, &one); err != nil {
			return err
		}
		one.State, one.Note, one.By = d.State, d.Note, d.By
		return tx.Put(kind, d.ID, one)
	})
	return one, err
}

// Decision sets the state of a finding.
type Decision struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	Note  string `json:"note"`
	By    string `json:"-"`
}

// save writes what a look found, in one update, and returns the findings that are new.
func (f *Findings) save(ctx context.Context, account trace.Account, found []Finding) (fresh []Finding, err error) {
	err = f.store.Update(ctx, account, func(tx meta.Tx) error {
		fresh = fresh[:0]
		for _, one := range found {
			var old Finding
			known, err := tx.Get(kind, one.ID, &old)
			if err != nil {
				return err
			}
			if known {
				old.Last, old.Count, old.Text = max(old.Last, one.Last), old.Count+one.Count, one.Text
				one = old
			} else {
				fresh = append(fresh, one)
			}
			if err := tx.Put(kind, one.ID, one); err != nil {
				return err
			}
		}
		return shrink(tx)
	})
	return fresh, err
}

// shrink removes the findings beyond keepFindings.
func shrink(tx meta.Tx) error {
	var list []Finding
	err := tx.List(kind, func(_ string, value json.RawMessage) error {
		var one Finding
		if json.Unmarshal(value, &one) == nil {
			list = append(list, one)
		}
		return nil
	})
	if err != nil || len(list) <= keepFindings {
		return err
	}
	slices.SortFunc(list, func(a, b Finding) int { return cmp.Compare(b.Last, a.Last) })
	for _, one := range list[keepFindings:] {
		if _, err := tx.Delete(kind, one.ID); err != nil {
			return err
		}
	}
	return nil
}

// seconds returns a time as epoch seconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
