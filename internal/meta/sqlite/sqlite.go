// Package sqlite keeps control-plane records in one SQLite file beside the embedded
// store (docs/format/meta.md).
//
// One connection writes, so that updates never overlap. A few others read the last
// committed state without waiting for it (SQLite's write-ahead log).
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

const (
	// FileName is the file's name in the data directory. SQLite adds two files with
	// this name and the suffixes "-wal" and "-shm".
	FileName = "meta.db"

	applicationID = 0x466c7572 // "Flur", in the file's header
	readers       = 4          // connections
)

// migrations lead from each schema version to the next; the version is SQLite's
// user_version. Texts are compared byte by byte.
var migrations = []string{
	`CREATE TABLE record (
		account TEXT NOT NULL,
		kind    TEXT NOT NULL,
		name    TEXT NOT NULL,
		value   TEXT NOT NULL, -- JSON
		PRIMARY KEY (account, kind, name)
	) STRICT, WITHOUT ROWID`,
	`ALTER TABLE record ADD COLUMN sum INTEGER`, // checksum; see sumOf
	`CREATE TABLE sealed (
		account TEXT NOT NULL,
		kind    TEXT NOT NULL,
		hash    BLOB NOT NULL,    -- of the name, under the key
		owner   TEXT NOT NULL,    -- of the key: the account or "system"
		key     INTEGER NOT NULL, -- its id
		body    BLOB NOT NULL,    -- name and value, encrypted
		PRIMARY KEY (account, kind, hash)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE task (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID`, // to be done after a crash, too
}

// withSums is the first schema version whose records have checksums.
const withSums = 2

// Options say how records are encrypted.
type Options struct {
	Keys seal.Keys // nil: seal.Off
	// System tells which kinds of records are sealed under the keys of seal.System, not
	// of their account: those that are needed to repair an account whose key is disabled.
	System func(meta.Kind) bool
}

// Store is a meta.Store in one file. With keys, names and values of records are sealed;
// account and kind are not.
type Store struct {
	path        string
	options     Options
	write, read *sql.DB
	writer      chan struct{} // held by the one who writes

	usedMu sync.RWMutex
	used   map[place][]uint32 // ids of the keys of sealed records, in order
	// changes counts the keys that were added to used.
	changes atomic.Uint64

	mu     sync.RWMutex // held for reading by calls, for writing by Close
	closed bool

	damageMu sync.Mutex
	damage   []string // records that fail their checksum or do not decode
}

var _ meta.Store = (*Store)(nil)

// Open opens the records in a data directory without keys; see OpenSealed.
func Open(dir string) (*Store, error) { return OpenSealed(dir, Options{}) }

// OpenSealed opens the records in a data directory, or makes the file. The directory must
// exist, and the caller must have locked it. Errors name the file and the problem. Keys
// are not needed before records are used.
func OpenSealed(dir string, o Options) (*Store, error) {
	path, err := filepath.Abs(filepath.Join(dir, FileName))
	if err != nil {
		return nil, fmt.Errorf("control-plane records: %w", err)
	}
	if o.Keys == nil {
		o.Keys = seal.Off{}
	}
	s := &Store{path: path, options: o, writer: make(chan struct{}, 1), used: map[place][]uint32{}}
	if err := s.open(); err != nil {
		s.release()
		return nil, s.explain(context.Background(), "open", err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	// We make the file, so that only owner and group may read it; SQLite gives its
	// additional files the same permissions.
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// secure_delete: pages that become free must not keep what was sealed since.
	if s.write, err = s.connect(1, "_txlock=immediate&_pragma=secure_delete(1)"); err != nil {
		return err
	}
	if err := s.migrate(); err != nil {
		return err
	}
	if err := s.loadUsed(context.Background()); err != nil {
		return err
	}
	if s.read, err = s.connect(readers, "_pragma=query_only(1)"); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// connect opens a pool of connections. A commit is durable when it returns
// (synchronous FULL); the wait for a lock is limited.
func (s *Store) connect(most int, option string) (*sql.DB, error) {
	name := &url.URL{Scheme: "file", Path: filepath.ToSlash(s.path), OmitHost: true}
	db, err := sql.Open("sqlite", name.String()+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&"+option)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// migrate checks that the file is ours and intact, and migrates its schema.
func (s *Store) migrate() error {
	tx, err := s.write.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	var id, version, tables int
	var whole string
	for _, q := range []struct {
		text string
		into any
	}{
		{"PRAGMA application_id", &id}, {"PRAGMA user_version", &version}, {"SELECT count(*) FROM sqlite_schema", &tables}, {"PRAGMA quick_check(1)", &whole},
	} {
		if err := tx.QueryRow(q.text).Scan(q.into); err != nil {
			return err
		}
	}
	switch {
	case whole != "ok":
		return errors.New("the file is damaged: " + whole)
	case id == 0 && version == 0 && tables == 0: // new, or its first start was cut short
	case id != applicationID:
		return errors.New("the file is a database of another program")
	case version > len(migrations):
		return fmt.Errorf("it was written by a newer fluoro (schema %d, this one knows up to %d): use that version", version, len(migrations))
	case version < 1:
		return fmt.Errorf("schema %d never existed", version)
	case version == len(migrations):
		return nil
	}
	for _, step := range migrations[version:] {
		if _, err := tx.Exec(step); err != nil {
			return err
		}
	}
	if version < withSums {
		if err := addSums(tx); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}

// addSums adds a checksum to each record.
func addSums(tx *sql.Tx) error {
	type record struct{ account, kind, name, value string }
	var records []record
	rows, err := tx.Query("SELECT account, kind, name, value FROM record")
	for err == nil && rows.Next() {
		var r record
		err = rows.Scan(&r.account, &r.kind, &r.name, &r.value)
		records = append(records, r)
	}
	if err == nil {
		err = errors.Join(rows.Err(), rows.Close())
	}
	for _, r := range records {
		if err == nil {
			_, err = tx.Exec("UPDATE record SET sum = ? WHERE account = ? AND kind = ? AND name = ?", sumOf(r.account, r.kind, r.name, []byte(r.value)), r.account, r.kind, r.name)
		}
	}
	return err
}

// View implements meta.Store.
func (s *Store) View(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return trace.Errorf(trace.KindUnavailable, "control-plane records are shut down")
	}
	changes := s.changes.Load()
	rings := s.keyrings(ctx, account, toRead)
	began, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.explain(ctx, "read", err)
	}
	t := &tx{ctx: ctx, store: s, sql: began, account: string(account), rings: rings, changes: changes}
	defer t.end()
	return f(t)
}

// Update implements meta.Store.
func (s *Store) Update(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	rings := func() ([]*keyring, error) { return s.keyrings(ctx, account, toWrite), nil }
	return s.update(ctx, string(account), rings, func(t *tx) error { return f(t) })
}

// keyrings finds the keys for all records of an account.
func (s *Store) keyrings(ctx context.Context, account trace.Account, why purpose) []*keyring {
	rings := []*keyring{s.keyring(ctx, place{account, account}, why)}
	if s.options.System != nil && account != seal.System {
		rings = append(rings, s.keyring(ctx, place{account, seal.System}, why))
	}
	return rings
}

// update runs f in a transaction. It asks for keys before it begins: a KMS may take
// seconds to answer, and others want to write meanwhile.
func (s *Store) update(ctx context.Context, account string, keys func() ([]*keyring, error), f func(*tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return trace.Errorf(trace.KindUnavailable, "control-plane records are shut down")
	}
	var rings []*keyring
	for {
		changes := s.changes.Load()
		var err error
		if rings, err = keys(); err != nil {
			return err
		}
		if err := s.hold(ctx); err != nil {
			return err
		}
		if s.changes.Load() == changes {
			break
		}
		s.unhold() // another writer sealed records under another key
	}
	defer s.unhold()
	began, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(ctx, "write", err)
	}
	t := &tx{ctx: ctx, store: s, sql: began, account: account, writable: true, rings: rings}
	defer t.end()
	if err := f(t); err != nil {
		return err
	}
	if t.failed != nil { // f continued after a failed write
		return t.failed
	}
	if err := s.explain(ctx, "write", began.Commit()); err != nil {
		return err
	}
	for _, f := range t.done {
		f()
	}
	return nil
}

// hold waits until nobody else writes.
func (s *Store) hold(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unhold() { <-s.writer }

// Close implements meta.Store. It waits for running calls.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.explain(context.Background(), "close", s.release())
}

func (s *Store) release() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} { // the last one to close empties SQLite's log
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// explain returns an error that names the failed action and the file. If the context
// ended, it returns the context's error.
func (s *Store) explain(ctx context.Context, verb string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	why := err.Error()
	if e, ok := errors.AsType[*driver.Error](err); ok {
		switch e.Code() & 0xff { // the primary code
		case codes.SQLITE_CORRUPT:
			why = "the file is damaged: " + why
		case codes.SQLITE_NOTADB:
			why = "the file is damaged or no database: " + why
		case codes.SQLITE_FULL:
			why = "no space is left: " + why
		case codes.SQLITE_BUSY:
			why = "another program holds the file: " + why
		}
	}
	if e, ok := errors.AsType[*os.PathError](err); ok {
		why = e.Err.Error() // the message names the path already
	}
	return trace.Errorf(trace.KindUnavailable, "cannot %s control-plane records in %s: %s", verb, s.path, strings.TrimSpace(why))
}

// Backup writes all records, as of one moment, to a new file.
func (s *Store) Backup(ctx context.Context, path string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return trace.Errorf(trace.KindUnavailable, "control-plane records are shut down")
	}
	if _, err := s.write.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("back up %s: %w", s.path, err)
	}
	return nil
}
