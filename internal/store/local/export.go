package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// ExportQuery selects traces.
type ExportQuery struct {
	Account trace.Account // "" for all
	Since   trace.Time    // traces that received something since then; trace.MinTime for all
}

// Exported tells what an export has.
type Exported struct {
	Traces   int64
	Segments int64
	// Missing are accounts that could not be exported, with the reason. Damage has the
	// blocks, or parts of blocks, that cannot be read.
	Missing map[trace.Account]string
	Damage  []string
}

// exportBytes is about how many received bytes the tables of one number hold: an export
// makes them in memory.
const exportBytes = 32 << 20

// Export gives Parquet tables in the clear to add, each with a name: those of blocks
// (docs/format/store.md), with each trace once, without deleted and expired ones. It
// settles all open traces first, so that it has everything that was acknowledged before.
// Errors: KindUnavailable if the key of the account of the query is away.
func (s *Shelf) Export(ctx context.Context, q ExportQuery, add func(name string, size int64, r io.Reader) error) (*Exported, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if q.Account != "" {
		if err := s.base.vault.gate(ctx, q.Account); err != nil {
			return nil, err
		}
	}
	if err := s.Flush(ctx); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	e := &exporter{base: s.base, ctx: ctx, q: q, add: add, skip: map[trace.Account]bool{}}
	e.done.Missing = map[trace.Account]string{}
	for account, err := range s.base.vault.absentees() {
		if q.Account == "" || q.Account == account {
			e.skip[account], e.done.Missing[account] = true, err.Error()
		}
	}
	snap := s.state.snapshot("")
	defer snap.release()
	for i, b := range snap.blocks {
		if err := e.block(b, snap.dead[i], snap.epoch, s.state.catalog.horizon()); err != nil {
			return nil, err
		}
	}
	return &e.done, nil
}

// exporter is one run of Export.
type exporter struct {
	*base
	ctx    context.Context
	q      ExportQuery
	add    func(name string, size int64, r io.Reader) error
	skip   map[trace.Account]bool
	number uint64
	done   Exported
}

// block exports the live entries of a block, in parts of about exportBytes.
func (e *exporter) block(b *sealed, dead liveness, epoch uint32, horizon trace.Time) error {
	var list []int
	size := int64(0)
	for i := range b.Len() {
		account := b.Account(i)
		if dead.gone(i, epoch) || b.Entry(i).Updated < max(horizon, e.q.Since) || e.skip[account] || e.q.Account != "" && e.q.Account != account {
			continue
		}
		list, size = append(list, i), size+b.Weight(i)
		if size >= exportBytes {
			if err := e.part(b, list); err != nil {
				return err
			}
			list, size = nil, 0
		}
	}
	if len(list) == 0 {
		return nil
	}
	return e.part(b, list)
}

// part exports some entries of a block. Damage leaves out the entry that has it.
func (e *exporter) part(b *sealed, list []int) error {
	for len(list) > 0 {
		at, err := e.write(b, list)
		if err == nil || !corrupt(err) {
			return err
		}
		_ = b.readFailed(e.damage, err)
		if e.done.Damage = append(e.done.Damage, err.Error()); at < 0 {
			return nil
		}
		list = slices.Delete(slices.Clone(list), at, at+1)
	}
	return nil
}

// write writes tables of some entries. On damage, at is the place in list of the entry that
// cannot be read, or -1.
func (e *exporter) write(b *sealed, list []int) (at int, err error) {
	if err := e.ctx.Err(); err != nil {
		return -1, err
	}
	const dir = "tables"
	mem := vfs.NewMem()
	if err := mem.MkdirAll(dir); err != nil {
		return -1, err
	}
	w, err := block.Create(block.WriterOptions{FS: mem, Dir: dir, Number: e.number + 1, Codec: e.codec, Level: block.Fast})
	if err != nil {
		return -1, err
	}
	var memo block.Memo
	segments := int64(0)
	for n, i := range list {
		if err := w.Copy(b.Block, i, &memo); err != nil {
			w.Abort()
			return n, err
		}
		segments += int64(b.Entry(i).Segments)
	}
	made, err := w.Finish(rollup.Unusable())
	if err != nil {
		w.Abort()
		return -1, err
	}
	made.Release()
	for _, name := range made.Tables() {
		if !isTable(name) {
			continue
		}
		text, err := readWhole(mem, name)
		if err == nil {
			err = e.add(path.Base(filepath.ToSlash(name)), int64(len(text)), bytes.NewReader(text))
		}
		if err != nil {
			return -1, errors.Join(errors.New("export a table"), err)
		}
	}
	e.number++
	e.done.Traces, e.done.Segments = e.done.Traces+int64(len(list)), e.done.Segments+segments
	return -1, nil
}
