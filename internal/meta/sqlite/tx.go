package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// tx is a meta.Tx. It belongs to one goroutine.
type tx struct {
	ctx      context.Context
	store    *Store
	sql      *sql.Tx
	account  string
	writable bool
	over     bool
	failed   error // of the first failed write
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
	var value []byte
	var sum int64
	err := t.sql.QueryRowContext(t.ctx, "SELECT value, coalesce(sum, -1) FROM record WHERE account = ? AND kind = ? AND name = ?", t.account, string(kind), name).Scan(&value, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, t.store.explain(t.ctx, "read", err)
	}
	if err := t.store.verify(t.account, string(kind), name, value, sum); err != nil {
		return false, err
	}
	if err := json.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("%s %.50q in %s: %w", kind, name, t.store.path, err)
	}
	return true, nil
}

// List implements meta.Tx. It reads all records before the first call, so that each
// may write. It omits damaged records, which Damage lists.
func (t *tx) List(kind meta.Kind, each func(name string, value json.RawMessage) error) error {
	if err := t.usable(false); err != nil {
		return err
	}
	type record struct {
		name  string
		value []byte
		sum   int64
	}
	var records []record
	rows, err := t.sql.QueryContext(t.ctx, "SELECT name, value, coalesce(sum, -1) FROM record WHERE account = ? AND kind = ? ORDER BY name", t.account, string(kind))
	if err != nil {
		return t.store.explain(t.ctx, "read", err)
	}
	for err == nil && rows.Next() {
		var r record
		err = rows.Scan(&r.name, &r.value, &r.sum)
		records = append(records, r)
	}
	if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return t.store.explain(t.ctx, "read", err)
	}
	for _, r := range records {
		if t.store.verify(t.account, string(kind), r.name, r.value, r.sum) != nil {
			continue
		}
		if err := each(r.name, r.value); err != nil {
			return err
		}
	}
	return nil
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
	_, err = t.exec("INSERT INTO record (account, kind, name, value, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, sum = excluded.sum",
		t.account, string(kind), name, string(b), sumOf(t.account, string(kind), name, b))
	return err
}

// Delete implements meta.Tx.
func (t *tx) Delete(kind meta.Kind, name string) (bool, error) {
	if err := t.usable(true); err != nil {
		return false, err
	}
	n, err := t.exec("DELETE FROM record WHERE account = ? AND kind = ? AND name = ?", t.account, string(kind), name)
	return n > 0, err
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
