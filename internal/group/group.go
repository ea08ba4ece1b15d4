// Package group keeps trace groups: named filter expressions (X-Ray developer guide,
// "Configuring groups"). The group Default always exists, contains every trace and
// cannot be changed.
//
// A trace belongs to the groups whose filter matched it when it was ingested; a
// changed filter does not apply to earlier traces. So every filter that a group ever
// had is kept as a Version with its time, as long as there may be traces of that
// time.
package group

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// DefaultName is the name of the group that always exists.
const DefaultName = "Default"

// maxGroups is the maximum number of an account's groups besides Default (AWS X-Ray
// quotas). Filters have a size limit because all of them are held in memory.
const (
	maxGroups = 25
	maxFilter = 16 << 10 // bytes
)

// kind is the kind of groups' records; a record has the group's name.
const kind meta.Kind = "group"

// Group is a group.
type Group struct {
	Name, ARN string
	Filter    string // "" for Default only
	Insights  Insights
}

// Insights tells whether insights and their notifications are enabled for a group.
type Insights struct{ Enabled, Notifications bool }

// Change is a request's change to a group; nil members stay as they are.
type Change struct {
	Filter                  string // required
	Insights, Notifications *bool
}

// record is a group as it is stored.
type record struct {
	ARN, Filter                           string
	InsightsEnabled, NotificationsEnabled bool
	Revision                              int // of the filter, from 1
}

func (r *record) group(name string) Group {
	return Group{Name: name, ARN: r.ARN, Filter: r.Filter, Insights: Insights{r.InsightsEnabled, r.NotificationsEnabled}}
}

// Groups reads and changes groups. Its methods may be called by many goroutines.
// Their errors are KindErrors with the texts of the X-Ray API, *filter.SyntaxError
// and those of the store.
type Groups struct {
	store meta.Store
	keep  time.Duration // how long ended versions are kept; 0 or less: for ever
	log   *slog.Logger

	mu      sync.Mutex
	changes uint64 // number of changes of any account
	cache   map[trace.Account]*snapshot
}

// Options of Groups.
type Options struct {
	Keep   time.Duration // how long traces are kept; 0 or less: for ever
	Logger *slog.Logger  // nil: none
}

// New makes Groups over records.
func New(store meta.Store, o Options) *Groups {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Groups{store: store, keep: o.Keep, log: o.Logger, cache: map[trace.Account]*snapshot{}}
}

var validName = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// Create makes a group with its tags.
func (g *Groups) Create(ctx context.Context, owner trace.Owner, name string, c Change, tags []tag.Tag, now trace.Time) (Group, error) {
	if name != DefaultName && !validName.MatchString(name) {
		return Group{}, trace.Errorf(trace.KindInvalid, "Group name must have 1 to 32 letters, digits and hyphens") // not recorded
	}
	if err := check(c.Filter); err != nil {
		return Group{}, err
	}
	if name == DefaultName {
		return Group{}, trace.Errorf(trace.KindConflict, "%s already exists", name)
	}
	r := record{ARN: owner.ARN("group/"+name) + "/" + newID(), Filter: c.Filter, Revision: 1}
	if err := r.set(c); err != nil {
		return Group{}, err
	}
	err := g.update(ctx, owner.Account, func(tx meta.Tx) error {
		count, exists := 0, false
		err := tx.List(kind, func(n string, _ json.RawMessage) error {
			count++
			exists = exists || n == name
			return nil
		})
		switch {
		case err != nil:
			return err
		case exists:
			return trace.Errorf(trace.KindConflict, "%s already exists", name)
		case count >= maxGroups:
			return trace.Errorf(trace.KindLimit, "An account can have at most %d groups beside %s", maxGroups, DefaultName) // not recorded
		}
		if err := tag.Set(tx, r.ARN, tags); err != nil {
			return err
		}
		if err := g.supersede(tx, name, nil, &r, now); err != nil {
			return err
		}
		return tx.Put(kind, name, r)
	})
	return r.group(name), err
}

// Get finds a group by its name or by its ARN; the other is "".
func (g *Groups) Get(ctx context.Context, owner trace.Owner, name, arn string) (out Group, err error) {
	name, err = selected(owner, name, arn)
	switch {
	case err != nil:
		return Group{}, err
	case name == DefaultName:
		return Default(owner), nil
	}
	err = g.store.View(ctx, owner.Account, func(tx meta.Tx) error {
		r, err := find(tx, name, arn)
		if err == nil {
			out = r.group(name)
		}
		return err
	})
	return out, err
}

// Default returns the group with every trace.
func Default(owner trace.Owner) Group {
	return Group{Name: DefaultName, ARN: owner.ARN("group/" + DefaultName)}
}

// List returns all groups, Default first, then by name.
func (g *Groups) List(ctx context.Context, owner trace.Owner) ([]Group, error) {
	out := []Group{Default(owner)}
	err := g.store.View(ctx, owner.Account, func(tx meta.Tx) error {
		return tx.List(kind, func(name string, value json.RawMessage) error {
			var r record
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("record of group %q: %w", name, err)
			}
			out = append(out, r.group(name))
			return nil
		})
	})
	return out, err
}

// Update changes a group's filter, and its insights if the change has them. Existing
// traces stay in their groups.
func (g *Groups) Update(ctx context.Context, owner trace.Owner, name, arn string, c Change, now trace.Time) (out Group, err error) {
	if name, err = selected(owner, name, arn); err != nil {
		return Group{}, err
	}
	if err := check(c.Filter); err != nil {
		return Group{}, err
	}
	if name == DefaultName {
		return Group{}, trace.Errorf(trace.KindInvalid, "The group Default cannot be updated") // not recorded
	}
	err = g.update(ctx, owner.Account, func(tx meta.Tx) error {
		old, err := find(tx, name, arn)
		if err != nil {
			return err
		}
		r := *old
		if r.Filter = c.Filter; r.Filter != old.Filter {
			r.Revision++
			if err := g.supersede(tx, name, old, &r, now); err != nil {
				return err
			}
		}
		if err := r.set(c); err != nil {
			return err
		}
		out = r.group(name)
		return tx.Put(kind, name, r)
	})
	return out, err
}

// Delete removes a group with its tags.
func (g *Groups) Delete(ctx context.Context, owner trace.Owner, name, arn string, now trace.Time) error {
	name, err := selected(owner, name, arn)
	if err != nil {
		return err
	}
	if name == DefaultName {
		return trace.Errorf(trace.KindInvalid, "The group Default cannot be deleted") // not recorded
	}
	return g.update(ctx, owner.Account, func(tx meta.Tx) error {
		old, err := find(tx, name, arn)
		if err != nil {
			return err
		}
		if err := tag.Drop(tx, old.ARN); err != nil {
			return err
		}
		if err := g.supersede(tx, name, old, nil, now); err != nil {
			return err
		}
		_, err = tx.Delete(kind, name)
		return err
	})
}

// set applies a change of insights. Disabling insights also disables notifications.
func (r *record) set(c Change) error {
	if c.Insights != nil {
		r.InsightsEnabled = *c.Insights
		r.NotificationsEnabled = r.NotificationsEnabled && r.InsightsEnabled
	}
	if c.Notifications != nil {
		r.NotificationsEnabled = *c.Notifications
	}
	if r.NotificationsEnabled && !r.InsightsEnabled {
		return trace.Errorf(trace.KindInvalid, "Notifications can only be enabled for a group with insights enabled") // not recorded
	}
	return nil
}

// check validates a filter.
func check(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return trace.Errorf(trace.KindInvalid, "Filter Expression is empty")
	case len(text) > maxFilter:
		return trace.Errorf(trace.KindLimit, "Filter Expression is longer than %d bytes", maxFilter) // not recorded
	}
	_, err := filter.Parse(text)
	return err
}

// selected returns the name of the group that a request selects by name or ARN. It
// does not check that the group exists with this ARN, except for Default.
func selected(owner trace.Owner, name, arn string) (string, error) {
	if (name == "") == (arn == "") {
		return "", trace.Errorf(trace.KindInvalid, "Provide either GroupName or GroupARN")
	}
	if name != "" {
		return name, nil
	}
	rest, found := strings.CutPrefix(arn, owner.ARN("group/"))
	if found && rest == DefaultName {
		return DefaultName, nil
	}
	// The region is ignored: it may have been another one when the group was made.
	_, rest, found = strings.Cut(arn, ":group/")
	name, id, _ := strings.Cut(rest, "/")
	if !found || id == "" || name == DefaultName {
		return "", notFound()
	}
	return name, nil
}

// find reads a group; arn, if not "", must be the group's.
func find(tx meta.Tx, name, arn string) (*record, error) {
	var r record
	found, err := tx.Get(kind, name, &r)
	if err == nil && (!found || arn != "" && arn != r.ARN) {
		err = notFound()
	}
	return &r, err
}

// notFound is of kind invalid, as in the service (X-Ray API model: GetGroup has no
// ResourceNotFoundException).
func notFound() error { return trace.Errorf(trace.KindInvalid, "Group not found") }

// newID returns an id that differs from those of earlier groups with the same name.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}
