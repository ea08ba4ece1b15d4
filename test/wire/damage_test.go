package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// damageID returns the id of trace n of the tests with damaged directories.
func damageID(n int) string { return fmt.Sprintf("1-6a18aa00-%024x", n+1) }

func damageDoc(n int) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"svc","start_time":1780000000.25,"end_time":1780000001.5}`, damageID(n), n+1)
}

// damagedDirectory returns the data directory of a killed server: traces 0 to 2 in
// one block, 3 to 5 in another, 6 and 7 in the last log file; trace 2 was deleted,
// and there is a group.
func damagedDirectory(t *testing.T) (data string) {
	t.Helper()
	s := harness.Start(t, "--settle", "100ms")
	settled := func() bool { return s.Metric("fluoro_store_open_traces") == 0 }
	s.Put(damageDoc(0), damageDoc(1), damageDoc(2))
	harness.Eventually(t, "the first traces settle", settled)
	mustRun(t, "traces", "delete", "--url", "http://"+s.HTTP, "--id", damageID(2), "--yes")
	s.Put(damageDoc(3), damageDoc(4), damageDoc(5))
	harness.Eventually(t, "more traces settle", settled)
	var group struct{ Group struct{ GroupARN string } }
	s.Ask("/CreateGroup", map[string]any{"GroupName": "kept", "FilterExpression": "fault"}, &group)
	s.Stop()
	s.Restart("--settle", "1h")
	s.Put(damageDoc(6), damageDoc(7))
	s.Kill()
	_ = os.Remove(filepath.Join(s.Data, "admin.sock")) // the last server was killed; sockets cannot be copied
	return s.Data
}

// reversed makes a file claim version 77, with a correct checksum.
func reversed(base string, b []byte) []byte {
	at := func(version, sum, from, to int) {
		binary.LittleEndian.PutUint32(b[version:], 77)
		binary.LittleEndian.PutUint32(b[sum:], crc32.Checksum(b[from:to], crc32.MakeTable(crc32.Castagnoli)))
	}
	switch n := len(b); {
	case strings.HasSuffix(base, ".blk"), strings.HasSuffix(base, ".rollup"):
		at(8, 12, 0, 12)
	case strings.HasSuffix(base, ".wal"):
		at(8, 44, 0, 44)
		at(56, 92, 48, 92)
	case base == "deleted", base == "manifest":
		at(8, n/2-4, 0, n/2-4)
		at(n/2+8, n-4, n/2, n-4)
	case base == "FORMAT":
		return []byte("fluoro local store version 77\n")
	case base == "meta.db":
		binary.BigEndian.PutUint32(b[60:], 77) // user_version
	}
	return b
}

// Every kind of file × every kind of damage: the server starts, reports the file in
// /readyz, /metrics and on the status page, serves the rest, accepts new data, and
// removes nothing; `fluoro store check` reports the file, too, and changes nothing.
func TestDamage_everyKindOfFile(t *testing.T) {
	built := damagedDirectory(t)
	logs, err := filepath.Glob(filepath.Join(built, "wal", "*.wal"))
	blocks, err2 := filepath.Glob(filepath.Join(built, "blocks", "*.blk"))
	if err != nil || err2 != nil || len(logs) < 1 || len(blocks) != 2 {
		t.Fatalf("built %v, %v", logs, blocks)
	}
	last := "wal/" + filepath.Base(logs[len(logs)-1])
	first := "blocks/" + strings.TrimSuffix(filepath.Base(blocks[0]), ".blk")
	ways := []struct {
		name string
		do   func(base string, b []byte) []byte // nil: the file is removed
	}{
		{"missing", nil},
		{"cut", func(_ string, b []byte) []byte { return b[:len(b)/3*2] }},
		{"flipped", func(_ string, b []byte) []byte { b[len(b)/2] ^= 4; return b }},
		{"unreadable", nil},
		{"other version", reversed},
	}
	for _, kind := range []struct {
		name, file string
		lost       []int
		back       []int
		not        string // kinds of damage that do not apply, or that only a check can find
	}{
		{"index of a block", first + ".blk", []int{0, 1}, nil, ""},
		{"table of entities", first + ".entities.parquet", []int{0, 1}, nil, "other version"},
		{"table of traces", first + ".traces.parquet", nil, nil, "flipped, other version"},
		{"rollup", first + ".rollup", nil, nil, ""},
		{"last log file", last, []int{6, 7}, nil, ""},
		{"deletions", "deleted", nil, []int{2}, ""},
		{"FORMAT", "FORMAT", nil, nil, ""},
		{"manifest", "manifest", nil, nil, ""},
		{"control-plane records", "meta.db", nil, nil, ""},
	} {
		for _, way := range ways {
			if way.name == "other version" && kind.not == "other version" {
				continue // Parquet has no version of ours
			}
			t.Run(kind.name+" "+way.name, func(t *testing.T) {
				data := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(data, os.DirFS(built)); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(data, kind.file)
				spoil(t, path, way.name, way.do)
				before := digest(t, data)
				silent := strings.Contains(kind.not, way.name)
				code, out := run(t, "store", "check", "--data", data)
				if other := way.name == "other version" && kind.name == "table of traces"; !other && (code != 1 || !strings.Contains(out, path)) {
					t.Errorf("store check: exit %d: %s", code, out)
				}
				if after := digest(t, data); !slices.Equal(before, after) {
					t.Errorf("store check changed the directory:\n%s\n%s", before, after)
				}
				s := harness.Start(t, "--data", data, "--settle", "1h")
				s.Put(damageDoc(100))
				for _, n := range []int{0, 1, 3, 4, 5, 6, 7, 100} {
					if !slices.Contains(kind.lost, n) && len(s.Trace(damageID(n))) != 1 {
						t.Errorf("trace %d is not served", n)
					}
				}
				if len(s.Trace(damageID(2))) != 0 && !slices.Contains(kind.back, 2) {
					t.Error("a deleted trace is back")
				}
				var graph struct{ Services []any }
				s.Ask("/ServiceGraph", map[string]any{"StartTime": time.Now().Unix() - 3600, "EndTime": time.Now().Unix() + 60}, &graph)
				if len(graph.Services) == 0 {
					t.Error("there is no graph")
				}
				if silent {
					return
				}
				if status, text := ready(t, s); status != 200 || !strings.Contains(text, path) {
					t.Errorf("/readyz: %d, %s", status, text)
				}
				if v := s.Metric("fluoro_store_damaged_places"); v < 1 {
					t.Errorf("fluoro_store_damaged_places is %v", v)
				}
				if st := storeStatus(t, s); st.Damaged < 1 || !strings.Contains(fmt.Sprint(st.Damage), path) {
					t.Errorf("the status page says %+v", st)
				}
				s.Stop()
				for _, was := range before {
					if name, _, _ := strings.Cut(was, " "); strings.HasPrefix(name, "blocks/") && !slices.Contains(digest(t, data), was) {
						t.Errorf("%s is gone or changed", name)
					}
				}
			})
		}
	}
}

func spoil(t *testing.T, path, way string, change func(string, []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	switch {
	case err != nil:
	case way == "missing":
		err = os.Remove(path)
	case way == "unreadable": // for root, too
		if err = os.Rename(path, path+"-away"); err == nil {
			err = os.Mkdir(path, 0o750)
		}
	default:
		err = os.WriteFile(path, change(filepath.Base(path), b), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// digest lists names and checksums of all files except the lock.
func digest(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		list = append(list, fmt.Sprintf("%s %d %08x", name, len(b), crc32.ChecksumIEEE(b)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

type storeStatusOf struct {
	Damaged       int
	Damage, Notes []string
}

// storeStatus returns the store's part of the status page.
func storeStatus(t *testing.T, s *harness.Server) storeStatusOf {
	t.Helper()
	res, err := http.Get(s.URL("/console/api/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var status struct{ Store storeStatusOf }
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status.Store
}

// One damaged trace of five is unprocessed; the others, and the rest of the
// summaries and of a retrieval, are answered.
func TestDamage_oneTraceOfFive(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms")
	settled := func() bool { return s.Metric("fluoro_store_open_traces") == 0 }
	s.Put(damageDoc(0))
	harness.Eventually(t, "the first trace settles", settled)
	s.Put(damageDoc(1), damageDoc(2), damageDoc(3), damageDoc(4))
	harness.Eventually(t, "the others settle", settled)
	s.Kill()
	tables, err := filepath.Glob(filepath.Join(s.Data, "blocks", "*.entities.parquet"))
	if err != nil || len(tables) != 2 {
		t.Fatal(tables, err)
	}
	spoil(t, tables[0], "flipped", func(_ string, b []byte) []byte { b[40] ^= 1; return b }) // in a row group
	s.Restart()
	var ids []string
	for n := range 5 {
		ids = append(ids, damageID(n))
	}
	var got struct {
		Traces              []struct{ Id string }
		UnprocessedTraceIds []string
	}
	s.Ask("/Traces", map[string]any{"TraceIds": append(ids[:4:4], damageID(9))}, &got)
	if len(got.Traces) != 3 || !slices.Equal(got.UnprocessedTraceIds, ids[:1]) {
		t.Errorf("BatchGetTraces: %+v", got)
	}
	if n := len(s.Summaries("")); n != 4 {
		t.Errorf("%d summaries, want 4", n)
	}
	if code, _, b := s.Post("/TraceGraph", map[string]any{"TraceIds": ids[:1]}); code != 500 || !bytes.Contains(b, []byte("damaged")) {
		t.Errorf("GetTraceGraph of the damaged one: %d, %s", code, b)
	}
	res, err := http.Get(s.URL("/console/api/trace?id=" + ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != 500 || !bytes.Contains(text, []byte("damaged")) {
		t.Errorf("its page: %d, %s", res.StatusCode, text)
	}
	var job struct{ RetrievalToken string }
	s.Ask("/StartTraceRetrieval", map[string]any{"TraceIds": ids, "StartTime": 1779999000, "EndTime": 1780009000}, &job)
	var list struct {
		RetrievalStatus string
		Traces          []struct{ Id string }
	}
	harness.Eventually(t, "the retrieval ends", func() bool {
		s.Ask("/ListRetrievedTraces", map[string]any{"RetrievalToken": job.RetrievalToken}, &list)
		return list.RetrievalStatus != "SCHEDULED" && list.RetrievalStatus != "RUNNING"
	})
	if list.RetrievalStatus != "COMPLETE" || len(list.Traces) != 4 {
		t.Errorf("ListRetrievedTraces: %+v", list)
	}
	if st := storeStatus(t, s); st.Damaged != 1 || !strings.Contains(fmt.Sprint(st.Damage), tables[0]) {
		t.Errorf("the status page says %+v", st)
	}
	// A damaged trace can be deleted.
	if out := mustRun(t, "traces", "delete", "--url", "http://"+s.HTTP, "--id", ids[0], "--yes"); !strings.Contains(out, "1 traces deleted") {
		t.Errorf("deletion says %q", out)
	}
}

// Data acknowledged just before a kill and missing from the log afterwards is
// reported, and not mistaken for an unacknowledged write.
func TestDamage_lostEndOfTheLog(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, wal string){
		"cut by a byte": func(t *testing.T, wal string) {
			spoil(t, wal, "cut", func(_ string, b []byte) []byte { return b[:len(b)-1] })
		},
		"cut to nothing": func(t *testing.T, wal string) {
			spoil(t, wal, "cut", func(string, []byte) []byte { return nil })
		},
		"missing": func(t *testing.T, wal string) { spoil(t, wal, "missing", nil) },
		"missing with all beside it": func(t *testing.T, wal string) {
			if err := os.RemoveAll(filepath.Dir(wal)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, "--settle", "1h")
			s.Put(damageDoc(0))
			s.Put(damageDoc(1))
			s.Kill()
			logs, err := filepath.Glob(filepath.Join(s.Data, "wal", "*.wal"))
			if err != nil || len(logs) != 1 {
				t.Fatal(logs, err)
			}
			lose(t, logs[0])
			if code, out := run(t, "store", "check", "--data", s.Data); code != 1 || !strings.Contains(out, logs[0]) {
				t.Errorf("store check: exit %d: %s", code, out)
			}
			for start := 1; start <= 2; start++ {
				s.Restart()
				if status, text := ready(t, s); status != 200 || !strings.Contains(text, logs[0]) {
					t.Errorf("start %d: /readyz: %d, %s", start, status, text)
				}
				if strings.Contains(s.Log(), "never acknowledged") {
					t.Errorf("start %d: the log says %s", start, s.Log())
				}
				s.Put(damageDoc(10 + start))
				s.Stop()
			}
			s.Restart()
			if len(s.Trace(damageID(11))) != 1 || len(s.Trace(damageID(12))) != 1 {
				t.Error("what came after the damage is not there")
			}
			s.Stop()
			// Where credentials are required, everybody learns that there is damage, but no
			// names of files.
			s.Restart("--auth", "required")
			if status, text := ready(t, s); status != 200 || strings.Contains(text, s.Data) || !strings.Contains(text, `"damaged":1`) {
				t.Errorf("/readyz for everybody: %d, %s", status, text)
			}
		})
	}
}

// A check, the start and the status page report leftovers of interrupted backups and
// restores.
func TestDamage_leftovers(t *testing.T) {
	s := harness.Start(t)
	s.Stop()
	part := filepath.Join(filepath.Dir(s.Data), ".fluoro.tar.part-123")
	restoring := filepath.Join(filepath.Dir(s.Data), "other.restoring-456")
	if err := os.WriteFile(part, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(restoring, 0o750); err != nil {
		t.Fatal(err)
	}
	code, out := run(t, "store", "check", "--data", s.Data)
	if code != 0 || !strings.Contains(out, part) || !strings.Contains(out, restoring) {
		t.Errorf("store check: exit %d: %s", code, out)
	}
	s.Restart()
	if notes := fmt.Sprint(storeStatus(t, s).Notes); !strings.Contains(notes, part) || !strings.Contains(notes, restoring) {
		t.Errorf("the status page says %s", notes)
	}
	if log := s.Log(); !strings.Contains(log, part) || !strings.Contains(log, restoring) {
		t.Errorf("the log says %s", log)
	}
}
