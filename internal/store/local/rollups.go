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

// rollups opens and makes the rollups of blocks. The rollup of a block has the sums of
// all its entries, dead or not. A question subtracts the sums of the dead ones, which it
// reads from the block: they are there until the block is merged. So rollups and traces
// count the same, whatever was superseded, deleted or lost.
type rollups struct {
	*base
	loader *loader
	pages  *rollup.Cache // pages that questions have read
}

// roller makes a rollup of assembled traces.
type roller struct {
	rules   store.Rules
	ctx     context.Context
	builder rollup.Builder
	owners  map[trace.Account]func(*trace.Trace, *trace.Summary) []store.Owner
	lost    bool // nobody knows the owners
}

// encode returns the rollup, or one that is never used if it would lack owners.
func (r *roller) encode() []byte {
	if r.lost {
		return rollup.Unusable()
	}
	return r.builder.Encode()
}

func newRoller(ctx context.Context, rules store.Rules) *roller {
	return &roller{rules: rules, ctx: ctx, builder: rollup.Builder{Limit: rules.Limit()}}
}

// add counts a trace for its account and for its owners. The outline of its summary is
// enough.
func (r *roller) add(account trace.Account, t *trace.Trace, sum *trace.Summary) error {
	r.builder.Add(rollup.Owner{Account: account}, t, trace.Window{Start: trace.MinTime, End: trace.MaxTime})
	owners, known := r.owners[account]
	if !known {
		// The question comes after the receipt of the trace: no owner is missing.
		var err error
		if owners, err = r.rules.Owners(r.ctx, account); errors.Is(err, store.ErrOwnersUnknown) {
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

// errStale says that a question saw an older state than a later question, which has
// updated the rollup: it must begin again.
var errStale = errors.New("the state that was asked for is gone")

// errNoRollup says that the rollup of a block cannot be used: its traces are read.
var errNoRollup = errors.New("no rollup")

// of returns the sums of all entries of a block and of those that were dead in an
// epoch; both are nil if all were. Errors: errNoRollup if the sums cannot be used,
// errStale if a later epoch was asked for already.
func (r *rollups) of(ctx context.Context, b *sealed, dead liveness, epoch uint32) (plus, minus *rollup.File, err error) {
	b.rolled.mu.Lock()
	defer b.rolled.mu.Unlock()
	if plus, err = r.open(b); err != nil {
		return nil, nil, err
	}
	if b.rolled.minusEpoch > epoch {
		return nil, nil, errStale
	}
	if b.rolled.minusEpoch < epoch && dead != nil {
		if err := r.subtract(ctx, b, dead, epoch); err != nil {
			if corrupt(err) || errors.Is(err, rollup.ErrRules) {
				err = r.giveUp(b, err)
			}
			return nil, nil, err
		}
	}
	if b.rolled.minusCount == b.Len() {
		return nil, nil, nil
	}
	return plus, b.rolled.minus, nil
}

// whole returns the sums of all entries of a block.
func (r *rollups) whole(b *sealed) (*rollup.File, error) {
	b.rolled.mu.Lock()
	defer b.rolled.mu.Unlock()
	return r.open(b)
}

// damaged gives up a rollup that turned out to be damaged.
func (r *rollups) damaged(b *sealed, err error) {
	b.rolled.mu.Lock()
	defer b.rolled.mu.Unlock()
	_ = r.giveUp(b, err) // the caller begins again
}

// open opens a block's rollup once. The block's rolled.mu is held.
func (r *rollups) open(b *sealed) (*rollup.File, error) {
	if b.rolled.unusable {
		return nil, errNoRollup
	}
	if b.rolled.plus == nil {
		if b.Rollup() == nil {
			return nil, r.giveUp(b, fmt.Errorf("rollup %s cannot be opened: graphs read traces instead", b.RollupFile()))
		}
		f, err := rollup.Open(b.Rollup(), b.RollupFile(), r.pages)
		if err != nil {
			return nil, r.giveUp(b, err)
		}
		b.rolled.plus = f
	}
	return b.rolled.plus, nil
}

// giveUp makes a rollup unusable; a merge makes a new one. It returns errNoRollup. The
// block's rolled.mu is held.
func (r *rollups) giveUp(b *sealed, err error) error {
	b.rolled.unusable = true
	if errors.Is(err, rollup.ErrRules) {
		r.Logger.Info("a rollup of other rules is not used: graphs read traces instead", "file", b.RollupFile())
	} else {
		r.damage.note(err)
	}
	return errNoRollup
}

// subtract adds the sums of the entries that died up to an epoch to those that are
// subtracted from a block's rollup. The block's rolled.mu is held.
func (r *rollups) subtract(ctx context.Context, b *sealed, dead liveness, epoch uint32) error {
	var more []int
	for i := range dead {
		if dead.gone(i, epoch) && !dead.gone(i, b.rolled.minusEpoch) {
			more = append(more, i)
		}
	}
	count := b.rolled.minusCount + len(more)
	if count < b.Len() && len(more) > 0 {
		minus, err := r.part(ctx, b, more, b.rolled.plus)
		if err == nil && b.rolled.minus != nil {
			var sum []byte
			if sum, _, err = rollup.Merge([]*rollup.File{b.rolled.minus, minus}, nil, 0); err == nil {
				minus, err = rollup.InMemory(sum, r.pages)
			}
		}
		if err != nil {
			return err
		}
		b.rolled.minus = minus
	}
	b.rolled.minusCount, b.rolled.minusEpoch = count, epoch
	return nil
}

// merged makes the rollup of a merge: it adds the rollups of the sources and subtracts
// the sums of the entries that the merge left behind. If a source's rollup or these
// entries cannot be read, or they are more than the copied ones, it reads the copied
// ones.
func (r *rollups) merged(ctx context.Context, inputs []*survey) ([]byte, error) {
	var plus, minus []*rollup.File
	for _, m := range inputs {
		if len(m.copied) == 0 {
			continue
		}
		whole, err := r.whole(m.sealed) // it has other accounts if only a part is copied
		if err == nil && !m.part && len(m.left) <= len(m.copied) {
			if left, err := r.part(ctx, m.sealed, m.left, whole); err == nil {
				plus, minus = append(plus, whole), append(minus, left)
				continue
			}
		}
		copied, err := r.build(m.sealed, m.copied, newRoller(ctx, r.Rules))
		if errors.Is(err, rollup.ErrRules) {
			return rollup.Unusable(), nil
		}
		if err != nil {
			return nil, m.readFailed(r.damage, err)
		}
		plus = append(plus, copied)
	}
	merged, folded, err := rollup.Merge(plus, minus, r.Rules.Limit())
	r.Rules.Folded(folded)
	return merged, err
}

// part makes the rollup of some entries of a block, to be subtracted from the block's:
// it tells the same names apart.
func (r *rollups) part(ctx context.Context, b *sealed, entries []int, whole *rollup.File) (*rollup.File, error) {
	return r.build(b, entries, &roller{rules: r.Rules, ctx: ctx, builder: rollup.Builder{Keep: whole.Names()}})
}

// build makes the rollup of some entries of a block. Damage is a *CorruptError.
func (r *rollups) build(b *sealed, entries []int, to *roller) (*rollup.File, error) {
	var memo block.Memo
	var assembler assemble.Assembler
	for _, i := range entries {
		segments, err := r.loader.segments(nil, &source{key: place{b, i}.key(), base: place{b, i}}, &memo)
		if err != nil {
			return nil, err
		}
		t := assembler.Trace(b.Entry(i).ID, segments)
		if err := to.add(b.Account(i), t, assembler.Outline(t)); err != nil {
			return nil, err
		}
	}
	return rollup.InMemory(to.encode(), r.pages)
}
