package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// tombstone remembers a deletion: what the trace has with a lower LSN does not count,
// in the log and in blocks.
type tombstone struct {
	lsn  uint64
	file uint64     // number of the log file with the deletion
	at   trace.Time // when
}

// tombstones are the deletions that still matter: some block or log file may hold
// what was deleted. The log has those since the last save, the file "deleted" the
// others. unsavedText, touch, save, due and forget take the mutex; the other methods need it
// held.
type tombstones struct {
	mu      *sync.RWMutex // the catalog's; guards all below
	byKey   map[key]tombstone
	unsaved bool
	saved   bool // there is a file
	// generation is that of the file, if it is sealed.
	generation uint64
	// unreadable: there is a file that cannot be read.
	unreadable bool
}

func (t *tombstones) add(k key, v tombstone) {
	if t.byKey == nil {
		t.byKey = map[key]tombstone{}
	}
	if v.lsn > t.byKey[k].lsn {
		t.byKey[k] = v
		t.unsaved = true
	}
}

// cover tells whether the segments that a trace had up to an LSN are deleted.
func (t *tombstones) cover(k key, lsn uint64) bool { return lsn < t.byKey[k].lsn }

// read takes what the file had; damaged: it is to be written anew.
func (t *tombstones) read(all map[key]tombstone, damaged bool) {
	t.byKey, t.saved, t.unsaved, t.unreadable = all, all != nil, all != nil && damaged, all == nil && damaged
}

func (t *tombstones) nextLSN() (next uint64) {
	for _, v := range t.byKey {
		next = max(next, v.lsn+1)
	}
	return next
}

const (
	tombstonesName  = "deleted"
	tombstonesMagic = "FLUODEL\n"
)

// encodeTombstones writes one copy of the file. It has two equal ones, so that one bad
// sector does not bring back what was deleted. Each is the magic, u32 version 1, u32 number;
// for each id, u64 LSN, u64 log file, u64 time in nanoseconds, u16 length and
// bytes of the account; u32 CRC-32C of all before.
func encodeTombstones(all map[key]tombstone) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(tombstonesMagic), 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(all)))
	for k, v := range all {
		b = append(b, k.id[:]...)
		b = binary.LittleEndian.AppendUint64(b, v.lsn)
		b = binary.LittleEndian.AppendUint64(b, v.file)
		b = binary.LittleEndian.AppendUint64(b, uint64(v.at))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(k.account)))
		b = append(b, k.account...)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeTombstones decodes one copy.
func decodeTombstones(b []byte) (map[key]tombstone, error) {
	const least, fixed = len(tombstonesMagic) + 12, 16 + 3*8 + 2
	if len(b) < least || string(b[:len(tombstonesMagic)]) != tombstonesMagic {
		return nil, errors.New("no list of deletions")
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("wrong checksum")
	}
	if binary.LittleEndian.Uint32(b[8:]) != 1 {
		return nil, fmt.Errorf("version %d, this program knows 1", binary.LittleEndian.Uint32(b[8:]))
	}
	n, rest := binary.LittleEndian.Uint32(b[12:]), body[16:]
	all := map[key]tombstone{}
	for range n {
		if len(rest) < fixed {
			return nil, errors.New("fewer deletions than announced")
		}
		k := key{id: trace.ID(rest[:16])}
		v := tombstone{binary.LittleEndian.Uint64(rest[16:]), binary.LittleEndian.Uint64(rest[24:]), trace.Time(binary.LittleEndian.Uint64(rest[32:]))}
		size := int(binary.LittleEndian.Uint16(rest[40:]))
		if rest = rest[fixed:]; len(rest) < size {
			return nil, errors.New("fewer deletions than announced")
		}
		k.account, rest = trace.Account(rest[:size]), rest[size:]
		all[k] = v
	}
	if len(rest) > 0 {
		return nil, errors.New("more deletions than announced")
	}
	return all, nil
}

// oldTombstones are those that a start finds.
type oldTombstones struct {
	all        map[key]tombstone // nil if there are none, or they cannot be read
	generation uint64
	damage     []error
	lost       bool // deleted traces may be shown again
}

// readTombstones reads both copies. m is the manifest, or nil. Errors: *vfs.KeyError.
func readTombstones(v *vault, m *manifest) (t oldTombstones, err error) {
	name := filepath.Join(v.root, tombstonesName)
	b, err := readWhole(v.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		if m != nil && m.Deleted {
			t.lose(vfs.Lost(name, "the file is missing: deleted traces whose blocks were not rewritten yet are shown again"))
		}
		return t, nil
	}
	if err != nil {
		t.lose(vfs.Lost(name, "the file cannot be read, so deleted traces may be shown again: %w", err))
		return t, nil
	}
	half := len(b) / 2
	list, err := v.opened(b, tombstonesName, []copied{{0, b[:half]}, {int64(half), b[half:]}})
	if err != nil {
		return t, err
	}
	for i, c := range list {
		var one map[key]tombstone
		if c.err == nil {
			one, c.err = decodeTombstones(c.bytes)
		}
		if c.err != nil {
			t.damage = append(t.damage, vfs.Corrupt(name, c.at, "copy %d of the deletions: %w", i+1, c.err))
		} else if t.all == nil {
			t.all, t.generation = one, c.generation
		}
	}
	t.lost = t.all == nil
	if m != nil && t.all != nil && t.generation < m.Tombstones {
		t.lose(vfs.Lost(name, "an older version of the file was put in its place (%d, want at least %d): deleted traces may be shown again", t.generation, m.Tombstones))
	}
	return t, nil
}

func (t *oldTombstones) lose(err error) { t.damage, t.lost = append(t.damage, err), true }

// unsavedText returns the file to write, nil if the one on disk is up to date. save
// tells how the write ended.
func (t *tombstones) unsavedText() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.unsaved {
		return nil
	}
	t.unsaved = false
	return encodeTombstones(t.byKey)
}

// touch makes the next save write the file.
func (t *tombstones) touch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsaved = true
}

// save notes how the file was written.
func (t *tombstones) save(err error, generation uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.unsaved = true
		return
	}
	t.saved, t.generation = true, generation
}

// due returns the tombstones of deletions up to a time, and the newest log file that
// holds one of these deletions.
func (t *tombstones) due(limit trace.Time) (due map[key]tombstone, newest uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	due = map[key]tombstone{}
	for k, v := range t.byKey {
		if v.at <= limit {
			due[k] = v
			newest = max(newest, v.file)
		}
	}
	return due, newest
}

// forget forgets tombstones that nothing needs. One that was renewed meanwhile stays.
func (t *tombstones) forget(needless map[key]tombstone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range needless {
		if t.byKey[k] == v {
			delete(t.byKey, k)
			t.unsaved = true
		}
	}
}
