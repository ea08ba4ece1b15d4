// Package hold keeps traces that must not disappear: for a court, an auditor, or the next
// post-mortem. A hold selects traces by id, by a filter expression or by a group. Its
// traces are copied to a store of their own, the vault, where neither retention nor a
// limit of bytes reaches them, and erasures leave them alone.
package hold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Store is the part of answer.Store that holds need.
type Store interface {
	Summaries(ctx context.Context, account trace.Account, q *answer.SummaryQuery) iter.Seq2[*trace.Summary, error]
	Received(ctx context.Context, account trace.Account, ids []trace.ID) iter.Seq2[*answer.Received, error]
	Append(ctx context.Context, account trace.Account, batch []*trace.Segment) ([]trace.Refused, error)
	Delete(ctx context.Context, account trace.Account, q answer.DeleteQuery) (int, error)
	Purge(ctx context.Context) error
	Close() error
}

// Options of Holds.
type Options struct {
	Records meta.Store
	Main    Store
	// Vault opens the store of held traces. It is called when the first hold is made, or
	// at the start if there are holds.
	Vault func() (Store, error)
	// Filter parses a filter expression for an owner.
	Filter func(owner trace.Owner, text string) (*filter.Expr, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Hold is a legal hold or a pin.
type Hold struct {
	Name    string    `json:"name"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	Region  string    `json:"region"`
	// Traces, Filter and Group select traces; one of them is set. Filter and Group also
	// select traces that arrive later.
	Traces []string `json:"traces,omitempty"`
	Filter string   `json:"filter,omitempty"`
	Group  string   `json:"group,omitempty"`
}

// held says which holds hold a trace. A record has the trace id as its name.
type held struct {
	Holds []string `json:"holds"`
}

const (
	holdKind    meta.Kind = "hold"
	heldKind    meta.Kind = "held-trace"
	accountKind meta.Kind = "account-with-holds" // of seal.System

	maxHolds  = 100
	maxTraces = 10_000 // of one hold
	maxText   = 16 << 10
	// sweepPause is the time between two searches for new traces of holds.
	sweepPause = time.Minute
	// sweepSlack is how far a search goes back before the last one.
	sweepSlack = 10 * time.Minute
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Holds keeps holds. Many goroutines may use it.
type Holds struct {
	o Options

	changing sync.Mutex // one change of holds at a time
	mu       sync.Mutex // guards vault
	vault    Store
	accounts atomic.Pointer[map[trace.Account]map[trace.ID][]string] // held traces; replaced, never changed
	swept    map[string]trace.Time                                   // by account and hold; the caller holds changing
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

// New makes Holds. It opens the vault if there is a hold, and looks for new traces of holds
// until Close.
func New(ctx context.Context, o Options) (*Holds, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Holds{o: o, swept: map[string]trace.Time{}}
	all := map[trace.Account]map[trace.ID][]string{}
	h.accounts.Store(&all)
	accounts, err := known(ctx, o.Records)
	if err != nil {
		return nil, fmt.Errorf("accounts with legal holds: %w", err)
	}
	any := false
	for _, account := range accounts {
		ids, holds, err := h.read(ctx, account)
		if err != nil {
			return nil, fmt.Errorf("legal holds of account %s: %w", account, err)
		}
		if any = any || len(holds) > 0; len(ids) > 0 || len(holds) > 0 {
			all[account] = ids
		}
	}
	if any {
		if _, err := h.open(); err != nil {
			return nil, err
		}
	}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.tasks.Go(func() { h.run(ctx) })
	return h, nil
}

// known lists the accounts that ever had a hold.
func known(ctx context.Context, records meta.Store) (list []trace.Account, err error) {
	err = records.View(ctx, seal.System, func(tx meta.Tx) error {
		return tx.List(accountKind, func(name string, _ json.RawMessage) error {
			list = append(list, trace.Account(name))
			return nil
		})
	})
	return list, err
}

// open opens the vault.
func (h *Holds) open() (Store, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.vault == nil {
		v, err := h.o.Vault()
		if err != nil {
			return nil, fmt.Errorf("open the store of held traces: %w", err)
		}
		h.vault = v
	}
	return h.vault, nil
}

// Close ends the search for new traces and closes the vault.
func (h *Holds) Close() error {
	h.stop()
	h.tasks.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.vault == nil {
		return nil
	}
	return h.vault.Close()
}

// read reads the records of an account.
func (h *Holds) read(ctx context.Context, account trace.Account) (ids map[trace.ID][]string, holds []Hold, err error) {
	ids, holds = map[trace.ID][]string{}, []Hold{}
	err = h.o.Records.View(ctx, account, func(tx meta.Tx) error {
		if err := tx.List(heldKind, func(name string, value json.RawMessage) error {
			id, err := trace.ParseID(name)
			var r held
			if err == nil {
				err = json.Unmarshal(value, &r)
			}
			if err != nil {
				return fmt.Errorf("record of held trace %s: %w", name, err)
			}
			ids[id] = r.Holds
			return nil
		}); err != nil {
			return err
		}
		return tx.List(holdKind, func(name string, value json.RawMessage) error {
			var r Hold
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("record of hold %s: %w", name, err)
			}
			holds = append(holds, r)
			return nil
		})
	})
	return ids, holds, err
}

// set replaces the held traces of an account in memory.
func (h *Holds) set(account trace.Account, ids map[trace.ID][]string) {
	all := map[trace.Account]map[trace.ID][]string{account: ids}
	for a, m := range *h.accounts.Load() {
		if a != account {
			all[a] = m
		}
	}
	h.accounts.Store(&all)
}

// On returns a function that names the holds on a trace of an account.
func (h *Holds) On(_ context.Context, account trace.Account) (func(trace.ID) []string, error) {
	ids := (*h.accounts.Load())[account]
	return func(id trace.ID) []string { return ids[id] }, nil
}

// Segments returns the held segments of a trace, nil if it is not held. They are shared.
func (h *Holds) Segments(ctx context.Context, account trace.Account, id trace.ID) ([]*trace.Segment, error) {
	if len((*h.accounts.Load())[account][id]) == 0 {
		return nil, nil
	}
	v, err := h.open()
	if err != nil {
		return nil, err
	}
	for r, err := range v.Received(ctx, account, []trace.ID{id}) {
		if err != nil {
			return nil, err
		}
		return r.Segments, nil
	}
	return nil, nil
}

// Status is a hold and the number of its traces.
type Status struct {
	Hold
	Held int `json:"heldTraces"`
}

// List lists the holds of an account.
func (h *Holds) List(ctx context.Context, account trace.Account) ([]Status, error) {
	ids, holds, err := h.read(ctx, account)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, names := range ids {
		for _, name := range names {
			count[name]++
		}
	}
	out := []Status{}
	for _, x := range holds {
		out = append(out, Status{x, count[x.Name]})
	}
	return out, nil
}

// check validates a new hold.
func (x *Hold) check() error {
	given := 0
	for _, set := range []bool{len(x.Traces) > 0, x.Filter != "", x.Group != ""} {
		if set {
			given++
		}
	}
	switch {
	case !nameForm.MatchString(x.Name):
		return trace.Errorf(trace.KindInvalid, "name: %.100q: want 1 to 64 letters, digits, dots, hyphens and underscores", x.Name)
	case given != 1:
		return trace.Errorf(trace.KindInvalid, "a hold needs one of traces, filter and group")
	case len(x.Traces) > maxTraces:
		return trace.Errorf(trace.KindInvalid, "traces: at most %d in one hold", maxTraces)
	case len(x.Filter) > maxText || len(x.Reason) > maxText:
		return trace.Errorf(trace.KindInvalid, "filter and reason: at most %d bytes each", maxText)
	}
	return nil
}

// Add makes a hold and copies the traces that it selects now. It returns how many these
// are. Errors: KindInvalid, KindConflict if there is a hold with this name.
func (h *Holds) Add(ctx context.Context, owner trace.Owner, x Hold) (*Status, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	for i, text := range x.Traces {
		id, err := trace.ParseID(text)
		if err != nil {
			return nil, trace.Errorf(trace.KindInvalid, "traces: %.100q is no trace id", text)
		}
		x.Traces[i] = id.String()
	}
	if _, err := h.filterOf(owner, &x); err != nil {
		return nil, err
	}
	h.changing.Lock()
	defer h.changing.Unlock()
	if _, err := h.open(); err != nil {
		return nil, err
	}
	x.Created, x.Region = h.o.Now().UTC(), owner.Region
	err := h.o.Records.Update(ctx, seal.System, func(tx meta.Tx) error {
		return tx.Put(accountKind, string(owner.Account), struct{}{})
	})
	if err != nil {
		return nil, err
	}
	err = h.o.Records.Update(ctx, owner.Account, func(tx meta.Tx) error {
		n := 0
		if err := tx.List(holdKind, func(name string, _ json.RawMessage) error {
			if n++; name == x.Name {
				return trace.Errorf(trace.KindConflict, "there is a hold with the name %s", x.Name)
			}
			return nil
		}); err != nil {
			return err
		}
		if n >= maxHolds {
			return trace.Errorf(trace.KindInvalid, "an account has at most %d holds", maxHolds)
		}
		return tx.Put(holdKind, x.Name, x)
	})
	if err != nil {
		return nil, err
	}
	if all := *h.accounts.Load(); all[owner.Account] == nil {
		h.set(owner.Account, map[trace.ID][]string{}) // Sweep looks at it from now on
	}
	n, err := h.extend(ctx, owner.Account, &x)
	return &Status{x, n}, err
}

// filterOf returns the expression that selects the traces of a hold, nil for ids.
func (h *Holds) filterOf(owner trace.Owner, x *Hold) (*filter.Expr, error) {
	switch {
	case x.Filter != "":
		return h.o.Filter(owner, x.Filter)
	case x.Group != "":
		b, _ := json.Marshal(x.Group) // texts always have JSON
		return h.o.Filter(owner, "group.name = "+string(b))
	}
	return nil, nil
}

// extend copies what a hold selects and is not copied yet. It returns how many traces the
// hold has then. The caller holds changing.
func (h *Holds) extend(ctx context.Context, account trace.Account, x *Hold) (int, error) {
	began := trace.TimeOf(h.o.Now())
	key := string(account) + " " + x.Name
	var ids []trace.ID
	expr, err := h.filterOf(trace.Owner{Account: account, Region: x.Region}, x)
	switch {
	case err != nil:
		return 0, err
	case expr == nil:
		for _, text := range x.Traces {
			if id, err := trace.ParseID(text); err == nil {
				ids = append(ids, id)
			}
		}
	default:
		q := &answer.SummaryQuery{Window: trace.Window{Start: trace.MinTime, End: trace.MaxTime}, Clock: trace.ClockTraceID, Filter: expr}
		if since, known := h.swept[key]; known {
			// Events are selected by the time of receipt: only new ones are of interest.
			q.Window.Start, q.Clock = since-trace.Time(sweepSlack), trace.ClockEvent
		}
		for s, err := range h.o.Main.Summaries(ctx, account, q) {
			if err != nil {
				return 0, err
			}
			ids = append(ids, s.ID)
		}
	}
	// Traces that are held already may have grown.
	for id, holds := range (*h.accounts.Load())[account] {
		if slices.Contains(holds, x.Name) && !slices.Contains(x.Traces, id.String()) {
			ids = append(ids, id)
		}
	}
	n := 0
	for part := range slices.Chunk(ids, 100) {
		if err := h.copy(ctx, account, x.Name, part); err != nil {
			return n, err
		}
	}
	h.swept[key] = began
	for _, holds := range (*h.accounts.Load())[account] {
		if slices.Contains(holds, x.Name) {
			n++
		}
	}
	return n, nil
}

// copy copies traces to the vault, then records that they are held.
func (h *Holds) copy(ctx context.Context, account trace.Account, name string, ids []trace.ID) error {
	vault, err := h.open()
	if err != nil {
		return err
	}
	have := map[trace.ID][]*trace.Segment{}
	for r, err := range vault.Received(ctx, account, ids) {
		if err != nil {
			return err
		}
		have[r.ID] = r.Segments
	}
	var found []trace.ID
	for r, err := range h.o.Main.Received(ctx, account, ids) {
		if err != nil {
			var damaged *store.DamagedError
			if errors.As(err, &damaged) {
				h.o.Logger.Error("damaged traces cannot be held", "hold", name, "error", err)
				continue
			}
			return err
		}
		fresh := answer.Missing(have[r.ID], r.Segments)
		if len(fresh) > 0 {
			if _, err := vault.Append(ctx, account, fresh); err != nil {
				return fmt.Errorf("copy a held trace: %w", err)
			}
		}
		found = append(found, r.ID)
	}
	old := (*h.accounts.Load())[account]
	var added []trace.ID
	for _, id := range found {
		if !slices.Contains(old[id], name) {
			added = append(added, id)
		}
	}
	if len(added) == 0 {
		return nil
	}
	err = h.o.Records.Update(ctx, account, func(tx meta.Tx) error {
		for _, id := range added {
			if err := tx.Put(heldKind, id.String(), held{append(slices.Clone(old[id]), name)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	now := make(map[trace.ID][]string, len(old)+len(added))
	for id, holds := range old {
		now[id] = holds
	}
	for _, id := range added {
		now[id] = append(slices.Clone(old[id]), name)
	}
	h.set(account, now)
	return nil
}

// Release ends a hold and returns how many traces no hold holds any more. Their copies are
// deleted; traces that the store still has are kept as long as all others.
func (h *Holds) Release(ctx context.Context, account trace.Account, name string) (int, error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	old := (*h.accounts.Load())[account]
	now := map[trace.ID][]string{}
	var free []trace.ID
	for id, holds := range old {
		if rest := slices.DeleteFunc(slices.Clone(holds), func(n string) bool { return n == name }); len(rest) > 0 {
			now[id] = rest
		} else {
			free = append(free, id)
		}
	}
	err := h.o.Records.Update(ctx, account, func(tx meta.Tx) error {
		found, err := tx.Delete(holdKind, name)
		switch {
		case err != nil:
			return err
		case !found:
			return trace.Errorf(trace.KindNotFound, "there is no hold with the name %.100s", name)
		}
		for id, holds := range old {
			if !slices.Contains(holds, name) {
				continue
			}
			if rest := now[id]; len(rest) > 0 {
				err = tx.Put(heldKind, id.String(), held{rest})
			} else {
				_, err = tx.Delete(heldKind, id.String())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	h.set(account, now)
	delete(h.swept, string(account)+" "+name)
	vault, err := h.open()
	if err != nil {
		return len(free), err
	}
	for part := range slices.Chunk(free, 1000) {
		if _, err := vault.Delete(ctx, account, answer.DeleteQuery{IDs: part}); err != nil {
			return len(free), err
		}
	}
	return len(free), vault.Purge(ctx)
}

// run looks for new traces of holds until ctx ends.
func (h *Holds) run(ctx context.Context) {
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.Sweep(ctx)
		}
	}
}

// Sweep copies what the present holds select and is not copied yet. It runs by itself every
// minute.
func (h *Holds) Sweep(ctx context.Context) {
	h.changing.Lock()
	defer h.changing.Unlock()
	for account := range *h.accounts.Load() {
		_, holds, err := h.read(ctx, account)
		for i := range holds {
			if err == nil {
				_, err = h.extend(ctx, account, &holds[i])
			}
		}
		if err != nil && ctx.Err() == nil {
			h.o.Logger.Error("traces of a legal hold are not copied yet", "account", account, "error", err)
		}
	}
}
