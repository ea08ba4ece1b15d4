package group

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// versionKind is the kind of versions' records.
const versionKind meta.Kind = "group-version"

// maxEnded is the number of ended versions that are kept; beyond it, those that
// ended first are forgotten, and with them their groups' past.
const maxEnded = 1000

// Version is a present or past filter of a group. A trace that is ingested at a time
// in [From, Until) and matches belongs to the group for ever. Groups named in the
// filter are replaced by the last filters that they had while the version was valid.
type Version struct {
	ID          string // unique; never used again
	Name, ARN   string // of the group
	Filter      *filter.Expr
	From, Until trace.Time // Until is trace.MaxTime for the present filter
}

// versionRecord is a version as it is stored.
type versionRecord struct {
	Name, ARN, Filter string
	From, Until       trace.Time
}

// snapshot holds an account's groups in memory.
type snapshot struct {
	versions []Version
	byName   map[string]*filter.Expr
	byARN    map[string]*filter.Expr
}

// versionID makes a version's name from the id at the end of the group's ARN.
func (r *record) versionID() string {
	return fmt.Sprintf("%s.%d", r.ARN[strings.LastIndexByte(r.ARN, '/')+1:], r.Revision)
}

// supersede ends the version of old, if any, and begins that of next, if any, at the
// same time. It forgets versions that ended too long ago.
func (g *Groups) supersede(tx meta.Tx, name string, old, next *record, now trace.Time) error {
	if old != nil {
		var v versionRecord
		if _, err := tx.Get(versionKind, old.versionID(), &v); err != nil {
			return err
		}
		now = max(now, v.From+1) // the clock may have been set back
		v.Until = now
		if err := tx.Put(versionKind, old.versionID(), v); err != nil {
			return err
		}
	}
	if next != nil {
		if err := acyclic(tx, name, next); err != nil {
			return err
		}
		v := versionRecord{Name: name, ARN: next.ARN, Filter: next.Filter, From: now, Until: trace.MaxTime}
		if err := tx.Put(versionKind, next.versionID(), v); err != nil {
			return err
		}
	}
	return g.forget(tx, now)
}

// forget removes versions that no trace can need.
func (g *Groups) forget(tx meta.Tx, now trace.Time) error {
	type ended struct {
		id    string
		until trace.Time
	}
	var list []ended
	err := tx.List(versionKind, func(id string, value json.RawMessage) error {
		var v versionRecord
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("record of group version %q: %w", id, err)
		}
		if v.Until != trace.MaxTime {
			list = append(list, ended{id, v.Until})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b ended) int { return cmp.Compare(b.until, a.until) }) // the last ended first
	for i, e := range list {
		if i >= maxEnded || g.keep > 0 && now.Sub(e.until) > g.keep {
			if _, err := tx.Delete(versionKind, e.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// update changes records and makes the next reader see it.
func (g *Groups) update(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	err := g.store.Update(ctx, account, f)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	delete(g.cache, account)
	return err
}

// Versions returns the versions of all groups of an account except Default, which
// has every trace, in order of From. They are cached until a group changes; the list
// is shared and must not be changed.
func (g *Groups) Versions(ctx context.Context, account trace.Account) ([]Version, error) {
	s, err := g.snapshot(ctx, account)
	if err != nil {
		return nil, err
	}
	return s.versions, nil
}

// History returns the versions of a group, by its name or its ARN (the other may be
// ""); none if the group does not exist today.
func (g *Groups) History(ctx context.Context, account trace.Account, name, arn string) ([]Version, error) {
	versions, err := g.Versions(ctx, account)
	if err != nil {
		return nil, err
	}
	present := slices.IndexFunc(versions, func(v Version) bool {
		return v.Until == trace.MaxTime && (name == "" || v.Name == name) && (arn == "" || v.ARN == arn)
	})
	if present < 0 {
		return nil, nil
	}
	var out []Version
	for _, v := range versions {
		if v.ARN == versions[present].ARN {
			out = append(out, v)
		}
	}
	return out, nil
}

// Lookup finds the present filter of a group by its name or its ARN (the other is
// ""), for group.name and group.arn in filter expressions. Default has a nil filter.
// If records cannot be read, it logs that and finds nothing.
func (g *Groups) Lookup(owner trace.Owner, name, arn string) (e *filter.Expr, found bool) {
	if name == DefaultName || arn == Default(owner).ARN {
		return nil, true
	}
	s, err := g.snapshot(context.Background(), owner.Account)
	if err != nil {
		g.log.Error("the groups of a filter expression cannot be read; they match no traces", "error", err)
		return nil, false
	}
	if arn != "" {
		e, found = s.byARN[arn]
	} else {
		e, found = s.byName[name]
	}
	return e, found
}

func (g *Groups) snapshot(ctx context.Context, account trace.Account) (*snapshot, error) {
	g.mu.Lock()
	s, changes := g.cache[account], g.changes
	g.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := g.load(ctx, account)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changes == changes { // otherwise it may be outdated
		g.cache[account] = s
	}
	return s, nil
}

func (g *Groups) load(ctx context.Context, account trace.Account) (*snapshot, error) {
	s := &snapshot{byName: map[string]*filter.Expr{}, byARN: map[string]*filter.Expr{}}
	err := g.store.View(ctx, account, func(tx meta.Tx) error {
		return tx.List(versionKind, func(id string, value json.RawMessage) error {
			var v versionRecord
			if err := json.Unmarshal(value, &v); err != nil {
				return fmt.Errorf("record of group version %q: %w", id, err)
			}
			e, err := filter.Parse(v.Filter)
			if err != nil {
				// It was valid when it was stored: an older Fluoro accepted it. As
				// natively, a group whose filter fails is not processed any more.
				g.log.Error("a group's filter cannot be parsed; the group gets no traces", "group", v.Name, "filter", v.Filter, "error", err)
				return nil
			}
			s.versions = append(s.versions, Version{ID: id, Name: v.Name, ARN: v.ARN, Filter: e, From: v.From, Until: v.Until})
			if v.Until == trace.MaxTime {
				s.byName[v.Name], s.byARN[v.ARN] = e, e
			}
			return nil
		})
	})
	slices.SortStableFunc(s.versions, func(a, b Version) int { return cmp.Compare(a.From, b.From) })
	s.resolve(g.log)
	return s, err
}

// resolve inserts the filters of the groups that versions name.
func (s *snapshot) resolve(log *slog.Logger) {
	plain := slices.Clone(s.versions)
	for i := range s.versions {
		v := &s.versions[i]
		e, err := v.Filter.Resolve(func(name, arn string) (*filter.Expr, bool) {
			for _, other := range plain {
				if (other.Name == name || other.ARN == arn) && other.From < v.Until && v.Until <= other.Until {
					return other.Filter, true
				}
			}
			return nil, false
		})
		if err != nil {
			// Groups that are valid one by one can be too large together.
			log.Error("the groups named in a group's filter cannot be resolved; they match no traces there", "group", v.Name, "error", err)
			continue
		}
		v.Filter = e
	}
}

// acyclic refuses a filter that refers back to its own group.
func acyclic(tx meta.Tx, name string, r *record) error {
	groups := map[string]record{}
	err := tx.List(kind, func(n string, value json.RawMessage) error {
		var other record
		err := json.Unmarshal(value, &other)
		groups[n] = other
		return err
	})
	if err != nil {
		return fmt.Errorf("records of groups: %w", err)
	}
	groups[name] = *r
	e, err := filter.Parse(r.Filter)
	if err != nil {
		return err
	}
	_, err = e.Resolve(func(n, arn string) (*filter.Expr, bool) {
		for at, other := range groups {
			if at == n || other.ARN == arn {
				e, err := filter.Parse(other.Filter)
				return e, err == nil
			}
		}
		return nil, false
	})
	return err
}
