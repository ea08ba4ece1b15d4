package local

import (
	"fmt"
	"path/filepath"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// openCatalog reads the tombstones, the horizon and the index of every block. next is
// the least LSN that none of them knows.
func openCatalog(b *base) (c *catalog, next uint64, err error) {
	c = newCatalog(b)
	m := b.dir.manifest
	old, err := readTombstones(b.vault, m)
	if err != nil {
		return nil, 0, err
	}
	for _, d := range old.damage {
		b.damage.note(d)
		if old.lost {
			b.damage.lose(d.Error())
		}
	}
	c.tombstones.read(old.all, len(old.damage) > 0)
	c.tombstones.generation = old.generation
	known := trace.MinTime
	if m != nil && m.Horizon != 0 {
		known = m.Horizon
	}
	floor, damage, err := readFloor(b.vault, known)
	if err != nil {
		return nil, 0, err
	}
	for _, d := range damage {
		b.damage.note(d)
	}
	c.floor.Store(int64(floor))
	if next, err = c.openBlocks(); err != nil {
		c.release()
		return nil, 0, err
	}
	return c, max(next, c.tombstones.nextLSN()), nil
}

// openBlocks opens all blocks and returns the least LSN that none of them knows.
func (c *catalog) openBlocks() (next uint64, err error) {
	dir, m := c.dir.sub(blockDir), c.dir.manifest
	names, err := c.FS.List(dir)
	if err != nil {
		c.damage.note(vfs.Lost(dir, "no block can be read: %w", err))
		if m != nil {
			c.numbers.next, c.absent = max(m.Next, 1), m.Blocks
		}
		return 0, nil
	}
	files := blockFilesOf(dir, names, m, c.horizon())
	c.numbers.next, c.absent = max(files.next, 1), files.lost
	for _, d := range files.damage {
		c.damage.note(d)
	}
	for _, l := range files.lost {
		next = max(next, l.LSN+1)
	}
	for _, name := range files.remove {
		// The manifest has it until it is surely gone.
		if number, ok := block.NumberOf(filepath.Base(name)); ok {
			c.numbers.leaving[number] = false
		}
		if err := c.FS.Remove(name); err != nil {
			c.Logger.Warn("a file that nothing needs was not removed", "file", name, "error", err)
		}
	}
	for _, number := range files.open {
		known, listed := m.block(number)
		if listed {
			next = max(next, known.LSN+1)
		}
		b := c.tryOpen(number, known, listed)
		if b == nil {
			continue
		}
		next = max(next, b.HighestLSN+1)
		c.found(b)
	}
	if len(c.table.blocks) > 1<<16 {
		return 0, fmt.Errorf("open blocks: %d blocks are too many", len(c.table.blocks))
	}
	return next, nil
}

// tryOpen opens a block. It notes damage, and puts a block whose key is away aside; it
// returns nil then.
func (c *catalog) tryOpen(number uint64, known listed, isListed bool) *sealed {
	damaged := func(err error) *sealed {
		c.damage.note(err)
		if isListed {
			c.mu.Lock()
			c.absent = append(c.absent, known)
			c.mu.Unlock()
		}
		return nil
	}
	o, err := c.vault.look(number)
	if err != nil {
		return damaged(err)
	}
	names := block.Files(c.dir.sub(blockDir), number)
	rolled := true
	if name := forged(c.dir.manifest, known, isListed, o, names); name != "" {
		err := vfs.Lost(name, "it is not the file that was written: another one was put in its place")
		if name == names[0] || name == names[1] {
			return damaged(err)
		}
		c.damage.note(err)
		rolled = name != names[3]
	}
	b, err := block.Open(c.vault.files(o.account, nil), c.dir.sub(blockDir), number, c.codec)
	if away, is := absent(err); is {
		c.lock(lockedBlock{listed: known, known: isListed, outside: o, err: away}, number)
		return nil
	}
	if err != nil {
		return damaged(err)
	}
	if accounts := b.Accounts(); o.id != 0 && (len(accounts) != 1 || accounts[0] != o.account) {
		b.Release()
		return damaged(vfs.Corrupt(names[0], 0, "a block that is sealed for account %s has traces of %v", o.account, accounts))
	}
	for _, d := range checkFiles(b, known, isListed) {
		c.damage.note(d)
	}
	s := newSealed(b)
	s.outside = o
	s.rolled.unusable, s.rollupBytes = !rolled, known.Rollup
	return s
}

// forged names a file of a block that is not the one that the manifest expects.
func forged(m *manifest, known listed, isListed bool, o outside, names []string) string {
	switch {
	case isListed:
		return differs(known.Seal, o.mark, names)
	case m != nil && m.Sealed && o.id == 0:
		return names[0] // a server that encrypts does not write clear blocks
	}
	return ""
}

// lockedBlock is a block whose key is away.
type lockedBlock struct {
	listed
	known bool // the manifest has it
	outside
	err error
}

// lock puts a block aside until its key comes back.
func (c *catalog) lock(l lockedBlock, number uint64) {
	if !l.known { // its times are not known: it stays
		l.listed = listed{Number: number, Account: l.outside.account, Key: l.id, Seal: l.mark, Updated: trace.TimeOf(c.Now())}
	}
	c.mu.Lock()
	c.locked = append(c.locked, l)
	c.mu.Unlock()
	c.leave(l.outside.account, l.err)
}

// found adds a block that was there at the start. The copy of a trace with the highest
// LSN counts; of two equal ones, which a merge leaves when it is cut short, that of the
// newer block.
func (c *catalog) found(b *sealed) {
	c.table.register(b)
	c.blocks = append(c.blocks, b)
	c.vault.use(b.dataKey, 1)
	for i := range b.Len() {
		p := place{b, i}
		k := p.key()
		if c.tombstones.cover(k, p.lsn()) {
			b.kill(i, c.epoch)
			continue
		}
		old, had := c.table.put(k, p)
		switch {
		case !had:
		case old.lsn() > p.lsn():
			c.table.put(k, old)
			b.kill(i, c.epoch)
		default:
			old.block.kill(old.entry, c.epoch)
		}
	}
}

// blockFiles sorts the directory of blocks.
type blockFiles struct {
	open   []uint64 // blocks that can be opened
	remove []string // files that nothing needs
	next   uint64   // greater than the number of every file
	lost   []listed // blocks that must be there and are not
	damage []error
}

// blockFilesOf sorts the files in the directory of blocks by the manifest. Blocks that
// lie before the horizon of retention may be gone.
func blockFilesOf(dir string, names []string, m *manifest, horizon trace.Time) (f blockFiles) {
	if m != nil {
		f.next = m.Next
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		number, ok := block.NumberOf(name)
		if !ok {
			continue // somebody else's
		}
		_, isBlock := block.Number(name)
		f.next = max(f.next, number+1)
		_, must := m.block(number)
		switch {
		case block.IsTemp(name):
			// The files of a finished block have no temporary names.
			if must {
				f.damage = append(f.damage, vfs.Lost(path, "the file is unknown: it is kept"))
			} else {
				f.remove = append(f.remove, path)
			}
		case isBlock:
			f.open = append(f.open, number)
		case there[block.Name(number)] || must:
		case m.superfluous(number):
			f.remove = append(f.remove, path)
		default:
			f.damage = append(f.damage, vfs.Lost(path, "there is no %s for it, and nothing says that it is superseded: it is kept", block.Name(number)))
		}
	}
	if m == nil {
		return f
	}
	for _, l := range m.Blocks {
		f.next = max(f.next, l.Number+1)
		if !there[block.Name(l.Number)] && l.Updated >= horizon {
			f.lost = append(f.lost, l)
			f.damage = append(f.damage, vfs.Lost(filepath.Join(dir, block.Name(l.Number)), "the file is missing: %d traces cannot be read; the other files of the block are kept", l.Traces))
		}
	}
	return f
}

// checkFiles compares the lengths of a block's tables and rollup with the manifest.
func checkFiles(b *block.Block, l listed, known bool) (damage []error) {
	if err := b.CheckLength(); err != nil {
		damage = append(damage, err)
	}
	if b.Rollup() == nil {
		return append(damage, vfs.Lost(b.RollupFile(), "the file is missing or cannot be opened: graphs read traces instead"))
	}
	if known && b.RollupSize() != l.Rollup {
		damage = append(damage, vfs.Corrupt(b.RollupFile(), min(b.RollupSize(), l.Rollup), "the file has %d bytes, %d were written", b.RollupSize(), l.Rollup))
	}
	return damage
}
