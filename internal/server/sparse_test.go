package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
)

// One line per kind and minute, however many requests fail; the next one says how many
// were left out. Different records, and those with a request's id, are always written.
func TestSparse(t *testing.T) {
	var out bytes.Buffer
	h := newSparse(slog.NewTextHandler(&out, nil))
	now := time.Unix(1_780_000_000, 0)
	h.kinds.now = func() time.Time { return now }
	log := slog.New(h)
	count := func(part string) int { return strings.Count(out.String(), part) }
	full := fmt.Errorf("write log: %w", syscall.ENOSPC)
	for n := range 500 {
		log.Error("segments not stored", "protocol", "udp", "segments", n, "error", full)
		log.Error("segments not stored", "protocol", "xray", "segments", n, "error", full)
		log.Error("request failed", "request_id", n, "error", full)
		log.Error("data is damaged", "damage", fmt.Sprint("place ", n))
		log.Info("a group was made", "error", n)
	}
	log.Error("segments not stored", "protocol", "udp", "error", syscall.EIO)
	log.Error("segments not stored", "protocol", "udp", "error", errors.New("closed"))
	for part, want := range map[string]int{"segments not stored": 4, "request failed": 500, "data is damaged": 500, "a group was made": 500, "not_logged_since": 0} {
		if got := count(part); got != want {
			t.Errorf("%d lines have %q, want %d", got, part, want)
		}
	}
	now = now.Add(sparseTime)
	log.With("a", 1).Error("segments not stored", "protocol", "udp", "error", full)
	if count("not_logged_since=499") != 1 {
		t.Errorf("after a minute: %s", out.String()[out.Len()-300:])
	}
	for n := range 3 * sparseKinds {
		log.Warn(fmt.Sprint("kind ", n), "error", full)
	}
	if len(h.kinds.of) > sparseKinds {
		t.Errorf("%d kinds are kept", len(h.kinds.of))
	}
}
