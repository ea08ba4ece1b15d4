package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf returns the checksum of a record: CRC-32C of account, kind, name and value,
// with a NUL after each of the first three.
func sumOf(account, kind, name string, value []byte) int64 {
	sum := crc32.Checksum([]byte(account+"\x00"+kind+"\x00"+name+"\x00"), castagnoli)
	return int64(crc32.Update(sum, castagnoli, value))
}

// maxDamage limits the number of damaged records that are remembered.
const maxDamage = 100

// damaged remembers a damaged record and returns the error for it.
func (s *Store) damaged(account, kind, name, why string) error {
	text := fmt.Sprintf("%s is damaged: %s %.50q of account %s: %s", s.path, kind, name, account, why)
	s.remember(text)
	return trace.Errorf(trace.KindUnavailable, "%s", text)
}

func (s *Store) remember(text string) {
	s.damageMu.Lock()
	defer s.damageMu.Unlock()
	if !slices.Contains(s.damage, text) && len(s.damage) < maxDamage {
		s.damage = append(s.damage, text)
	}
}

// Damage lists the records found damaged since the start; calls that list records
// omit them.
func (s *Store) Damage() []string {
	s.damageMu.Lock()
	defer s.damageMu.Unlock()
	return slices.Clone(s.damage)
}

// verify compares a record with its checksum.
func (s *Store) verify(account, kind, name string, value []byte, sum int64) error {
	switch {
	case sumOf(account, kind, name, value) != sum:
		return s.damaged(account, kind, name, "wrong checksum")
	case !json.Valid(value):
		return s.damaged(account, kind, name, "it is no JSON")
	}
	return nil
}

// Check reads all records in a data directory that nobody has open. It changes
// nothing there, because it works on a copy. Sealed records are decrypted; if their keys
// cannot be used, that counts as damage. read, if not nil, is called with the
// copy and each account in it, to decode records as only their packages can. The
// answer names all damage, also a file that cannot be read; found reports whether
// the file exists.
func Check(ctx context.Context, dir string, o Options, read func(meta.Store, trace.Account) []error) (damage []string, found bool, err error) {
	path := filepath.Join(dir, FileName)
	temp, err := os.MkdirTemp("", "fluoro-check-")
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	for _, suffix := range []string{"", "-wal"} {
		err := copyFile(filepath.Join(temp, FileName+suffix), path+suffix)
		if errors.Is(err, fs.ErrNotExist) {
			if suffix == "" {
				return nil, false, nil
			}
			continue
		}
		if err != nil {
			return []string{fmt.Sprintf("%s is damaged: it cannot be read: %v", path+suffix, err)}, true, nil
		}
	}
	s, err := OpenSealed(temp, o)
	if err != nil {
		return []string{strings.ReplaceAll(err.Error(), temp, dir)}, true, nil
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.path = path // messages name the original
	damage, accounts, err := s.check(ctx)
	for _, account := range accounts {
		if read == nil || err != nil {
			break
		}
		for _, e := range read(s, account) {
			damage = append(damage, fmt.Sprintf("%s is damaged: account %s: %v", path, account, e))
		}
	}
	for _, d := range s.Damage() {
		if !slices.Contains(damage, d) {
			damage = append(damage, d)
		}
	}
	return damage, true, err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// check reads every page and every record.
func (s *Store) check(ctx context.Context) (damage []string, accounts []trace.Account, err error) {
	rows, err := s.read.QueryContext(ctx, "PRAGMA integrity_check(100)")
	for err == nil && rows.Next() {
		var text string
		if err = rows.Scan(&text); err == nil && text != "ok" {
			damage = append(damage, fmt.Sprintf("%s is damaged: %s", s.path, text))
		}
	}
	if err = s.ended(ctx, err, rows); err != nil {
		return append(damage, err.Error()), nil, nil
	}
	rows, err = s.read.QueryContext(ctx, "SELECT account, kind, name, value, coalesce(sum, -1) FROM record ORDER BY account, kind, name")
	for err == nil && rows.Next() {
		var account, kind, name string
		var value []byte
		var sum int64
		if err = rows.Scan(&account, &kind, &name, &value, &sum); err != nil {
			break
		}
		_ = s.verify(account, kind, name, value, sum) // it remembers damage
		if a := trace.Account(account); !slices.Contains(accounts, a) {
			accounts = append(accounts, a)
		}
	}
	if err = s.ended(ctx, err, rows); err != nil {
		return append(damage, err.Error()), nil, nil
	}
	sealed, err := s.checkSealed(ctx)
	if err != nil {
		return append(damage, err.Error()), nil, nil
	}
	for _, p := range sealed {
		if !slices.Contains(accounts, p.account) {
			accounts = append(accounts, p.account)
		}
	}
	return damage, accounts, nil
}

// checkSealed decrypts every sealed record, and returns their places.
func (s *Store) checkSealed(ctx context.Context) (places []place, err error) {
	rings := map[place]*keyring{}
	rows, err := s.read.QueryContext(ctx, "SELECT account, owner, kind, hash, key, body FROM sealed ORDER BY account, kind")
	for err == nil && rows.Next() {
		var p place
		var kind string
		var hash, body []byte
		var id uint32
		if err = rows.Scan(&p.account, &p.owner, &kind, &hash, &id, &body); err != nil {
			break
		}
		r := rings[p]
		if r == nil {
			r = s.keyring(ctx, p, toRead)
			rings[p] = r
			places = append(places, p)
			if r.err != nil {
				s.remember(fmt.Sprintf("%s: the records of account %s cannot be verified: %v", s.path, p.account, r.err))
			}
		}
		if r.err != nil || slices.Contains(r.gone, id) {
			continue
		}
		if _, failed := r.openRow(kind, id, hash, body); failed != nil {
			_ = s.damaged(string(p.account), kind, fmt.Sprintf("with the hash %x", hash[:min(8, len(hash))]), failed.Error()) // it remembers damage
		}
	}
	return places, s.ended(ctx, err, rows)
}

func (s *Store) ended(ctx context.Context, err error, rows interface {
	Err() error
	Close() error
}) error {
	if err == nil {
		err = errors.Join(rows.Err(), rows.Close())
	}
	return s.explain(ctx, "read", err)
}
