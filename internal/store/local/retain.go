package local

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"

	"github.com/fluoro-io/fluoro/internal/store"
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
func (s *Shelf) openFloor() {
	known := trace.MinTime
	if m := s.dir.manifest; m != nil && m.Horizon != 0 {
		known = m.Horizon
	}
	floor, damage := readFloor(s.o.FS, s.dir.sub(floorName), known)
	for _, d := range damage {
		s.damage.note(d)
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

// Floor returns the horizon that Expire has reached.
func (s *Shelf) Floor(ctx context.Context) (trace.Time, error) {
	return trace.Time(s.floor.Load()), errors.Join(ctx.Err(), s.usable())
}

// Expire makes a horizon durable, then lets it count. Blocks that lie below it are
// dropped; what other blocks hold from before it is hidden.
func (s *Shelf) Expire(ctx context.Context, t trace.Time) error {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint64([]byte(floorMagic), uint64(t))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := replace(s.o.FS, s.dir.sub(floorName), append(b, b...)); err != nil {
		return err
	}
	s.floor.Store(int64(t))
	select {
	case s.merges <- struct{}{}: // the merger drops what is over
	default:
	}
	return nil
}

// Portions lists the blocks: retention drops whole ones. Damaged ones stay.
func (s *Shelf) Portions(ctx context.Context) (list []store.Portion, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range s.blocks {
		if !b.damaged.Load() {
			list = append(list, store.Portion{Bytes: b.Size(), Updated: b.Range.MaxUpdated})
		}
	}
	return list, errors.Join(ctx.Err(), s.usable())
}

// forgetReplayed takes out of the head what the log brought back although
// retention by bytes dropped its block: the log may outlive a block a little.
func (s *Shelf) forgetReplayed() {
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
