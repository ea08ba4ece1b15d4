package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// The manifest says which files a data directory must hold, so that one that is
// missing is noticed and nothing is removed that may still be needed. It is written
// after what it tells of was made, and before what it does not tell of is removed:
// a crash at any moment leaves more files than it knows of, never fewer.
const (
	manifestName    = "manifest"
	manifestMagic   = "FLUOMAN\n"
	manifestVersion = 1
	manifestHead    = len(manifestMagic) + 8
	// maxManifest bounds what is read of a file of that name, which may be anybody's.
	maxManifest = 256 << 20
)

// manifest is its content, in JSON.
type manifest struct {
	// Next is the least number that no block has had.
	Next uint64 `json:"next"`
	// Blocks are those that must be there, by number.
	Blocks []listed `json:"blocks"`
	// Going are the numbers of blocks that are being made, were given up or are
	// superseded: what there is of their files may be removed.
	Going []uint64 `json:"going,omitempty"`
	// Log is what the log must hold.
	Log logMark `json:"log"`
	// Horizon is that of retention by bytes, and Deleted says that there is a file
	// of that name.
	Horizon trace.Time `json:"horizon,omitempty"`
	Deleted bool       `json:"deleted,omitempty"`
	// Beside are files of others in the directory that must be there.
	Beside []string `json:"beside,omitempty"`
	// Losses are what was found lost at some start and cannot be found again.
	Losses []string `json:"losses,omitempty"`
	// Accepted are losses that somebody has taken note of, for as long as they can be
	// found again.
	Accepted []string `json:"accepted,omitempty"`
}

// listed is a block that must be there, and what would be lost with it.
type listed struct {
	Number  uint64     `json:"number"`
	Bytes   int64      `json:"bytes"`  // of its index
	Rollup  int64      `json:"rollup"` // bytes of that
	Traces  int        `json:"traces"`
	LSN     uint64     `json:"lsn"`     // the highest
	Updated trace.Time `json:"updated"` // its last receipt
}

// logMark is a wal.Mark.
type logMark struct {
	Oldest uint64 `json:"oldest"`
	Newest uint64 `json:"newest"`
	Bytes  int64  `json:"bytes"`
	LSN    uint64 `json:"lsn"`
}

// encode is two equal copies, so that one bad sector costs nothing: each is the
// magic, u32 version, u32 length, JSON, u32 CRC-32C of all before.
func (m *manifest) encode() ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	b := binary.LittleEndian.AppendUint32([]byte(manifestMagic), manifestVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, b...), nil
}

// decodeManifest reads one copy.
func decodeManifest(b []byte) (*manifest, error) {
	if len(b) < manifestHead+4 || string(b[:len(manifestMagic)]) != manifestMagic {
		return nil, errors.New("no manifest begins here")
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("wrong checksum")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != manifestVersion {
		return nil, fmt.Errorf("version %d, this program knows %d", v, manifestVersion)
	}
	if n := binary.LittleEndian.Uint32(b[12:]); int(n) != len(body)-manifestHead {
		return nil, fmt.Errorf("%d bytes, %d announced", len(body)-manifestHead, n)
	}
	m := &manifest{}
	if err := json.Unmarshal(body[manifestHead:], m); err != nil {
		return nil, err
	}
	return m, nil
}

// readManifest reads both copies; nil if there is none that can be read. damage
// names what is lost of it.
func readManifest(fsys vfs.FS, name string) (m *manifest, damage []error) {
	b, err := readAtMost(fsys, name, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, []error{vfs.Lost(name, "the file is missing: it says which others must be there")}
	}
	if err != nil {
		return nil, []error{vfs.Lost(name, "the file cannot be read: %w", err)}
	}
	for i, part := range copies(b) {
		one, err := decodeManifest(part.bytes)
		if err != nil {
			damage = append(damage, vfs.Corrupt(name, part.at, "copy %d of the manifest: %w", i+1, err))
		} else if m == nil {
			m = one
		}
	}
	return m, damage
}

// copied is one of two copies in a file.
type copied struct {
	at    int64
	bytes []byte
}

// copies cuts a file in two equal copies of the same length. If it was cut short,
// the first copy says how long it is.
func copies(b []byte) []copied {
	half := len(b) / 2
	if len(b) >= manifestHead {
		if n := manifestHead + int(binary.LittleEndian.Uint32(b[12:])) + 4; n <= len(b) && string(b[:len(manifestMagic)]) == manifestMagic {
			if _, err := decodeManifest(b[:n]); err == nil {
				half = n
			}
		}
	}
	return []copied{{0, b[:half]}, {int64(half), b[half:]}}
}

// block finds what the manifest says of a block. Without a manifest nothing is known.
func (m *manifest) block(number uint64) (listed, bool) {
	if m == nil {
		return listed{}, false
	}
	i, ok := slices.BinarySearchFunc(m.Blocks, number, func(l listed, n uint64) int {
		switch {
		case l.Number < n:
			return -1
		case l.Number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return listed{}, false
	}
	return m.Blocks[i], true
}

// superfluous says whether what there is of a block's files, without the one that
// makes them count, is not needed: it was never finished, or is superseded.
func (m *manifest) superfluous(number uint64) bool {
	return m != nil && (number >= m.Next || slices.Contains(m.Going, number))
}

// accepted returns the losses that somebody has taken note of.
func (m *manifest) accepted() []string {
	if m == nil {
		return nil
	}
	return m.Accepted
}

func (m *manifest) mark() wal.Mark {
	if m == nil {
		return wal.Mark{}
	}
	return wal.Mark(m.Log)
}

func listedOf(b *block.Block) listed {
	return listed{Number: b.Number(), Bytes: b.IndexSize(), Rollup: b.RollupSize(), Traces: b.Len(), LSN: b.HighestLSN, Updated: b.Range.MaxUpdated}
}
