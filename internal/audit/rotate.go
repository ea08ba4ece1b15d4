package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"
)

// The functions in this file begin and end files. The work mutex is held.

// reopen begins a new file after the last whole line on the disk.
func (l *Log) reopen() error {
	if l.file != nil {
		_ = l.file.Close() // it failed before
		l.file = nil
	}
	found, err := l.find()
	if err != nil {
		return err
	}
	l.undigested = nil // they were found again
	return l.begin(context.Background(), found)
}

// rotate finishes the file and begins the next one. A file without records stays.
func (l *Log) rotate() error {
	if l.current.newest == "" {
		return nil
	}
	if err := l.end(); err != nil {
		return err
	}
	at, _ := l.newest()
	return l.begin(context.Background(), &found{at: at, head: &l.head})
}

// end closes the file and notes it for the next digest.
func (l *Log) end() error {
	if err := errors.Join(l.file.Sync(), l.file.Close()); err != nil {
		l.file = nil
		return err
	}
	l.file = nil
	copy(l.current.sum[:], l.sum.Sum(nil))
	l.undigested = append(l.undigested, l.current)
	return nil
}

// finish ends the last file, with a digest that names it.
func (l *Log) finish() {
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if failed != nil {
		return
	}
	err := l.end()
	if err == nil {
		err = l.digest()
	}
	if err == nil {
		err = l.saveHead()
	}
	if err != nil {
		l.fail(err)
	}
}

// digest signs the files that no digest names yet.
func (l *Log) digest() error {
	now := l.o.Now()
	since := l.digested
	if since.IsZero() {
		since = now
	}
	d, err := makeDigest(l.o.Signer, l.digests, digest{Account: string(l.o.Owner.Account), Start: since.UTC().Format(time.RFC3339)}, now, l.undigested)
	if err != nil {
		return err
	}
	if err := replace(l.o.FS, filepath.Join(l.o.Dir, digestDir, d.name), d.file()); err != nil {
		return err
	}
	l.digests, l.digested, l.undigested = d, now, nil
	l.head.Digest = d.name
	if l.head.Digests == "" {
		l.head.Digests = d.name
	}
	return l.saveHead()
}

// begin makes the next file after what was found.
func (l *Log) begin(ctx context.Context, f *found) (err error) {
	number := f.at.file + 1
	if f.empty {
		number = f.at.file
	}
	h := &header{
		Version: formatVersion, File: number, First: f.at.seq + 1, Prev: f.at.hash.String(), Opened: l.o.Now().UTC().Format(time.RFC3339Nano),
		Torn: f.at.torn, Lost: f.lost,
	}
	if l.sealer, err = newSealer(ctx, l.o.Keys, h); err != nil {
		return err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	text = ascii(text)
	name := filepath.Join(l.o.Dir, logName(number))
	if l.file, err = l.o.FS.Create(name); err != nil {
		return err
	}
	_, err = l.file.Write(append(text[:len(text):len(text)], '\n'))
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		err = l.o.FS.SyncDir(l.o.Dir)
	}
	if err != nil {
		err = errors.Join(err, l.file.Close(), l.o.FS.Remove(name))
		l.file = nil
		return err
	}
	l.sum = sha256.New()
	_, _ = l.sum.Write(append(text[:len(text):len(text)], '\n'))
	l.current = finished{number: number, bytes: int64(len(text)) + 1}
	l.undigested = append(l.undigested, f.undigested...)
	if f.head != nil {
		l.head = *f.head
	}
	if f.digest != nil {
		l.digests, l.digested = f.digest, f.digestEnd()
	}
	if l.digested.IsZero() {
		l.digested = l.o.Now()
	}
	if l.head.Start.File == 0 {
		l.head.Start.File, l.head.Start.Seq, l.head.Start.Hash = number, h.First-1, h.Prev
		if f.first != nil {
			l.head.Start.File, l.head.Start.Seq, l.head.Start.Hash = f.first.File, f.first.First-1, f.first.Prev
		}
	}
	l.dirty = true
	l.advance(place{file: number, seq: h.First - 1, hash: sha256.Sum256(text), size: int64(len(text)) + 1})
	return nil
}
