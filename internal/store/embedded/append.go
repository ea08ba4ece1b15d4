package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/embedded/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// commitMost is how many bytes of batches share one sync at most.
	commitMost = 8 << 20
	// walFileSize is where the log begins a new file.
	walFileSize = 64 << 20
	// patience is how long an Append waits for room before it is throttled: long
	// enough for a block to be written, short enough for any client's timeout.
	patience = 2 * time.Second
	// retryWrites is how often a store that cannot write tries again.
	retryWrites = time.Second
)

// batch is one Append on its way through the committer.
type batch struct {
	account  trace.Account
	segments []*trace.Segment
	sequence uint64
	size     int
	done     chan error
}

var errClosed = trace.Errorf(trace.KindUnavailable, "the store is closed")

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, name trace.Account, segments []*trace.Segment) error {
	if len(segments) == 0 {
		return nil
	}
	b := &batch{account: name, segments: segments, done: make(chan error, 1)}
	for _, seg := range segments {
		b.size += weight(seg)
	}
	if err := s.admit(ctx, int64(b.size)); err != nil {
		return err
	}
	select {
	case s.queue <- b:
	case <-s.stop:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// Once queued the batch will be stored; waiting for that is short, and leaving
	// early would only hide the outcome.
	select {
	case err := <-b.done:
		return err
	case <-s.stop:
		select {
		case err := <-b.done:
			return err
		case <-time.After(10 * time.Second):
			return errClosed
		}
	}
}

// admit waits until there is room for n bytes in the head, at most patience.
func (s *Store) admit(ctx context.Context, n int64) error {
	var timeout <-chan time.Time
	for {
		s.mu.RLock()
		closed, readOnly, full, room := s.closed, s.readOnly, s.headBytes+n > s.o.MemoryLimit, s.room
		s.mu.RUnlock()
		switch {
		case closed:
			return errClosed
		case readOnly != "":
			return trace.Errorf(trace.KindUnavailable, "segments cannot be stored: %s", readOnly)
		case !full:
			return nil
		}
		s.wake()
		if timeout == nil {
			timeout = time.After(patience)
		}
		select {
		case <-room:
		case <-s.stop:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout:
			return trace.Errorf(trace.KindThrottled, "%d MB of open traces are in memory; try again in a second", s.o.MemoryLimit>>20)
		}
	}
}

// weight is about what a segment takes in memory.
func weight(s *trace.Segment) int { return 2*len(s.Raw) + 600 }

// wake has the settler look at once.
func (s *Store) wake() {
	select {
	case s.flushNow <- struct{}{}:
	default:
	}
}

// commit is the only goroutine that writes the log. It takes all batches that
// wait, writes them with one sync, makes them visible in that order, and only
// then answers. After a failed write it tries by itself to begin a new file.
func (s *Store) commit() {
	retry := time.NewTicker(retryWrites)
	defer retry.Stop()
	for {
		select {
		case b := <-s.queue:
			s.commitGroup(s.gather(b))
		case <-retry.C:
			if s.failed != nil {
				s.resumeWriting()
			}
		case <-s.stop:
			for {
				select {
				case b := <-s.queue:
					s.commitGroup([]*batch{b})
				default:
					return
				}
			}
		}
	}
}

// gather takes the batches that wait behind one, up to commitMost.
func (s *Store) gather(b *batch) []*batch {
	group := []*batch{b}
	for size := b.size; size < commitMost; size += b.size {
		select {
		case b = <-s.queue:
			group = append(group, b)
		default:
			return group
		}
	}
	return group
}

func (s *Store) commitGroup(group []*batch) {
	if s.failed != nil {
		answer(group, s.failed)
		return
	}
	payloads := make([][]byte, len(group))
	for i, b := range group {
		s.sequence++
		b.sequence = s.sequence
		payloads[i] = encodeBatch(b)
	}
	file, err := s.wal.Write(payloads)
	if err != nil {
		answer(group, s.stopWriting(err))
		return
	}
	now := s.o.Now()
	s.mu.Lock()
	n := 0
	for _, b := range group {
		s.apply(b, file, now)
		n += len(b.segments)
	}
	s.walBytes = s.wal.Size()
	removable, pressed := s.removable, s.headBytes > s.o.MemoryLimit/2
	s.mu.Unlock()
	for _, b := range group {
		b.done <- nil
		s.followers.publish(b.account, len(b.segments), now)
	}
	if pressed {
		s.wake()
	}
	s.tidyLog(removable)
}

// tidyLog begins a new file when the current one is large, and removes files
// whose content is in blocks. Failures show at the next write.
func (s *Store) tidyLog(removable uint64) {
	if s.wal.FileSize() > walFileSize {
		if err := s.wal.Rotate(); err != nil {
			s.log.Warn("the write-ahead log cannot begin a new file", "error", err)
		}
	}
	if err := s.wal.RemoveBefore(removable); err != nil {
		s.log.Warn("write-ahead log files that are no longer needed were not removed", "error", err)
	}
}

// removeLog removes log files at Close, when the committer has ended.
func (s *Store) removeLog() error {
	s.mu.RLock()
	removable, empty := s.removable, s.headBytes == 0
	s.mu.RUnlock()
	if empty && s.readOnly == "" {
		removable = s.wal.Current()
	}
	return s.wal.RemoveBefore(removable)
}

// answer tells all batches of a group the same.
func answer(group []*batch, err error) {
	for _, b := range group {
		b.done <- err
	}
}

// stopWriting makes the store read-only after a failed write. What that left in
// the file does not count: the next file's header says so.
func (s *Store) stopWriting(cause error) error {
	s.failed = trace.Errorf(trace.KindUnavailable, "segments cannot be stored: %v", cause)
	s.mu.Lock()
	s.readOnly = cause.Error()
	s.mu.Unlock()
	s.log.Error("segments cannot be stored; reads go on", "error", cause)
	return s.failed
}

// resumeWriting begins a new file; if that works the store can write again.
func (s *Store) resumeWriting() {
	if err := s.wal.Rotate(); err != nil {
		return
	}
	s.failed = nil
	s.mu.Lock()
	s.readOnly = ""
	s.mu.Unlock()
	s.log.Info("segments can be stored again")
}

// A batch in the log: its sequence, the account, its segments.
func encodeBatch(b *batch) []byte {
	size := 64
	for _, seg := range b.segments {
		size += len(seg.Raw) + 24
	}
	out := binary.AppendUvarint(make([]byte, 0, size), b.sequence)
	out = binary.AppendUvarint(out, uint64(len(b.account)))
	out = append(out, b.account...)
	return block.AppendSegments(out, b.segments)
}

func decodeBatch(p []byte, restore block.Restore) (*batch, error) {
	b := &batch{}
	var n, length int
	b.sequence, n = binary.Uvarint(p)
	if n > 0 {
		var l uint64
		p = p[n:]
		l, n = binary.Uvarint(p)
		length = int(min(l, uint64(len(p))))
	}
	if n <= 0 || n+length > len(p) {
		return nil, errors.New("batch is cut short")
	}
	b.account = trace.Account(p[n : n+length])
	var err error
	if b.segments, _, err = block.ReadSegments(p[n+length:], restore); err != nil {
		return nil, fmt.Errorf("batch %d: %w", b.sequence, err)
	}
	return b, nil
}
