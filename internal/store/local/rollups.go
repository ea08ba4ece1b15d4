package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A block's rollup sums up what its entries count, dead or not. What the dead
// ones count is taken away when a question needs it: they are in the block until
// it is merged, so that it can be read whenever it is missing. So rollups say the
// same as the traces that count, whatever was superseded, deleted or lost.

// roller makes a rollup of assembled traces.
type roller struct {
	shelf   *Shelf
	ctx     context.Context
	builder rollup.Builder
	owners  map[trace.Account]func(*trace.Trace, *trace.Summary) []store.Owner
	lost    bool // it is not known what counts for owners
}

// encode returns the rollup; one that is never used if owners would be missing in it.
func (r *roller) encode() []byte {
	if r.lost {
		return rollup.Unusable()
	}
	return r.builder.Encode()
}

func (s *Shelf) roller(ctx context.Context) *roller {
	return &roller{shelf: s, ctx: ctx, builder: rollup.Builder{Limit: s.o.Rules.Limit()}}
}

// add counts a trace, for its account and for the owners it counts for. Of its
// summary the outline is enough.
func (r *roller) add(account trace.Account, t *trace.Trace, sum *trace.Summary) error {
	r.builder.Add(rollup.Owner{Account: account}, t, trace.Window{Start: trace.MinTime, End: trace.MaxTime})
	owners, known := r.owners[account]
	if !known {
		// Asked for after what is counted was received: no owner is missing.
		var err error
		if owners, err = r.shelf.o.Rules.Owners(r.ctx, account); errors.Is(err, store.ErrOwnersUnknown) {
			r.lost = true
			return nil
		} else if err != nil {
			return err
		}
		if r.owners == nil {
			r.owners = map[trace.Account]func(*trace.Trace, *trace.Summary) []store.Owner{}
		}
		r.owners[account] = owners
	}
	for _, o := range owners(t, sum) {
		r.builder.Add(rollup.Owner{Account: account, Version: o.ID}, t, o.Received)
	}
	return nil
}

// errNoRollup is of a block whose rollup cannot be used: its traces are read.
var errNoRollup = errors.New("no rollup")

// rollups are what all entries of a block count and what those count of them that
// were dead in an epoch; both are nil if all are. errNoRollup says that they
// cannot be used, errStale that a later epoch was asked for already.
func (s *Shelf) rollups(ctx context.Context, b *sealed, dead liveness, epoch uint32) (plus, minus *rollup.File, err error) {
	b.rolling.Lock()
	defer b.rolling.Unlock()
	if plus, err = s.openRollup(b); err != nil {
		return nil, nil, err
	}
	if b.minusEpoch > epoch {
		return nil, nil, errStale
	}
	if b.minusEpoch < epoch && dead != nil {
		if err := s.subtract(ctx, b, dead, epoch); err != nil {
			if corrupt(err) || errors.Is(err, rollup.ErrRules) {
				err = s.noRollup(b, err)
			}
			return nil, nil, err
		}
	}
	if b.minusCount == b.Len() {
		return nil, nil, nil
	}
	return plus, b.minus, nil
}

// openRollup opens a block's rollup once. The block's rolling is held.
func (s *Shelf) openRollup(b *sealed) (*rollup.File, error) {
	if b.unrolled {
		return nil, errNoRollup
	}
	if b.plus == nil {
		if b.Rollup() == nil {
			return nil, s.noRollup(b, fmt.Errorf("rollup %s cannot be opened: graphs read traces instead", b.RollupFile()))
		}
		f, err := rollup.Open(b.Rollup(), b.RollupFile(), s.pages)
		if err != nil {
			return nil, s.noRollup(b, err)
		}
		b.plus = f
	}
	return b.plus, nil
}

// noRollup gives a rollup up. A merge makes a new one.
func (s *Shelf) noRollup(b *sealed, err error) error {
	b.unrolled = true
	if errors.Is(err, rollup.ErrRules) {
		s.o.Logger.Info("a rollup that other rules made is not used: graphs read traces instead", "file", b.RollupFile())
	} else {
		s.damage.note(err)
	}
	return errNoRollup
}

// subtract adds to what is taken away of a block's rollup what entries count that
// died up to an epoch. The block's rolling is held.
func (s *Shelf) subtract(ctx context.Context, b *sealed, dead liveness, epoch uint32) error {
	var more []int
	for i := range dead {
		if dead.gone(i, epoch) && !dead.gone(i, b.minusEpoch) {
			more = append(more, i)
		}
	}
	count := b.minusCount + len(more)
	if count < b.Len() && len(more) > 0 {
		minus, err := s.part(ctx, b, more, b.plus)
		if err == nil && b.minus != nil {
			var sum []byte
			if sum, _, err = rollup.Merge([]*rollup.File{b.minus, minus}, nil, 0); err == nil {
				minus, err = rollup.InMemory(sum, s.pages)
			}
		}
		if err != nil {
			return err
		}
		b.minus = minus
	}
	b.minusCount, b.minusEpoch = count, epoch
	return nil
}

// mergedRollup is the rollup of what a merge copied: the sum of those of its
// sources, without what the entries count that were left behind. Where that
// cannot be read, or is more than what was copied, what was copied is read.
func (s *Shelf) mergedRollup(ctx context.Context, inputs []*merging) ([]byte, error) {
	var plus, minus []*rollup.File
	for _, m := range inputs {
		if len(m.copied) == 0 {
			continue
		}
		m.rolling.Lock()
		whole, err := s.openRollup(m.sealed)
		m.rolling.Unlock()
		if err == nil && len(m.left) <= len(m.copied) {
			if left, err := s.part(ctx, m.sealed, m.left, whole); err == nil {
				plus, minus = append(plus, whole), append(minus, left)
				continue
			}
		}
		copied, err := s.rollupOf(m.sealed, m.copied, s.roller(ctx))
		if errors.Is(err, rollup.ErrRules) {
			return rollup.Unusable(), nil
		}
		if err != nil {
			return nil, s.readFailed(m.sealed, err)
		}
		plus = append(plus, copied)
	}
	merged, folded, err := rollup.Merge(plus, minus, s.o.Rules.Limit())
	s.o.Rules.Folded(folded)
	return merged, err
}

// part is the rollup of some entries of a block, to be taken away from the block's:
// it tells the same names apart.
func (s *Shelf) part(ctx context.Context, b *sealed, entries []int, whole *rollup.File) (*rollup.File, error) {
	return s.rollupOf(b, entries, &roller{shelf: s, ctx: ctx, builder: rollup.Builder{Keep: whole.Names()}})
}

// rollupOf is the rollup of some entries of a block. Damage is a *CorruptError.
func (s *Shelf) rollupOf(b *sealed, entries []int, r *roller) (*rollup.File, error) {
	var memo block.Memo
	var assembler assemble.Assembler
	for _, i := range entries {
		segments, err := s.segments(&source{key: s.table.keyOf(place{b, i}), base: place{b, i}}, &memo)
		if err != nil {
			return nil, err
		}
		t := assembler.Trace(b.Entry(i).ID, segments)
		if err := r.add(b.Account(i), t, assembler.Outline(t)); err != nil {
			return nil, err
		}
	}
	return rollup.InMemory(r.encode(), s.pages)
}
