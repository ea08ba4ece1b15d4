package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// tombstone remembers that a trace was deleted: whatever has an LSN below does not
// count, wherever it is found.
type tombstone struct {
	lsn  uint64
	file uint64     // number of the log file with the deletion
	at   trace.Time // when
}

// tombstones are the deletions that still matter: some block or log file may hold
// what was deleted. The log has those since the last save, the file "deleted"
// the others. The store's mutex guards them.
type tombstones struct {
	byKey   map[key]tombstone
	unsaved bool
}

func (g *tombstones) add(k key, v tombstone) {
	if g.byKey == nil {
		g.byKey = map[key]tombstone{}
	}
	if v.lsn > g.byKey[k].lsn {
		g.byKey[k] = v
		g.unsaved = true
	}
}

// cover says whether what a trace had up to an LSN was deleted.
func (g *tombstones) cover(k key, lsn uint64) bool { return lsn < g.byKey[k].lsn }

func (g *tombstones) nextLSN() (next uint64) {
	for _, v := range g.byKey {
		next = max(next, v.lsn+1)
	}
	return next
}

const (
	tombstonesName  = "deleted"
	tombstonesMagic = "FLUODEL\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeTombstones writes the file: two equal copies, so that one bad sector does
// not bring back what was deleted. Each is the magic, u32 version 1, u32 number;
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
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, b...)
}

// decodeTombstones reads one copy.
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

// readTombstones reads both copies; damage names those that are lost. must says that
// there is a file.
func readTombstones(fsys vfs.FS, name string, must bool) (all map[key]tombstone, damage []error) {
	b, err := readWhole(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		if must {
			damage = append(damage, vfs.Lost(name, "the file is missing: deleted traces whose blocks were not rewritten yet are shown again"))
		}
		return nil, damage
	}
	if err != nil {
		return nil, []error{vfs.Lost(name, "the file cannot be read, so deleted traces may be shown again: %w", err)}
	}
	half := len(b) / 2
	for i, copied := range [][]byte{b[:half], b[half:]} {
		list, err := decodeTombstones(copied)
		if err != nil {
			damage = append(damage, vfs.Corrupt(name, int64(i*half), "copy %d of the deletions: %w", i+1, err))
		} else if all == nil {
			all = list
		}
	}
	return all, damage
}

func readWhole(fsys vfs.FS, name string) ([]byte, error) {
	return readAtMost(fsys, name, math.MaxInt64)
}

// readAtMost reads a file that may not be longer.
func readAtMost(fsys vfs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("it has %d bytes, %d at most are read", size, most)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) && err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

func (s *Shelf) openTombstones() {
	m := s.dir.manifest
	all, damage := readTombstones(s.o.FS, s.dir.sub(tombstonesName), m != nil && m.Deleted)
	for _, d := range damage {
		s.damage.note(d)
		if all == nil {
			s.damage.lose(d.Error())
		}
	}
	s.tombstonesSaved = all != nil
	s.tombstonesAside = all == nil && len(damage) > 0
	s.tombstones = tombstones{byKey: all, unsaved: all != nil && len(damage) > 0}
}

// saveTombstones writes the deletions down, before log files that hold some are
// deleted. The caller has decided before which files these are.
func (s *Shelf) saveTombstones() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if !s.tombstones.unsaved {
		s.mu.Unlock()
		return nil
	}
	b := encodeTombstones(s.tombstones.byKey)
	s.tombstones.unsaved = false
	s.mu.Unlock()
	name := s.dir.sub(tombstonesName)
	var err error
	if s.tombstonesAside {
		// What cannot be read is kept for a person to look at.
		if err = s.o.FS.Rename(name, aside(s.o.FS, name)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = replace(s.o.FS, name, b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.tombstones.unsaved = true
		return fmt.Errorf("write down deletions: %w", err)
	}
	s.tombstonesAside, s.tombstonesSaved = false, true
	return nil
}

// purge takes deleted traces off the disk once they are due: it lets the log
// files go that hold them, rewrites their blocks, and forgets the deletions of
// which nothing is left.
func (s *Shelf) purge() {
	s.mu.RLock()
	due := map[key]tombstone{}
	limit := trace.TimeOf(s.o.Now().Add(-s.o.PurgeAfter))
	var newest uint64
	for k, v := range s.tombstones.byKey {
		if v.at <= limit {
			due[k] = v
			newest = max(newest, v.file)
		}
	}
	inLog := newest >= s.appliedFile
	s.mu.RUnlock()
	if len(due) == 0 {
		return
	}
	if inLog {
		s.queue.push(&commit{probe: true, rotate: true})
	}
	s.merging.Lock()
	defer s.merging.Unlock()
	// No flush either: a block that is being written may hold what was deleted,
	// and one goroutine at a time may cut the log.
	s.settling.Lock()
	defer s.settling.Unlock()
	if err := s.trimLog(); err != nil {
		s.o.Logger.Warn("log not cut", "error", err)
		return
	}
	left := map[key]bool{}
	for _, b := range s.acquireBlocks() {
		held := holding(b, due)
		if len(held) > 0 && !s.rewrite(b) {
			for _, k := range held {
				left[k] = true
			}
		}
		b.Release()
	}
	oldest := s.log.Oldest()
	s.mu.Lock()
	for k, v := range due {
		if !left[k] && v.file < oldest && s.tombstones.byKey[k] == v && len(s.doomed) == 0 {
			delete(s.tombstones.byKey, k)
			s.tombstones.unsaved = true
		}
	}
	s.mu.Unlock()
	if err := s.saveTombstones(); err != nil {
		s.o.Logger.Warn("deletions not saved", "error", err)
	}
}

func (s *Shelf) acquireBlocks() []*sealed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range s.blocks {
		b.Acquire()
	}
	return append([]*sealed(nil), s.blocks...)
}

// holding are the deleted traces that a block holds.
func holding(b *sealed, due map[key]tombstone) (keys []key) {
	for i := range b.Len() {
		k := key{b.Account(i), b.Entry(i).ID}
		if b.Entry(i).LSN < due[k].lsn {
			keys = append(keys, k)
		}
	}
	return keys
}

// rewrite writes a block anew without what is dead in it. Damaged blocks stay.
func (s *Shelf) rewrite(b *sealed) bool {
	if b.damaged.Load() {
		return false
	}
	if err := s.merge([]*sealed{b}); err != nil {
		s.o.Logger.Warn("block with deleted traces not rewritten", "file", b.File(), "error", err)
		return false
	}
	return true
}
