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
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
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
	// Warn, if not nil, is called with problems that do not affect acknowledged
	// entries.
	Warn func(error)
}

// Mark is the minimum content of a log. The zero mark requires nothing.
type Mark struct {
	Oldest uint64 // number of the oldest file that is needed
	Newest uint64 // number of the newest file
	Bytes  int64  // its synced bytes
	LSN    uint64 // one more than the LSN of the last synced entry
}

// Log is an open log. Append, Rotate and Close may be called by one goroutine at a
// time, the others by any.
type Log struct {
	o       Options
	nextLSN uint64
	file    vfs.File // nil after a failure, and before the first file
	salt    uint32
	size    int64 // synced bytes of file
	frame   []byte
	scratch []byte
	synced  vfs.File // records how much of file is synced; nil before the first frame
	blind   bool     // synced could not be written

	mu      sync.Mutex // guards the following fields
	files   []fileInfo // ascending; the last one is written to
	last    uint64     // highest number of any file, present or past
	durable uint64     // LSN after the last synced entry
	stale   []string   // .synced files of log files that no longer exist
	closed  bool
}

type fileInfo struct {
	number  uint64
	bytes   int64 // valid
	damaged bool
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

// Oldest returns the number of the oldest file.
func (l *Log) Oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) == 0 {
		return 0
	}
	return l.files[0].number
}

// Files returns the number of files.
func (l *Log) Files() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.files)
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
func (l *Log) Mark() Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Mark{LSN: l.durable}
	if n := len(l.files); n > 0 {
		m.Oldest, m.Newest, m.Bytes = l.files[0].number, l.files[n-1].number, l.files[n-1].bytes
	}
	return m
}

// MarkBefore returns the content of the files before one, which is not the oldest.
func (l *Log) MarkBefore(number uint64) Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Mark{LSN: l.durable}
	for _, f := range l.files {
		if f.number >= number {
			break
		}
		if m.Oldest == 0 {
			m.Oldest = f.number
		}
		m.Newest, m.Bytes = f.number, f.bytes
	}
	return m
}

// Append makes entries durable, all in one frame, and returns the LSN of the first
// entry and the number of their file. After an error it gives up the file: a later
// Open may or may not find the entries, and the next Append begins a new file.
func (l *Log) Append(entries [][]byte) (lsn, file uint64, err error) {
	if l.file == nil || l.size >= l.o.FileBytes {
		if err := l.Rotate(); err != nil {
			return 0, 0, err
		}
	}
	lsn = l.nextLSN
	l.nextLSN += uint64(len(entries))
	l.frame, l.scratch, err = appendFrame(l.frame[:0], l.scratch, l.salt, lsn, entries)
	if err != nil {
		l.nextLSN = lsn
		return 0, 0, err
	}
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
	l.file, l.salt, l.size = f, h.salt, int64(len(b))
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

// Remove deletes all files below the given number, oldest first. It renames files
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
		if len(l.files) < 2 || l.files[0].number >= before {
			l.mu.Unlock()
			return nil
		}
		f := l.files[0]
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
		l.files = l.files[1:]
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
	b, _, err := appendFrame(nil, nil, l.salt, l.nextLSN, nil)
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
