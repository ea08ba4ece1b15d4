package server

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/fluoro-io/fluoro/internal/backup"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// ExportList is the name of the last entry of an export: without it, the export is not
// whole.
const ExportList = "EXPORT.json"

// accountID is the form of an account in a query.
var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// ParseExport reads an account ("" for all) and a time in Unix seconds ("" for all).
func ParseExport(account, since string) (q local.ExportQuery, err error) {
	q = local.ExportQuery{Account: trace.Account(account), Since: trace.MinTime}
	if account != "" && !accountID.MatchString(account) {
		return q, trace.Errorf(trace.KindInvalid, "account is %.50q: want 12 digits", account)
	}
	if since != "" {
		seconds, err := strconv.ParseFloat(since, 64)
		if err != nil || !(seconds >= 0 && seconds < 1<<33) {
			return q, trace.Errorf(trace.KindInvalid, "since is %.50q: want Unix seconds", since)
		}
		q.Since = trace.FromSeconds(seconds)
	}
	return q, nil
}

// ExportDirectory exports a data directory that no server has open. keys are nil if
// nothing in it is encrypted.
func ExportDirectory(ctx context.Context, dir string, keys seal.Keys, q local.ExportQuery, add func(name string, size int64, r io.Reader) error) (done *local.Exported, err error) {
	if _, err := os.Stat(filepath.Join(dir, "FORMAT")); err != nil {
		return nil, fmt.Errorf("directory %s holds no Fluoro data: %w", dir, err)
	}
	shelf, err := local.Open(local.Options{Dir: dir, Keys: keys, Offline: true, Rules: answer.NewRules(answer.Options{Retention: -1})})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shelf.Close()) }()
	return shelf.Export(ctx, q, add)
}

// ExportBackup exports a backup by way of a directory beside dir, which it removes. What
// is encrypted in the backup is encrypted there, too.
// export exports the directory.
func ExportBackup(ctx context.Context, from io.Reader, beside string, export func(dir string) (*local.Exported, error)) (done *local.Exported, err error) {
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(beside)), ".fluoro-export-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	dir := filepath.Join(temp, "data")
	if _, err := backup.Restore(from, dir); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return export(dir)
}

// export answers with a tar of Parquet tables in the clear.
func (s *server) export(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q, err := ParseExport(v.Get("account"), v.Get("since"))
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	out := &started{ResponseWriter: w}
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set("Content-Disposition", `attachment; filename="fluoro-export.tar"`)
	began := time.Now()
	t := tar.NewWriter(out)
	entry := func(name string, size int64, from io.Reader) error {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o640, ModTime: began}); err != nil {
			return err
		}
		_, err := io.Copy(t, from)
		return err
	}
	done, err := s.shelf.Export(r.Context(), q, entry)
	if err == nil {
		var list []byte
		if list, err = json.Marshal(done); err == nil {
			err = errors.Join(entry(ExportList, int64(len(list)), bytes.NewReader(list)), t.Close())
		}
	}
	switch {
	case err == nil:
		s.log.Info("traces were exported in the clear", "account", q.Account, "traces", done.Traces, "bytes", out.bytes, "seconds", time.Since(began).Seconds())
		return
	case r.Context().Err() != nil:
		s.log.Warn("an export was broken off by its client", "bytes", out.bytes)
	default:
		s.log.Error("an export failed", "error", err)
	}
	if out.bytes > 0 {
		panic(http.ErrAbortHandler) // the client must see that the rest is missing
	}
	w.Header().Del("Content-Disposition")
	http.Error(w, err.Error(), statusOf(err))
}
