package local

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	floorName  = "horizon"
	floorMagic = "FLUOHRZ\n"
	floorBytes = 20
)

// openFloor reads the horizon that retention by bytes has reached: twice magic,
// i64 time in nanoseconds, u32 CRC-32C of both.
func (s *Store) openFloor() error {
	s.floor.Store(int64(trace.MinTime))
	name := s.dir.sub(floorName)
	b, err := readWhole(s.o.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read horizon: %w", err)
	}
	read := false
	for at := 0; at < 2*floorBytes; at += floorBytes {
		t, ok := decodeFloor(b[min(at, len(b)):])
		if !ok {
			s.noteDamage(vfs.Corrupt(name, int64(at), "a copy of the horizon cannot be read"))
		} else if !read {
			s.floor.Store(int64(t))
			read = true
		}
	}
	return nil
}

func decodeFloor(b []byte) (trace.Time, bool) {
	if len(b) < floorBytes || string(b[:8]) != floorMagic || crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, false
	}
	return trace.Time(binary.LittleEndian.Uint64(b[8:])), true
}

// raiseFloor makes a horizon durable, then lets it count.
func (s *Store) raiseFloor(t trace.Time) error {
	b := binary.LittleEndian.AppendUint64([]byte(floorMagic), uint64(t))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	name := s.dir.sub(floorName)
	err := writeFile(s.o.FS, name+tempSuffix, append(b, b...))
	if err == nil {
		err = s.o.FS.Rename(name+tempSuffix, name)
	}
	if err == nil {
		err = s.o.FS.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	s.floor.Store(int64(t))
	return nil
}

// shrink raises the horizon over the oldest blocks when all of them together
// are larger than they may be; retain then drops them. What other blocks hold
// from before the horizon is hidden with them, so that an answer never has
// gaps in the middle.
func (s *Store) shrink() {
	limit := s.o.RetentionBytes
	if limit <= 0 {
		return
	}
	type size struct {
		bytes   int64
		updated trace.Time
	}
	var sizes []size
	var sum int64
	s.mu.RLock()
	for _, b := range s.blocks {
		if !b.damaged && b.Range.MaxUpdated >= s.horizon() {
			sizes = append(sizes, size{b.Size(), b.Range.MaxUpdated})
			sum += b.Size()
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(sizes, func(a, b size) int { return cmp.Compare(a.updated, b.updated) })
	floor := trace.MinTime
	for _, b := range sizes {
		if sum <= limit {
			break
		}
		sum -= b.bytes
		floor = b.updated + 1
	}
	if floor == trace.MinTime {
		return
	}
	s.o.Logger.Info("the oldest traces go: blocks are larger than --retention-bytes", "limit", limit)
	if err := s.raiseFloor(floor); err != nil {
		s.o.Logger.Warn("blocks stay larger than they may be", "error", err)
	}
}

// forgetReplayed takes out of the head what the log brought back although
// retention by bytes dropped its block: the log may outlive a block a little.
func (s *Store) forgetReplayed() {
	var freed int64
	for o := s.head.first; o != nil; {
		next := o.next
		src, _ := s.locate(o.key)
		if int64(src.reach().received) < s.floor.Load() {
			freed += s.head.settle(o, len(o.parts))
		}
		src.release()
		o = next
	}
	s.room.give(freed)
}
