package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// tx is a meta.Tx. It belongs to one goroutine.
type tx struct {
	ctx      context.Context
	store    *Store
	sql      *sql.Tx
	account  string
	writable bool
	rings    []*keyring
	changes  uint64 // of the store, when rings were made
	over     bool
	failed   error    // of the first failed write
	done     []func() // called after the commit
}

// end releases the transaction; what was not committed is undone.
func (t *tx) end() {
	t.over = true
	_ = t.sql.Rollback() // does nothing after Commit
}

// renewed reports whether records of somebody were sealed under another key since the view
// asked for the keys, and asks again. What a view did not find may then be under that key.
func (t *tx) renewed() bool {
	now := t.store.changes.Load()
	if t.writable || now == t.changes { // nobody else writes during an update
		return false
	}
	t.changes = now
	t.rings = t.store.keyrings(t.ctx, trace.Account(t.account), toRead)
	return true
}

// ring returns the keys for a kind of records.
func (t *tx) ring(kind meta.Kind) (*keyring, error) {
	p := t.store.ownerOf(t.account, kind)
	for _, r := range t.rings {
		if r.place == p {
			return r, r.err
		}
	}
	return nil, trace.Errorf(trace.KindInternal, "no keys for records of the kind %s", kind)
}

func (t *tx) usable(write bool) error {
	switch {
	case t.over:
		return trace.Errorf(trace.KindInternal, "a transaction on control-plane records is used after its end")
	case write && !t.writable:
		return trace.Errorf(trace.KindInternal, "a view of control-plane records cannot write")
	}
	return t.failed
}

// Get implements meta.Tx.
func (t *tx) Get(kind meta.Kind, name string, into any) (bool, error) {
	if err := t.usable(false); err != nil {
		return false, err
	}
	value, err := t.get(kind, name)
	if value == nil && err == nil && t.renewed() {
		value, err = t.get(kind, name)
	}
	if value == nil || err != nil {
		return false, err
	}
	if err := json.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("%s %.50q in %s: %w", kind, name, t.store.path, err)
	}
	return true, nil
}

// get returns the value of a record; nil if there is none.
func (t *tx) get(kind meta.Kind, name string) ([]byte, error) {
	r, err := t.ring(kind)
	if err != nil {
		return nil, err
	}
	value, err := t.getSealed(r, string(kind), name)
	if value == nil && err == nil {
		value, err = t.getClear(string(kind), name)
	}
	return value, err
}

// getClear returns the value of a clear record; nil if there is none.
func (t *tx) getClear(kind, name string) (value []byte, err error) {
	var sum int64
	err = t.sql.QueryRowContext(t.ctx, "SELECT value, coalesce(sum, -1) FROM record WHERE account = ? AND kind = ? AND name = ?", t.account, kind, name).Scan(&value, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, t.store.explain(t.ctx, "read", err)
	}
	return value, t.store.verify(t.account, kind, name, value, sum)
}

// getSealed returns the value of a sealed record; nil if there is none.
func (t *tx) getSealed(r *keyring, kind, name string) ([]byte, error) {
	for _, k := range r.all {
		var body []byte
		hash := nameHash(k, kind, name)
		err := t.sql.QueryRowContext(t.ctx, "SELECT body FROM sealed WHERE account = ? AND kind = ? AND hash = ?", t.account, kind, hash).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, t.store.explain(t.ctx, "read", err)
		}
		_, value, err := openRecord(k, r.place, kind, hash, body)
		if err == nil && !json.Valid(value) {
			err = errors.New("it is no JSON")
		}
		if err != nil {
			return nil, t.store.damaged(t.account, kind, name, err.Error())
		}
		return value, nil
	}
	return nil, nil
}

// record is a name with its value.
type record struct {
	name  string
	value []byte
}

// List implements meta.Tx. It reads all records before the first call, so that each
// may write. It omits damaged records, which Damage lists.
func (t *tx) List(kind meta.Kind, each func(name string, value json.RawMessage) error) error {
	if err := t.usable(false); err != nil {
		return err
	}
	records, err := t.list(kind)
	if t.renewed() {
		records, err = t.list(kind)
	}
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := each(r.name, r.value); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) list(kind meta.Kind) ([]record, error) {
	r, err := t.ring(kind)
	if err != nil {
		return nil, err
	}
	records, err := t.listClear(string(kind))
	if err != nil || len(r.all)+len(r.gone) == 0 {
		return records, err
	}
	sealed, err := t.listSealed(r, string(kind))
	if len(sealed) > 0 {
		records = append(records, sealed...)
		slices.SortFunc(records, func(a, b record) int { return strings.Compare(a.name, b.name) })
	}
	return records, err
}

func (t *tx) listClear(kind string) (records []record, err error) {
	rows, err := t.sql.QueryContext(t.ctx, "SELECT name, value, coalesce(sum, -1) FROM record WHERE account = ? AND kind = ? ORDER BY name", t.account, kind)
	for err == nil && rows.Next() {
		var r record
		var sum int64
		if err = rows.Scan(&r.name, &r.value, &sum); err == nil && t.store.verify(t.account, kind, r.name, r.value, sum) == nil {
			records = append(records, r)
		}
	}
	return records, t.store.explain(t.ctx, "read", errors.Join(err, closeRows(rows)))
}

func (t *tx) listSealed(r *keyring, kind string) (records []record, err error) {
	rows, err := t.sql.QueryContext(t.ctx, "SELECT hash, key, body FROM sealed WHERE account = ? AND kind = ? AND owner = ?", t.account, kind, r.owner)
	for err == nil && rows.Next() {
		var hash, body []byte
		var id uint32
		if err = rows.Scan(&hash, &id, &body); err != nil || slices.Contains(r.gone, id) {
			continue
		}
		w, failed := r.openRow(kind, id, hash, body)
		if failed != nil && !t.writable && t.store.changes.Load() != t.changes {
			continue // perhaps under a new key: List asks for the keys again
		}
		if failed != nil {
			_ = t.store.damaged(t.account, kind, fmt.Sprintf("with the hash %x", hash[:min(8, len(hash))]), failed.Error()) // it remembers damage
			continue
		}
		records = append(records, w)
	}
	return records, t.store.explain(t.ctx, "read", errors.Join(err, closeRows(rows)))
}

// openRow decrypts and verifies a sealed record.
func (r *keyring) openRow(kind string, id uint32, hash, body []byte) (w record, err error) {
	for _, k := range r.all {
		if k.ID() != id {
			continue
		}
		if w.name, w.value, err = openRecord(k, r.place, kind, hash, body); err == nil && !json.Valid(w.value) {
			err = errors.New("it is no JSON")
		}
		return w, err
	}
	return w, fmt.Errorf("it is sealed under key %d, which no other record uses", id)
}

// closeRows ends a query, which may not have begun.
func closeRows(rows *sql.Rows) error {
	if rows == nil {
		return nil
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Put implements meta.Tx.
func (t *tx) Put(kind meta.Kind, name string, value any) error {
	if err := t.usable(true); err != nil {
		return err
	}
	b, err := meta.Encode(kind, name, value)
	if err != nil {
		return err
	}
	r, err := t.ring(kind)
	if err != nil {
		return err
	}
	if r.target != nil {
		return t.putSealed(r, string(kind), name, b)
	}
	return t.putClear(r, string(kind), name, b)
}

func (t *tx) putClear(r *keyring, kind, name string, value []byte) error {
	_, err := t.exec("INSERT INTO record (account, kind, name, value, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum",
		t.account, kind, name, string(value), sumOf(t.account, kind, name, value))
	if err == nil {
		_, err = t.deleteSealed(r, kind, name, nil)
	}
	return err
}

func (t *tx) putSealed(r *keyring, kind, name string, value []byte) error {
	hash := nameHash(r.target, kind, name)
	body, err := sealRecord(r.target, r.place, kind, hash, record{name, value})
	if err != nil {
		return err
	}
	t.store.uses(r.place, r.target.ID())
	_, err = t.exec("INSERT INTO sealed (account, kind, hash, owner, key, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET owner = excluded.owner, key = excluded.key, body = excluded.body",
		t.account, kind, hash, r.owner, r.target.ID(), body)
	if err == nil {
		_, err = t.exec("DELETE FROM record WHERE account = ? AND kind = ? AND name = ?", t.account, kind, name)
	}
	if err == nil {
		_, err = t.deleteSealed(r, kind, name, r.target)
	}
	return err
}

// deleteSealed deletes a record under all keys except one.
func (t *tx) deleteSealed(r *keyring, kind, name string, except *seal.Key) (n int64, err error) {
	for _, k := range r.all {
		if except != nil && k.ID() == except.ID() {
			continue
		}
		gone, err := t.exec("DELETE FROM sealed WHERE account = ? AND kind = ? AND hash = ?", t.account, kind, nameHash(k, kind, name))
		if err != nil {
			return n, err
		}
		n += gone
	}
	return n, nil
}

// Delete implements meta.Tx.
func (t *tx) Delete(kind meta.Kind, name string) (bool, error) {
	if err := t.usable(true); err != nil {
		return false, err
	}
	r, err := t.ring(kind)
	if err != nil {
		return false, err
	}
	sealed, err := t.deleteSealed(r, string(kind), name, nil)
	if err != nil {
		return false, err
	}
	clear, err := t.exec("DELETE FROM record WHERE account = ? AND kind = ? AND name = ?", t.account, string(kind), name)
	return sealed+clear > 0, err
}

// exec writes. If it fails, SQLite may have rolled back, so the transaction cannot
// be committed.
func (t *tx) exec(statement string, args ...any) (int64, error) {
	result, err := t.sql.ExecContext(t.ctx, statement, args...)
	if err != nil {
		t.failed = t.store.explain(t.ctx, "write", err)
		return 0, t.failed
	}
	return result.RowsAffected()
}
