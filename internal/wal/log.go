// Package wal is the write-ahead log of the embedded engine: numbered files of
// checksummed frames, with one frame and one sync for all entries that commit
// together.
//
// Entries are opaque bytes, numbered by a log sequence number (LSN) that grows by
// one for each. An entry whose Append returned nil is durable. One Append runs at a
// time, so only the last frame of the last file can be torn; that frame was never
// acknowledged and is dropped on recovery. Every file records how many bytes of the
// previous file are valid, so that leftovers of a failed write are never read, and
// missing bytes are noticed. A file beside the newest file records how much of it is
// synced, and the caller of Open can pass what it knows.
package wal

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Options tell where a log is and how large its files become.
type Options struct {
	FS  vfs.FS
	Dir string // must exist
	// FileBytes is the length at which a new file begins.
	FileBytes int64
	// NextLSN is the lowest LSN for new entries: one more than the highest known
	// elsewhere.
	NextLSN uint64
	// Known is the minimum content of the log, as known elsewhere.
	Known Mark
	// Find finds the keys of sealed entries; nil: none can be read.
	Find vfs.FindKey
	// Warn, if not nil, is called with problems that do not affect acknowledged
	// entries.
	Warn func(error)
}

// Mark is the minimum content of a log. The zero mark requires nothing.
type Mark struct {
	Oldest uint64 // number of the oldest file that is needed, without Held
	Newest uint64 // number of the newest file
	Bytes  int64  // its synced bytes
	LSN    uint64 // one more than the LSN of the last synced entry
	// Held are older files that are needed, too; those between are not.
	Held []HeldFile
}

// HeldFile is a file that is needed although newer ones are not.
type HeldFile struct {
	Number uint64 `json:"number"`
	Bytes  int64  `json:"bytes"` // that are valid
}

// Log is an open log. Append, Rotate and Close may be called by one goroutine at a
// time, the others by any.
type Log struct {
	o       Options
	nextLSN uint64
	file    vfs.File // nil after a failure, and before the first file
	header  header
	seals   sealings // of file
	size    int64    // synced bytes of file
	frame   []byte
	scratch []byte
	synced  vfs.File // records how much of file is synced; nil before the first frame
	blind   bool     // synced could not be written

	mu      sync.Mutex // guards the following fields
	files   []fileInfo // ascending; the last one is written to
	last    uint64     // highest number of any file, present or past
	durable uint64     // LSN after the last synced entry
	stale   []string   // .synced files of log files that no longer exist
	held    []uint64   // files that Remove keeps
	closed  bool
}

type fileInfo struct {
	number  uint64
	bytes   int64 // valid
	damaged bool
	clear   bool            // it has entries that are not sealed
	keys    map[KeyUse]bool // of sealed entries; Log.mu guards it
}

// seen notes the entries of a frame.
func (f *fileInfo) seen(use KeyUse, sealed bool) {
	if !sealed {
		f.clear = true
	} else if !f.keys[use] {
		if f.keys == nil {
			f.keys = map[KeyUse]bool{}
		}
		f.keys[use] = true
	}
}

// File returns the number of the newest file.
func (l *Log) File() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) == 0 {
		return 0
	}
	return l.files[len(l.files)-1].number
}

// isHeld tells whether Remove keeps a file in any case. The mutex is held.
func (l *Log) isHeld(number uint64) bool { return slices.Contains(l.held, number) }

// oldest returns the place of the oldest file that is not held. The mutex is held.
func (l *Log) oldest() int {
	if len(l.held) == 0 {
		return 0
	}
	return slices.IndexFunc(l.files, func(f fileInfo) bool { return !l.isHeld(f.number) })
}

// Oldest returns the number of the oldest file that is not held, 0 if there is none.
func (l *Log) Oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.oldest(); i >= 0 && i < len(l.files) {
		return l.files[i].number
	}
	return 0
}

// OldestKept returns the number of the oldest file, held or not.
func (l *Log) OldestKept() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) == 0 {
		return 0
	}
	return l.files[0].number
}

// Files returns the number of files that are not held.
func (l *Log) Files() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if !l.isHeld(f.number) {
			n++
		}
	}
	return n
}

// Hold names the files that Remove keeps, although newer ones are removed.
func (l *Log) Hold(numbers []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = numbers
}

// Clear returns how many files have entries that are not sealed, and how many have sealed
// ones.
func (l *Log) Clear() (clear, sealed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.clear {
			clear++
		}
		if len(f.keys) > 0 {
			sealed++
		}
	}
	return clear, sealed
}

// Keys returns the data keys that the entries of all files need.
func (l *Log) Keys() map[KeyUse]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[KeyUse]bool{}
	for _, f := range l.files {
		maps.Copy(all, f.keys)
	}
	return all
}

// Size returns the sum of the lengths of all files.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, f := range l.files {
		n += f.bytes
	}
	return n
}

// Mark returns the present content of the log.
func (l *Log) Mark() Mark { return l.MarkBefore(math.MaxUint64) }

// MarkBefore returns the content of the files before one, which is not the oldest.
func (l *Log) MarkBefore(number uint64) Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Mark{LSN: l.durable}
	for i, f := range l.files {
		if f.number >= number {
			break
		}
		m.Newest, m.Bytes = f.number, f.bytes
		if l.isHeld(f.number) && i != len(l.files)-1 {
			m.Held = append(m.Held, HeldFile{f.number, f.bytes})
		} else if m.Oldest == 0 {
			m.Oldest = f.number
		}
	}
	if m.Oldest == 0 {
		m.Oldest, m.Held = m.Newest, slices.DeleteFunc(m.Held, func(h HeldFile) bool { return h.Number == m.Newest })
	}
	return m
}

// Append makes entries durable, all in one frame, and returns the LSN of the first
// entry and the number of their file. After an error it gives up the file: a later
// Open may or may not find the entries, and the next Append begins a new file.
func (l *Log) Append(entries [][]byte) (lsn, file uint64, err error) {
	return l.append(len(entries), func(lsn uint64) (err error) {
		l.frame, l.scratch, err = appendFrame(l.frame[:0], l.scratch, l.header.salt, lsn, entries)
		return err
	}, func(f *fileInfo) { f.seen(KeyUse{}, false) })
}

// AppendSealed is Append for entries that are sealed under the keys of their accounts.
func (l *Log) AppendSealed(entries []Payload) (lsn, file uint64, err error) {
	return l.append(len(entries), func(lsn uint64) (err error) {
		l.frame, l.scratch, err = appendEach(l.frame[:0], l.scratch, &l.seals, lsn, entries)
		return err
	}, func(f *fileInfo) {
		for i := range entries {
			if e := &entries[i]; e.Key != nil {
				f.seen(KeyUse{e.Account, e.Key.ID()}, true)
			} else {
				f.seen(KeyUse{}, false)
			}
		}
	})
}

// append writes the frame that encode makes of n entries.
func (l *Log) append(n int, encode func(lsn uint64) error, seen func(*fileInfo)) (lsn, file uint64, err error) {
	if l.file == nil || l.size >= l.o.FileBytes {
		if err := l.Rotate(); err != nil {
			return 0, 0, err
		}
	}
	lsn = l.nextLSN
	l.nextLSN += uint64(n)
	if err := encode(lsn); err != nil {
		l.nextLSN = lsn
		return 0, 0, err
	}
	l.mu.Lock()
	seen(&l.files[len(l.files)-1])
	l.mu.Unlock()
	if err := l.write(l.frame); err != nil {
		return 0, 0, err
	}
	l.note()
	const keep = 8 << 20 // do not keep the memory of one giant group for ever
	if cap(l.frame) > keep {
		l.frame = nil
	}
	if cap(l.scratch) > keep {
		l.scratch = nil
	}
	return lsn, l.File(), nil
}

// write writes and syncs bytes, or gives up the file.
func (l *Log) write(b []byte) error {
	_, err := l.file.Write(b)
	if err != nil {
		err = fmt.Errorf("write log: %w", err)
	} else if err = l.file.Sync(); err != nil {
		err = fmt.Errorf("sync log: %w", err)
	}
	if err != nil {
		// The bytes after l.size cannot be trusted, even if a later sync succeeds.
		_ = l.file.Close()
		l.file = nil
		if l.size == fileStart {
			// Nothing in it was acknowledged: the next file takes its number.
			l.mu.Lock()
			l.files = l.files[:len(l.files)-1]
			l.last--
			l.mu.Unlock()
		}
		return err
	}
	l.size += int64(len(b))
	l.mu.Lock()
	l.files[len(l.files)-1].bytes = l.size
	l.durable = l.nextLSN
	l.mu.Unlock()
	return nil
}

// note records how much of the log file is synced. It does not sync the record, so a
// commit pays next to nothing for it: the record survives the process, but not
// always a power failure. Every record found later is true.
func (l *Log) note() {
	if l.blind {
		return
	}
	var err error
	if l.synced == nil {
		l.synced, err = l.o.FS.Create(filepath.Join(l.o.Dir, syncedName(l.File())))
	}
	if err == nil {
		_, err = l.synced.Write(appendSynced(nil, l.size, l.nextLSN))
	}
	if err != nil {
		l.blind = true
		l.warn(fmt.Errorf("record how much of the log is synced: %w", err))
	}
}

func (l *Log) warn(err error) {
	if l.o.Warn != nil {
		l.o.Warn(err)
	}
}

// forget closes the file of note.
func (l *Log) forget() {
	if l.synced != nil {
		_ = l.synced.Close()
	}
	l.synced, l.blind = nil, false
}

// Rotate begins a new file. It also tests whether a failed log can be written again.
func (l *Log) Rotate() error {
	h := header{firstLSN: l.nextLSN, salt: rand.Uint32()}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errors.New("the log is closed")
	}
	h.number = l.last + 1
	if n := len(l.files); n > 0 && l.files[n-1].number == l.last {
		h.previous = l.files[n-1].bytes
	}
	l.mu.Unlock()
	l.forget()
	name := filepath.Join(l.o.Dir, fileName(h.number))
	f, err := l.o.FS.Create(name)
	if err != nil {
		return fmt.Errorf("create log file: %w", err)
	}
	b := h.encode()
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.o.FS.SyncDir(l.o.Dir)
	}
	if err != nil {
		// The next attempt takes the same number and truncates the file.
		return fmt.Errorf("begin log file %s: %w", name, errors.Join(err, f.Close()))
	}
	old := l.file
	l.file, l.header, l.size = f, h, int64(len(b))
	l.seals = sealings{number: h.number, start: h.salt}
	_, _ = crand.Read(l.seals.salt[:]) // never fails
	l.mu.Lock()
	l.files = append(l.files, fileInfo{number: h.number, bytes: l.size})
	l.last = h.number
	l.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil {
			return fmt.Errorf("close log file: %w", err)
		}
	}
	return nil
}

// Failed reports whether the log has no writable file.
func (l *Log) Failed() bool { return l.file == nil }

// Remove deletes all files below the given number that are not held, oldest first. It renames files
// with damage instead, for a person to look at.
func (l *Log) Remove(before uint64) error {
	l.mu.Lock()
	stale := l.stale
	l.stale = nil
	l.mu.Unlock()
	for _, name := range stale {
		l.removeSynced(name)
	}
	for {
		l.mu.Lock()
		i := l.oldest()
		if i < 0 || i >= len(l.files)-1 || l.files[i].number >= before {
			l.mu.Unlock()
			return nil
		}
		f := l.files[i]
		l.mu.Unlock()
		name := filepath.Join(l.o.Dir, fileName(f.number))
		var err error
		if f.damaged {
			err = l.o.FS.Rename(name, name+damagedSuffix)
		} else {
			err = l.o.FS.Remove(name)
		}
		l.removeSynced(syncedName(f.number))
		// The directory is synced after each file, because a file may be missing
		// only if all older ones are.
		if err == nil || isGone(err) {
			err = l.o.FS.SyncDir(l.o.Dir)
		}
		if err != nil {
			return fmt.Errorf("remove log file %s: %w", name, err)
		}
		l.mu.Lock()
		l.files = slices.DeleteFunc(l.files, func(o fileInfo) bool { return o.number == f.number })
		l.mu.Unlock()
	}
}

// removeSynced removes the .synced file of a deleted log file.
func (l *Log) removeSynced(name string) {
	if err := l.o.FS.Remove(filepath.Join(l.o.Dir, name)); err != nil && !isGone(err) {
		l.warn(fmt.Errorf("remove a file of the log: %w", err))
	}
}

// Close marks the end of the log and closes it. Closing twice does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	l.forget()
	if closed || l.file == nil {
		return nil
	}
	b, _, err := appendFrame(nil, nil, l.header.salt, l.nextLSN, nil)
	if err == nil {
		err = l.write(b)
	}
	if l.file == nil {
		return err
	}
	err = errors.Join(err, l.file.Close())
	l.file = nil
	return err
}
