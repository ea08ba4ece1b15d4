// Package tag keeps the tags of groups and sampling rules (X-Ray developer guide,
// "Tagging X-Ray sampling rules and groups"). The tags of a resource are one record
// of kind Kind, named by its ARN: a list of Tag, in the order in which they were
// first set.
package tag

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Kind is the kind of the records.
const Kind meta.Kind = "tags"

// Max is the maximum number of tags of a resource (AWS X-Ray quotas).
const Max = 50

// Tag is a label of a resource.
type Tag struct{ Key, Value string }

// NotFoundError reports that no group or sampling rule has an ARN. It is of kind not
// found.
type NotFoundError struct{ ARN string }

// Error returns the service's text.
func (e *NotFoundError) Error() string { return "Resource " + e.ARN + " not found" }

// Unwrap returns it as a KindError.
func (e *NotFoundError) Unwrap() error {
	return &trace.KindError{Kind: trace.KindNotFound, Message: e.Error()}
}

// Tags reads and changes tags. Its errors are the store's, NotFoundError, and
// KindErrors of kind invalid or limit.
type Tags struct{ store meta.Store }

// New makes Tags over records.
func New(store meta.Store) *Tags { return &Tags{store} }

// Add sets tags of a resource: all of them or, on error, none. Its other tags stay.
func (t *Tags) Add(ctx context.Context, owner trace.Owner, arn string, tags []Tag) error {
	return t.store.Update(ctx, owner.Account, func(tx meta.Tx) error {
		if err := exists(tx, owner, arn); err != nil {
			return err
		}
		return Set(tx, arn, tags)
	})
}

// Remove removes the tags with the given keys; it ignores unknown keys.
func (t *Tags) Remove(ctx context.Context, owner trace.Owner, arn string, keys []string) error {
	return t.store.Update(ctx, owner.Account, func(tx meta.Tx) error {
		if err := exists(tx, owner, arn); err != nil {
			return err
		}
		var have []Tag
		if _, err := tx.Get(Kind, arn, &have); err != nil {
			return err
		}
		return put(tx, arn, slices.DeleteFunc(have, func(tag Tag) bool { return slices.Contains(keys, tag.Key) }))
	})
}

// List returns the tags of a resource.
func (t *Tags) List(ctx context.Context, owner trace.Owner, arn string) (tags []Tag, err error) {
	err = t.store.View(ctx, owner.Account, func(tx meta.Tx) error {
		if err := exists(tx, owner, arn); err != nil {
			return err
		}
		_, err := tx.Get(Kind, arn, &tags)
		return err
	})
	return tags, err
}

// exists returns an error unless an ARN belongs to a group or a sampling rule,
// according to their records.
func exists(tx meta.Tx, owner trace.Owner, arn string) error {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return &NotFoundError{arn}
	}
	if arn == owner.ARN("group/Default") || arn == owner.ARN("sampling-rule/Default") {
		return nil // these two always exist
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	if kind == "group" { // its id follows; a rule's name may hold a slash
		name, _, _ = strings.Cut(name, "/")
	}
	var record struct{ ARN, RuleARN string }
	if kind == "group" || kind == "sampling-rule" {
		if _, err := tx.Get(meta.Kind(kind), name, &record); err != nil {
			return err
		}
	}
	if arn != record.ARN && arn != record.RuleARN {
		return &NotFoundError{arn}
	}
	return nil
}

// Set sets tags of an existing resource, as part of an update.
func Set(tx meta.Tx, arn string, tags []Tag) error {
	if err := Check(tags); err != nil || len(tags) == 0 {
		return err
	}
	var have []Tag
	if _, err := tx.Get(Kind, arn, &have); err != nil {
		return err
	}
	for _, tag := range tags {
		if i := slices.IndexFunc(have, func(h Tag) bool { return h.Key == tag.Key }); i >= 0 {
			have[i] = tag
		} else {
			have = append(have, tag)
		}
	}
	if len(have) > Max {
		return trace.Errorf(trace.KindLimit, "A resource can have at most %d tags", Max) // not recorded
	}
	return put(tx, arn, have)
}

// Drop removes all tags of a resource, as part of the update that deletes it.
func Drop(tx meta.Tx, arn string) error { return put(tx, arn, nil) }

func put(tx meta.Tx, arn string, tags []Tag) error {
	if len(tags) == 0 {
		_, err := tx.Delete(Kind, arn)
		return err
	}
	return tx.Put(Kind, arn, tags)
}

// characters are the characters allowed in keys and values (X-Ray developer guide).
var characters = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{Zs}_.:/=+\-@]*$`)

// Check validates the tags of one request. The API model's validation checks their
// lengths.
func Check(tags []Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:"):
			return trace.Errorf(trace.KindInvalid, "Caller is an end user and not allowed to mutate system tags")
		case seen[t.Key]:
			return trace.Errorf(trace.KindInvalid, "Tag key %s is given twice", t.Key) // not recorded
		case !characters.MatchString(t.Key) || !characters.MatchString(t.Value):
			return trace.Errorf(trace.KindInvalid, "Tag %s: keys and values hold letters, digits, spaces and _ . : / = + - @", t.Key) // not recorded
		}
		seen[t.Key] = true
	}
	return nil
}
