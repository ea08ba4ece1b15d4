package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
	"github.com/fluoro-io/fluoro/internal/store/local/wal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Report is what Inspect found in a data directory.
type Report struct {
	Files  int      // log files, blocks, the list of deletions
	Damage []string // each with file and offset
	// Notes are no damage: a torn end of the log, files kept for a person.
	Notes      []string
	Accounts   []AccountReport // by account
	Blocks     int
	BlockBytes int64
	WALBytes   int64
}

// AccountReport is what one account has: what a reader would see, deleted and
// superseded copies left out.
type AccountReport struct {
	Account  trace.Account
	Traces   int64
	Segments int64
	// Bytes is the account's share of the block files, by segments.
	Bytes int64
	// Oldest and Newest are receipts; 0 if there is no trace.
	Oldest, Newest trace.Time
}

// inspected is what is known of one trace.
type inspected struct {
	lsn            uint64 // of its copy in a block, else 0
	last           uint64 // of the newest that is known of it
	segments       int64
	oldest, newest trace.Time
}

type inspection struct {
	o       Options
	dir     *directory
	deep    bool
	codec   *block.Codec
	graves  graves
	traces  map[key]inspected
	bytes   map[trace.Account]float64
	report  *Report
	damaged map[string]bool
}

// Inspect reads a data directory that no server has open and changes nothing in
// it. When deep, every checksum is verified and every record decoded, else block
// files are read as far as their index. Damage is in the report; an error is of
// a directory that is missing, foreign, newer, in use or unreadable.
func Inspect(o Options, deep bool) (*Report, error) {
	o = o.withDefaults()
	d := &directory{fs: o.FS, path: o.Dir}
	fresh, err := d.check()
	if err != nil {
		return nil, err
	}
	if fresh {
		return nil, fmt.Errorf("data directory %s holds no Fluoro data", o.Dir)
	}
	d.lock, err = o.FS.Lock(filepath.Join(o.Dir, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data directory %s is in use by another fluoro process: stop that one first", o.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", o.Dir, err)
	}
	in := &inspection{o: o, dir: d, deep: deep, traces: map[key]inspected{}, bytes: map[trace.Account]float64{}, report: &Report{}, damaged: map[string]bool{}}
	err = in.run()
	if err := errors.Join(err, d.close()); err != nil {
		return nil, err
	}
	in.sum()
	return in.report, nil
}

// damage notes damage once; other errors end the inspection.
func (in *inspection) damage(err error) error {
	if _, corrupt := errors.AsType[*CorruptError](err); !corrupt {
		return err
	}
	if text := err.Error(); !in.damaged[text] {
		in.damaged[text] = true
		in.report.Damage = append(in.report.Damage, text)
	}
	return nil
}

func (in *inspection) run() (err error) {
	if in.codec, err = block.NewCodec(); err != nil {
		return err
	}
	all, damage, err := readGraves(in.o.FS, in.dir.sub(gravesName))
	if err != nil {
		return err
	}
	in.graves.byKey = all
	for _, d := range damage {
		if err := in.damage(d); err != nil {
			return err
		}
	}
	if all != nil || damage != nil {
		in.report.Files++
	}
	if err := in.blocks(); err != nil {
		return err
	}
	return in.log()
}

func (in *inspection) blocks() error {
	names, err := in.o.FS.List(in.dir.sub(blockDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is none before the first start
		return fmt.Errorf("list blocks: %w", err)
	}
	for _, name := range names {
		number, ok := block.Number(name)
		if !ok {
			if block.IsTemp(name) {
				in.note("%s was never finished; the next start removes it", filepath.Join(in.dir.sub(blockDir), name))
			}
			continue
		}
		in.report.Files++
		in.report.Blocks++
		b, err := block.Open(in.o.FS, in.dir.sub(blockDir), number, in.codec)
		if err == nil {
			err = in.block(b)
			b.Release()
		}
		if err := in.damage(err); err != nil {
			return err
		}
	}
	return nil
}

// rollup looks at the rollup of a block.
func (in *inspection) rollup(b *block.Block) error {
	if b.Rollup() == nil {
		return vfs.Corrupt(b.RollupFile(), 0, "the file cannot be opened")
	}
	f, err := rollup.Open(b.Rollup(), b.RollupFile(), rollup.NewCache(0))
	if errors.Is(err, rollup.ErrRules) {
		in.note("%s is of an older version: graphs read traces instead, until the block is merged", b.RollupFile())
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

func (in *inspection) block(b *block.Block) error {
	in.report.BlockBytes += b.Size()
	if err := in.damage(in.rollup(b)); err != nil {
		return err
	}
	var memo block.Memo
	if in.deep {
		if err := in.damage(b.CheckTraces()); err != nil {
			return err
		}
	}
	var segments float64
	for i := range b.Len() {
		segments += float64(b.Entry(i).Segments)
	}
	for i := range b.Len() {
		e, k := b.Entry(i), key{b.Account(i), b.Entry(i).ID}
		if in.deep {
			if err := in.damage(in.records(b, i, &memo)); err != nil {
				return err
			}
		}
		in.bytes[k.account] += float64(b.Size()) * float64(e.Segments) / max(1, segments)
		if old, had := in.traces[k]; !in.graves.hold(k, e.LSN) && (!had || old.lsn < e.LSN) {
			in.traces[k] = inspected{e.LSN, e.LSN, int64(e.Segments), e.First, e.Updated}
		}
	}
	return nil
}

func (in *inspection) records(b *block.Block, i int, keep block.Keeper) error {
	records, err := b.Records(i, keep)
	if err != nil {
		return err
	}
	for _, r := range records {
		if _, err := in.o.Restore(r.Source, r.Raw, r.Scope, r.Part, r.ReceivedAt); err != nil {
			return vfs.Corrupt(b.File(), b.Offset(i), "trace %s: %w", b.Entry(i).ID, err)
		}
	}
	return nil
}

func (in *inspection) log() error {
	l, found, err := wal.Open(wal.Options{FS: in.o.FS, Dir: in.dir.sub(logDir), FileBytes: in.o.LogFileBytes}, in.entry)
	for _, d := range found.Damage {
		if err := in.damage(d); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	in.report.Files += l.Files()
	in.report.WALBytes = l.Size()
	if found.Torn > 0 {
		in.note("the last %d bytes of the log are of a write that was never acknowledged; the next start drops them", found.Torn)
	}
	names, err := in.o.FS.List(in.dir.sub(logDir))
	for _, name := range names {
		if strings.HasSuffix(name, ".damaged") {
			in.note("%s was found damaged earlier and is kept for you to look at", filepath.Join(in.dir.sub(logDir), name))
		}
	}
	return err
}

// entry takes one entry of the log, as replay does.
func (in *inspection) entry(e wal.Entry) error {
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
	account, records, err := decodeBatch(e.Data)
	if err != nil {
		return in.damage(vfs.Corrupt(file, e.At, "entry %d: %w", e.LSN, err))
	}
	for i := range records {
		r := &records[i]
		if _, err := in.o.Restore(r.Source, r.Raw, r.Scope, r.Part, r.ReceivedAt); err != nil {
			if err := in.damage(vfs.Corrupt(file, e.At, "entry %d, trace %s: %w", e.LSN, r.TraceID, err)); err != nil {
				return err
			}
			continue
		}
		k := key{account, r.TraceID}
		t, had := in.traces[k]
		// lsn is that of the block's copy, which holds what the log has up to it.
		if in.graves.hold(k, e.LSN) || had && t.lsn >= e.LSN {
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
	return nil
}

// sum adds up by account.
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
