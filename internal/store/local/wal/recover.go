package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
)

// Entry is one entry found by Open.
type Entry struct {
	LSN  uint64
	File uint64
	At   int64  // offset of its frame in the file
	Data []byte // the receiver may keep it
}

// Found says what Open came across besides entries.
type Found struct {
	// Damage is one *vfs.CorruptError for each place that does not hold what was
	// acknowledged; what follows it was read.
	Damage []error
	// Torn is how many bytes of a write that was never acknowledged were dropped.
	Torn int64
}

// Open reads a log, calling apply for each entry in order, and is ready to
// append behind it. Damage does not keep it from opening; an error of apply, of
// reading or a file of a newer version does. A disk that cannot be written does
// not either: the first Append then tries again.
func Open(o Options, apply func(Entry) error) (*Log, Found, error) {
	r := recovery{o: o, apply: apply, log: &Log{o: o, nextLSN: max(1, o.NextLSN)}}
	if err := r.run(); err != nil {
		return nil, r.found, err
	}
	return r.log, r.found, nil
}

type recovery struct {
	o     Options
	apply func(Entry) error
	log   *Log
	found Found
}

// image is a file as it was read.
type image struct {
	number uint64
	name   string
	data   []byte
	header header
	state  headerState
}

type headerState uint8

const (
	headerGood headerState = iota
	headerTorn             // the file was being made when the machine stopped
	headerBad
)

func (r *recovery) run() error {
	names, err := r.o.FS.List(r.o.Dir)
	if err != nil {
		return fmt.Errorf("list log files: %w", err)
	}
	var numbers []uint64
	for _, n := range names {
		if number, ok := Number(n); ok {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	var current, next *image
	for i := range numbers {
		if current = next; current == nil {
			if current, err = r.read(numbers[i]); err != nil {
				return err
			}
		}
		next = nil
		last := i == len(numbers)-1
		if !last {
			if next, err = r.read(numbers[i+1]); err != nil {
				return err
			}
			if next.state == headerTorn && i+1 != len(numbers)-1 {
				next.state = headerBad
			}
			if next.number != current.number+1 {
				r.damage(filepath.Join(r.o.Dir, fileName(current.number+1)), 0, "the log file is missing")
			}
		}
		if err := r.file(current, next, last); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) damage(file string, offset int64, format string, args ...any) {
	r.found.Damage = append(r.found.Damage, vfs.Corrupt(file, offset, format, args...))
}

// read loads a file and its header.
func (r *recovery) read(number uint64) (*image, error) {
	im := &image{number: number, name: filepath.Join(r.o.Dir, fileName(number))}
	f, err := r.o.FS.Open(im.name)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("read log file %s: %w", im.name, err)
	}
	im.data = make([]byte, size)
	if n, err := f.ReadAt(im.data, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(im.data)) {
		return nil, fmt.Errorf("read log file %s: %w", im.name, err)
	}
	var first, second error
	im.header, first = decodeHeader(im.data)
	if first != nil {
		im.header, second = decodeHeader(im.data[min(headerBytes, len(im.data)):])
	} else {
		_, second = decodeHeader(im.data[min(headerBytes, len(im.data)):])
	}
	switch {
	case errors.Is(first, errVersion) || errors.Is(second, errVersion):
		return nil, fmt.Errorf("log file %s: %w", im.name, errors.Join(first, second))
	case first != nil && second != nil:
		im.state = headerBad
		// Frames are written behind a synced header only.
		if size <= fileStart {
			im.state = headerTorn
		}
	case size > fileStart && first != nil:
		r.damage(im.name, 0, "first copy of the header: %v", first)
	case size > fileStart && second != nil:
		r.damage(im.name, headerBytes, "second copy of the header: %v", second)
	}
	if im.state == headerGood && im.header.number != number {
		im.state = headerBad
		r.damage(im.name, 16, "the file says it is number %d", im.header.number)
	}
	return im, nil
}

// file replays one file and notes it.
func (r *recovery) file(im, next *image, last bool) error {
	if im.state == headerTorn && last {
		// The next file gets its number and so replaces it.
		r.found.Torn += int64(len(im.data))
		return nil
	}
	info := fileInfo{number: im.number, bytes: int64(len(im.data))}
	before := len(r.found.Damage)
	defer func() {
		info.damaged = len(r.found.Damage) > before
		r.log.files = append(r.log.files, info)
	}()
	if im.state != headerGood {
		r.damage(im.name, 0, "both copies of the header are unreadable, nothing of the file can be read")
		return nil
	}
	data, open := im.data, last
	if next != nil {
		switch {
		case next.state == headerTorn:
			open = true
		case next.state == headerGood && next.header.number == im.number+1:
			if next.header.previous > int64(len(data)) {
				r.damage(im.name, int64(len(data)), "the file ends here, but %d bytes were acknowledged", next.header.previous)
			} else {
				data = data[:next.header.previous]
			}
		}
	}
	valid, err := r.frames(im, data, open)
	if next == nil || open {
		info.bytes = valid
	}
	return err
}

// frames replays the frames of a file. open says that its end may be torn.
func (r *recovery) frames(im *image, data []byte, open bool) (valid int64, err error) {
	expected := im.header.firstLSN
	r.log.nextLSN = max(r.log.nextLSN, expected)
	at := min(fileStart, len(data))
	valid = int64(at)
	for at < len(data) {
		f, bad := readFrame(data[at:], im.header.salt)
		if bad != nil {
			skip := nextFrame(data[at+1:], im.header.salt)
			if skip < 0 && open {
				r.found.Torn += int64(len(data) - at)
				return valid, nil
			}
			r.damage(im.name, int64(at), "%v", bad)
			if skip < 0 {
				return valid, nil
			}
			at += 1 + skip
			expected = 0
			continue
		}
		if expected != 0 && f.lsn != expected {
			r.damage(im.name, int64(at), "entry %d where %d belongs", f.lsn, expected)
		}
		expected = f.lsn + uint64(f.entries)
		r.log.nextLSN = max(r.log.nextLSN, expected)
		if err := r.entries(im, &f, at); err != nil {
			return valid, err
		}
		at += f.size
		valid = int64(at)
	}
	return valid, nil
}

func (r *recovery) entries(im *image, f *frame, at int) error {
	if f.kind == kindEnd {
		return nil
	}
	entries, err := f.split()
	if err != nil || f.kind != kindEntries {
		r.damage(im.name, int64(at), "frame of kind %d: %v", f.kind, err)
		return nil
	}
	for i, e := range entries {
		if err := r.apply(Entry{LSN: f.lsn + uint64(i), File: im.number, At: int64(at), Data: e}); err != nil {
			return fmt.Errorf("replay log file %s at byte %d: %w", im.name, at, err)
		}
	}
	return nil
}

// nextFrame is the distance to the next frame with a right checksum, or -1.
func nextFrame(b []byte, salt uint32) int {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		at += i
		if _, err := readFrame(b[at:], salt); err == nil {
			return at
		}
	}
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
