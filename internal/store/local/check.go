package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// Report tells what Inspect found in a data directory.
type Report struct {
	Files  int      // log files, blocks, the list of deletions
	Damage []string // each with file and offset
	// Notes are no damage: a torn end of the log, damaged files that were kept.
	Notes      []string
	Accounts   []AccountReport // by account
	Blocks     int
	BlockBytes int64
	WALBytes   int64
}

// AccountReport tells what one account has as a reader sees it: without deleted and
// superseded copies.
type AccountReport struct {
	Account  trace.Account
	Traces   int64
	Segments int64
	// Bytes is the account's share of the block files, by segments.
	Bytes int64
	// Oldest and Newest are receipts; 0 if there is no trace.
	Oldest, Newest trace.Time
}

// inspected is a trace as far as it was read.
type inspected struct {
	lsn            uint64 // of its copy in a block, or 0
	last           uint64 // LSN of its newest batch
	segments       int64
	oldest, newest trace.Time
}

type inspection struct {
	o          Options
	dir        *Directory
	vault      *vault
	locked     map[dataKey]int // sealed blocks and entries of the log that cannot be read
	reasons    map[dataKey]error
	deep       bool
	codec      *block.Codec
	tombstones tombstones
	floor      trace.Time
	traces     map[key]inspected
	bytes      map[trace.Account]float64
	report     *Report
	damaged    map[string]bool
}

// Inspect reads a data directory that no server has open and changes nothing in it.
// deep verifies every checksum and decodes every record; else Inspect reads only the
// index of a block. The report names damage, missing and unreadable files included.
// Errors: the directory is missing, foreign, newer or in use.
func Inspect(o Options, deep bool) (*Report, error) {
	o = o.withDefaults()
	d, err := lockExisting(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	in := &inspection{o: o, dir: d, vault: newVault(&o, d), locked: map[dataKey]int{}, reasons: map[dataKey]error{}, deep: deep, traces: map[key]inspected{}, bytes: map[trace.Account]float64{}, report: &Report{}, damaged: map[string]bool{}}
	err = in.run()
	if err := errors.Join(err, d.close()); err != nil {
		return nil, err
	}
	in.sum()
	return in.report, nil
}

// damage notes damage once.
func (in *inspection) damage(err error) {
	if err == nil {
		return
	}
	if text := err.Error(); !in.damaged[text] {
		in.damaged[text] = true
		in.report.Damage = append(in.report.Damage, text)
	}
}

func (in *inspection) run() (err error) {
	if in.codec, err = block.NewCodec(); err != nil {
		return err
	}
	if err := in.vault.unseal(in.dir); err != nil {
		return err
	}
	for _, d := range in.dir.damage {
		in.damage(d)
	}
	m, known := in.dir.manifest, trace.MinTime
	if m != nil {
		in.report.Files++
		if m.Horizon != 0 {
			known = m.Horizon
		}
		for _, text := range m.Losses {
			in.damage(errors.New(text))
		}
		for _, d := range missingBeside(in.dir) {
			in.damage(d)
		}
	}
	old, err := readTombstones(in.vault, m)
	if err != nil {
		return err
	}
	in.tombstones.byKey = old.all
	if old.all != nil || old.damage != nil {
		in.report.Files++
	}
	floor, more, err := readFloor(in.vault, known)
	if err != nil {
		return err
	}
	for _, d := range append(old.damage, more...) {
		in.damage(d)
	}
	in.floor = floor // the retention by age of the server is not known here
	in.blocks()
	if err := in.log(); err != nil {
		return err
	}
	in.report.Notes = append(in.report.Notes, damagedAside(in.dir)...)
	for use, n := range in.locked {
		in.note("%d blocks and log entries of account %s are encrypted under key %d and were not checked: %v", n, use.account, use.id, in.reasons[use])
	}
	return nil
}

func (in *inspection) blocks() {
	dir, m := in.dir.sub(blockDir), in.dir.manifest
	names, err := in.o.FS.List(dir)
	if errors.Is(err, fs.ErrNotExist) && (m == nil || len(m.Blocks) == 0) {
		return // before the first start, or restored from a backup without blocks
	}
	if err != nil {
		in.damage(vfs.Lost(dir, "no block can be read: %w", err))
	}
	files := blockFilesOf(dir, names, m, in.floor)
	for _, d := range files.damage {
		in.damage(d)
	}
	for _, name := range files.remove {
		in.note("nothing needs %s any more; the next start removes it", name)
	}
	for _, number := range files.open {
		in.report.Files++
		in.report.Blocks++
		known, listed := m.block(number)
		b := in.open(number, known, listed)
		if b == nil {
			continue
		}
		for _, d := range checkFiles(b, known, listed) {
			in.damage(d)
		}
		in.block(b)
		b.Release()
	}
}

// open opens a block as a start does. It returns nil if that is not possible.
func (in *inspection) open(number uint64, known listed, isListed bool) *block.Block {
	o, err := in.vault.look(number)
	if err != nil {
		in.damage(err)
		return nil
	}
	dir := in.dir.sub(blockDir)
	if name := forged(in.dir.manifest, known, isListed, o, block.Files(dir, number)); name != "" {
		in.damage(vfs.Lost(name, "it is not the file that was written: another one was put in its place"))
		return nil
	}
	b, err := block.Open(in.vault.files(o.account, nil), dir, number, in.codec)
	if k, is := absent(err); is {
		in.lock(o.dataKey, k.Err)
		return nil
	}
	in.damage(err)
	return b
}

// lock notes something that is sealed and whose key is away.
func (in *inspection) lock(use dataKey, err error) {
	in.locked[use]++
	in.reasons[use] = err
}

// rollup checks the rollup of a block.
func (in *inspection) rollup(b *block.Block) error {
	if b.Rollup() == nil {
		return nil // checkFiles has named it
	}
	f, err := rollup.Open(b.Rollup(), b.RollupFile(), rollup.NewCache(0))
	if errors.Is(err, rollup.ErrRules) {
		in.note("%s was counted by an older version: graphs read traces instead, until the block is merged", b.RollupFile())
		return nil
	}
	if err == nil && in.deep {
		err = f.Check()
	}
	return err
}

func (in *inspection) note(format string, args ...any) {
	in.report.Notes = append(in.report.Notes, fmt.Sprintf(format, args...))
}

func (in *inspection) block(b *block.Block) {
	in.report.BlockBytes += b.Size()
	in.damage(in.rollup(b))
	var memo block.Memo
	if in.deep {
		in.damage(b.CheckTraces())
		in.damage(b.CheckPostings())
	}
	var segments float64
	for i := range b.Len() {
		segments += float64(b.Entry(i).Segments)
	}
	for i := range b.Len() {
		e, k := b.Entry(i), key{b.Account(i), b.Entry(i).ID}
		if in.deep {
			in.damage(in.records(b, i, &memo))
		}
		in.bytes[k.account] += float64(b.Size()) * float64(e.Segments) / max(1, segments)
		if old, had := in.traces[k]; !in.tombstones.cover(k, e.LSN) && (!had || old.lsn < e.LSN) {
			in.traces[k] = inspected{e.LSN, e.LSN, int64(e.Segments), e.First, e.Updated}
		}
	}
}

func (in *inspection) records(b *block.Block, i int, keep block.Keeper) error {
	records, err := b.Records(i, keep)
	if err != nil {
		return err
	}
	for n := range records {
		if _, err := in.o.Rules.Restore(&records[n]); err != nil {
			return vfs.Corrupt(b.File(), b.Offset(i), "trace %s: %w", b.Entry(i).ID, err)
		}
	}
	return nil
}

func (in *inspection) log() error {
	l, found, err := wal.Open(wal.Options{FS: in.o.FS, Dir: in.dir.sub(logDir), FileBytes: in.o.LogFileBytes, Known: in.dir.manifest.mark(), Find: in.vault.find}, in.entry)
	for _, d := range found.Damage {
		if !slices.Contains(in.dir.manifest.accepted(), d.Error()) {
			in.damage(d)
		}
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	in.report.Files += l.Files()
	in.report.WALBytes = l.Size()
	if found.Torn > 0 {
		in.note("the log ends with %d bytes that were not acknowledged; the next start drops them", found.Torn)
	}
	return nil
}

// entry counts one entry of the log, as replay does.
func (in *inspection) entry(e wal.Entry) error {
	if e.Locked != nil {
		in.lock(dataKey{trace.Account(e.Locked.Account), e.Locked.Key}, e.Locked.Err)
		return nil
	}
	file := filepath.Join(in.dir.sub(logDir), wal.Name(e.File))
	if account, d, ok := decodeDeletion(e.Data); ok {
		for i, id := range d.ids {
			k := key{account, id}
			if d.upTo != nil && in.traces[k].last > d.upTo[i] {
				continue
			}
			if in.traces[k].lsn < e.LSN {
				delete(in.traces, k)
			}
		}
		return nil
	}
	if account, _, records, ok := decodeReplacement(e.Data); ok {
		if k := (key{account, records[0].TraceID}); in.traces[k].lsn < e.LSN {
			delete(in.traces, k)
		}
		in.batch(account, records, e)
		return nil
	}
	account, records, err := decodeBatch(e.Data)
	if err != nil {
		in.damage(vfs.Corrupt(file, e.At, "entry %d: %w", e.LSN, err))
		return nil
	}
	in.batch(account, records, e)
	return nil
}

// batch counts the records of an entry.
func (in *inspection) batch(account trace.Account, records []block.Record, e wal.Entry) {
	file := filepath.Join(in.dir.sub(logDir), wal.Name(e.File))
	for i := range records {
		r := &records[i]
		if _, err := in.o.Rules.Restore(r); err != nil {
			in.damage(vfs.Corrupt(file, e.At, "entry %d, trace %s: %w", e.LSN, r.TraceID, err))
			continue
		}
		k := key{account, r.TraceID}
		t, had := in.traces[k]
		// lsn is that of the copy in a block, which has all entries up to it.
		if in.tombstones.cover(k, e.LSN) || had && t.lsn >= e.LSN {
			continue
		}
		if !had {
			t.oldest, t.newest = r.ReceivedAt, r.ReceivedAt
		}
		t.segments++
		t.oldest, t.newest = min(t.oldest, r.ReceivedAt), max(t.newest, r.ReceivedAt)
		t.last = e.LSN
		in.traces[k] = t
	}
}

// sum adds up the traces by account.
func (in *inspection) sum() {
	accounts := map[trace.Account]*AccountReport{}
	at := func(a trace.Account) *AccountReport {
		if accounts[a] == nil {
			accounts[a] = &AccountReport{Account: a}
		}
		return accounts[a]
	}
	for k, t := range in.traces {
		a := at(k.account)
		if a.Traces == 0 {
			a.Oldest, a.Newest = t.oldest, t.newest
		}
		a.Traces++
		a.Segments += t.segments
		a.Oldest, a.Newest = min(a.Oldest, t.oldest), max(a.Newest, t.newest)
	}
	for account, n := range in.bytes {
		at(account).Bytes = int64(n)
	}
	for _, a := range accounts {
		in.report.Accounts = append(in.report.Accounts, *a)
	}
	slices.SortFunc(in.report.Accounts, func(a, b AccountReport) int {
		return cmp.Compare(a.Account, b.Account)
	})
}
