package local_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const owner trace.Account = "000000000000"

func idOf(n int) trace.ID {
	id, err := trace.ParseID(fmt.Sprintf("1-6a18aa00-%024x", n))
	if err != nil {
		panic(err) // it is well formed
	}
	return id
}

// put appends one segment to trace n.
func put(s *opened, n, segment int) error {
	doc, err := json.Marshal(map[string]any{"trace_id": idOf(n).String(), "id": fmt.Sprintf("%016x", segment+1), "name": "svc", "start_time": 1780000000.5, "end_time": 1780000001.5})
	if err != nil {
		return err
	}
	seg, err := decode.Restore(trace.SourceDocument, doc, nil, 0, trace.TimeOf(time.Now()))
	if err != nil {
		return err
	}
	_, err = s.Append(context.Background(), owner, []*trace.Segment{seg})
	return err
}

// has returns how many segments trace n has.
func has(t testing.TB, s *opened, n int) int {
	t.Helper()
	for tr, err := range s.Traces(context.Background(), owner, []trace.ID{idOf(n)}, answer.Reach{}) {
		if err != nil {
			t.Fatal(err)
		}
		return len(tr.Segments)
	}
	return 0
}

func remove(s *opened, numbers ...int) error {
	var ids []trace.ID
	for _, n := range numbers {
		ids = append(ids, idOf(n))
	}
	_, err := s.Delete(context.Background(), owner, answer.DeleteQuery{IDs: ids})
	return err
}

// After a crash at any operation an acknowledged deletion holds, and only the deleted
// traces are gone.
func TestDelete_crashAtEveryOperation(t *testing.T) {
	for k := range faultPoints(t, func(fs *vfs.Mem) { deleteSome(fs) }) {
		if survived := crashWhileDeleting(t, k); survived && !testing.Short() {
			return
		}
	}
}

// deletionOptions returns options of a store that purges deleted traces at once.
func deletionOptions(fs vfs.FS) options {
	o := small(fs)
	o.PurgeAfter = time.Nanosecond
	return o
}

// deleteSome appends and deletes, and returns the least and the most segments of each
// trace.
func deleteSome(fs vfs.FS) (least, most map[int]int) {
	least, most = map[int]int{}, map[int]int{}
	s, err := open(deletionOptions(fs))
	if err != nil {
		return least, most
	}
	add := func(n, segment int) {
		most[n]++
		if put(s, n, segment) == nil {
			least[n]++
		}
	}
	gone := func(numbers ...int) {
		err := remove(s, numbers...)
		for _, n := range numbers {
			least[n] = 0
			if err == nil {
				most[n] = 0
			}
		}
	}
	for round := range 4 {
		for n := range 6 {
			add(n, round)
		}
		gone(round, 5)
		if round%2 == 0 {
			_ = s.Flush(context.Background())
		}
		gone(4)
		add(round, 100+round)
		_ = s.Flush(context.Background())
		s.Merge()
		s.PurgeDue()
	}
	_ = s.Close()
	return least, most
}

// crashWhileDeleting stops the machine at operation k and reports whether the run
// ended before.
func crashWhileDeleting(t *testing.T, k int) (survived bool) {
	t.Helper()
	fs := vfs.NewMem()
	fs.Before(func(op vfs.Op) error {
		if op.N >= k {
			return vfs.ErrCrashed
		}
		return nil
	})
	least, most := deleteSome(fs)
	survived = fs.Ops() <= k
	o := deletionOptions(fs.Crash(rand.New(rand.NewPCG(uint64(k), 1))))
	for start := range 2 {
		s, err := open(o)
		if err != nil {
			t.Fatalf("operation %d: open: %v", k, err)
		}
		for n := range 6 {
			if got := has(t, s, n); got < least[n] || got > most[n] {
				t.Fatalf("operation %d, start %d: trace %d has %d segments, want %d to %d", k, start, n, got, least[n], most[n])
			}
		}
		_ = s.Flush(context.Background())
		s.PurgeDue()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return survived
}

// The bytes of deleted traces go from the log and from blocks. Then the tombstone goes,
// and nothing comes back without it.
func TestDelete_leavesTheDisk(t *testing.T) {
	var ahead atomic.Int64
	o := options{Dir: t.TempDir(), Retention: -1, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if err := put(s, n, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Flush(t.Context()), put(s, 1, 2), put(s, 2, 2), remove(s, 1, 3)); err != nil {
		t.Fatal(err)
	}
	s.PurgeDue()
	if s.Tombstones() != 2 {
		t.Fatalf("%d deletions are remembered before their time", s.Tombstones())
	}
	ahead.Store(int64(13 * time.Hour))
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); s.Tombstones() > 0 && time.Now().Before(deadline); {
		s.PurgeDue()
	}
	if s.Tombstones() != 0 {
		t.Fatal("the deletions are not carried out")
	}
	if err := errors.Join(s.Close(), os.Remove(filepath.Join(o.Dir, "deleted"))); err != nil {
		t.Fatal(err)
	}
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n, want := range []int{1, 0, 2, 0, 1} {
		if got := has(t, s, n); got != want {
			t.Errorf("trace %d has %d segments, want %d", n, got, want)
		}
	}
}

// One damaged copy of the deletions costs nothing and is named.
func TestDelete_bitFlips(t *testing.T) {
	fs := vfs.NewMem()
	s, err := open(small(fs))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(s, 1, 1), put(s, 2, 1), s.Flush(t.Context()), remove(s, 1), put(s, 3, 1), s.Flush(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("data", "deleted")
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	good := make([]byte, size)
	if _, err := f.ReadAt(good, 0); err != nil {
		t.Fatal(err)
	}
	for at := range good {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x10
		w, err := fs.Create(name)
		if err == nil {
			_, err = w.Write(bad)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(small(fs))
		if err != nil {
			// A newer version is damage that names the file.
			t.Fatalf("byte %d: %v", at, err)
		}
		st, _ := s.Stats(t.Context())
		if has(t, s, 1) != 0 || has(t, s, 2) != 1 || len(st.Damage) == 0 || len(st.Damage) > 1 && everywhere() == nil { // sealed files know that they are older
			t.Errorf("byte %d: the deleted trace has %d segments, damage %v", at, has(t, s, 1), st.Damage)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// sealed is b with the checksum that a copy of deletions or of a manifest ends with.
func sealed(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// Deletions with any bytes and a right checksum are read or refused, and take no
// more memory than they have bytes.
func FuzzTombstones(f *testing.F) {
	const head = "FLUODEL\n\x01\x00\x00\x00"
	one := strings.Repeat("i", 16) + strings.Repeat("n", 24) + "\x02\x0012"
	f.Add([]byte(head + "\x00\x00\x00\x00"))
	f.Add([]byte(head + "\x01\x00\x00\x00" + one))
	f.Add([]byte(head + "\x02\x00\x00\x00" + one))
	f.Add([]byte(head + "\x00\x00\x00\x00" + one))
	f.Add([]byte(head + "\xff\xff\xff\xff" + one[:len(one)-1]))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			if n, err := local.ReadTombstones(b); err == nil && n > len(b)/42 {
				t.Errorf("%d deletions in %d bytes", n, len(b))
			}
		}
	})
}
