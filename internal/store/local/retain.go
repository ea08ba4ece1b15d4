package local

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const (
	floorName  = "horizon"
	floorMagic = "FLUOHRZ\n"
	floorBytes = 20
)

// openFloor reads the horizon that retention by bytes has reached: twice magic,
// i64 time in nanoseconds, u32 CRC-32C of both.
func (s *Store) openFloor() {
	known := trace.MinTime
	if m := s.dir.manifest; m != nil && m.Horizon != 0 {
		known = m.Horizon
	}
	floor, damage := readFloor(s.o.FS, s.dir.sub(floorName), known)
	for _, d := range damage {
		s.noteDamage(d)
	}
	s.floor.Store(int64(floor))
}

// readFloor reads both copies; known is what the manifest says, trace.MinTime if
// nothing. damage names what is lost.
func readFloor(fsys vfs.FS, name string, known trace.Time) (floor trace.Time, damage []error) {
	b, err := readWhole(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if known != trace.MinTime {
			damage = append(damage, vfs.Lost(name, "the file is missing; the manifest says the same"))
		}
		return known, damage
	case err != nil:
		return known, []error{vfs.Lost(name, "the file cannot be read: %w", err)}
	}
	floor = known
	for at := 0; at < 2*floorBytes; at += floorBytes {
		if t, ok := decodeFloor(b[min(at, len(b)):]); ok {
			floor = max(floor, t)
		} else {
			damage = append(damage, vfs.Corrupt(name, int64(at), "a copy of the horizon cannot be read"))
		}
	}
	return floor, damage
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
	if err := replace(s.o.FS, s.dir.sub(floorName), append(b, b...)); err != nil {
		return err
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
