package audit

import (
	"path/filepath"
	"time"
)

// retain deletes files all of whose records are older than Options.Keep, and the digests
// that name only such files. The signed head says from then on where the chain begins.
func (l *Log) retain(now time.Time) error {
	numbers, err := listLogs(l.o.FS, l.o.Dir)
	if err != nil {
		return err
	}
	limit := now.Add(-l.o.Keep)
	var doomed []uint64
	var next *header
	for i, n := range numbers[:max(0, len(numbers)-1)] {
		// Everything in a file is older than the file after it.
		after, err := headerOf(l.o.FS, l.o.Dir, numbers[i+1])
		if err != nil {
			break // damage stays
		}
		opened, err := time.Parse(time.RFC3339Nano, after.Opened)
		if err != nil || opened.After(limit) {
			break
		}
		doomed, next = append(doomed, n), after
	}
	if len(doomed) == 0 {
		return nil
	}
	l.head.Start.File, l.head.Start.Seq, l.head.Start.Hash = next.File, next.First-1, next.Prev
	digests, err := l.oldDigests(next.File)
	if err != nil {
		return err
	}
	if err := l.saveHead(); err != nil {
		return err
	}
	for _, n := range doomed {
		if err := l.o.FS.Remove(filepath.Join(l.o.Dir, logName(n))); err != nil {
			return err
		}
	}
	for _, name := range digests {
		if err := l.o.FS.Remove(filepath.Join(l.o.Dir, digestDir, name)); err != nil {
			return err
		}
	}
	e := NewEvent(l.o.Owner, "DeleteAuditFiles", map[string]any{
		"firstFile": logName(doomed[0]), "lastFile": logName(doomed[len(doomed)-1]), "lastRecord": next.First - 1, "reason": "older than " + l.o.Keep.String(),
	})
	b, err := e.encode(now)
	if err != nil {
		return err
	}
	l.o.Logger.Info("old files of the audit log were deleted", "files", len(doomed), "last_record", next.First-1)
	return l.append([]*pending{{event: b, time: e.Time}})
}

// oldDigests returns the digests before the first one that names a file from a number on,
// and notes that one in the head.
func (l *Log) oldDigests(from uint64) (old []string, err error) {
	names, err := listDigests(l.o.FS, l.o.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		d, err := readDigest(l.o.FS, l.o.Dir, name)
		if err != nil || name == l.head.Digest {
			break // damage stays, and so does the newest
		}
		needed := false
		for _, file := range d.Files {
			n, ok := logNumber(file.Object)
			needed = needed || !ok || n >= from
		}
		if needed {
			break
		}
		old = append(old, name)
	}
	if len(old) < len(names) {
		l.head.Digests = names[len(old)]
	}
	return old, nil
}
