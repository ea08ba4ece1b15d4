package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/fluoro-io/fluoro/internal/backup"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
)

// WriteBackup writes a backup of a store, of the vault of held traces (nil: there is none),
// of the control-plane records and of the wrapped data keys. The key file is not part of
// it.
func WriteBackup(ctx context.Context, w io.Writer, shelf, vault *local.Shelf, records *sqlite.Store, keys *seal.Ring) (err error) {
	dir, err := os.MkdirTemp("", "fluoro-backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := backup.NewWriter(w, time.Now())
	if err := shelf.Backup(ctx, b.Add); err != nil {
		return err
	}
	if vault != nil {
		if err := vault.Backup(ctx, func(name string, size int64, r io.Reader) error { return b.Add(vaultDir+"/"+name, size, r) }); err != nil {
			return err
		}
	}
	// Records come after the store, so that the store holds everything they refer to.
	name := filepath.Join(dir, sqlite.FileName)
	if err := records.Backup(ctx, name); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := b.Add(sqlite.FileName, info.Size(), f); err != nil {
		return err
	}
	// The keys come last, so that they are all that anything before them needs.
	if err := keys.Backup(b.Add); err != nil {
		return err
	}
	return b.Close()
}

// BackupDirectory backs up a data directory that no server has open.
func BackupDirectory(ctx context.Context, w io.Writer, dir string, keys *seal.Ring) (err error) {
	if _, err := os.Stat(filepath.Join(dir, "FORMAT")); err != nil {
		return fmt.Errorf("directory %s holds no Fluoro data: %w", dir, err)
	}
	shelf, err := local.Open(local.Options{Dir: dir, Keys: keys, Offline: true, Rules: answer.NewRules(answer.Options{Retention: -1})})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shelf.Close()) }()
	records, err := sqlite.OpenSealed(dir, RecordOptions(keys))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	var vault *local.Shelf
	if _, err := os.Stat(filepath.Join(dir, vaultDir, "FORMAT")); err == nil {
		if vault, err = local.Open(local.Options{Dir: filepath.Join(dir, vaultDir), Keys: keys, Offline: true, Rules: answer.NewRules(answer.Options{Retention: -1})}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, vault.Close()) }()
	}
	return WriteBackup(ctx, w, shelf, vault, records, keys)
}

// backup answers with a backup of all accounts.
func (s *server) backup(w http.ResponseWriter, r *http.Request) {
	if s.meta == nil {
		http.Error(w, "a backup would not be whole: "+s.recordsLost, http.StatusServiceUnavailable)
		return
	}
	out := &started{ResponseWriter: w}
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set("Content-Disposition", `attachment; filename="fluoro-backup.tar"`)
	began := time.Now()
	err := WriteBackup(r.Context(), out, s.shelf, s.vault.Load(), s.meta, s.keys)
	switch {
	case err == nil:
		s.noteBackup(r.Context(), began, out.bytes)
		s.log.Info("a backup was made", "bytes", out.bytes, "seconds", time.Since(began).Seconds())
		return
	case r.Context().Err() != nil:
		s.log.Warn("a backup was broken off by its client", "bytes", out.bytes)
	default:
		s.log.Error("a backup failed", "error", err)
	}
	if out.bytes > 0 {
		panic(http.ErrAbortHandler) // the client must see that the rest is missing
	}
	w.Header().Del("Content-Disposition")
	http.Error(w, err.Error(), statusOf(err))
}

// started counts the bytes of an answer.
type started struct {
	http.ResponseWriter
	bytes int64
}

func (s *started) Write(b []byte) (int, error) {
	n, err := s.ResponseWriter.Write(b)
	s.bytes += int64(n)
	return n, err
}
