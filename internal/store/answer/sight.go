package answer

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// judge decides for one query what its reader sees. A nil judge sees everything.
type judge struct {
	sight    sight.Sight
	versions []GroupVersion // of all groups of the account; nil if the sight needs none
	key      string         // the same for judges that decide the same, never ""
}

// judge makes the judge of a query, nil if the sight is nil.
func (s *Store) judge(ctx context.Context, account trace.Account, see sight.Sight) (*judge, error) {
	if see == nil {
		return nil, nil
	}
	j := &judge{sight: see, key: "=" + see.Fingerprint()}
	if see.NeedsGroups() && s.rules.o.Groups != nil {
		var err error
		if j.versions, err = s.rules.o.Groups(ctx, account); err != nil {
			return nil, &trace.KindError{Kind: trace.KindUnavailable, Message: "what you may see depends on groups, and the groups cannot be read now", Err: fmt.Errorf("groups of account %s: %w", account, err)}
		}
		for i := range j.versions {
			if v := &j.versions[i]; !v.Old {
				j.key += " " + v.ID
			}
		}
	}
	return j, nil
}

// defaultGroup is the group that contains every trace.
const defaultGroup = "Default"

// groups names the groups that contain a whole trace, hidden segments included: what a
// policy says about a trace must not depend on who asks. A trace belongs to a group that
// had it when it was received, and also to a group whose present filter matches: who makes
// a group to hide its traces means the older ones, too.
func (j *judge) groups(t *trace.Trace, summary *trace.Summary) []string {
	if !j.sight.NeedsGroups() {
		return nil
	}
	names := []string{defaultGroup}
	if len(j.versions) == 0 {
		return names
	}
	if summary == nil {
		summary = assemble.Summary(t)
	}
	for i := range j.versions {
		if v := &j.versions[i]; !slices.Contains(names, v.Name) && (v.Has(t, summary) || !v.Old && v.Filter.Match(t, summary)) {
			names = append(names, v.Name)
		}
	}
	return names
}

// mask returns what the reader sees of a trace (assemble.Mask). summary may be nil.
func (j *judge) mask(t *trace.Trace, summary *trace.Summary) *trace.Trace {
	if j == nil {
		return t
	}
	groups := j.groups(t, summary)
	return assemble.Mask(t, func(segment *trace.Entity) bool {
		if assemble.UnknownService(segment) {
			return false // it may belong to any service
		}
		return j.sight.Sees(&sight.Segment{
			Service: segment.Name, Environment: assemble.Environment(segment), Groups: groups,
			Annotation: func(key string) []string { return annotationTexts(segment, key) },
		})
	})
}

// annotationTexts returns the values that a segment and its subsegments have under an
// annotation key, as text.
func annotationTexts(segment *trace.Entity, key string) (texts []string) {
	add := func(name string, v trace.Value) bool {
		if name == key {
			if text := textOf(v); !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
		return true
	}
	for e := range assemble.Within(segment) {
		for i := range e.Annotations {
			add(e.Annotations[i].Key, e.Annotations[i].Value)
		}
		e.EachAttribute(add)
	}
	return texts
}

func textOf(v trace.Value) string {
	switch v.Kind {
	case trace.NumberValue:
		return strconv.FormatFloat(v.Number, 'f', -1, 64)
	case trace.BoolValue:
		return strconv.FormatBool(v.Bool)
	}
	return v.String
}

// seen returns what a reader sees of a view, nil if nothing. Start and Updated of the
// summary stay those of the whole trace: by them windows, pages and the order go.
func (s *Store) seen(account trace.Account, src *store.Source, whole *view, j *judge) *view {
	if len(whole.trace.Segments) == 0 { // everything was received before a link began
		return nil
	}
	if j == nil {
		return whole
	}
	k := viewKey{account: account, id: src.ID, seq: src.Seq, rendered: whole.rendered, sight: j.key}
	if v := s.views.Get(k); v != nil {
		return v
	}
	t := j.mask(whole.trace, whole.summary)
	switch t {
	case nil:
		return nil
	case whole.trace:
		return whole
	}
	v := &view{trace: t, bytes: whole.bytes, rendered: whole.rendered, summary: assemble.Summary(t)}
	v.summary.Start, v.summary.Updated = whole.summary.Start, whole.summary.Updated
	if j, ok := src.Content.(*joint); !ok || !j.unread {
		s.views.Put(k, v, v.bytes)
	}
	return v
}
