package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// found is the end of the chain in a directory.
type found struct {
	at         place      // of the last line
	empty      bool       // the last file has no header: the next one replaces it
	lost       []string   // what is wrong with it
	undigested []finished // files that no digest names
	digest     *storedDigest
	head       *headState
	first      *header // of the oldest file
}

func (f *found) lose(format string, args ...any) {
	if len(f.lost) < 20 { // it becomes part of a header
		f.lost = append(f.lost, cut(fmt.Sprintf(format, args...), maxText))
	}
}

func (f *found) digestEnd() time.Time {
	t, err := time.Parse(time.RFC3339, f.digest.End)
	if err != nil {
		return time.Time{}
	}
	return t
}

// cover extends the times of a file by a record's.
func (f *finished) cover(at string) {
	if f.oldest == "" || at < f.oldest {
		f.oldest = at
	}
	f.newest = max(f.newest, at)
}

// find looks for the end of the chain. It reads the files that no digest names, at least
// the last one. Errors are those of the file system.
func (l *Log) find() (*found, error) {
	f := &found{}
	if err := l.findHead(f); err != nil {
		return nil, err
	}
	covered, err := l.findDigest(f)
	if err != nil {
		return nil, err
	}
	numbers, err := listLogs(l.o.FS, l.o.Dir)
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		if f.head != nil && f.head.File > 0 {
			f.lose("all files of the audit log are missing; the last record was %d", f.head.Seq)
			f.at.file, f.at.seq = f.head.File, f.head.Seq
			f.head.Start.File = 0
		}
		return f, nil
	}
	if f.first, err = headerOf(l.o.FS, l.o.Dir, numbers[0]); err != nil {
		f.first = nil
	}
	if f.head == nil && len(f.lost) == 0 {
		f.lose("the signed head of the audit log is missing")
	}
	var before *place
	for i, n := range numbers {
		// The file before the first one without a digest is read to check where they meet.
		last := i == len(numbers)-1
		if n > covered || last || numbers[i+1] > covered {
			if err := l.findFile(f, n, before, n > covered, last); err != nil {
				return nil, err
			}
			before = &f.at
		}
	}
	switch {
	case f.head == nil:
	case f.at.seq < f.head.Seq:
		f.lose("the audit log ended with record %d when its head was signed at %s, now it ends with record %d: its end was cut", f.head.Seq, f.head.Time, f.at.seq)
		f.at.seq = f.head.Seq
	case f.at.file < f.head.File:
		f.lose("file %s of the audit log is missing", logName(f.head.File))
	}
	return f, nil
}

// findFile follows one file.
func (l *Log) findFile(f *found, number uint64, before *place, undigested, last bool) error {
	done := finished{number: number}
	check := func(seq uint64, h hash) {
		if f.head != nil && f.head.File == number && f.head.Seq == seq && f.head.Hash != h.String() {
			f.lose("record %d is not the one of the signed head: the end of %s was changed", seq, logName(number))
		}
	}
	at, err := follow(l.o.FS, l.o.Dir, number, before, visitor{
		opened: func(h *header, e *entry) error {
			check(h.First-1, e.hash)
			return nil
		},
		seen: func(r *line, e *entry) error {
			check(r.Seq, e.hash)
			done.cover(timeOf(r.Event))
			return nil
		},
	})
	done.sum, done.bytes = at.sum, at.size
	var damaged *vfs.CorruptError
	switch {
	case errors.Is(err, errNoHeader) && last:
		f.at.file, f.empty = number, true
		return nil
	case errors.As(err, &damaged):
		f.lose("%v", err)
		at.seq = lastNumber(l.o.FS, l.o.Dir, number, at.seq)
		at.file = number
	case err != nil:
		return err
	case undigested:
		f.undigested = append(f.undigested, done) // no digest vouches for a damaged file
	}
	f.at, f.empty = at, false
	return nil
}

// timeOf returns the time of a record in the clear, "" for a sealed one.
func timeOf(event json.RawMessage) string {
	var e struct {
		Time string `json:"eventTime"`
	}
	if event == nil || json.Unmarshal(event, &e) != nil {
		return ""
	}
	return e.Time
}

// lastNumber returns the greatest number of a record in a damaged file, so that new records
// do not repeat one.
func lastNumber(fsys vfs.FS, dir string, number, least uint64) uint64 {
	f, size, err := open(fsys, filepath.Join(dir, logName(number)))
	if err != nil {
		return least
	}
	defer f.Close()
	_, _ = readLines(f, 0, size, func(e *entry) error {
		if l, _, err := parseLine(e.text); err == nil && l.Seq > least && l.Seq < least+1<<32 {
			least = l.Seq
		}
		return nil
	})
	return least
}

// headerOf reads the header of a file.
func headerOf(fsys vfs.FS, dir string, number uint64) (*header, error) {
	f, size, err := open(fsys, filepath.Join(dir, logName(number)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := &header{}
	err = errNoHeader
	_, readErr := readLines(f, 0, size, func(e *entry) error {
		*h, err = parseHeader(e.text)
		return io.EOF
	})
	if readErr != nil {
		return nil, readErr
	}
	return h, err
}

// findHead reads the signed head.
func (l *Log) findHead(f *found) error {
	key := &PublicKey{&l.o.Signer.key.PublicKey}
	b, err := readSmall(l.o.FS, filepath.Join(l.o.Dir, HeadName), 64<<10)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if f.head, err = parseHead(b, key); err != nil {
		f.lose("the signed head of the audit log cannot be used: %v", err)
		f.head = nil
	}
	return nil
}

// findDigest reads the newest digest, and returns the number of the newest log file that
// a digest names.
func (l *Log) findDigest(f *found) (covered uint64, err error) {
	names, err := listDigests(l.o.FS, l.o.Dir)
	if err != nil {
		return 0, err
	}
	key := &PublicKey{&l.o.Signer.key.PublicKey}
	for i := len(names) - 1; i >= 0; i-- {
		d, err := readDigest(l.o.FS, l.o.Dir, names[i])
		if err == nil {
			err = key.Verify(d.signedText(d.text), d.signature)
		}
		if err != nil {
			f.lose("digest %s: %v", names[i], err)
			continue
		}
		if f.digest == nil {
			f.digest = d
		}
		for _, file := range d.Files {
			if n, ok := logNumber(file.Object); ok {
				covered = max(covered, n)
			}
		}
		if covered > 0 {
			break
		}
	}
	if f.head != nil && f.head.Digest != "" && (f.digest == nil || f.digest.name != f.head.Digest) && (f.digest == nil || f.digest.name < f.head.Digest) {
		f.lose("digest %s is missing", f.head.Digest)
	}
	return covered, nil
}
