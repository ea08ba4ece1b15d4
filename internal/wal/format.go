package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/klauspost/compress/s2"
)

// A log file, all integers little-endian (docs/format/store.md):
//
//	header  48 bytes, twice, so that one bad sector does not cost the file
//	  0  magic "FLUOWAL\n"
//	  8  version       u32
//	 12  -             u32, zero
//	 16  file number   u64
//	 24  first LSN     u64  of this file
//	 32  previous      u64  how many bytes of the file before are valid
//	 40  salt          u32  start value of the frames' checksums
//	 44  crc32c        u32  of the 44 bytes before
//	frame 32 bytes and payload, one a group commit
//	  0  magic "FLWR"
//	  4  kind          u8   1 entries, 2 end of a file that was closed well
//	  5  codec         u8   0 plain, 1 s2
//	  6  -             u16, zero
//	  8  stored        u32  bytes of payload in the file
//	 12  raw           u32  bytes of payload after decompression
//	 16  LSN           u64  of the first entry
//	 24  entries       u32
//	 28  crc32c        u32  of the header without magic and checksum, and of the stored payload
//	payload: entries, each a uvarint length and its bytes
//
// Beside it lies a file with another suffix that records after each frame how much
// of the log file is synced, 20 bytes each time: u64 bytes, u64 LSN after the last
// entry, crc32c u32 of both.
const (
	version        = 1
	headerBytes    = 48
	fileStart      = 2 * headerBytes
	frameBytes     = 32
	maxPayload     = 1 << 30
	compressFrom   = 256 // compression does not pay for shorter payloads
	fileSuffix     = ".wal"
	damagedSuffix  = ".damaged"
	syncedSuffix   = ".synced"
	syncedBytes    = 20
	kindEntries    = 1
	kindEnd        = 2
	codecPlain     = 0
	codecS2        = 1
	maxFrameStored = maxPayload + maxPayload/4
)

const (
	headerMagic = "FLUOWAL\n"
	frameMagic  = "FLWR"
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

type header struct {
	number, firstLSN uint64
	previous         int64
	salt             uint32
}

// encode returns both copies.
func (h header) encode() []byte {
	b := make([]byte, 0, fileStart)
	b = append(b, headerMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.firstLSN)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.previous))
	b = binary.LittleEndian.AppendUint32(b, h.salt)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	return append(b, b...)
}

// errVersion reports a file of a newer program; the file is not damaged.
var errVersion = errors.New("unknown version of the log format")

// decodeHeader decodes one copy.
func decodeHeader(b []byte) (header, error) {
	if len(b) < headerBytes || string(b[:8]) != headerMagic {
		return header{}, errors.New("no log file header")
	}
	if crc32.Checksum(b[:44], castagnoli()) != binary.LittleEndian.Uint32(b[44:]) {
		return header{}, errors.New("wrong checksum of the header")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return header{}, fmt.Errorf("%w: %d, this program knows %d", errVersion, v, version)
	}
	return header{
		number: binary.LittleEndian.Uint64(b[16:]), firstLSN: binary.LittleEndian.Uint64(b[24:]),
		previous: int64(binary.LittleEndian.Uint64(b[32:])), salt: binary.LittleEndian.Uint32(b[40:]),
	}, nil
}

// appendFrame appends a frame with entries; one without entries marks the end of the
// log. scratch is reused for the payload.
func appendFrame(dst, scratch []byte, salt uint32, lsn uint64, entries [][]byte) (frame, scratched []byte, err error) {
	kind := byte(kindEntries)
	if len(entries) == 0 {
		kind = kindEnd
	}
	scratch = scratch[:0]
	for _, e := range entries {
		scratch = binary.AppendUvarint(scratch, uint64(len(e)))
		scratch = append(scratch, e...)
	}
	if len(scratch) > maxPayload {
		return dst, scratch, fmt.Errorf("log: a group of %d bytes is over the limit of %d", len(scratch), maxPayload)
	}
	start := len(dst)
	dst = append(dst, frameMagic...)
	dst = append(dst, kind, codecPlain, 0, 0)
	dst = append(dst, make([]byte, frameBytes-8)...)
	body := len(dst)
	if len(scratch) >= compressFrom {
		dst = append(dst, make([]byte, s2.MaxEncodedLen(len(scratch)))...)
		packed := s2.Encode(dst[body:], scratch)
		if len(packed) < len(scratch)*9/10 {
			dst = dst[:body+len(packed)]
			dst[start+5] = codecS2
		} else {
			dst = dst[:body]
		}
	}
	if dst[start+5] == codecPlain {
		dst = append(dst, scratch...)
	}
	head := dst[start:body]
	binary.LittleEndian.PutUint32(head[8:], uint32(len(dst)-body))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(scratch)))
	binary.LittleEndian.PutUint64(head[16:], lsn)
	binary.LittleEndian.PutUint32(head[24:], uint32(len(entries)))
	binary.LittleEndian.PutUint32(head[28:], frameSum(salt, head, dst[body:]))
	return dst, scratch, nil
}

func frameSum(salt uint32, head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(salt, castagnoli(), head[4:28]), castagnoli(), payload)
}

// frame is a decoded frame with a correct checksum.
type frame struct {
	kind    byte
	codec   byte
	lsn     uint64
	entries uint32
	raw     uint32
	stored  []byte // aliases the file's bytes
	size    int    // with header
}

// readFrame reads the frame at the beginning of b.
func readFrame(b []byte, salt uint32) (frame, error) {
	if len(b) < frameBytes {
		return frame{}, fmt.Errorf("%d bytes are too short for a frame", len(b))
	}
	if string(b[:4]) != frameMagic {
		return frame{}, errors.New("no frame begins here")
	}
	stored := binary.LittleEndian.Uint32(b[8:])
	if stored > maxFrameStored || int(stored) > len(b)-frameBytes {
		return frame{}, fmt.Errorf("a frame of %d bytes does not fit into the remaining %d", stored, len(b)-frameBytes)
	}
	f := frame{
		kind: b[4], codec: b[5], stored: b[frameBytes : frameBytes+int(stored)], size: frameBytes + int(stored),
		raw: binary.LittleEndian.Uint32(b[12:]), lsn: binary.LittleEndian.Uint64(b[16:]), entries: binary.LittleEndian.Uint32(b[24:]),
	}
	if frameSum(salt, b, f.stored) != binary.LittleEndian.Uint32(b[28:]) {
		return frame{}, errors.New("wrong checksum of a frame")
	}
	return f, nil
}

// split returns copies of the frame's entries.
func (f *frame) split() ([][]byte, error) {
	var payload []byte
	switch f.codec {
	case codecPlain:
		payload = append(payload, f.stored...)
	case codecS2:
		n, err := s2.DecodedLen(f.stored)
		if err != nil {
			return nil, err
		}
		if n != int(f.raw) || n > maxPayload {
			return nil, fmt.Errorf("compressed frame of %d bytes, %d announced", n, f.raw)
		}
		if payload, err = s2.Decode(make([]byte, n), f.stored); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown codec %d", f.codec)
	}
	var entries [][]byte
	for len(payload) > 0 {
		n, w := binary.Uvarint(payload)
		if w <= 0 || n > uint64(len(payload)-w) {
			return nil, errors.New("entries do not fit into their frame")
		}
		end := w + int(n)
		entries = append(entries, payload[w:end:end])
		payload = payload[end:]
	}
	if len(entries) != int(f.entries) {
		return nil, fmt.Errorf("%d entries, %d announced", len(entries), f.entries)
	}
	return entries, nil
}

func fileName(number uint64) string { return fmt.Sprintf("%016x%s", number, fileSuffix) }

func syncedName(number uint64) string { return fmt.Sprintf("%016x%s", number, syncedSuffix) }

// syncedNumber returns the number of the log file to which a .synced file belongs.
func syncedNumber(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, syncedSuffix)
	if !ok {
		return 0, false
	}
	return Number(hex + fileSuffix)
}

func appendSynced(b []byte, bytes int64, lsn uint64) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(bytes))
	b = binary.LittleEndian.AppendUint64(b, lsn)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli()))
}

// lastSynced returns the highest valid record of a .synced file; 0 if it has none.
// That file is never synced, so a part may be missing or torn, which is not damage.
func lastSynced(b []byte) (bytes int64, lsn uint64) {
	for ; len(b) >= syncedBytes; b = b[syncedBytes:] {
		n := int64(binary.LittleEndian.Uint64(b))
		if n > bytes && crc32.Checksum(b[:16], castagnoli()) == binary.LittleEndian.Uint32(b[16:]) {
			bytes, lsn = n, binary.LittleEndian.Uint64(b[8:])
		}
	}
	return bytes, lsn
}

// Begins reports whether a log file can begin with some bytes.
func Begins(b []byte) bool {
	return strings.HasPrefix(string(b[:min(len(headerMagic), len(b))]), headerMagic)
}

// Name returns the file name of a log file.
func Name(number uint64) string { return fileName(number) }

// Number returns the number in the name of a log file.
func Number(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, fileSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}
