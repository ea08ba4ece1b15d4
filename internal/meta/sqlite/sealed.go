package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The purposes of the keys that are derived for records.
const (
	valuePurpose = "meta value"
	namePurpose  = "meta name"
)

// place names the sealed records of an account whose keys belong to owner: the account
// itself, or seal.System.
type place struct{ account, owner trace.Account }

// keyring holds the keys of a place for one transaction.
type keyring struct {
	place
	err    error       // why the keys cannot be used; then only clear records can
	target *seal.Key   // for new records; nil: they stay clear
	all    []*seal.Key // under which records are sealed, the newest first
	gone   []uint32    // ids of destroyed keys
}

// ownerOf returns the owner of the keys of a kind of records.
func (s *Store) ownerOf(account string, kind meta.Kind) place {
	if s.options.System != nil && s.options.System(kind) {
		return place{trace.Account(account), seal.System}
	}
	return place{trace.Account(account), trace.Account(account)}
}

// purpose says why keys are asked for.
type purpose int

const (
	toRead purpose = iota
	toWrite
	toReseal
)

// keyring finds the keys of a place, before a transaction begins: a KMS may take seconds
// to answer, and others want to write meanwhile.
func (s *Store) keyring(ctx context.Context, p place, why purpose) *keyring {
	r := &keyring{place: p}
	s.usedMu.RLock()
	ids := slices.Clone(s.used[p])
	s.usedMu.RUnlock()
	for _, id := range slices.Backward(ids) {
		k, err := s.options.Keys.Find(ctx, p.owner, id)
		switch {
		case errors.Is(err, seal.ErrDestroyed):
			r.gone = append(r.gone, id)
		case err != nil:
			r.err = err
			return r
		default:
			r.all = append(r.all, k)
		}
	}
	if why == toRead {
		return r
	}
	newest, err := s.options.Keys.Newest(ctx, p.owner)
	if err == nil && newest == nil && why == toWrite {
		newest, err = s.stay(ctx, p, r)
	}
	switch {
	case err != nil:
		r.err = err
	case newest == nil: // clear
	case len(r.all) > 0:
		// Records stay under one key until Reseal: names are found by their keyed hash,
		// and each further key means one more search.
		r.target = r.all[0]
	default:
		r.target = newest
		r.all = []*seal.Key{newest}
	}
	return r
}

// stay returns the key for a new record of a file that has sealed ones, although its keys
// were opened without encryption: perhaps by a command without the settings of the server.
// Only Reseal makes records clear.
func (s *Store) stay(ctx context.Context, p place, r *keyring) (*seal.Key, error) {
	if len(r.all) > 0 {
		return r.all[0], nil
	}
	s.usedMu.RLock()
	sealed := false
	for _, ids := range s.used {
		sealed = sealed || len(ids) > 0
	}
	s.usedMu.RUnlock()
	keys, ok := s.options.Keys.(interface{ Secrets() seal.Keys })
	if !sealed || !ok {
		return nil, nil
	}
	return keys.Secrets().Newest(ctx, p.owner)
}

// uses notes that records of a place are sealed under a key, before they can be read.
func (s *Store) uses(p place, id uint32) {
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	if at, found := slices.BinarySearch(s.used[p], id); !found {
		s.used[p] = slices.Insert(slices.Clone(s.used[p]), at, id)
		s.changes.Add(1)
	}
}

// unused notes that no record of a place is sealed under a key any more.
func (s *Store) unused(p place, id uint32) {
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	if at, found := slices.BinarySearch(s.used[p], id); found {
		s.used[p] = slices.Delete(slices.Clone(s.used[p]), at, at+1)
	}
}

// loadUsed reads which keys the sealed records use.
func (s *Store) loadUsed(ctx context.Context) error {
	rows, err := s.write.QueryContext(ctx, "SELECT DISTINCT account, owner, key FROM sealed")
	for err == nil && rows.Next() {
		var p place
		var id uint32
		if err = rows.Scan(&p.account, &p.owner, &id); err == nil {
			s.uses(p, id)
		}
	}
	return errors.Join(err, closeRows(rows))
}

// nameHash returns the keyed hash under which a record is found.
func nameHash(k *seal.Key, kind, name string) []byte {
	return k.Hash(namePurpose, []byte(kind+"\x00"+name))
}

// sealRecord returns the body of a sealed record: its name and value, bound to its row.
func sealRecord(k *seal.Key, p place, kind string, hash []byte, r record) ([]byte, error) {
	plain := binary.AppendUvarint(nil, uint64(len(r.name)))
	plain = append(append(plain, r.name...), r.value...)
	return k.Seal(valuePurpose, rowOf(p, kind, hash), plain)
}

// openRecord returns name and value of a sealed record.
func openRecord(k *seal.Key, p place, kind string, hash, body []byte) (name string, value []byte, err error) {
	plain, err := k.Open(valuePurpose, rowOf(p, kind, hash), body)
	if err != nil {
		return "", nil, err
	}
	n, used := binary.Uvarint(plain)
	if used <= 0 || n > uint64(len(plain)-used) {
		return "", nil, errors.New("its name has an impossible length")
	}
	return string(plain[used : used+int(n)]), plain[used+int(n):], nil
}

// rowOf returns the associated data of a sealed record.
func rowOf(p place, kind string, hash []byte) []byte {
	return append([]byte(string(p.account)+"\x00"+string(p.owner)+"\x00"+kind+"\x00"), hash...)
}

// resealBatch is how many records move in one transaction.
const resealBatch = 100

// Reseal brings all records into the state that the keys ask for: sealed under the newest
// key, or clear if encryption is off. It works while others read and write, and continues
// where it was interrupted. If renew is set, records that are sealed under an older key
// move to the newest; otherwise only clear records are sealed. Records of accounts whose
// keys cannot be used stay as they are; the error names them.
func (s *Store) Reseal(ctx context.Context, renew bool) error {
	places, err := s.places(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range places {
		for n := 1; n > 0 && err == nil; {
			n, err = s.resealSome(ctx, p, renew)
		}
		if err != nil {
			failed = append(failed, err)
		}
		err = nil
	}
	failed = append(failed, s.scour(ctx))
	return errors.Join(failed...)
}

// places lists all places with records.
func (s *Store) places(ctx context.Context) ([]place, error) {
	s.usedMu.RLock()
	seen := map[place]bool{}
	for p, ids := range s.used {
		if len(ids) > 0 {
			seen[p] = true
		}
	}
	s.usedMu.RUnlock()
	rows, err := s.read.QueryContext(ctx, "SELECT DISTINCT account, kind FROM record")
	for err == nil && rows.Next() {
		var account, kind string
		if err = rows.Scan(&account, &kind); err == nil {
			seen[s.ownerOf(account, meta.Kind(kind))] = true
		}
	}
	if err = errors.Join(err, closeRows(rows)); err != nil {
		return nil, s.explain(ctx, "read", err)
	}
	list := make([]place, 0, len(seen))
	for p := range seen {
		list = append(list, p)
	}
	return list, nil
}

// row is a record as it is stored.
type row struct {
	kind, name string
	value      []byte
	hash       []byte // of a sealed one
}

// resealSome moves some records of a place, and reports how many.
func (s *Store) resealSome(ctx context.Context, p place, renew bool) (moved int, err error) {
	r := s.keyring(ctx, p, toReseal)
	if r.err == nil && r.target == nil && len(r.all)+len(r.gone) == 0 {
		return 0, nil // all is clear, and stays so
	}
	keys := func() ([]*keyring, error) {
		if r = s.keyring(ctx, p, toReseal); r.err != nil {
			return nil, fmt.Errorf("records of account %s stay as they are: %w", p.account, r.err)
		}
		if renew && r.target != nil {
			newest, err := s.options.Keys.Newest(ctx, p.owner)
			if err != nil {
				return nil, err
			}
			if newest != nil && newest.ID() != r.target.ID() {
				r.target, r.all = newest, append([]*seal.Key{newest}, r.all...)
			}
		}
		return []*keyring{r}, nil
	}
	err = s.update(ctx, string(p.account), keys, func(t *tx) (err error) {
		moved, err = t.reseal(r)
		return err
	})
	if err != nil {
		return 0, err
	}
	return moved, s.dropUnused(ctx, r)
}

// reseal moves some records to the target of their keys.
func (t *tx) reseal(r *keyring) (moved int, err error) {
	for _, id := range r.gone {
		if err := t.purge(r.place, id); err != nil {
			return 0, err
		}
	}
	if r.target != nil {
		if moved, err = t.sealClear(r); err != nil {
			return 0, err
		}
	}
	for _, k := range r.all {
		if k.ID() == idOf(r.target) || moved >= resealBatch {
			continue
		}
		n, err := t.moveFrom(r, k)
		if err != nil {
			return 0, err
		}
		moved += n
	}
	return moved, nil
}

func idOf(k *seal.Key) uint32 {
	if k == nil {
		return 0
	}
	return k.ID()
}

// dropUnused forgets keys under which no record is sealed any more.
func (s *Store) dropUnused(ctx context.Context, r *keyring) error {
	return s.update(ctx, string(r.account), func() ([]*keyring, error) { return []*keyring{r}, nil }, func(t *tx) error {
		ids := slices.Clone(r.gone)
		for _, k := range r.all {
			if k.ID() != idOf(r.target) {
				ids = append(ids, k.ID())
			}
		}
		for _, id := range ids {
			var n int
			if err := t.sql.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM sealed WHERE account = ? AND owner = ? AND key = ? LIMIT 1)", r.account, r.owner, id).Scan(&n); err != nil {
				return s.explain(ctx, "read", err)
			}
			if n == 0 {
				t.done = append(t.done, func() { s.unused(r.place, id) })
			}
		}
		return nil
	})
}

// purge removes the records under a destroyed key.
func (t *tx) purge(p place, id uint32) error {
	_, err := t.exec("DELETE FROM sealed WHERE account = ? AND owner = ? AND key = ?", p.account, p.owner, id)
	return err
}

// sealClear seals some clear records.
func (t *tx) sealClear(r *keyring) (n int, err error) {
	rows, err := t.sql.QueryContext(t.ctx, "SELECT kind, name, value, coalesce(sum, -1) FROM record WHERE account = ?", t.account)
	var list []row
	for err == nil && len(list) < resealBatch && rows.Next() {
		var w row
		var sum int64
		if err = rows.Scan(&w.kind, &w.name, &w.value, &sum); err != nil || t.store.ownerOf(t.account, meta.Kind(w.kind)) != r.place {
			continue
		}
		// A damaged record stays, for somebody to look at.
		if t.store.verify(t.account, w.kind, w.name, w.value, sum) == nil {
			list = append(list, w)
		}
	}
	if err = errors.Join(err, closeRows(rows)); err != nil {
		return 0, t.store.explain(t.ctx, "read", err)
	}
	for _, w := range list {
		if err := t.putSealed(r, w.kind, w.name, w.value); err != nil {
			return 0, err
		}
	}
	if len(list) > 0 {
		// The pages of the file still hold the clear text; scour removes it.
		_, err = t.exec("INSERT INTO task (name) VALUES ('scour') ON CONFLICT DO NOTHING")
	}
	return len(list), err
}

// moveFrom moves some records from a key to the target, or to clear text.
func (t *tx) moveFrom(r *keyring, k *seal.Key) (n int, err error) {
	rows, err := t.sql.QueryContext(t.ctx, "SELECT kind, hash, body FROM sealed WHERE account = ? AND owner = ? AND key = ? LIMIT ?", r.account, r.owner, k.ID(), resealBatch+maxDamage)
	var list []row
	for err == nil && len(list) < resealBatch && rows.Next() {
		var w row
		var body []byte
		if err = rows.Scan(&w.kind, &w.hash, &body); err != nil {
			break
		}
		var opened error
		if w.name, w.value, opened = openRecord(k, r.place, w.kind, w.hash, body); opened != nil {
			_ = t.store.damaged(t.account, w.kind, fmt.Sprintf("%x", w.hash[:min(8, len(w.hash))]), opened.Error()) // it stays
			continue
		}
		list = append(list, w)
	}
	if err = errors.Join(err, closeRows(rows)); err != nil {
		return 0, t.store.explain(t.ctx, "read", err)
	}
	for _, w := range list {
		if r.target != nil {
			err = t.putSealed(r, w.kind, w.name, w.value)
		} else {
			err = t.putClear(r, w.kind, w.name, w.value)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// scour removes remains of clear records from the file, if records were sealed.
func (s *Store) scour(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil
	}
	var n int
	if err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM task WHERE name = 'scour'").Scan(&n); err != nil || n == 0 {
		return s.explain(ctx, "read", err)
	}
	if err := s.hold(ctx); err != nil {
		return err
	}
	defer s.unhold()
	if _, err := s.write.ExecContext(ctx, "VACUUM"); err != nil {
		return s.explain(ctx, "write", err)
	}
	var busy, frames, done int
	if err := s.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done); err != nil {
		return s.explain(ctx, "write", err)
	}
	if busy != 0 {
		return trace.Errorf(trace.KindUnavailable, "remains of clear records in %s-wal cannot be removed while it is read; this is tried again", s.path)
	}
	_, err := s.write.ExecContext(ctx, "DELETE FROM task WHERE name = 'scour'")
	return s.explain(ctx, "write", err)
}
