package tag

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account trace.Account = "000000000000"

var owner = trace.Owner{Account: account, Region: "us-east-1"}

const (
	group = "arn:aws:xray:us-east-1:000000000000:group/a/ID"
	rule  = "arn:aws:xray:us-east-1:000000000000:sampling-rule/r"
)

var ctx = context.Background()

// newTags makes Tags with a group and a sampling rule, stored as their packages do.
func newTags(t *testing.T) *Tags {
	t.Helper()
	store, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	err = store.Update(ctx, account, func(tx meta.Tx) error {
		return errors.Join(tx.Put("group", "a", map[string]any{"ARN": group, "Filter": "ok"}), tx.Put("sampling-rule", "r", map[string]any{"RuleName": "r", "RuleARN": rule}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(store)
}

func TestTags_merge(t *testing.T) {
	for _, arn := range []string{group, rule, "arn:aws:xray:us-east-1:000000000000:group/Default", "arn:aws:xray:us-east-1:000000000000:sampling-rule/Default"} {
		tags := newTags(t)
		check := func(err error, want ...Tag) {
			t.Helper()
			got, err2 := tags.List(ctx, owner, arn)
			if err = errors.Join(err, err2); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s has %v, %v, want %v", arn, got, err, want)
			}
		}
		check(nil)
		check(tags.Add(ctx, owner, arn, []Tag{{"Owner", "x"}, {"Empty", ""}, {"Case", "1"}}), Tag{"Owner", "x"}, Tag{"Empty", ""}, Tag{"Case", "1"})
		check(tags.Add(ctx, owner, arn, []Tag{{"Empty", "2"}, {"case", "2"}}), Tag{"Owner", "x"}, Tag{"Empty", "2"}, Tag{"Case", "1"}, Tag{"case", "2"})
		check(tags.Add(ctx, owner, arn, nil), Tag{"Owner", "x"}, Tag{"Empty", "2"}, Tag{"Case", "1"}, Tag{"case", "2"})
		check(tags.Remove(ctx, owner, arn, []string{"Owner", "absent", "case"}), Tag{"Empty", "2"}, Tag{"Case", "1"})
		check(tags.Remove(ctx, owner, arn, []string{"Empty", "Case"}))
	}
}

func TestTags_unknownResource(t *testing.T) {
	tags := newTags(t)
	for _, arn := range []string{
		"", "x", group + "x", rule + "x", strings.Replace(group, "000000000000", "111111111111", 1), "arn:aws:xray:us-east-1:000000000000:group/a", "arn:aws:xray:us-east-1:000000000000:trace/a",
		"arn:aws:xray:eu-west-1:000000000000:group/Default", "arn:aws:xray:us-east-1:000000000000:sampling-rule/", "arn:aws:xray:us-east-1:000000000000:",
	} {
		_, listed := tags.List(ctx, owner, arn)
		for _, err := range []error{listed, tags.Add(ctx, owner, arn, []Tag{{"a", "b"}}), tags.Remove(ctx, owner, arn, []string{"a"})} {
			var unknown *NotFoundError
			if !errors.As(err, &unknown) || unknown.ARN != arn || trace.KindOf(err) != trace.KindNotFound || err.Error() != "Resource "+arn+" not found" {
				t.Errorf("%q: %v", arn, err)
			}
		}
	}
	if _, err := tags.List(ctx, trace.Owner{Account: "111111111111", Region: "us-east-1"}, group); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("another account: %v", err)
	}
}

func TestTags_refusedKeepNothing(t *testing.T) {
	tags := newTags(t)
	var full []Tag
	for i := range Max {
		full = append(full, Tag{fmt.Sprintf("k%02d", i), "v"})
	}
	if err := tags.Add(ctx, owner, group, full); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		add  []Tag
		kind trace.Kind
	}{
		"one too many":    {[]Tag{{"k00", "changed"}, {"more", ""}}, trace.KindLimit},
		"reserved":        {[]Tag{{"k00", "changed"}, {"aws:x", ""}}, trace.KindInvalid},
		"reserved, upper": {[]Tag{{"AWS:x", ""}}, trace.KindInvalid},
		"twice":           {[]Tag{{"k00", "changed"}, {"k00", "again"}}, trace.KindInvalid},
		"character":       {[]Tag{{"k00", "a\nb"}}, trace.KindInvalid},
		"character, key":  {[]Tag{{"a;b", ""}}, trace.KindInvalid},
	} {
		if err := tags.Add(ctx, owner, group, c.add); trace.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := tags.List(ctx, owner, group); err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("afterwards %v, %v", got, err)
	}
	if err := tags.Add(ctx, owner, group, []Tag{{"k01", "Größe 東 +-=._:/@"}}); err != nil {
		t.Errorf("a full resource takes a change: %v", err)
	}
}
