package local_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// If a settled record cannot be restored, an open trace is served without it, a settled
// trace is damaged, and settling keeps the record: a start that can restore it again has
// the whole trace.
func TestReopen_whatCannotBeRestored(t *testing.T) {
	var broken atomic.Bool
	o := options{Dir: t.TempDir(), Retention: -1, Restore: func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error) {
		if broken.Load() && bytes.Contains(raw, []byte(`"0000000000000001"`)) {
			return nil, errors.New("not restored")
		}
		return decode.Restore(source, raw, scope, part, at)
	}}
	s, err := open(o)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	must(t, errors.Join(put(s, 1, 0), put(s, 1, 1), put(s, 2, 0), s.Flush(t.Context())))

	broken.Store(true)
	must(t, put(s, 1, 2))
	if n := has(t, s, 1); n != 2 {
		t.Errorf("the open trace has %d segments, want 2", n)
	}
	for _, err := range s.Traces(t.Context(), owner, []trace.ID{idOf(2)}, answer.Reach{}) {
		if damaged, ok := errors.AsType[*store.DamagedError](err); !ok || damaged.IDs[0] != idOf(2) {
			t.Errorf("the settled trace: %v, want a DamagedError", err)
		}
	}
	must(t, s.Flush(t.Context()))
	st, err := s.Stats(t.Context())
	must(t, err)
	if st.Damaged != 2 || !names(st.Damage, ".entities.parquet") {
		t.Errorf("damage %d: %v", st.Damaged, st.Damage)
	}

	broken.Store(false)
	must(t, s.Close())
	s, err = open(o)
	must(t, err)
	if n := has(t, s, 1); n != 3 {
		t.Errorf("the trace that settled meanwhile has %d segments, want 3", n)
	}
	if n := has(t, s, 2); n != 1 {
		t.Errorf("the settled trace has %d segments, want 1", n)
	}
}
