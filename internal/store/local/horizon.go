package local

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const (
	floorName  = "horizon"
	floorMagic = "FLUOHRZ\n"
	floorBytes = 20
)

// encodeFloor writes the file of the horizon that retention by bytes has reached: twice
// magic, i64 time in nanoseconds, u32 CRC-32C of both.
func encodeFloor(floor trace.Time) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(floorMagic), uint64(floor))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, b...)
}

// readFloor reads both copies. known is the horizon of the manifest, or trace.MinTime.
// damage names what is lost.
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
