package wire_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/parquet-go/parquet-go"
)

type exportedRow struct {
	Account string `parquet:"account"`
	TraceID string `parquet:"trace_id"`
}

// exportRows returns the rows of the tables of traces, by trace.
func exportRows(t *testing.T, dir string) map[string]int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.traces.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, name := range names {
		list, err := parquet.ReadFile[exportedRow](name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, r := range list {
			rows[r.TraceID]++
		}
	}
	return rows
}

func exportDocument(n int, now float64) string {
	return fmt.Sprintf(`{"trace_id":"%s","id":"%016x","name":"exported","start_time":%f,"end_time":%f,"annotations":{"n":%d}}`, exportID(n, now), n+1, now, now+0.5, n)
}

func exportID(n int, now float64) string {
	return fmt.Sprintf("1-%08x-a006649127e37190%08x", int64(now), n)
}

// fluoro export gives each trace once: of a running service, also what has not settled, of
// its directory afterwards, and of a backup. Programs that read Parquet read it.
func TestExport(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms", "--retention", "720h")
	now := float64(time.Now().Unix())
	for n := range 20 {
		s.Put(exportDocument(n, now))
		if n == 10 {
			time.Sleep(500 * time.Millisecond) // some are in a block
		}
	}
	s.Ask("/console/api/delete", map[string]any{"ids": []string{exportID(3, now)}}, &struct{}{})
	dir := t.TempDir()
	check := func(out string) {
		t.Helper()
		rows := exportRows(t, filepath.Join(dir, out))
		if len(rows) != 19 || rows[exportID(3, now)] != 0 {
			t.Errorf("%s: %d traces, of the deleted one %d", out, len(rows), rows[exportID(3, now)])
		}
		for id, n := range rows {
			if n != 1 {
				t.Errorf("%s: trace %s is there %d times", out, id, n)
			}
		}
	}
	if text := mustRun(t, "export", "--url", "http://"+s.HTTP, "--out", filepath.Join(dir, "running")); !strings.Contains(text, "19 traces") {
		t.Errorf("export says %q", text)
	}
	check("running")
	mustRun(t, "backup", "--url", "http://"+s.HTTP, "--to", filepath.Join(dir, "b.tar"))
	mustRun(t, "export", "--backup", filepath.Join(dir, "b.tar"), "--out", filepath.Join(dir, "backup"))
	check("backup")
	mustRun(t, "export", "--url", "http://"+s.HTTP, "--account", "111111111111", "--out", filepath.Join(dir, "other"))
	if rows := exportRows(t, filepath.Join(dir, "other")); len(rows) > 0 {
		t.Errorf("another account has %v", rows)
	}
	mustRun(t, "export", "--url", "http://"+s.HTTP, "--since", fmt.Sprint(now+3600), "--out", filepath.Join(dir, "later"))
	if rows := exportRows(t, filepath.Join(dir, "later")); len(rows) > 0 {
		t.Errorf("since an hour ahead: %v", rows)
	}
	mustRun(t, "export", "--data", s.Data, "--out", filepath.Join(dir, "used")) // through its server
	check("used")
	s.Stop()
	mustRun(t, "export", "--data", s.Data, "--out", filepath.Join(dir, "data"))
	check("data")
	if text := mustRun(t, "store", "check", "--data", s.Data); !strings.Contains(text, "sound") {
		t.Errorf("check says %q", text)
	}
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"--out", 2, nil},
		{"exclude", 2, []string{"--out", "x", "--data", "a", "--backup", "b"}},
		{"12 digits", 2, []string{"--out", "x", "--account", "1"}},
		{"--since", 2, []string{"--out", "x", "--since", "soon"}},
		{"not empty", 1, []string{"--out", dir}},
		{"no Fluoro data", 1, []string{"--out", filepath.Join(dir, "y"), "--data", dir}},
		{"no service answers", 1, []string{"--out", filepath.Join(dir, "y"), "--url", "http://127.0.0.1:1"}},
	} {
		if text, code := fluoro(t, append([]string{"export"}, c.args...)...); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("export %v: exit %d, %q", c.args, code, text)
		}
	}
}
