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

// The manifest lists the files that a data directory must have, so that a start notices
// a missing one and removes nothing that may still be needed. It is written after the
// files that it adds, and before the files that it leaves out are removed: a crash at
// any moment leaves more files than it lists, never fewer.
const (
	manifestName    = "manifest"
	manifestMagic   = "FLUOMAN\n"
	manifestVersion = 1
	manifestHead    = len(manifestMagic) + 8
	// maxManifest bounds the bytes that are read: the file may be anybody's.
	maxManifest = 256 << 20
)

// manifest is its content, in JSON.
type manifest struct {
	// Next is greater than the number of every block so far.
	Next uint64 `json:"next"`
	// Blocks are those that must be there, by number.
	Blocks []listed `json:"blocks"`
	// Going are the numbers of blocks that are being made, were given up or are
	// superseded: their files may be removed.
	Going []uint64 `json:"going,omitempty"`
	// Log tells which files and entries the log must have.
	Log logMark `json:"log"`
	// Horizon is the one that Expire has reached. Deleted: there is a file of
	// tombstones.
	Horizon trace.Time `json:"horizon,omitempty"`
	Deleted bool       `json:"deleted,omitempty"`
	// Beside are files of others in the directory that must be there.
	Beside []string `json:"beside,omitempty"`
	// Losses were found at some start and cannot be found again.
	Losses []string `json:"losses,omitempty"`
	// Accepted are losses that an operator has accepted, as long as a start finds them.
	Accepted []string `json:"accepted,omitempty"`
	// Sealed: the server encrypted when it wrote the manifest, so a block that is not
	// listed is sealed.
	Sealed bool `json:"sealed,omitempty"`
	// Tombstones is the lowest generation of a sealed file of tombstones: an older one was
	// put in its place.
	Tombstones uint64 `json:"tombstones,omitempty"`

	generation uint64 // of the sealed file
}

// listed describes a block that must be there.
type listed struct {
	Number  uint64     `json:"number"`
	Bytes   int64      `json:"bytes"`  // of its index
	Rollup  int64      `json:"rollup"` // bytes of that
	Traces  int        `json:"traces"`
	LSN     uint64     `json:"lsn"`     // the highest one
	Updated trace.Time `json:"updated"` // its last receipt
	// Account, Key and Seal are there if the block is sealed: whose it is, the id of the
	// data key, and the begin of the salt of each file.
	Account trace.Account `json:"account,omitempty"`
	Key     uint32        `json:"key,omitempty"`
	Seal    string        `json:"seal,omitempty"`
}

// logMark is a wal.Mark.
type logMark struct {
	Oldest uint64 `json:"oldest"`
	Newest uint64 `json:"newest"`
	Bytes  int64  `json:"bytes"`
	LSN    uint64 `json:"lsn"`
	// Held are older files that are needed, too.
	Held []wal.HeldFile `json:"held,omitempty"`
}

// encode writes one of two equal copies, so that one bad sector costs nothing: each is
// magic, u32 version, u32 length, JSON, u32 CRC-32C of all before.
func (m *manifest) encode() ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	b := binary.LittleEndian.AppendUint32([]byte(manifestMagic), manifestVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
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

// readManifest reads both copies; m is nil if neither can be read. sealed are the bytes of
// a sealed one. damage names what is lost.
func readManifest(fsys vfs.FS, name string) (m *manifest, sealed []byte, damage []error) {
	b, err := readAtMost(fsys, name, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, []error{vfs.Lost(name, "the file is missing: it says which others must be there")}
	}
	if err != nil {
		return nil, nil, []error{vfs.Lost(name, "the file cannot be read: %w", err)}
	}
	if sealedTwice(b) {
		return nil, b, nil
	}
	for i, part := range copies(b) {
		one, err := decodeManifest(part.bytes)
		if err != nil {
			damage = append(damage, vfs.Corrupt(name, part.at, "copy %d of the manifest: %w", i+1, err))
		} else if m == nil {
			m = one
		}
	}
	return m, nil, damage
}

// copied is one of two copies in a file.
type copied struct {
	at    int64
	bytes []byte
}

// copies splits a file into two copies of the same length. If the file is cut short,
// the first copy tells its length.
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

// block finds a block in the list.
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

// superfluous tells whether the files of a block that has no index are needless: the
// block was never finished, or is superseded.
func (m *manifest) superfluous(number uint64) bool {
	return m != nil && (number >= m.Next || slices.Contains(m.Going, number))
}

// accepted returns the losses that an operator has accepted.
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
