package finding

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Bounds of a baseline; beyond them, what was seen last the longest ago is forgotten.
const (
	mostKnown    = 50_000 // of each kind
	mostServices = 2000
	mostKnownUse = 5000 // users
)

// baseline describes the normal traffic of an account.
type baseline struct {
	// Since is when the account was first looked at. Until the learning time is over,
	// everything is learnt and nothing is found.
	Since time.Time
	// Edges, Remotes and Clients hold hashes of names that were seen, with the day of the last
	// time (days since 1970).
	Edges, Remotes, Clients known
	Services                map[string]*serviceBase
	Users                   map[string]*userBase // by the hash of service and user
}

// known is a set of hashes with the day when each was seen last.
type known map[uint64]uint16

// see adds an element, and reports whether it was new.
func (k known) see(text string, day uint16) (fresh bool) {
	h := hashOf(text)
	_, old := k[h]
	k[h] = day
	return !old
}

// shrink forgets the oldest elements beyond n.
func (k known) shrink(n int) {
	if len(k) <= n {
		return
	}
	days := slices.Sorted(maps.Values(k))
	last := days[len(k)-n]
	for h, day := range k {
		if day < last || len(k) > n && day == last {
			delete(k, h)
		}
	}
}

func hashOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// serviceBase describes a service.
type serviceBase struct {
	Callees float64 // most services that it called in one look, slowly forgotten
	Sizes   moments // logarithms of the sizes of its responses
	Day     uint16
}

// userBase describes a user of a service.
type userBase struct {
	Rate     moments // requests in one look
	Networks float64 // most networks in an hour, slowly forgotten
	Hour     int64   // since 1970
	Recent   []string
	Day      uint16
}

// moments are count, mean and variance of numbers. Old ones are forgotten slowly.
type moments struct{ N, Mean, Var float64 }

// memory is how many numbers count: older ones fade.
const memory = 5000

func (m *moments) add(x float64) {
	m.N = min(m.N+1, memory)
	d := x - m.Mean
	m.Mean += d / m.N
	m.Var += (d*(x-m.Mean) - m.Var) / m.N
}

// join adds other numbers.
func (m *moments) join(o moments) {
	if o.N == 0 {
		return
	}
	n := m.N + o.N
	d := o.Mean - m.Mean
	m.Var = (m.N*m.Var + o.N*o.Var + d*d*m.N*o.N/n) / n
	m.Mean += d * o.N / n
	m.N = min(n, memory)
}

// beyond returns how many standard deviations x lies above the mean; spread is the least
// deviation that counts.
func (m *moments) beyond(x, spread float64) float64 {
	return (x - m.Mean) / max(spread, math.Sqrt(max(0, m.Var)))
}

// logOf is the logarithm to the base 2, so that differences are factors.
func logOf(x float64) float64 { return math.Log2(max(1, x)) }

func newBaseline(now time.Time) *baseline {
	return &baseline{Since: now, Edges: known{}, Remotes: known{}, Clients: known{}, Services: map[string]*serviceBase{}, Users: map[string]*userBase{}}
}

func (b *baseline) service(name string, day uint16) *serviceBase {
	s := b.Services[name]
	if s == nil {
		s = &serviceBase{}
		b.Services[name] = s
	}
	s.Day = day
	return s
}

// shrink bounds the baseline.
func (b *baseline) shrink() {
	b.Edges.shrink(mostKnown)
	b.Remotes.shrink(mostKnown)
	b.Clients.shrink(mostKnown)
	oldest(b.Services, mostServices, func(s *serviceBase) uint16 { return s.Day })
	oldest(b.Users, mostKnownUse, func(u *userBase) uint16 { return u.Day })
}

// oldest removes the entries with the lowest days beyond n.
func oldest[V any](m map[string]V, n int, day func(V) uint16) {
	if len(m) <= n {
		return
	}
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return int(day(m[a])) - int(day(m[b]))
	})
	for _, k := range keys[:len(m)-n] {
		delete(m, k)
	}
}

// The parts of a baseline, each in records of up to partSize entries.
const partSize = 10_000

// load reads a baseline; a new one begins now.
func (f *Findings) load(ctx context.Context, account trace.Account, now time.Time) (*baseline, error) {
	b := newBaseline(now)
	err := f.store.View(ctx, account, func(tx meta.Tx) error {
		return tx.List(baselineKind, func(name string, value json.RawMessage) error {
			var part baseline
			if err := json.Unmarshal(value, &part); err != nil {
				return fmt.Errorf("record of baseline %q: %w", name, err)
			}
			if !part.Since.IsZero() {
				b.Since = part.Since
			}
			maps.Copy(b.Edges, part.Edges)
			maps.Copy(b.Remotes, part.Remotes)
			maps.Copy(b.Clients, part.Clients)
			maps.Copy(b.Services, part.Services)
			maps.Copy(b.Users, part.Users)
			return nil
		})
	})
	return b, err
}

// keep writes a baseline.
func (f *Findings) keep(ctx context.Context, account trace.Account, b *baseline) error {
	parts := map[string]*baseline{"since": {Since: b.Since}}
	split(parts, "edges", b.Edges, partSize, func(p *baseline) *known { return &p.Edges })
	split(parts, "remotes", b.Remotes, partSize, func(p *baseline) *known { return &p.Remotes })
	split(parts, "clients", b.Clients, partSize, func(p *baseline) *known { return &p.Clients })
	split(parts, "services", b.Services, partSize/10, func(p *baseline) *map[string]*serviceBase { return &p.Services })
	split(parts, "users", b.Users, partSize/10, func(p *baseline) *map[string]*userBase { return &p.Users })
	return f.store.Update(ctx, account, func(tx meta.Tx) error {
		var stale []string
		err := tx.List(baselineKind, func(name string, _ json.RawMessage) error {
			if _, used := parts[name]; !used {
				stale = append(stale, name)
			}
			return nil
		})
		for _, name := range stale {
			if err == nil {
				_, err = tx.Delete(baselineKind, name)
			}
		}
		for name, part := range parts {
			if err == nil {
				err = tx.Put(baselineKind, name, part)
			}
		}
		return err
	})
}

// split divides a map of a baseline into parts of at most size entries.
func split[M ~map[K]V, K comparable, V any](parts map[string]*baseline, name string, all M, size int, at func(*baseline) *M) {
	i := 0
	for k, v := range all {
		record := fmt.Sprintf("%s-%02d", name, i/size)
		if i++; parts[record] == nil {
			parts[record] = &baseline{}
		}
		into := at(parts[record])
		if *into == nil {
			*into = M{}
		}
		(*into)[k] = v
	}
}
