// Package wal is a write-ahead log: payloads that are durable when Write
// returns, and come back in order when the log is opened again.
//
// The log is a row of files. Each begins with a header and holds frames:
//
//	header  "FLUWAL1\n" · number of the file before · its valid length · CRC
//	frame   "FRAM" · length · CRC of the payload · payload
//
// Numbers are little-endian, CRCs are CRC-32C. The header says how much of the
// file before is valid, because a write that failed may have left part of a frame
// there. At the end of the last file such a part is expected: the process died
// while it was written, and nobody was told that it was kept. Anything else that
// cannot be read is damage.
package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/store/embedded/vfs"
)

const (
	fileMagic  = "FLUWAL1\n"
	headerSize = len(fileMagic) + 8 + 8 + 4
	frameMagic = "FRAM"
	frameSize  = len(frameMagic) + 4 + 4
	suffix     = ".wal"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Log is an open write-ahead log. It is used by one goroutine at a time.
type Log struct {
	fs   vfs.FS
	dir  string
	file vfs.File
	name string
	no   uint64           // number of file
	size int64            // valid bytes of file
	old  map[uint64]int64 // sizes of the files before
	buf  []byte
}

// Open replays the log in dir and then begins a new file. replay is called with
// each payload, valid until it returns, and the number of its file; damaged with
// each piece that cannot be read. Errors of replay end Open.
func Open(fs vfs.FS, dir string, replay func(file uint64, payload []byte) error, damaged func(error)) (*Log, error) {
	if err := fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open write-ahead log: %w", err)
	}
	l := &Log{fs: fs, dir: dir, old: map[uint64]int64{}}
	numbers, err := l.files()
	if err != nil {
		return nil, err
	}
	contents := map[uint64][]byte{}
	valid := map[uint64]int64{} // what headers say of the file before
	for i, no := range numbers {
		b, err := vfs.ReadFile(fs, l.path(no))
		if err != nil {
			return nil, fmt.Errorf("read write-ahead log: %w", err)
		}
		before, length, err := parseHeader(b)
		if err != nil && i == len(numbers)-1 && i > 0 && len(b) <= headerSize {
			numbers = numbers[:i] // only begun: it will be begun again
			break
		}
		contents[no], l.old[no] = b, int64(len(b))
		if err == nil {
			valid[before] = length
		}
	}
	for i, no := range numbers {
		r := reader{name: l.path(no), b: contents[no], last: i == len(numbers)-1, damaged: damaged}
		if length, ok := valid[no]; ok && length <= int64(len(r.b)) {
			r.b = r.b[:length]
		}
		if err := r.each(func(payload []byte) error { return replay(no, payload) }); err != nil {
			return nil, err
		}
		l.no, l.size = no, r.end
	}
	return l, l.begin()
}

// files lists the numbers of the log's files in order.
func (l *Log) files() ([]uint64, error) {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list write-ahead log: %w", err)
	}
	var out []uint64
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			if no, err := strconv.ParseUint(base, 10, 64); err == nil {
				out = append(out, no)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func (l *Log) path(no uint64) string { return filepath.Join(l.dir, fmt.Sprintf("%012d%s", no, suffix)) }

// begin starts a new file whose header says how much of the current one counts.
func (l *Log) begin() error {
	header := append([]byte(nil), fileMagic...)
	header = binary.LittleEndian.AppendUint64(header, l.no)
	header = binary.LittleEndian.AppendUint64(header, uint64(l.size))
	header = binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, castagnoli))
	name := l.path(l.no + 1)
	f, err := l.fs.Create(name)
	if err != nil {
		return fmt.Errorf("begin %s: %w", name, err)
	}
	_, err = f.Write(header)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin %s: %w", name, err), f.Close(), l.fs.Remove(name))
	}
	if l.file != nil {
		_ = l.file.Close() // all that counts in it is synced
		l.old[l.no] = l.size
	}
	l.file, l.name, l.no, l.size = f, name, l.no+1, int64(headerSize)
	return nil
}

// Write makes payloads durable, all with one sync, and returns the number of
// their file. After an error nothing more can be written before Rotate succeeds.
func (l *Log) Write(payloads [][]byte) (file uint64, err error) {
	l.buf = l.buf[:0]
	for _, p := range payloads {
		l.buf = append(l.buf, frameMagic...)
		l.buf = binary.LittleEndian.AppendUint32(l.buf, uint32(len(p)))
		l.buf = binary.LittleEndian.AppendUint32(l.buf, crc32.Checksum(p, castagnoli))
		l.buf = append(l.buf, p...)
	}
	if _, err := l.file.Write(l.buf); err != nil {
		return 0, fmt.Errorf("write %s: %w", l.name, err)
	}
	if err := l.file.Sync(); err != nil {
		return 0, fmt.Errorf("sync %s: %w", l.name, err)
	}
	l.size += int64(len(l.buf))
	return l.no, nil
}

// Rotate begins a new file. It is also how the log recovers from a failed Write:
// what that left behind does not count.
func (l *Log) Rotate() error { return l.begin() }

// FileSize is how large the current file is.
func (l *Log) FileSize() int64 { return l.size }

// Size is how many bytes all files have.
func (l *Log) Size() int64 {
	total := l.size
	for _, n := range l.old {
		total += n
	}
	return total
}

// Current is the number of the current file.
func (l *Log) Current() uint64 { return l.no }

// RemoveBefore removes the files with numbers below no.
func (l *Log) RemoveBefore(no uint64) error {
	removed := false
	for old := range l.old {
		if old < no && old != l.no {
			if err := l.fs.Remove(l.path(old)); err != nil {
				return fmt.Errorf("remove %s: %w", l.path(old), err)
			}
			delete(l.old, old)
			removed = true
		}
	}
	if !removed {
		return nil
	}
	return l.fs.SyncDir(l.dir)
}

// Close closes the log.
func (l *Log) Close() error { return l.file.Close() }

// reader walks the frames of one file.
type reader struct {
	name    string
	b       []byte
	last    bool
	damaged func(error)
	end     int64 // behind the last valid frame
}

func (r *reader) each(payload func([]byte) error) error {
	if _, _, err := parseHeader(r.b); err != nil {
		// A file that was only begun has no frames to lose.
		if !r.last || len(r.b) > headerSize {
			r.damaged(&vfs.CorruptError{File: r.name, Err: err})
		}
	}
	at := min(headerSize, len(r.b))
	r.end = int64(at)
	for at < len(r.b) {
		p, err := frame(r.b[at:])
		if err != nil {
			next := r.next(at + 1)
			if next < 0 && r.last {
				return nil // torn by a crash
			}
			r.damaged(&vfs.CorruptError{File: r.name, Offset: int64(at), Err: err})
			if next < 0 {
				return nil
			}
			at = next
			continue
		}
		if err := payload(p); err != nil {
			return fmt.Errorf("%s, byte %d: %w", r.name, at, err)
		}
		at += frameSize + len(p)
		r.end = int64(at)
	}
	return nil
}

// next finds the next valid frame at or behind an offset, -1 if there is none.
func (r *reader) next(at int) int {
	for at < len(r.b) {
		i := bytes.Index(r.b[at:], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		at += i
		if _, err := frame(r.b[at:]); err == nil {
			return at
		}
		at++
	}
	return -1
}

// frame reads the frame at the start of b.
func frame(b []byte) ([]byte, error) {
	if len(b) < frameSize {
		return nil, errors.New("frame is cut short")
	}
	if string(b[:len(frameMagic)]) != frameMagic {
		return nil, errors.New("no frame begins here")
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n > len(b)-frameSize {
		return nil, errors.New("frame is cut short")
	}
	p := b[frameSize : frameSize+n]
	if crc32.Checksum(p, castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return nil, errors.New("checksum does not match")
	}
	return p, nil
}

func parseHeader(b []byte) (before uint64, length int64, err error) {
	n := len(fileMagic)
	if len(b) < headerSize || string(b[:n]) != fileMagic || crc32.Checksum(b[:n+16], castagnoli) != binary.LittleEndian.Uint32(b[n+16:]) {
		return 0, 0, errors.New("file header is not valid")
	}
	return binary.LittleEndian.Uint64(b[n:]), int64(binary.LittleEndian.Uint64(b[n+8:])), nil
}
