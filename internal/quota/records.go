package quota

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The kind of the records, and the name of an account's only record.
const (
	kind   meta.Kind = "quota"
	theOne string    = "limits"
)

// Get returns the limits of an account, and whether they are its own.
func (q *Quotas) Get(ctx context.Context, id trace.Account) (limits Limits, own bool, err error) {
	err = q.store.View(ctx, id, func(tx meta.Tx) error {
		own, err = tx.Get(kind, theOne, &limits)
		return err
	})
	if err == nil && !own {
		limits = q.defaults
	}
	return limits, own, err
}

// Put sets the limits of an account. They count from the next request on.
func (q *Quotas) Put(ctx context.Context, id trace.Account, l Limits) error {
	if err := l.check(); err != nil {
		return err
	}
	defer q.reload(id)
	return q.store.Update(ctx, id, func(tx meta.Tx) error { return tx.Put(kind, theOne, l) })
}

// Reset gives an account the defaults again.
func (q *Quotas) Reset(ctx context.Context, id trace.Account) error {
	defer q.reload(id)
	return q.store.Update(ctx, id, func(tx meta.Tx) error {
		_, err := tx.Delete(kind, theOne)
		return err
	})
}

// reload makes the next request of an account read its limits.
func (q *Quotas) reload(id trace.Account) {
	q.mu.Lock()
	a := q.accounts[id]
	q.mu.Unlock()
	if a != nil {
		a.mu.Lock()
		a.loaded = a.loaded.Add(-fresh)
		a.mu.Unlock()
	}
}

// mostSeries bounds the memory of names: about 50 MB an account.
const mostSeries = 1_000_000

func (l Limits) check() error {
	for name, n := range map[string]int64{"spans": l.Spans, "bytes": l.Bytes, "series": l.Series, "queries": l.Queries, "scans": l.Scans} {
		if n < 0 {
			return trace.Errorf(trace.KindInvalid, "quota %s is %d: want 0 for no limit, or more", name, n)
		}
	}
	if l.Series > mostSeries {
		return trace.Errorf(trace.KindInvalid, "quota series is %d: want at most %d, because all names are held in memory", l.Series, mostSeries)
	}
	return nil
}

// Parse reads limits of the form spans=5000,bytes=10MB,series=2000,queries=50,scans=4; a
// limit that is not named is 0.
func Parse(text string) (l Limits, err error) {
	at := map[string]*int64{"spans": &l.Spans, "bytes": &l.Bytes, "series": &l.Series, "queries": &l.Queries, "scans": &l.Scans}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		into := at[name]
		if into == nil {
			return Limits{}, fmt.Errorf("%q: want spans, bytes, series, queries or scans, each at most once, as in spans=5000,bytes=10MB", item)
		}
		delete(at, name)
		n, ok := number(value, name == "bytes")
		if !ok {
			return Limits{}, fmt.Errorf("%q: want a whole number, for bytes also with KB, MB or GB", item)
		}
		*into = n
	}
	return l, l.check()
}

// number reads a number from 0, with a unit if it counts bytes.
func number(text string, bytes bool) (int64, bool) {
	shift := 0
	for i, unit := range []string{"KB", "MB", "GB"} {
		if digits, ok := strings.CutSuffix(text, unit); ok && bytes {
			text, shift = digits, 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil || n > math.MaxInt64>>(shift+1) {
		return 0, false
	}
	return int64(n) << shift, true
}
