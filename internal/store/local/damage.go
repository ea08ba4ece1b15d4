package local

import (
	"errors"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const (
	// listedDamage bounds how many places of damage are named, countedDamage how many
	// are counted.
	listedDamage  = 100
	countedDamage = 10_000
	// maxLosses bounds how many losses the manifest remembers.
	maxLosses = 100
)

// CorruptError says which file is damaged and where.
type CorruptError = vfs.CorruptError

// ledger lists the damage that the shelf found. It logs each place once.
type ledger struct {
	log *slog.Logger
	// forgiven are the losses that the manifest at the start called accepted. Nobody
	// changes it afterwards.
	forgiven []string

	mu       sync.Mutex // guards all below
	listed   []string
	known    map[uint64]bool // hashes of all damage, listed or not
	losses   []string        // found lost at some start
	accepted []string        // of forgiven, those that were found again
	leftover []string        // damaged files of earlier starts
}

func newLedger(log *slog.Logger, forgiven []string) *ledger {
	return &ledger{log: log, forgiven: forgiven, known: map[uint64]bool{}}
}

// note counts damage once, and lists and logs it as long as there is room.
func (l *ledger) note(err error) {
	text := err.Error()
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(text)) // never fails
	l.mu.Lock()
	known := l.known[hash.Sum64()] || len(l.known) >= countedDamage
	if !known {
		l.known[hash.Sum64()] = true
	}
	more := !known && len(l.listed) < listedDamage
	if more {
		l.listed = append(l.listed, text)
	}
	last := more && len(l.listed) == listedDamage
	l.mu.Unlock()
	if more {
		l.log.Error("data is damaged; the rest is served", "damage", text)
	}
	if last {
		l.log.Error("more damage is only counted; 'fluoro store check' lists all of it", "listed", listedDamage)
	}
}

// lose notes a loss that the next start cannot find again, because new files have
// taken the place of the missing ones: the manifest has to remember it.
func (l *ledger) lose(text string) {
	if slices.Contains(l.forgiven, text) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.accepted = append(l.accepted, text)
		return
	}
	l.note(errors.New(text))
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.losses, text) && len(l.losses) < maxLosses {
		l.losses = append(l.losses, text)
	}
}

// leave names damaged files that an earlier start replaced and kept.
func (l *ledger) leave(files []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leftover = files
}

// remembered returns what the manifest remembers of losses.
func (l *ledger) remembered() (losses, accepted []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.losses), slices.Clone(l.accepted)
}

// report adds the damage to a status.
func (l *ledger) report(st *store.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.Damage, st.Damaged, st.Notes = slices.Clone(l.listed), int64(len(l.known)), slices.Clone(l.leftover)
}

// corrupt tells whether an error is damage: the ledger notes it, and the shelf serves
// the rest.
func corrupt(err error) bool {
	_, is := errors.AsType[*CorruptError](err)
	return is
}
