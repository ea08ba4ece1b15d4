package audit

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// The files of an audit directory.
const (
	// PublicKeyName is the file with the public key, in PEM.
	PublicKeyName = "public-key.pem"
	// HeadName is the signed head.
	HeadName = "head"

	logSuffix = ".jsonl"
	keyName   = "key"
	digestDir = "digests"
	streamDir = "streams"
)

func logName(number uint64) string { return fmt.Sprintf("%08d%s", number, logSuffix) }

// logNumber returns the number of a log file by its name.
func logNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, logSuffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && n > 0 && logName(n) == name
}

// listLogs returns the numbers of the log files of a directory in ascending order.
func listLogs(fsys vfs.FS, dir string) (numbers []uint64, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if n, ok := logNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// entry is a line of a file while it is read.
type entry struct {
	text []byte // without line feed; valid until the next entry
	hash hash
	line int   // from 1
	at   int64 // offset in the file
}

// errTooLong is the error of a line that no program of this version wrote.
var errTooLong = errors.New("a line is longer than any record")

// readLines calls each with every whole line of a file from an offset on, and returns the
// number of bytes after the last line feed. each may return io.EOF to end early. At most
// limit bytes are read: a file that is still written grows meanwhile.
func readLines(f vfs.File, from, limit int64, each func(*entry) error) (torn int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, limit-from), 64<<10)
	e := entry{at: from}
	var whole []byte
	for {
		part, err := r.ReadSlice('\n')
		whole = append(whole, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if len(whole) > maxLine {
				return 0, errTooLong
			}
			continue
		case errors.Is(err, io.EOF):
			return int64(len(whole)), nil
		case err != nil:
			return 0, err
		}
		e.text = whole[:len(whole)-1]
		e.hash = sha256.Sum256(e.text)
		e.line++
		if err := each(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return 0, err
		}
		e.at += int64(len(whole))
		whole = whole[:0]
	}
}

// open opens a file and returns its size.
func open(fsys vfs.FS, name string) (vfs.File, int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(fsys vfs.FS, name string, limit int64) (b []byte, err error) {
	f, size, err := open(fsys, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes: at most %d are expected", name, size, limit)
	}
	b = make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return b, nil
}

// replace writes a file as a whole: after a crash it has the old or the new content.
func replace(fsys vfs.FS, name string, content []byte) error {
	temp := name + ".tmp"
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// place is a point of the chain: a record, or the header of a file that has none yet.
type place struct {
	file uint64
	seq  uint64 // of the last record; the number before the first one if there is none
	hash hash   // of the last line
	torn int64  // bytes after it
	size int64
	sum  hash // of the whole file
}

// follow reads a file and checks that its lines form a chain. before is the place before
// its header; nil if it is not known, then the header is believed. opened, if not nil,
// is called with the header, seen with each record. On error the place is the last good
// one.
func follow(fsys vfs.FS, dir string, number uint64, before *place, visit visitor) (at place, err error) {
	name := filepath.Join(dir, logName(number))
	f, size, err := open(fsys, name)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	whole := sha256.New()
	at = place{file: number, size: size}
	at.torn, err = readLines(hashed{f, whole}, 0, size, func(e *entry) error {
		if e.line == 1 {
			return visit.header(e, number, before, &at)
		}
		return visit.record(e, &at)
	})
	if err != nil {
		return at, &vfs.CorruptError{File: name, Offset: -1, Err: err}
	}
	if at.hash == (hash{}) {
		return at, &vfs.CorruptError{File: name, Offset: 0, Err: errNoHeader}
	}
	copy(at.sum[:], whole.Sum(nil))
	return at, nil
}

// errNoHeader is the error of a file whose first line is unfinished.
var errNoHeader = errors.New("the file has no header")

// hashed hashes what is read of a file in order.
type hashed struct {
	vfs.File
	sum io.Writer
}

// ReadAt reads and hashes. readLines reads a file once, from its beginning to its end.
func (f hashed) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	_, _ = f.sum.Write(b[:n]) // a hash never fails
	return n, err
}

// visitor receives the lines of a file; each function may be nil.
type visitor struct {
	opened func(h *header, e *entry) error
	seen   func(l *line, e *entry) error
}

func (v visitor) header(e *entry, number uint64, before *place, at *place) error {
	h, err := parseHeader(e.text)
	if err != nil {
		return err
	}
	prev, _ := parseHash(h.Prev)
	switch {
	case h.File != number:
		return fmt.Errorf("the header says that it is file %d", h.File)
	case before != nil && h.First != before.seq+1:
		return fmt.Errorf("the file begins with record %d, but record %d comes next: records or files between them are missing", h.First, before.seq+1)
	case before != nil && prev != before.hash:
		return fmt.Errorf("the file continues after a line with hash %.16s…, but the last line before it has %.16s…: the end of the file before it, or record %d, was changed or cut", h.Prev, before.hash.String(), before.seq)
	}
	at.seq, at.hash = h.First-1, e.hash
	if v.opened != nil {
		return v.opened(&h, e)
	}
	return nil
}

func (v visitor) record(e *entry, at *place) error {
	l, prev, err := parseLine(e.text)
	next := at.seq + 1
	switch {
	case err != nil:
		return fmt.Errorf("line %d, where record %d should be: %w", e.line, next, err)
	case l.Seq > next:
		return fmt.Errorf("line %d: record %d follows record %d: %d records are missing", e.line, l.Seq, at.seq, l.Seq-next)
	case l.Seq != next:
		return fmt.Errorf("line %d: record %d stands where record %d should be", e.line, l.Seq, next)
	case prev != at.hash && e.line == 2:
		return fmt.Errorf("line %d: record %d continues after another header than that of this file: the header was changed", e.line, l.Seq)
	case prev != at.hash:
		return fmt.Errorf("line %d: record %d continues after a line with hash %.16s…, but the line before it has %.16s…: record %d was changed or replaced", e.line, l.Seq, l.Prev, at.hash.String(), at.seq)
	}
	if l.Seq == math.MaxUint64 {
		return fmt.Errorf("line %d: the number of the record is too large", e.line)
	}
	if v.seen != nil {
		if err := v.seen(&l, e); err != nil {
			return fmt.Errorf("line %d, record %d: %w", e.line, l.Seq, err)
		}
	}
	at.seq, at.hash = l.Seq, e.hash
	return nil
}
