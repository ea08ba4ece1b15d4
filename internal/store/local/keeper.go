package local

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// keeper watches the keys of all accounts. When a key goes away, the open traces of its
// account leave the memory: the log keeps them. When it comes back, blocks and log
// entries of the account are read. Other accounts do not notice.
type keeper struct {
	*base
	state     *state
	log       *log
	inventory *inventory
	merger    *merger
}

// run watches until the shelf closes.
func (k *keeper) run() {
	if !k.vault.on {
		return
	}
	tick := time.NewTicker(max(10*time.Millisecond, min(k.SettleAfter/4, time.Second)))
	defer tick.Stop()
	for {
		select {
		case <-k.closing.Done():
			return
		case <-tick.C:
			k.look()
		}
	}
}

// look looks at the keys of every account once.
func (k *keeper) look() {
	for _, account := range k.state.accounts() {
		if k.closing.Err() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(k.closing, keyTime)
		err := k.available(ctx, account)
		cancel()
		was := k.vault.awayError(account)
		if destroyed(err) && destroyed(was) && !k.has(account) {
			k.state.evict(account) // it has no new key yet
			continue
		}
		switch {
		case err == nil && was != nil, destroyed(err):
			k.restore(account, err)
		case err != nil && k.closing.Err() == nil:
			k.leave(account, err)
			k.state.evict(account)
		}
	}
}

// available returns why an account cannot be used now, because of its newest key, those of
// its blocks or those of its log entries.
func (k *keeper) available(ctx context.Context, account trace.Account) error {
	if err := k.vault.available(ctx, account); err != nil {
		return err
	}
	for use := range k.log.files.Keys() {
		if use.Account != string(account) || k.vault.isShredded(dataKey{account, use.Key}) {
			continue
		}
		if _, err := k.vault.keys.Find(ctx, account, use.Key); err != nil {
			return &vfs.KeyError{File: "the log", Account: use.Account, Key: use.Key, Err: err}
		}
	}
	return nil
}

// has tells whether the directory still has something of an account whose key is
// destroyed.
func (k *keeper) has(account trace.Account) bool {
	return len(k.vault.ids(account)) > 0 || len(k.state.heldBy(account)) > 0 ||
		slices.ContainsFunc(k.state.catalog.lockedNow(), func(l lockedBlock) bool { return l.outside.account == account })
}

// shreddedNow notes the destroyed keys of an account: nothing in memory was sealed under
// them any more.
func (k *keeper) shreddedNow(account trace.Account) {
	for use := range k.log.files.Keys() {
		if use.Account != string(account) {
			continue
		}
		if _, err := k.vault.find(use.Account, use.Key); destroyed(err) {
			k.vault.shred(dataKey{account, use.Key})
		}
	}
}

// restore takes an account back: it opens its blocks and replays its log entries. What
// was sealed under a destroyed key is dropped.
func (k *keeper) restore(account trace.Account, reason error) {
	if reason != nil { // a key was destroyed
		k.leave(account, reason)
	}
	// From now on the committer refuses the account; what it applied before is evicted.
	if err := k.log.barrier(k.closing); err != nil {
		return
	}
	k.state.evict(account)
	k.shred(account)
	entries, err := k.entries(account)
	if err == nil {
		err = k.unlock(account)
	}
	if err != nil {
		k.leave(account, err)
		return
	}
	for _, e := range entries {
		_ = k.log.replay(e) // it notes damage itself
	}
	k.state.dropBelow(trace.Time(k.state.catalog.floor.Load()))
	k.state.comeBack(account)
	k.state.catalog.change()
	if reason != nil {
		k.shreddedNow(account)
		if err := k.vault.available(k.working, account); err != nil {
			k.leave(account, err) // there is no new key either
			return
		}
	}
	k.vault.comeBack(account)
	k.Logger.Info("an account can be read and written again", "account", account, "entries", len(entries))
}

// entries reads the entries that held log files have of an account. It fails if one of
// them cannot be read yet.
func (k *keeper) entries(account trace.Account) (list []wal.Entry, err error) {
	for _, file := range k.state.heldBy(account) {
		var dropped []dataKey
		damage, err := k.log.files.Read(file, k.vault.only(account), func(e wal.Entry) error {
			switch {
			case e.Locked != nil && e.Locked.Account != string(account):
			case e.Locked != nil && destroyed(e.Locked.Err):
				dropped = append(dropped, dataKey{account, e.Locked.Key})
			case e.Locked != nil:
				return &vfs.KeyError{File: wal.Name(file), Account: e.Locked.Account, Key: e.Locked.Key, Err: e.Locked.Err}
			case ownerOf(e.Data) == account:
				list = append(list, e)
			}
			return nil
		})
		for _, d := range damage {
			k.damage.note(d)
		}
		if err != nil {
			return nil, err
		}
		for _, of := range dropped {
			k.vault.drop(of)
		}
	}
	return list, nil
}

// shred drops the open blocks of an account whose keys were destroyed.
func (k *keeper) shred(account trace.Account) {
	var gone []uint32
	for _, id := range k.vault.ids(account) {
		if _, err := k.vault.find(string(account), id); destroyed(err) {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return
	}
	defer k.merger.still()()
	blocks := k.state.catalog.acquire(func(b *sealed) bool { return b.account == account && slices.Contains(gone, b.id) })
	k.Logger.Info("dropping blocks whose key was destroyed", "account", account, "blocks", len(blocks))
	if err := k.merger.drop(blocks); err != nil {
		k.Logger.Warn("files of dropped blocks were not removed", "error", err)
	}
	releaseAll(blocks)
}

// unlock opens the locked blocks of an account.
func (k *keeper) unlock(account trace.Account) (err error) {
	defer k.merger.still()()
	c := k.state.catalog
	c.mu.Lock()
	var own []lockedBlock
	c.locked = slices.DeleteFunc(c.locked, func(l lockedBlock) bool {
		if l.outside.account == account {
			own = append(own, l)
		}
		return l.outside.account == account
	})
	c.mu.Unlock()
	var opened []*sealed
	var gone []uint64
	for i, l := range own {
		_, away := k.vault.find(string(account), l.id)
		if destroyed(away) {
			gone = append(gone, l.Number)
			continue
		}
		if away != nil {
			err = &vfs.KeyError{File: c.dir.sub(blockDir), Account: string(account), Key: l.id, Err: away}
			c.mu.Lock()
			c.locked = append(c.locked, own[i:]...)
			c.mu.Unlock()
			break
		}
		if b := c.tryOpen(l.Number, l.listed, l.known); b != nil {
			opened = append(opened, b)
		}
	}
	c.mu.Lock()
	c.epoch++
	for _, b := range opened {
		c.found(b)
	}
	for _, number := range gone {
		c.numbers.leaving[number] = false
	}
	c.mu.Unlock()
	if len(gone) > 0 {
		k.Logger.Info("dropping blocks whose key was destroyed", "account", account, "blocks", len(gone))
		k.inventory.removeLocked(gone)
	}
	if err == nil && slices.ContainsFunc(c.lockedNow(), func(l lockedBlock) bool { return l.outside.account == account }) {
		err = errors.New("a key went away again")
	}
	return err
}
