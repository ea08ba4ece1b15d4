package local_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// In the directory of TestDamagedDirectory traces 0 to 2 are in the first block, 3 to 5 in
// the second, 6 and 7 in the oldest log file that is needed, 8 and 9 in the newest, which
// was closed. Trace 2 was deleted.
func damagedOptions(dir string) options { return options{Dir: dir, Retention: -1} }

func buildDirectory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	step := func(do func(s *opened) error) {
		t.Helper()
		s, err := open(damagedOptions(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(do(s), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	step(func(s *opened) error {
		return errors.Join(put(s, 0, 1), put(s, 1, 1), put(s, 2, 1), s.Flush(t.Context()), remove(s, 2), put(s, 3, 1), put(s, 4, 1), put(s, 5, 1), s.Flush(t.Context()))
	})
	step(func(s *opened) error { return errors.Join(put(s, 6, 1), put(s, 7, 1)) })
	step(func(s *opened) error { return errors.Join(put(s, 8, 1), put(s, 9, 1)) })
	return dir
}

// ways are the ways to damage a file.
var ways = []struct {
	name string
	do   func(t *testing.T, path string)
}{
	{"missing", func(t *testing.T, path string) { must(t, os.Remove(path)) }},
	{"cut", func(t *testing.T, path string) { rewrite(t, path, func(b []byte) []byte { return b[:len(b)*2/3] }) }},
	{"emptied", func(t *testing.T, path string) { rewrite(t, path, func(b []byte) []byte { return nil }) }},
	{"first bit flipped", func(t *testing.T, path string) { rewrite(t, path, func(b []byte) []byte { b[0] ^= 1; return b }) }},
	{"a bit in the middle flipped", func(t *testing.T, path string) {
		rewrite(t, path, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
	}},
	{"last bit flipped", func(t *testing.T, path string) {
		rewrite(t, path, func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b })
	}},
	// A directory stands for an unreadable file: not even root can read it as a file.
	{"unreadable", func(t *testing.T, path string) {
		must(t, os.Rename(path, path+"-kept"))
		must(t, os.Mkdir(path, 0o750))
	}},
	{"of another version", reversion},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, change(b), 0o600))
}

// reversion gives a file version 77 with right checksums, as a newer program would.
func reversion(t *testing.T, path string) {
	sum := func(b []byte, at, from, to int) {
		binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[from:to], crc32.MakeTable(crc32.Castagnoli)))
	}
	rewrite(t, path, func(b []byte) []byte {
		set := func(at int) { binary.LittleEndian.PutUint32(b[at:], 77) }
		n := len(b)
		switch base := filepath.Base(path); {
		case strings.HasSuffix(base, ".blk"):
			set(8)
			sum(b, 12, 0, 12)
		case strings.HasSuffix(base, ".rollup"):
			set(8)
			sum(b, 12, 0, 12)
		case strings.HasSuffix(base, ".wal"):
			for _, at := range []int{0, 48} {
				set(at + 8)
				sum(b, at+44, at, at+44)
			}
		case base == "deleted", base == "manifest":
			for _, at := range []int{0, n / 2} {
				set(at + 8)
				sum(b, at+n/2-4, at, at+n/2-4)
			}
		case base == "FORMAT":
			return []byte("fluoro local store version 77\n")
		default: // Parquet says no version of ours
			b[n/3] ^= 0x10
		}
		return b
	})
}

// For every kind of file and of damage the store opens, names the file, serves
// everything else, and removes nothing; a check finds the same and changes nothing; and
// a second start still knows.
func TestDamagedDirectory(t *testing.T) {
	built := buildDirectory(t)
	logs, err := filepath.Glob(filepath.Join(built, "wal", "*.wal"))
	blocks, err2 := filepath.Glob(filepath.Join(built, "blocks", "*.blk"))
	if err := errors.Join(err, err2); err != nil || len(logs) != 3 || len(blocks) != 2 {
		t.Fatalf("built %v and %v, %v", logs, blocks, err)
	}
	number := strings.TrimSuffix(filepath.Base(blocks[0]), ".blk")
	all, first, second := []int{0, 1, 3, 4, 5, 6, 7, 8, 9}, []int{0, 1}, []int{6, 7}
	kinds := []struct {
		name, file string
		lost       []int  // traces that may be lost
		back       []int  // deleted traces that may come back
		check      string // ways that only a check finds
		healed     string // ways that cost nothing, and that a start puts right
	}{
		{"index of a block", "blocks/" + number + ".blk", first, nil, "", ""},
		{"table of entities", "blocks/" + number + ".entities.parquet", first, nil, "", ""},
		{"table of traces", "blocks/" + number + ".traces.parquet", nil, nil, "flipped, version", ""},
		{"rollup", "blocks/" + number + ".rollup", nil, nil, "", ""},
		{"log file", "wal/" + filepath.Base(logs[1]), second, nil, "", ""},
		{"last log file", "wal/" + filepath.Base(logs[2]), []int{8, 9}, nil, "", ""},
		{"deletions", "deleted", nil, []int{2}, "", "flipped"},
		{"FORMAT", "FORMAT", nil, nil, "", "missing, emptied, cut, flipped, version"},
		{"manifest", "manifest", nil, nil, "", "flipped, cut"},
	}
	for _, kind := range kinds {
		for _, way := range ways {
			t.Run(kind.name+" "+way.name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				must(t, os.CopyFS(dir, os.DirFS(built)))
				path := filepath.Join(dir, kind.file)
				way.do(t, path)
				before := contents(t, dir)

				r, err := inspect(damagedOptions(dir), true)
				must(t, err)
				if !names(r.Damage, path) {
					t.Errorf("a check does not name %s: %v, %v", path, r.Damage, r.Notes)
				}
				if after := contents(t, dir); !slices.Equal(before, after) {
					t.Errorf("a check changed the directory")
				}

				for start := 1; start <= 2; start++ {
					s, err := open(damagedOptions(dir))
					if err != nil {
						t.Fatalf("start %d: %v", start, err)
					}
					served := servedBy(t, s)
					for _, n := range all {
						if !slices.Contains(served, n) && !slices.Contains(kind.lost, n) {
							t.Errorf("start %d: trace %d is not served, although %s does not hold it", start, n, kind.file)
						}
					}
					for _, n := range served {
						if !slices.Contains(all, n) && !slices.Contains(kind.back, n) {
							t.Errorf("start %d: trace %d is back", start, n)
						}
					}
					st, err := s.Stats(t.Context())
					must(t, err)
					said := append(st.Damage, st.Notes...)
					if start == 1 {
						said = st.Damage
					}
					if found := start == 1 || !within(way.name, kind.healed); found && !within(way.name, kind.check) && (!names(said, path) || start == 1 && st.Damaged == 0) {
						t.Errorf("start %d: the damage is not named: %v", start, said)
					}
					// It still takes new traces, and settles and merges them.
					must(t, errors.Join(put(s, 20+start, 1), s.Flush(t.Context())))
					s.Merge()
					s.PurgeDue()
					if has(t, s, 20+start) != 1 {
						t.Errorf("start %d: a new trace is not there", start)
					}
					must(t, s.Close())
				}
				kept := contents(t, dir)
				for _, c := range before {
					if c != "" && strings.HasPrefix(c, "blocks/") && !slices.Contains(kept, c) {
						t.Errorf("%.60s… is gone or changed", c)
					}
				}
			})
		}
	}
}

// within tells whether a text contains a word of a list.
func within(text, list string) bool {
	return list != "" && slices.ContainsFunc(strings.Split(list, ", "), func(word string) bool { return strings.Contains(text, word) })
}

// names tells whether a text names a file.
func names(texts []string, path string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, path) })
}

// servedBy returns the traces that a store serves, and compares the ways to ask.
func servedBy(t *testing.T, s *opened) (served []int) {
	t.Helper()
	summaries := map[trace.ID]bool{}
	for sum, err := range s.Summaries(t.Context(), owner, &answer.SummaryQuery{Window: everything}) {
		must(t, err)
		summaries[sum.ID] = true
	}
	var ids []trace.ID
	for n := range 20 {
		ids = append(ids, idOf(n))
	}
	var damaged *store.DamagedError
	for tr, err := range s.Traces(t.Context(), owner, ids, answer.Reach{}) {
		if errors.As(err, &damaged) {
			break
		}
		must(t, err)
		served = append(served, int(tr.ID[15]))
		if !summaries[tr.ID] {
			t.Errorf("trace %s has no summary", tr.ID)
		}
	}
	g, err := s.Graph(t.Context(), owner, answer.GraphQuery{Window: everything})
	must(t, err)
	var counted int64
	for _, service := range g.Services {
		if service.Statistics != nil {
			counted += service.Statistics.Total()
		}
	}
	if int(counted) < len(served) {
		t.Errorf("the graph counts %d segments, %d traces are served", counted, len(served))
	}
	return served
}

// contents returns names and bytes of all files in a directory, except the lock.
func contents(t *testing.T, dir string) (list []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		list = append(list, fmt.Sprintf("%s %x", name, bytes.TrimSpace(b)))
		return err
	}))
	return list
}

func FuzzManifest(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "data")
	s, err := open(damagedOptions(dir))
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(put(s, 1, 1), s.Flush(f.Context()), s.Close()); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest"))
	if err != nil {
		f.Fatal(err)
	}
	body := b[:len(b)/2-4] // of one copy, without its checksum
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(body)
	f.Add(body[:len(body)-1])
	f.Add([]byte("FLUOMAN\n\x01\x00\x00\x00\x02\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			if n, err := local.ReadManifest(b); err == nil && n > len(b) {
				t.Fatalf("%d blocks in %d bytes", n, len(b))
			}
		}
	})
}

// Every start shows missing files as damage until an operator accepts the loss; other
// files stay.
func TestAccept(t *testing.T) {
	dir := buildDirectory(t)
	blocks, err := filepath.Glob(filepath.Join(dir, "blocks", "*.blk"))
	must(t, err)
	logs, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	must(t, err)
	must(t, os.Remove(blocks[0]))
	must(t, os.Remove(logs[1]))
	damage := func() []string {
		s, err := open(damagedOptions(dir))
		must(t, err)
		st, err := s.Stats(t.Context())
		must(t, errors.Join(err, s.Close()))
		return st.Damage
	}
	for range 2 {
		if d := damage(); !names(d, blocks[0]) || !names(d, logs[1]) {
			t.Fatalf("damage %v", d)
		}
	}
	gone, err := accept(damagedOptions(dir))
	if err != nil || !names(gone, blocks[0]) || !names(gone, logs[1]) {
		t.Errorf("accepted %v, %v", gone, err)
	}
	for range 2 {
		d := damage()
		// The tables of the block are still there, and nothing allows to remove them.
		if names(d, blocks[0]) || names(d, logs[1]) || !names(d, strings.TrimSuffix(blocks[0], ".blk")+".entities.parquet") {
			t.Errorf("damage after it was accepted: %v", d)
		}
	}
	tables, err := filepath.Glob(strings.TrimSuffix(blocks[0], ".blk") + ".*")
	if err != nil || len(tables) != 3 {
		t.Errorf("left are %v, %v", tables, err)
	}
	if again, err := accept(damagedOptions(dir)); err != nil || len(again) > 0 {
		t.Errorf("accepted again: %v, %v", again, err)
	}
}

// badDisk fails to read some files from some moment on.
type badDisk struct {
	vfs.FS
	bad func(name string) bool
}

type badFile struct {
	vfs.File
	disk *badDisk
	name string
}

func (d *badDisk) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	return badFile{f, d, name}, err
}

func (f badFile) ReadAt(p []byte, at int64) (int, error) {
	if f.disk.bad != nil && f.disk.bad(f.name) {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EIO}
	}
	return f.File.ReadAt(p, at)
}

// Read errors cost only the traces behind them, whenever they begin; when they end,
// everything is there again.
func TestDamage_readErrors(t *testing.T) {
	dir := buildDirectory(t)
	tables, err := filepath.Glob(filepath.Join(dir, "blocks", "*.entities.parquet"))
	must(t, err)
	rollups, err := filepath.Glob(filepath.Join(dir, "blocks", "*.rollup"))
	must(t, err)
	for _, kind := range []struct {
		file string
		lost []int
	}{{tables[0], []int{0, 1}}, {rollups[1], nil}} {
		for _, when := range []string{"from the start", "later"} {
			t.Run(filepath.Base(kind.file)+" "+when, func(t *testing.T) {
				disk := &badDisk{FS: vfs.OS{}}
				bad := func(name string) bool { return name == kind.file }
				if when == "from the start" {
					disk.bad = bad
				}
				o := damagedOptions(dir)
				o.FS, o.CacheBytes = disk, 1
				s, err := open(o)
				must(t, err)
				disk.bad = bad
				served := servedBy(t, s)
				for _, n := range []int{0, 1, 3, 4, 5, 6, 7, 8, 9} {
					if !slices.Contains(served, n) && !slices.Contains(kind.lost, n) {
						t.Errorf("trace %d is not served", n)
					}
				}
				st, err := s.Stats(t.Context())
				must(t, err)
				if !names(st.Damage, kind.file) {
					t.Errorf("damage %v", st.Damage)
				}
				s.Merge()
				must(t, s.Close())
				s, err = open(damagedOptions(dir))
				must(t, err)
				if served := servedBy(t, s); len(served) != 9 {
					t.Errorf("on a good disk %v are served", served)
				}
				st, err = s.Stats(t.Context())
				must(t, errors.Join(err, s.Close()))
				if len(st.Damage) > 0 {
					t.Errorf("on a good disk: damage %v", st.Damage)
				}
			})
		}
	}
}

// A directory that is missing, or is a file, is damage like any other.
func TestDamage_directories(t *testing.T) {
	for _, sub := range []string{"wal", "blocks"} {
		t.Run(sub, func(t *testing.T) {
			dir := buildDirectory(t)
			must(t, os.Rename(filepath.Join(dir, sub), filepath.Join(dir, "away")))
			s, err := open(damagedOptions(dir))
			must(t, err)
			st, err := s.Stats(t.Context())
			must(t, err)
			if !names(st.Damage, filepath.Join(dir, sub)) {
				t.Errorf("damage %v", st.Damage)
			}
			must(t, errors.Join(put(s, 11, 1), s.Flush(t.Context())))
			if served := servedBy(t, s); len(served) < 4 || !slices.Contains(served, 11) {
				t.Errorf("served are %v", served)
			}
			must(t, s.Close())
			// New files have new numbers: the old ones can be put back.
			left, err := os.ReadDir(filepath.Join(dir, "away"))
			must(t, err)
			for _, e := range left {
				if _, err := os.Stat(filepath.Join(dir, sub, e.Name())); err == nil {
					t.Errorf("%s was made anew", e.Name())
				}
				must(t, os.Rename(filepath.Join(dir, "away", e.Name()), filepath.Join(dir, sub, e.Name())))
			}
			s, err = open(damagedOptions(dir))
			must(t, err)
			if served := servedBy(t, s); sub == "blocks" && len(served) != 10 {
				t.Errorf("when the files are back, %v are served", served)
			}
			must(t, s.Close())
		})
	}
}
