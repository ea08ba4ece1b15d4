package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Entry is an entry found by Open.
type Entry struct {
	LSN  uint64
	File uint64
	At   int64  // offset of its frame in the file
	Data []byte // the receiver may keep it
	// Locked is not nil if the entry is sealed and its key cannot be used: it has no
	// Data, and stays in its file.
	Locked *Locked
}

// Found tells what Open found besides entries.
type Found struct {
	// Damage has one *vfs.CorruptError for each place where acknowledged data is
	// missing; the data after it was read.
	Damage []error
	// Torn is the number of dropped bytes that were never acknowledged.
	Torn int64
}

// Open reads a log, calls apply for each entry in order, and prepares to append. It
// does not fail because of files that are missing, damaged, unreadable or of another
// version: it reports them in Found. Nor does it fail if the disk cannot be written:
// the first Append tries again. It fails with an error of apply.
func Open(o Options, apply func(Entry) error) (*Log, Found, error) {
	r := recovery{o: o, apply: apply, log: &Log{o: o, nextLSN: max(1, o.NextLSN, o.Known.LSN), last: o.Known.Newest}, synced: map[uint64]synced{}}
	if err := r.run(); err != nil {
		return nil, r.found, err
	}
	r.log.durable = r.log.nextLSN
	return r.log, r.found, nil
}

type recovery struct {
	o      Options
	apply  func(Entry) error
	log    *Log
	found  Found
	synced map[uint64]synced // by number, from the .synced files
	seals  sealings          // of the file that is being read
}

// synced is how much of a log file is known to be synced.
type synced struct {
	bytes int64
	lsn   uint64 // after the last entry
}

// image is a file's content.
type image struct {
	number uint64
	name   string
	data   []byte
	header header
	state  headerState
	reason error // of headerBad
}

type headerState uint8

const (
	headerGood headerState = iota
	headerTorn             // the machine stopped while the file was being made
	headerBad
)

func (r *recovery) run() error {
	names, err := r.o.FS.List(r.o.Dir)
	if err != nil && !isGone(err) { // before the first start there is no directory
		r.damage(r.o.Dir, -1, "no log file can be read: %v", err)
		return nil
	}
	var numbers []uint64
	for _, n := range names {
		if number, ok := Number(n); ok {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	r.readSynced(names, numbers)
	r.missing(numbers)
	if n := len(numbers); n > 0 {
		r.log.last = max(r.log.last, numbers[n-1])
	}
	var current, next *image
	for i := range numbers {
		if current = next; current == nil {
			current = r.read(numbers[i])
		}
		next = nil
		last := i == len(numbers)-1
		if !last {
			next = r.read(numbers[i+1])
			if next.state == headerTorn && i+1 != len(numbers)-1 {
				next.state = headerBad
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

func (r *recovery) path(number uint64) string { return filepath.Join(r.o.Dir, fileName(number)) }

// readSynced reads the .synced files. It ignores those of log files that are no
// longer needed.
func (r *recovery) readSynced(names []string, numbers []uint64) {
	for _, n := range names {
		number, ok := syncedNumber(n)
		if !ok {
			continue
		}
		_, there := slices.BinarySearch(numbers, number)
		if !there && number < r.o.Known.Oldest {
			r.log.stale = append(r.log.stale, n)
			continue
		}
		// An unreadable file records nothing.
		if b, err := readAll(r.o.FS, filepath.Join(r.o.Dir, n)); err == nil {
			bytes, lsn := lastSynced(b)
			r.synced[number] = synced{bytes, lsn}
			r.log.nextLSN = max(r.log.nextLSN, lsn)
			r.log.last = max(r.log.last, number)
		}
	}
	if k := r.o.Known; k.Newest > 0 && k.Bytes > r.synced[k.Newest].bytes {
		r.synced[k.Newest] = synced{k.Bytes, k.LSN}
	}
}

// missing reports missing files: gaps between existing files, and files known from
// elsewhere.
func (r *recovery) missing(numbers []uint64) {
	var first, last uint64
	if n := len(numbers); n > 0 {
		first, last = numbers[0], numbers[n-1]
	}
	if k := r.o.Known; k.Oldest > 0 && k.Oldest <= k.Newest {
		if first == 0 || k.Oldest < first || len(k.Held) > 0 {
			first = k.Oldest
		}
		last = max(last, k.Newest)
	}
	for _, h := range r.o.Known.Held { // of older files only these are needed
		if _, there := slices.BinarySearch(numbers, h.Number); !there {
			r.gap(h.Number, h.Number)
		}
	}
	for number := range r.synced {
		if len(r.o.Known.Held) > 0 && number < first {
			continue
		}
		if first == 0 || number < first {
			first = number
		}
		last = max(last, number)
	}
	if first == 0 {
		return
	}
	at := first
	for _, number := range append(slices.Clone(numbers), last+1) {
		if number < first {
			continue
		}
		if number > at {
			r.gap(at, number-1)
		}
		at = max(at, number+1)
	}
}

// gap reports a range of missing files.
func (r *recovery) gap(from, to uint64) {
	const most = 16 // reported one by one
	if to-from >= most {
		r.damage(r.path(from), -1, "the log file is missing, and so are all up to %s", fileName(to))
		return
	}
	for n := from; n <= to; n++ {
		if s := r.synced[n]; s.bytes > fileStart {
			r.damage(r.path(n), -1, "the log file is missing: %d bytes of it were acknowledged, up to entry %d", s.bytes, s.lsn-1)
		} else {
			r.damage(r.path(n), -1, "the log file is missing")
		}
	}
}

func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened only for reading
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(data)) {
		return nil, err
	}
	return data, nil
}

// read loads a file and its header.
func (r *recovery) read(number uint64) *image {
	im := &image{number: number, name: r.path(number)}
	var err error
	if im.data, err = readAll(r.o.FS, im.name); err != nil {
		im.state, im.reason = headerBad, fmt.Errorf("the file cannot be read: %w", err)
		return im
	}
	size := int64(len(im.data))
	var first, second error
	im.header, first = decodeHeader(im.data)
	if first != nil {
		im.header, second = decodeHeader(im.data[min(headerBytes, len(im.data)):])
	} else {
		_, second = decodeHeader(im.data[min(headerBytes, len(im.data)):])
	}
	switch {
	case first != nil && second != nil:
		im.state, im.reason = headerBad, errors.New("both copies of the header are unreadable")
		if errors.Is(first, errVersion) {
			im.reason = first
		} else if errors.Is(second, errVersion) {
			im.reason = second
		} else if size <= fileStart && r.synced[number].bytes <= fileStart {
			im.state = headerTorn // frames are written only after a synced header
		}
	case size > fileStart && first != nil:
		r.damage(im.name, 0, "first copy of the header: %v", first)
	case size > fileStart && second != nil:
		r.damage(im.name, headerBytes, "second copy of the header: %v", second)
	}
	if im.state == headerGood && im.header.number != number {
		im.state, im.reason = headerBad, fmt.Errorf("the file says it is number %d", im.header.number)
	}
	return im
}

// file replays one file and records it.
func (r *recovery) file(im, next *image, last bool) error {
	if im.state == headerTorn && last {
		// Unless a later file exists, the next new file takes its number and
		// replaces it.
		r.found.Torn += int64(len(im.data))
		if r.log.last == im.number {
			r.log.last--
		}
		return nil
	}
	info := fileInfo{number: im.number, bytes: int64(len(im.data))}
	before := len(r.found.Damage)
	defer func() {
		info.damaged = len(r.found.Damage) > before
		r.log.files = append(r.log.files, info)
	}()
	if im.state != headerGood {
		if im.reason == nil { // it looked torn, but later files exist
			im.reason = errors.New("both copies of the header are unreadable")
		}
		r.damage(im.name, 0, "%w; nothing of the file is replayed", im.reason)
		return nil
	}
	data, open := im.data, last
	if i := slices.IndexFunc(r.o.Known.Held, func(h HeldFile) bool { return h.Number == im.number }); i >= 0 && !last {
		if known := r.o.Known.Held[i].Bytes; known > int64(len(data)) {
			r.damage(im.name, int64(len(data)), "the file ends here, but %d bytes were acknowledged", known)
		} else {
			data = data[:known]
			info.bytes = known
		}
	} else if next != nil {
		switch {
		case next.state == headerTorn:
			open = true
		case next.state == headerGood && next.header.number == im.number+1:
			if next.header.previous > int64(len(data)) {
				r.damage(im.name, int64(len(data)), "the file ends here, but %d bytes were acknowledged", next.header.previous)
			} else {
				data = data[:next.header.previous]
				info.bytes = next.header.previous
			}
		}
	}
	valid, err := r.frames(im, &info, data, open)
	if next == nil || open {
		info.bytes = valid
	}
	return err
}

// frames replays the frames of a file. open is true if its end may be torn.
func (r *recovery) frames(im *image, info *fileInfo, data []byte, open bool) (valid int64, err error) {
	expected := im.header.firstLSN
	r.log.nextLSN = max(r.log.nextLSN, expected)
	at := min(fileStart, len(data))
	valid = int64(at)
	for at < len(data) {
		f, bad := readFrame(data[at:], im.header.salt)
		if bad != nil {
			skip := nextFrame(data[at+1:], im.header.salt)
			if skip < 0 && open && r.synced[im.number].bytes <= int64(at) {
				r.found.Torn += int64(len(data) - at)
				return valid, nil
			}
			r.damage(im.name, int64(at), "%v%s", bad, r.lost(im.number, skip < 0 && open))
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
		if err := r.entries(im, info, &f, at); err != nil {
			return valid, err
		}
		at += f.size
		valid = int64(at)
	}
	if open && r.synced[im.number].bytes > valid {
		r.damage(im.name, valid, "the file ends here%s", r.lost(im.number, true))
	}
	return valid, nil
}

// lost returns a text about the acknowledged bytes of a file whose end cannot be
// read.
func (r *recovery) lost(number uint64, end bool) string {
	s := r.synced[number]
	if !end || s.bytes <= fileStart {
		return ""
	}
	return fmt.Sprintf("; %d bytes of the file were acknowledged, up to entry %d", s.bytes, s.lsn-1)
}

func (r *recovery) entries(im *image, info *fileInfo, f *frame, at int) error {
	if f.kind == kindEnd {
		return nil
	}
	if f.kind == kindEntries && f.codec == codecEach {
		return r.each(im, info, f, at)
	}
	entries, err := f.split()
	if err != nil || f.kind != kindEntries {
		r.damage(im.name, int64(at), "frame of kind %d: %v", f.kind, err)
		return nil
	}
	info.seen(KeyUse{}, false)
	for i, e := range entries {
		if err := r.give(im, Entry{LSN: f.lsn + uint64(i), File: im.number, At: int64(at), Data: e}); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) give(im *image, e Entry) error {
	if err := r.apply(e); err != nil {
		return fmt.Errorf("replay log file %s at byte %d: %w", im.name, e.At, err)
	}
	return nil
}

// each gives the entries of a frame that are sealed one by one.
func (r *recovery) each(im *image, info *fileInfo, f *frame, at int) error {
	salt, list, err := f.splitEach()
	if err != nil {
		r.damage(im.name, int64(at), "%v", err)
		return nil
	}
	if r.seals.number != im.number || r.seals.salt != salt {
		r.seals = sealings{number: im.number, salt: salt}
	}
	find := r.o.Find
	if find == nil {
		find = func(string, uint32) (vfs.SealKey, error) { return nil, errors.New("this program has no keys") }
	}
	for i := range list {
		e := Entry{LSN: f.lsn + uint64(i), File: im.number, At: int64(at)}
		info.seen(list[i].use, list[i].sealed())
		var err error
		if e.Data, e.Locked, err = r.seals.open(&list[i], e.LSN, find); err != nil {
			r.damage(im.name, int64(at), "entry %d: %v", e.LSN, err)
			continue
		}
		if err := r.give(im, e); err != nil {
			return err
		}
	}
	return nil
}

// Read reads the synced entries of one file again, which may be the newest one, with the
// keys that find finds. damage names places that cannot be read.
func (l *Log) Read(number uint64, find vfs.FindKey, apply func(Entry) error) (damage []error, err error) {
	l.mu.Lock()
	i := slices.IndexFunc(l.files, func(f fileInfo) bool { return f.number == number })
	var bytes int64
	if i >= 0 {
		bytes = l.files[i].bytes
	}
	l.mu.Unlock()
	if i < 0 {
		return nil, fmt.Errorf("log file %d is gone", number)
	}
	o := l.o
	o.Find = find
	r := recovery{o: o, apply: apply, log: &Log{}, synced: map[uint64]synced{}}
	im := r.read(number)
	if im.state != headerGood {
		return append(r.found.Damage, vfs.Corrupt(im.name, 0, "the log file cannot be read again: %v", im.reason)), nil
	}
	_, err = r.frames(im, &fileInfo{}, im.data[:min(bytes, int64(len(im.data)))], false)
	return r.found.Damage, err
}

// nextFrame returns the distance to the next frame with a correct checksum, or -1.
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
