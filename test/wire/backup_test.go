package wire_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// fluoro runs a command and returns its output and exit code.
func fluoro(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), args...)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, code := fluoro(t, args...)
	if code != 0 {
		t.Fatalf("fluoro %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// A backup made under load contains everything acknowledged before it began,
// settings included, and a server starts on the restored directory.
func TestBackup_underLoad(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms")
	var group struct{ Group struct{ GroupARN string } }
	s.Ask("/CreateGroup", map[string]any{"GroupName": "kept", "FilterExpression": "fault"}, &group)
	l := &ledger{traces: map[[16]byte]*entry{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, way := range senders(t, s) {
		wg.Go(func() { load(ctx, way, i, 0, l) })
	}
	time.Sleep(1500 * time.Millisecond)
	before := l.clone()
	file := filepath.Join(t.TempDir(), "fluoro.tar")
	out := mustRun(t, "backup", "--url", "http://"+s.HTTP, "--to", file)
	cancel()
	wg.Wait()
	if !strings.Contains(out, "verified") || !strings.Contains(mustRun(t, "backup", "verify", file), "whole") {
		t.Errorf("backup says %q", out)
	}
	data := filepath.Join(t.TempDir(), "restored")
	mustRun(t, "restore", "--from", file, "--data", data)
	if out := mustRun(t, "store", "check", "--data", data); !strings.Contains(out, "sound") {
		t.Errorf("check says %q", out)
	}
	restored := harness.Start(t, "--data", data)
	if before.acked == 0 {
		t.Fatal("nothing was acknowledged")
	}
	if lost, doubled := before.check(t, restored); lost > 0 || doubled > 0 {
		t.Fatalf("of %d segments %d are lost and %d doubled", before.acked, lost, doubled)
	}
	var got struct {
		Group struct{ FilterExpression string }
	}
	restored.Ask("/GetGroup", map[string]any{"GroupARN": group.Group.GroupARN}, &got)
	if got.Group.FilterExpression != "fault" {
		t.Errorf("the group has filter %q", got.Group.FilterExpression)
	}
	// The directory is in use: it cannot be restored over; its server makes the backup.
	if out, code := fluoro(t, "restore", "--from", file, "--data", data); code != 1 || !strings.Contains(out, "not empty") {
		t.Errorf("restore over data: exit %d, %q", code, out)
	}
	if out, code := fluoro(t, "backup", "--data", data, "--to", file+"2"); code != 0 || !strings.Contains(out, "verified") {
		t.Errorf("backup of a directory in use: exit %d, %q", code, out)
	}
}

// A backup that was made before anything settled has no blocks, and its restored
// directory no folder for them: nothing is missing.
func TestBackup_withoutBlocksIsSound(t *testing.T) {
	s := harness.Start(t, "--settle", "1h")
	s.Put(`{"trace_id":"1-6a18aa00-00000000000000000000000a","id":"000000000000000a","name":"a","start_time":1,"end_time":2}`)
	file, data := filepath.Join(t.TempDir(), "b.tar"), filepath.Join(t.TempDir(), "data")
	mustRun(t, "backup", "--url", "http://"+s.HTTP, "--to", file)
	mustRun(t, "restore", "--from", file, "--data", data)
	if out := mustRun(t, "store", "check", "--data", data); !strings.Contains(out, "sound") {
		t.Errorf("check says %q", out)
	}
}

func TestBackup_saysWhatIsWrong(t *testing.T) {
	s := harness.Start(t)
	s.Put(`{"trace_id":"1-6a18aa00-00000000000000000000000a","id":"000000000000000a","name":"a","start_time":1,"end_time":2}`)
	dir := t.TempDir()
	file := filepath.Join(dir, "b.tar")
	mustRun(t, "backup", "--url", "http://"+s.HTTP, "--to", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	short := write("short.tar", whole[:len(whole)-4096])
	flipped := write("flipped.tar", bytes.Replace(whole, []byte("FLUOWAL\n"), []byte("FLUOWAX\n"), 1))
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{"not whole", 1, []string{"backup", "verify", short}},
		{"not whole", 1, []string{"restore", "--from", short, "--data", filepath.Join(dir, "x")}},
		{"wal/", 1, []string{"restore", "--from", flipped, "--data", filepath.Join(dir, "x")}},
		{"is damaged", 1, []string{"backup", "verify", flipped}},
		{"no service answers", 1, []string{"backup", "--url", "http://127.0.0.1:1", "--to", filepath.Join(dir, "y")}},
		{"exists already", 1, []string{"backup", "--url", "http://" + s.HTTP, "--to", file}},
		{"--to", 2, []string{"backup"}},
		{"--from", 2, []string{"restore"}},
		{"no Fluoro data", 1, []string{"backup", "--data", dir, "--to", filepath.Join(dir, "y")}},
	} {
		if out, code := fluoro(t, c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("fluoro %v: exit %d, %q; want exit %d and %q", c.args, code, out, c.code, c.want)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Errorf("left in the directory: %v, %v", list, err)
	}
}

func TestTracesDelete(t *testing.T) {
	s := harness.Start(t)
	id := func(n string) string { return "1-6a18aa00-0000000000000000000000" + n }
	for _, n := range []string{"0a", "0b", "0c"} {
		fault := "false"
		if n == "0b" {
			fault = "true"
		}
		s.Put(`{"trace_id":"` + id(n) + `","id":"00000000000000` + n + `","name":"a","start_time":1780000000,"end_time":1780000001,"fault":` + fault + `}`)
	}
	url := "http://" + s.HTTP
	if out := mustRun(t, "traces", "delete", "--url", url, "--id", id("0a")); !strings.Contains(out, "1 traces would be deleted") || len(s.Trace(id("0a"))) != 1 {
		t.Errorf("dry run: %q", out)
	}
	if out := mustRun(t, "traces", "delete", "--url", url, "--id", id("0a"), "--yes"); !strings.Contains(out, "1 traces deleted") || len(s.Trace(id("0a"))) != 0 {
		t.Errorf("by id: %q", out)
	}
	window := []string{"--start", "1779999999", "--end", "2026-12-31T00:00:00Z"}
	if out := mustRun(t, append([]string{"traces", "delete", "--url", url, "--filter", "fault", "--yes"}, window...)...); !strings.Contains(out, "1 traces deleted") || len(s.Trace(id("0b"))) != 0 || len(s.Trace(id("0c"))) != 1 {
		t.Errorf("by filter: %q", out)
	}
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{"incorrect id format", 1, []string{"--id", "nonsense"}},
		{"Invalid", 1, append([]string{"--filter", "fault = = true"}, window...)},
		{"excludes", 2, append([]string{"--id", id("0c")}, window...)},
		{"--id", 2, nil},
		{"neither a time", 2, []string{"--start", "yesterday"}},
		{"end that comes after", 1, []string{"--start", "1h", "--end", "2h"}},
	} {
		if out, code := fluoro(t, append([]string{"traces", "delete", "--url", url}, c.args...)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v: exit %d, %q; want exit %d and %q", c.args, code, out, c.code, c.want)
		}
	}
	if len(s.Trace(id("0c"))) != 1 {
		t.Error("a refused deletion deleted something")
	}
}
