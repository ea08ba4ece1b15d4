package local

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const (
	floorName  = "horizon"
	floorMagic = "FLUOHRZ\n"
	floorBytes = 20
)

// encodeFloor writes one of two copies of the horizon that retention by bytes has
// reached: magic, i64 time in nanoseconds, u32 CRC-32C of both.
func encodeFloor(floor trace.Time) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(floorMagic), uint64(floor))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readFloor reads both copies. known is the horizon of the manifest, or trace.MinTime.
// damage names what is lost. Errors: *vfs.KeyError.
func readFloor(v *vault, known trace.Time) (floor trace.Time, damage []error, err error) {
	name := filepath.Join(v.root, floorName)
	b, err := readWhole(v.fs, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if known != trace.MinTime {
			damage = append(damage, vfs.Lost(name, "the file is missing; the manifest says the same"))
		}
		return known, damage, nil
	case err != nil:
		return known, []error{vfs.Lost(name, "the file cannot be read: %w", err)}, nil
	}
	list, err := v.opened(b, floorName, []copied{{0, b}, {floorBytes, b[min(floorBytes, len(b)):]}})
	if err != nil {
		return known, nil, err
	}
	floor = known
	for _, c := range list {
		t, ok := decodeFloor(c.bytes)
		if ok = ok && c.err == nil; ok {
			floor = max(floor, t)
		} else {
			damage = append(damage, vfs.Corrupt(name, c.at, "a copy of the horizon cannot be read"))
		}
		if ok && sealedTwice(b) && t < known {
			damage = append(damage, vfs.Lost(name, "an older version of the file was put in its place; the manifest has the newer time"))
		}
	}
	return floor, damage, nil
}

func decodeFloor(b []byte) (trace.Time, bool) {
	if len(b) < floorBytes || string(b[:8]) != floorMagic || crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, false
	}
	return trace.Time(binary.LittleEndian.Uint64(b[8:])), true
}
