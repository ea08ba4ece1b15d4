package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// logFiles is how many log files there may be before the traces that need
	// the oldest one settle early.
	logFiles = 32
	// idleLog is how many bytes of log may stay when blocks have all of it: the next start
	// would read them needlessly.
	idleLog = 256 << 10
)

// settler writes settled traces to blocks, and tries failed writes of the log again.
type settler struct {
	*base
	state     *state
	log       *log
	inventory *inventory
	loader    *loader
	keys      *keys
	flushes   chan chan error

	mu sync.Mutex // held during a flush: one at a time
}

func newSettler(b *base, s *state, l *log, v *inventory, ld *loader) *settler {
	return &settler{base: b, state: s, log: l, inventory: v, loader: ld, keys: newKeys(b.AnnotationKeys, b.AnnotationValues), flushes: make(chan chan error)}
}

// run settles traces until the shelf closes.
func (s *settler) run() {
	tick := time.NewTicker(max(10*time.Millisecond, min(s.SettleAfter/4, time.Second)))
	defer tick.Stop()
	retry := time.NewTicker(s.RetryAfter)
	defer retry.Stop()
	for {
		select {
		case <-s.closing.Done():
			return
		case <-retry.C:
			if s.log.unwritable() != "" {
				s.log.probe(false)
			}
		case <-tick.C:
		case <-s.state.room.short:
		case done := <-s.flushes:
			done <- s.flushAll()
			continue
		}
		s.settle()
	}
}

// settle flushes until nothing is due. After a failure it waits for the next tick.
func (s *settler) settle() {
	for {
		due := s.due()
		if len(due) == 0 {
			s.tidyLog()
			return
		}
		if err := s.flush(due); err != nil {
			s.failed(err)
			return
		}
		if s.closing.Err() != nil {
			return
		}
	}
}

// tidyLog deletes log files nothing needs while no trace is open, the last one
// included.
func (s *settler) tidyLog() {
	switch {
	case !s.state.idle() || s.log.unwritable() != "" || s.log.files.Size() <= idleLog && !s.log.changing():
	case s.log.files.Files() == 1:
		s.log.probe(true)
	default:
		s.mu.Lock() // a purge cuts the log, too
		defer s.mu.Unlock()
		s.trimLog()
	}
}

// trimLog cuts the log. The caller holds mu.
func (s *settler) trimLog() {
	if err := s.inventory.trimLog(); err != nil {
		s.Logger.Warn("log files that nothing needs were not deleted", "error", err)
	}
}

func (s *settler) failed(err error) {
	if was := s.state.room.stall(err.Error()); was == "" {
		s.Logger.Error("settled traces cannot be written to a block; they stay in the log", "error", err)
	}
}

// flushNow settles every trace.
func (s *settler) flushNow(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.flushes <- done:
	case <-s.closing.Done():
		return errClosed()
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-done
}

func always(*head) bool { return true }

func everyTrace(*open) bool { return true }

func (s *settler) flushAll() error {
	for {
		all := s.state.pick(always, everyTrace, blockMemory)
		if len(all) == 0 {
			return nil
		}
		if err := s.flush(all); err != nil {
			s.failed(err)
			return err
		}
	}
}

// due returns the traces to flush now: the longest idle ones when memory is short,
// those that keep the log from being cut, or the settled ones when there are enough, one
// has waited long enough or no other trace is open.
func (s *settler) due() []source {
	if excess := s.state.room.excess(); excess > 0 {
		return s.state.pick(always, everyTrace, min(excess, blockMemory))
	}
	if s.log.files.Files() > logFiles {
		oldest := s.log.files.Oldest()
		pins := func(o *open) bool { return o.parts[0].file <= oldest }
		if list := s.state.pick(always, pins, blockMemory); len(list) > 0 {
			return list
		}
	}
	since := s.Now().Add(-s.SettleAfter)
	worth := func(h *head) bool { return h.worth(since, since.Add(-s.FlushAfter), s.FlushBytes) }
	return s.state.pick(worth, func(o *open) bool { return !o.touched.After(since) }, blockMemory)
}

// settling is one trace on its way to a block.
type settling struct {
	*source
	info block.Info
}

// flush writes traces to blocks, which replace their open parts in the head. It releases
// the sources.
func (s *settler) flush(sources []source) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		for i := range sources {
			sources[i].release()
		}
	}()
	for _, one := range s.domains(sources) {
		err = errors.Join(err, s.flushTo(one))
	}
	if err != nil {
		return err
	}
	s.trimLog()
	s.state.catalog.change()
	return nil
}

// domain has the traces that go to one block: those of one account if they are sealed.
type domain struct {
	account trace.Account
	key     *seal.Key // nil: not sealed
	sources []source
}

// domains sorts traces by the block that they go to. Accounts whose key is away leave.
func (s *settler) domains(sources []source) (list []domain) {
	if !s.vault.on {
		return []domain{{sources: sources}}
	}
	byAccount := map[trace.Account][]source{}
	for _, src := range sources {
		byAccount[src.account] = append(byAccount[src.account], src)
	}
	var plain []source
	for _, account := range slices.Sorted(maps.Keys(byAccount)) {
		key, err := s.keyOf(account)
		switch {
		case err != nil:
			s.state.evict(account)
		case key == nil:
			plain = append(plain, byAccount[account]...)
		default:
			list = append(list, domain{account, key, byAccount[account]})
		}
	}
	if len(plain) > 0 {
		list = append(list, domain{sources: plain})
	}
	return list
}

// keyOf returns the key for new blocks of an account. If it is away, it notes that.
func (s *settler) keyOf(account trace.Account) (*seal.Key, error) {
	ctx, cancel := context.WithTimeout(s.working, keyTime)
	defer cancel()
	key, err := s.vault.newest(ctx, account)
	if err != nil {
		s.leave(account, err)
	}
	return key, err
}

// flushTo writes the traces of one block.
func (s *settler) flushTo(to domain) error {
	sources := to.sources
	list := make([]settling, len(sources))
	var memo block.Memo
	var assembler assemble.Assembler
	describe := describer{keys: s.keys}
	var segments []*trace.Segment
	roll := newRoller(s.working, s.Rules)
	refused := map[trace.Account][]trace.Refused{}
	for i := range sources {
		src := &sources[i]
		t := src.kept()
		if t == nil {
			var err error
			if segments, err = s.loader.segments(segments[:0], src, &memo); err != nil && !corrupt(err) {
				return fmt.Errorf("reopen trace %s: %w", src.id, err)
			}
			t = assembler.Trace(src.id, segments)
		}
		if list := src.untold(t); list != nil {
			refused[src.account] = append(refused[src.account], list...)
		}
		sum := assembler.Outline(t)
		list[i] = settling{src, describe.info(src, t, sum)}
		if err := roll.add(src.account, t, sum); err != nil {
			return err
		}
	}
	slices.SortFunc(list, func(a, b settling) int {
		return cmp.Or(cmp.Compare(a.info.Start, b.info.Start), bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.account, b.account))
	})
	b, o, err := s.write(to, list, &memo, roll.encode())
	if err != nil {
		return err
	}
	s.Rules.Folded(roll.builder.Folded)
	sorted := make([]*source, len(list))
	for i := range list {
		sorted[i] = list[i].source
	}
	s.state.install(b, o, sorted)
	s.state.room.stall("")
	for account, list := range refused {
		s.Rules.Refused(account, list)
	}
	return nil
}

// write writes a block of traces.
func (s *settler) write(to domain, list []settling, keep block.Keeper, roll []byte) (*block.Block, outside, error) {
	number := s.state.catalog.numbers.take()
	w, err := block.Create(block.WriterOptions{FS: s.vault.files(to.account, to.key), Dir: s.dir.sub(blockDir), Number: number, Codec: s.codec, Choice: s.choice})
	var b *block.Block
	var o outside
	if err == nil {
		err = s.fill(w, list, keep)
	}
	if err == nil {
		b, err = w.Finish(roll)
	}
	if err == nil {
		if o, err = s.vault.look(number); err == nil {
			return b, o, nil
		}
		b.Release()
	}
	if w != nil {
		w.Abort()
	}
	s.inventory.giveUp(number)
	return nil, o, err
}

// fill adds traces to a block. A settled part that is damaged stays in its block, which
// stays.
func (s *settler) fill(w *block.Writer, list []settling, keep block.Keeper) (err error) {
	var records []block.Record
	for i := range list {
		if records, err = s.loader.records(records[:0], list[i].source, keep); err != nil && !corrupt(err) {
			return fmt.Errorf("reopen trace %s: %w", list[i].id, err)
		}
		if err := w.Add(&list[i].info, records); err != nil {
			return err
		}
	}
	return nil
}
