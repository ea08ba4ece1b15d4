package local_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/parquet-go/parquet-go"
)

type exportedTrace struct {
	Account string `parquet:"account"`
	TraceID string `parquet:"trace_id"`
	LSN     int64  `parquet:"lsn"`
}

type exportedEntity struct {
	Account string  `parquet:"account"`
	Service *string `parquet:"service,optional"`
}

// exported reads an export with another library than the one that wrote it.
func exported(t *testing.T, s *opened, q local.ExportQuery) (traces []exportedTrace, entities []exportedEntity, done *local.Exported) {
	t.Helper()
	names := map[string]bool{}
	done, err := s.shelf.Export(t.Context(), q, func(name string, size int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err != nil || int64(len(b)) != size || names[name] {
			t.Errorf("%s: %d bytes of %d, %v", name, len(b), size, err)
		}
		names[name] = true
		if strings.HasSuffix(name, ".traces.parquet") {
			rows, err := parquet.Read[exportedTrace](bytes.NewReader(b), size)
			traces = append(traces, rows...)
			return err
		}
		rows, err := parquet.Read[exportedEntity](bytes.NewReader(b), size)
		entities = append(entities, rows...)
		return err
	})
	must(t, err)
	return traces, entities, done
}

// An export has each trace once, in the clear, and only those that were asked for.
func TestExport(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		for _, a := range tenants[:2] {
			must(t, w.send(a, 9))
		}
		must(t, w.s.Flush(t.Context()))
	}
	w.delete(tenants[0], 3)
	must(t, w.send(tenants[1], 2)) // open
	want := func(a trace.Account) (segments, traces int) {
		ids := map[int]bool{}
		for _, tr := range w.own[a].acked {
			ids[tr] = true
		}
		return len(w.own[a].acked), len(ids)
	}
	count := func(accounts ...trace.Account) {
		t.Helper()
		q := local.ExportQuery{Since: trace.MinTime}
		if len(accounts) == 1 {
			q.Account = accounts[0]
		}
		traces, entities, done := exported(t, w.s, q)
		segments, ids := 0, 0
		for _, a := range accounts {
			s, n := want(a)
			segments, ids = segments+s, ids+n
		}
		if len(entities) != segments || len(traces) != ids || done.Segments != int64(segments) || done.Traces != int64(ids) {
			t.Errorf("%v: %d rows of entities, %d of traces, %+v; want %d and %d", accounts, len(entities), len(traces), done, segments, ids)
		}
		for _, e := range entities {
			if e.Service == nil || !strings.HasPrefix(*e.Service, "svc-") {
				t.Fatalf("a row is %+v", e)
			}
		}
	}
	count(tenants[0])
	count(tenants[1])
	count(tenants[0], tenants[1])
	last := trace.FromSeconds(1_780_000_000 + float64(w.sent-1))
	if traces, _, _ := exported(t, w.s, local.ExportQuery{Since: last}); len(traces) != 1 {
		t.Errorf("since the last receipt: %d traces", len(traces))
	}
	w.disable(tenants[0], true)
	waitFor(t, "the account does not leave", func() bool { st, _ := w.s.Stats(t.Context()); return len(st.Locked) == 1 })
	count(tenants[1])
	if _, err := w.s.shelf.Export(t.Context(), local.ExportQuery{Account: tenants[0]}, nil); trace.KindOf(err) != trace.KindUnavailable {
		t.Errorf("without a key: %v", err)
	}
	if _, _, done := exported(t, w.s, local.ExportQuery{Since: trace.MinTime}); done.Missing[tenants[0]] == "" || done.Traces == 0 {
		t.Errorf("of all accounts: %+v", done)
	}
}
