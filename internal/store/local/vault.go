package local

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// dataKey names a data key of an account.
type dataKey struct {
	account trace.Account
	id      uint32
}

// vault finds data keys, seals small files, and knows the accounts whose data cannot be
// read now because a key is away.
type vault struct {
	keys seal.Keys
	fs   vfs.FS
	root string
	// on is false if there can be no keys at all.
	on          bool
	clearTables bool         // new tables are not sealed
	begin       func() error // called before the first file is sealed
	offline     bool
	stays       bool // offline: the directory is encrypted

	mu     sync.Mutex // guards all below
	begun  bool
	system *seal.Key // last seen
	away   map[trace.Account]*away
	uses   map[trace.Account]map[uint32]int // keys of open blocks
	lost   int64                            // entries of the log whose keys were destroyed
	// shredded are destroyed keys: nothing that was sealed under them is in memory.
	shredded map[dataKey]bool
}

// away tells why an account cannot be read.
type away struct {
	err   error
	since time.Time
}

func newVault(o *Options, dir *Directory) *vault {
	v := &vault{keys: o.Keys, fs: o.FS, root: dir.path, clearTables: o.ClearTables, begin: dir.mark, offline: o.Offline, stays: dir.sealed != nil, away: map[trace.Account]*away{}, uses: map[trace.Account]map[uint32]int{}, shredded: map[dataKey]bool{}}
	if v.keys == nil {
		v.keys = seal.Off{}
	}
	_, off := v.keys.(seal.Off)
	v.on = !off
	return v
}

// keyTime bounds how long a key may be waited for where no caller has a deadline.
const keyTime = 15 * time.Second

// newest returns the key for new data of an account, nil if it is not to be encrypted.
func (v *vault) newest(ctx context.Context, account trace.Account) (*seal.Key, error) {
	if !v.on {
		return nil, nil
	}
	key, err := v.keys.Newest(ctx, account)
	if err == nil && key == nil && v.offline && v.stays {
		key, err = v.always(ctx, account)
	}
	if err != nil || key == nil {
		return nil, err
	}
	return key, v.ready()
}

// always returns the key for new data of an account although the keys were opened without
// the settings of the server.
func (v *vault) always(ctx context.Context, account trace.Account) (*seal.Key, error) {
	keys, ok := v.keys.(interface{ Secrets() seal.Keys })
	if !ok {
		return nil, trace.Errorf(trace.KindUnavailable, "the data directory is encrypted, and the settings of its keys were not given")
	}
	return keys.Secrets().Newest(ctx, account)
}

// ready marks the directory before the first file is sealed.
func (v *vault) ready() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.begun {
		return nil
	}
	if err := v.begin(); err != nil {
		return trace.Errorf(trace.KindUnavailable, "the data directory cannot be marked as encrypted: %v", err)
	}
	v.begun = true
	return nil
}

// systemKey returns the key for files that belong to no account. If it is away, the last
// one seen goes on: no account may lose data because of it.
func (v *vault) systemKey() (*seal.Key, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyTime)
	defer cancel()
	key, err := v.newest(ctx, seal.System)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil:
		v.system = key
	case v.system != nil:
		return v.system, nil
	}
	return key, err
}

// find is a vfs.FindKey.
func (v *vault) find(account string, id uint32) (vfs.SealKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyTime)
	defer cancel()
	key, err := v.keys.Find(ctx, trace.Account(account), id)
	if err == nil && key == nil {
		err = fmt.Errorf("account %s has no key %d", account, id)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// only is a vfs.FindKey that finds the keys of one account.
func (v *vault) only(account trace.Account) vfs.FindKey {
	return func(of string, id uint32) (vfs.SealKey, error) {
		if of != string(account) {
			return nil, errors.New("not asked for")
		}
		return v.find(of, id)
	}
}

// files is the file system for the blocks of an account under a key, nil: not sealed.
func (v *vault) files(account trace.Account, key *seal.Key) vfs.FS {
	s := vfs.Sealed{FS: v.fs, Root: v.root, Find: v.find, Account: string(account)}
	if key != nil {
		s.Key = key
	}
	if v.clearTables {
		s.Clear = isTable
	}
	return s
}

func isTable(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, tempSuffix), ".parquet")
}

// destroyed tells whether an error says that a key is gone for good.
func destroyed(err error) bool { return errors.Is(err, seal.ErrDestroyed) }

// absent returns why the account of a file or an entry cannot be read, if err says so.
func absent(err error) (*vfs.KeyError, bool) { return errors.AsType[*vfs.KeyError](err) }

// use notes that a block is opened (1) or closed (-1).
func (v *vault) use(of dataKey, n int) {
	if of.id == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	ids := v.uses[of.account]
	if ids == nil {
		ids = map[uint32]int{}
		v.uses[of.account] = ids
	}
	if ids[of.id] += n; ids[of.id] <= 0 {
		delete(ids, of.id)
	}
}

// ids returns the keys of the open blocks of an account.
func (v *vault) ids(account trace.Account) []uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Keys(v.uses[account]))
}

// available returns why an account cannot be read or written now, nil if it can: its
// newest key and those of its blocks can be used.
func (v *vault) available(ctx context.Context, account trace.Account) error {
	_, err := v.usable(ctx, account)
	return err
}

// usable is available, and returns the newest key.
func (v *vault) usable(ctx context.Context, account trace.Account) (*seal.Key, error) {
	key, err := v.newest(ctx, account)
	if err != nil {
		return nil, err
	}
	for _, id := range v.ids(account) {
		if _, err := v.keys.Find(ctx, account, id); err != nil {
			return nil, &vfs.KeyError{File: "a block", Account: string(account), Key: id, Err: err}
		}
	}
	return key, nil
}

// gate returns the error of a question about an account whose key is away.
func (v *vault) gate(ctx context.Context, account trace.Account) error {
	_, err := v.key(ctx, account)
	return err
}

// key is gate, and returns the key for new data of the account, nil for none.
func (v *vault) key(ctx context.Context, account trace.Account) (key *seal.Key, err error) {
	if !v.on {
		return nil, nil
	}
	if err = v.awayError(account); err == nil {
		key, err = v.usable(ctx, account)
	}
	if err == nil || ctx.Err() != nil {
		return key, errors.Join(err, ctx.Err())
	}
	return nil, awayError(account, err)
}

// awayError returns the error of a question about an account whose key is away. Its text
// is not recorded from AWS.
func awayError(account trace.Account, err error) error {
	if k, is := absent(err); is { // without the path of the file
		return trace.Errorf(trace.KindUnavailable, "the data of account %s is encrypted under key %d, which cannot be used now: %v", account, k.Key, k.Err)
	}
	return trace.Errorf(trace.KindUnavailable, "the data of account %s cannot be used now: %v", account, err)
}

func (v *vault) awayError(account trace.Account) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if a := v.away[account]; a != nil {
		return a.err
	}
	return nil
}

// leave notes that an account cannot be read, and tells whether that is new.
func (v *vault) leave(account trace.Account, err error, now time.Time) (news bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if a := v.away[account]; a != nil {
		a.err = err
		return false
	}
	v.away[account] = &away{err, now}
	return true
}

// comeBack notes that an account can be read again.
func (v *vault) comeBack(account trace.Account) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.away, account)
}

// absentees lists the accounts that cannot be read, with the reason.
func (v *vault) absentees() map[trace.Account]error {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[trace.Account]error{}
	for account, a := range v.away {
		all[account] = a.err
	}
	return all
}

// drop counts an entry of the log whose key was destroyed.
func (v *vault) drop(of dataKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lost++
	v.shredded[of] = true
}

// isShredded tells whether everything under a destroyed key was dropped.
func (v *vault) isShredded(of dataKey) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shredded[of]
}

// shred notes that nothing in memory was sealed under a destroyed key.
func (v *vault) shred(of dataKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shredded[of] = true
}

// twice returns the bytes of a small file, two equal copies of one, sealed if the server
// encrypts. The generation is greater than in older files of that name.
func (v *vault) twice(name string, one []byte, generation uint64) ([]byte, error) {
	key, err := v.systemKey()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	if key != nil {
		if one, err = vfs.SealBytes(name, vfs.SealHeader{Account: string(seal.System), Generation: generation}, key, one); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return append(one[:len(one):len(one)], one...), nil
}

// unseal reads a sealed manifest. Errors: *vfs.KeyError.
func (v *vault) unseal(d *Directory) error {
	if d.sealed == nil {
		return nil
	}
	list, err := v.open(d.sealed, manifestName)
	if err != nil {
		return fmt.Errorf("data directory %s is encrypted: %w", d.path, err)
	}
	for i, c := range list {
		if c.err == nil {
			var m *manifest
			if m, c.err = decodeManifest(c.bytes); c.err == nil && d.manifest == nil {
				d.manifest, m.generation = m, c.generation
			}
		}
		if c.err != nil {
			d.damage = append(d.damage, vfs.Corrupt(d.sub(manifestName), c.at, "copy %d of the manifest: %w", i+1, c.err))
		}
	}
	d.sealed = nil
	if d.badManifest = d.manifest == nil; d.badManifest {
		return nil
	}
	for _, name := range d.manifest.Beside {
		// A file at the top may have been made anew since the lock.
		top := !strings.Contains(name, "/")
		if top && !slices.Contains(d.present, name) || !top && !d.has(name) {
			d.missing = append(d.missing, vfs.Lost(d.sub(name), "the file is missing, with all that it held"))
		}
	}
	return nil
}

// clearCopy is one of two copies of a small file, opened.
type clearCopy struct {
	copied
	generation uint64
	err        error // damage of it
}

// opened returns the copies of a small file, sealed or not. Errors: *vfs.KeyError.
func (v *vault) opened(b []byte, name string, halves []copied) (list []clearCopy, err error) {
	if sealedTwice(b) {
		return v.open(b, name)
	}
	for _, c := range halves {
		list = append(list, clearCopy{copied: c})
	}
	return list, nil
}

// open opens both copies of a small file that are sealed. Errors: *vfs.KeyError.
func (v *vault) open(b []byte, name string) (list []clearCopy, err error) {
	half := len(b) / 2
	for at, part := range map[int][]byte{0: b[:half], half: b[half:]} {
		c := clearCopy{copied: copied{at: int64(at)}}
		var h *vfs.SealHeader
		c.bytes, h, c.err = vfs.OpenBytes(part, filepath.Join(v.root, name), name, v.find)
		if _, is := absent(c.err); is {
			return nil, c.err
		}
		if c.err == nil && h.Account != string(seal.System) {
			c.err = fmt.Errorf("the file belongs to account %s", h.Account)
		}
		if c.err == nil {
			c.generation = h.Generation
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b clearCopy) int { return int(a.at - b.at) })
	return list, nil
}

// outside has the facts in the readable headers of the files of a block.
type outside struct {
	dataKey        // the zero value if the block is not sealed
	mark    string // of all files: the manifest has it
	tables  bool   // the tables are sealed
	bytes   int64  // of all files
}

const clearMark = "clear"

// look reads the headers of the files of a block. Damage is a *vfs.CorruptError.
func (v *vault) look(number uint64) (o outside, err error) {
	var marks []string
	names := block.Files(filepath.Join(v.root, blockDir), number)
	for i, name := range names {
		h, err := vfs.ReadSealHeader(v.fs, name)
		if corrupt(err) && i < 2 { // without the others, the block can be read
			return o, err
		}
		switch {
		case err != nil: // missing, or cannot be read: who opens it says so
			marks = append(marks, "")
		case h == nil:
			marks = append(marks, clearMark)
		default:
			use := dataKey{trace.Account(h.Account), h.Key}
			if o.id != 0 && use != o.dataKey {
				return o, vfs.Corrupt(name, 0, "it is sealed under key %d of account %s, the other files of the block under key %d of account %s", use.id, use.account, o.id, o.account)
			}
			o.dataKey = use
			o.tables = o.tables || isTable(name)
			marks = append(marks, hex.EncodeToString(h.Salt[:8]))
		}
		if f, err := v.fs.Open(name); err == nil {
			size, _ := f.Size()
			o.bytes += size
			_ = f.Close() // opened only for its length
		}
		if i == 0 && marks[0] == clearMark { // the tables cannot be sealed then
			return outside{mark: ""}, nil
		}
	}
	if o.id != 0 {
		o.mark = strings.Join(marks, " ")
	}
	return o, nil
}

// differs names the first file of a block that is not the one that the manifest has.
func differs(known, found string, names []string) string {
	a, b := strings.Split(known, " "), strings.Split(found, " ")
	if known == "" || found == "" || len(a) != len(b) {
		if known == found {
			return ""
		}
		return names[0]
	}
	for i := range a {
		if a[i] != b[i] && a[i] != "" && b[i] != "" && i < len(names) {
			return names[i]
		}
	}
	return ""
}

// headerUse returns the key of a file; the zero value if it is not sealed or not there.
func (v *vault) headerUse(name string) (dataKey, error) {
	h, err := vfs.ReadSealHeader(v.fs, filepath.Join(v.root, name))
	if errors.Is(err, fs.ErrNotExist) || h == nil {
		return dataKey{}, nil
	}
	if err != nil {
		return dataKey{}, err
	}
	return dataKey{trace.Account(h.Account), h.Key}, nil
}
