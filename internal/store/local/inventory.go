package local

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// inventory keeps on disk which files must be there (manifest), what is deleted
// (deleted) and what is over its time (horizon), and removes the files that nothing
// needs. It writes a new list before it removes what the list does not have any more.
type inventory struct {
	*base
	state *state
	log   *log

	mu     sync.Mutex // guards all below; one write at a time
	saved  []byte     // the manifest on disk, one copy of it
	sealed bool       // it is sealed
	newest uint64     // generation of the manifest and of the tombstones, the greater one
	aside  bool       // a file of deletions that cannot be read is to be kept
	beside []string   // files of others that must be there
}

func newInventory(b *base, s *state, l *log) *inventory {
	v := &inventory{base: b, state: s, log: l, aside: s.catalog.tombstones.unreadable}
	v.newest = s.catalog.tombstones.generation
	if m := b.dir.manifest; m != nil {
		v.beside, v.newest = m.Beside, max(m.generation, m.Tombstones, v.newest)
	}
	return v
}

// list returns the manifest of the present files. The mutex is held.
func (v *inventory) list() *manifest {
	mark := v.log.files.Mark()
	m := v.state.list()
	mark.Oldest = max(mark.Oldest, m.Log.Oldest)
	m.Log, m.Beside = logMark(mark), v.beside
	m.Losses, m.Accepted = v.damage.remembered()
	return m
}

// listBefore returns the manifest without the log files from a number on, and without
// unfinished blocks: that of a backup.
func (v *inventory) listBefore(logFile uint64) *manifest {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.list()
	m.Log, m.Going = logMark(v.log.files.MarkBefore(logFile)), nil
	return m
}

// generation returns the generation of the newest sealed file.
func (v *inventory) generation() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.newest
}

// save makes the manifest durable.
func (v *inventory) save() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	key, err := v.vault.systemKey()
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	m := v.list()
	m.Sealed = key != nil
	one, err := m.encode()
	if err != nil || bytes.Equal(one, v.saved) && v.sealed == m.Sealed {
		return err
	}
	b, err := v.vault.twice(manifestName, one, v.newest+1)
	if err != nil {
		return err
	}
	v.newest++
	name := v.dir.sub(manifestName)
	if v.dir.badManifest {
		if err := v.keepAside(name); err != nil {
			return fmt.Errorf("keep the damaged manifest: %w", err)
		}
		v.dir.badManifest = false
	}
	if err := replace(v.FS, name, b); err != nil {
		return err
	}
	v.saved, v.sealed = one, m.Sealed
	return nil
}

// keepAside renames a file that cannot be read: it is kept for a person to look at.
func (v *inventory) keepAside(name string) error {
	if err := v.FS.Rename(name, aside(v.FS, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// saveTombstones makes the tombstones durable, before log files with deletions are
// removed. The caller has decided before which files these are.
func (v *inventory) saveTombstones() (err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	one := v.state.catalog.tombstones.unsavedText()
	if one == nil {
		return nil
	}
	b, err := v.vault.twice(tombstonesName, one, v.newest+1)
	if err != nil {
		v.state.catalog.tombstones.save(err, 0)
		return fmt.Errorf("write deletions: %w", err)
	}
	v.newest++
	name := v.dir.sub(tombstonesName)
	if v.aside {
		err = v.keepAside(name)
	}
	if err == nil {
		err = replace(v.FS, name, b)
	}
	generation := uint64(0)
	if sealedTwice(b) {
		generation = v.newest
	}
	v.state.catalog.tombstones.save(err, generation)
	if err != nil {
		return fmt.Errorf("write deletions: %w", err)
	}
	v.aside = false
	return nil
}

// raise makes a horizon durable, then lets it count.
func (v *inventory) raise(floor trace.Time) error {
	b, err := v.vault.twice(floorName, encodeFloor(floor), 0)
	if err == nil {
		err = replace(v.FS, v.dir.sub(floorName), b)
	}
	if err != nil {
		return err
	}
	v.state.catalog.raise(floor)
	return nil
}

// convert writes the small files anew if they are not sealed and should be, or the other
// way round.
func (v *inventory) convert() error {
	if !v.vault.on || v.vault.offline {
		return nil
	}
	key, err := v.vault.systemKey()
	if err != nil {
		return err
	}
	differs := func(name string) bool {
		use, err := v.vault.headerUse(name)
		return err == nil && (use.id != 0) != (key != nil)
	}
	t := v.state.catalog.tombstones
	if t.saved && differs(tombstonesName) {
		t.touch()
		err = v.saveTombstones()
	}
	floor := trace.Time(v.state.catalog.floor.Load())
	if floor != trace.MinTime && differs(floorName) {
		err = errors.Join(err, v.raise(floor))
	}
	return err
}

// keep adds a file of others to the manifest: if it is missing at a later start, that
// is damage.
func (v *inventory) keep(name string) error {
	v.mu.Lock()
	known := slices.Contains(v.beside, name)
	if !known {
		v.beside = append(slices.Clone(v.beside), name)
	}
	v.mu.Unlock()
	if known {
		return nil
	}
	return v.save()
}

// trimLog removes the log files whose content is in blocks, once the manifest asks
// for these blocks and not for the files.
func (v *inventory) trimLog() error {
	oldest, held := v.state.needed()
	v.log.files.Hold(held)
	if err := v.saveTombstones(); err != nil {
		return err
	}
	if err := v.save(); err != nil {
		return err
	}
	return v.log.files.Remove(oldest)
}

// removeDoomed removes the files of blocks that were dropped, once the manifest does
// not ask for them any more. Files that cannot be removed now wait.
func (v *inventory) removeDoomed() error {
	doomed := v.state.catalog.numbers.waiting()
	if len(doomed) == 0 {
		return nil
	}
	if err := v.save(); err != nil {
		// On a full disk, blocks over their time make room. A manifest that asks for one
		// does no harm: it says itself when the block is over its time.
		for _, b := range doomed {
			if b.Range.MaxUpdated >= v.state.catalog.horizon() {
				return fmt.Errorf("remove blocks: %w", err)
			}
		}
	}
	var failed error
	for _, b := range doomed {
		failed = errors.Join(failed, v.remove(b.File()))
	}
	if failed = errors.Join(failed, v.FS.SyncDir(v.dir.sub(blockDir))); failed != nil {
		return failed
	}
	// A block that is there after a crash has its tables.
	for _, b := range doomed {
		for _, name := range b.Tables() {
			failed = errors.Join(failed, v.remove(name))
		}
	}
	if failed != nil {
		return failed
	}
	v.state.catalog.numbers.removed(doomed)
	return v.forgetGone()
}

// removeLocked removes the files of blocks whose key is away or destroyed.
func (v *inventory) removeLocked(numbers []uint64) {
	err := v.save()
	for _, number := range numbers {
		if err != nil {
			break
		}
		for _, name := range block.Files(v.dir.sub(blockDir), number) {
			err = errors.Join(err, v.remove(name))
		}
	}
	if err != nil {
		v.Logger.Warn("files of encrypted blocks were not removed", "error", err)
	}
}

func (v *inventory) remove(name string) error {
	if err := v.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a file of a block: %w", err)
	}
	return nil
}

// forgetGone forgets the numbers of blocks whose files are gone for good.
func (v *inventory) forgetGone() error {
	gone := v.state.catalog.numbers.gone()
	if len(gone) == 0 {
		return nil
	}
	dir := v.dir.sub(blockDir)
	if err := v.FS.SyncDir(dir); err != nil {
		return fmt.Errorf("remove blocks: %w", err)
	}
	names, err := v.FS.List(dir)
	if err != nil {
		return fmt.Errorf("remove blocks: %w", err)
	}
	for _, name := range names {
		if number, ok := block.NumberOf(name); ok {
			gone = slices.DeleteFunc(gone, func(n uint64) bool { return n == number })
		}
	}
	v.state.catalog.numbers.forget(gone)
	return nil
}

// mostGivenUp is how many numbers may be leaving before the inventory looks which of
// them have no file.
const mostGivenUp = 32

// giveUp notes that a block was not finished.
func (v *inventory) giveUp(number uint64) {
	if v.state.catalog.numbers.giveUp(number) <= mostGivenUp {
		return
	}
	if err := v.forgetGone(); err != nil {
		v.Logger.Warn("files of unfinished blocks may be left", "error", err)
	}
}
