package erase

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// guardKind is the kind of the records of erasures. They hold hashes of persons and
// values, never the texts: those were erased.
const guardKind meta.Kind = "erasure"

// idsInRecord is how many trace ids one record has.
const idsInRecord = 10_000

// erased is a record.
type erased struct {
	Until time.Time `json:"until"`
	Salt  []byte    `json:"salt,omitempty"`
	User  string    `json:"user,omitempty"`  // keyed hash
	Key   string    `json:"key,omitempty"`   // of an annotation, in the clear
	Value string    `json:"value,omitempty"` // keyed hash of the text
	// Number is the keyed hash of the value as a number, "" if it is none.
	Number string   `json:"number,omitempty"`
	IDs    []string `json:"ids,omitempty"`
}

func (e *erased) hash(text string) string {
	m := hmac.New(sha256.New, e.Salt)
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// guard knows what was erased in one account. It is immutable.
type guard struct {
	ids     map[trace.ID]time.Time // until
	persons []erased               // users and annotations
}

// guards hold the guards of accounts, read once.
type guards struct {
	records meta.Store
	now     func() time.Time
	mu      sync.Mutex
	of      map[trace.Account]*guard // read when first needed
	// last is the guard that was used last: most servers have one account.
	last atomic.Pointer[lastGuard]
}

type lastGuard struct {
	account trace.Account
	guard   *guard
}

// maxGuarded bounds the accounts whose guards are kept in memory.
const maxGuarded = 1000

// add records an erasure.
func (g *guards) add(ctx context.Context, account trace.Account, id string, r *Request, doomed []trace.ID, until time.Time) error {
	var list []erased
	if r.User != "" || r.Annotation != "" {
		e := erased{Until: until, Salt: make([]byte, 32)}
		_, _ = rand.Read(e.Salt) // never fails (crypto/rand)
		if r.User != "" {
			e.User = e.hash(r.User)
		} else {
			var value string
			e.Key, value, _ = cutAnnotation(r.Annotation) // parse has checked it
			e.Value = e.hash(value)
			if n, ok := number(value); ok {
				e.Number = e.hash(n)
			}
		}
		list = append(list, e)
	}
	ids := doomed
	for _, text := range r.Traces { // also those that have not arrived yet
		if id, err := trace.ParseID(text); err == nil && !slices.Contains(doomed, id) {
			ids = append(ids, id)
		}
	}
	for part := range slices.Chunk(ids, idsInRecord) {
		e := erased{Until: until}
		for _, id := range part {
			e.IDs = append(e.IDs, id.String())
		}
		list = append(list, e)
	}
	now := g.now()
	err := g.records.Update(ctx, account, func(tx meta.Tx) error {
		var over []string
		if err := tx.List(guardKind, func(name string, value json.RawMessage) error {
			var e erased
			if json.Unmarshal(value, &e) == nil && e.Until.Before(now) {
				over = append(over, name)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, name := range over {
			if _, err := tx.Delete(guardKind, name); err != nil {
				return err
			}
		}
		for i, e := range list {
			if err := tx.Put(guardKind, fmt.Sprintf("%s-%d", id, i), e); err != nil {
				return err
			}
		}
		return nil
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.of, account) // it is read again
	g.last.Store(nil)
	return err
}

// get returns the guard of an account.
func (g *guards) get(ctx context.Context, account trace.Account) (*guard, error) {
	if l := g.last.Load(); l != nil && l.account == account {
		return l.guard, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	found, known := g.of[account]
	if !known {
		var err error
		if found, err = g.read(ctx, account); err != nil {
			return nil, err
		}
		if len(g.of) >= maxGuarded {
			clear(g.of)
		}
		g.of[account] = found
	}
	g.last.Store(&lastGuard{account, found})
	return found, nil
}

func (g *guards) read(ctx context.Context, account trace.Account) (*guard, error) {
	out, now := &guard{ids: map[trace.ID]time.Time{}}, g.now()
	err := g.records.View(ctx, account, func(tx meta.Tx) error {
		return tx.List(guardKind, func(name string, value json.RawMessage) error {
			var e erased
			if err := json.Unmarshal(value, &e); err != nil {
				return trace.Errorf(trace.KindUnavailable, "record of erasure %s: %v", name, err)
			}
			if e.Until.Before(now) {
				return nil
			}
			for _, text := range e.IDs {
				if id, err := trace.ParseID(text); err == nil {
					out.ids[id] = e.Until
				}
			}
			if e.User != "" || e.Value != "" {
				e.IDs = nil
				out.persons = append(out.persons, e)
			}
			return nil
		})
	})
	return out, err
}

// Refuses returns a function that tells why a segment of an account must not be stored, ""
// if it may; nil if nothing was erased in the account. If the records cannot be read,
// the error refuses everything: nothing erased may come back.
func (e *Eraser) Refuses(ctx context.Context, account trace.Account) (func(*trace.Segment) string, error) {
	g, err := e.guards.get(ctx, account)
	if err != nil || len(g.ids) == 0 && len(g.persons) == 0 {
		return nil, err
	}
	now := e.o.Now()
	return func(s *trace.Segment) string {
		if until, ok := g.ids[s.TraceID]; ok && now.Before(until) {
			return "its trace was erased; late segments are refused until " + until.Format(time.RFC3339)
		}
		for i := range g.persons {
			if p := &g.persons[i]; now.Before(p.Until) && p.in(s) {
				return "data with this user or annotation was erased; more is refused until " + p.Until.Format(time.RFC3339)
			}
		}
		return ""
	}, nil
}

// in reports whether a segment has the user or the annotation.
func (e *erased) in(s *trace.Segment) (found bool) {
	value := func(key string, v trace.Value) bool {
		if e.Key == key {
			found = found || e.has(v)
		}
		return !found
	}
	var walk func(x *trace.Entity)
	walk = func(x *trace.Entity) {
		if e.User != "" {
			found = found || x.User != "" && e.User == e.hash(x.User)
		} else {
			for _, a := range x.Annotations {
				value(a.Key, a.Value)
			}
		}
		for _, sub := range x.Subsegments {
			if !found {
				walk(sub)
			}
		}
	}
	walk(&s.Entity)
	if e.User == "" && !found && s.Attributes != nil {
		s.Attributes.OfSpan(s.Raw, nil, value)
		if !found {
			s.Attributes.OfResource(value)
		}
	}
	return found
}

// has reports whether an annotation has the erased value.
func (e *erased) has(v trace.Value) bool {
	switch v.Kind {
	case trace.NumberValue:
		return e.Number != "" && e.Number == e.hash(formatted(v.Number))
	case trace.BoolValue:
		return e.Value == e.hash(strconv.FormatBool(v.Bool))
	}
	return e.Value == e.hash(v.String)
}

func formatted(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// number reads a finite number and writes it in the one form that hashes use.
func number(text string) (string, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n-n != 0 { // infinite, or not a number
		return "", false
	}
	return formatted(n), true
}
