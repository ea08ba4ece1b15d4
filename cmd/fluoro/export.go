package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/spf13/cobra"
)

// exportFlags are the flags of fluoro export.
type exportFlags struct {
	from                        remote
	out, backup, account, since string
}

func exportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "write traces as Parquet tables in the clear, for DuckDB and others",
		Long: `export writes all traces, or those of one account, as Apache Parquet tables that
DuckDB, pyarrow, Spark and others read: NUMBER.entities.parquet with one row per
document or span, NUMBER.traces.parquet with one row per trace. Each trace is in
them once; deleted ones are not. The tables are in the clear, even if the data
directory is encrypted: keep them as carefully as the traces.

It reads a data directory (--data), through its service if one runs, a service
elsewhere (--url), or a backup (--backup). Encrypted directories and backups need their keys.

A time is RFC 3339, Unix seconds, or a duration before now: 24h.

Exit codes: 0 everything is exported, 1 something is not (the reason is on standard
error), 2 wrong usage.`,
		Example: `  fluoro export --out ./tables --since 24h
  fluoro export --data /var/lib/fluoro --account 123456789012 --out ./tables
  duckdb -c "SELECT service, count(*) FROM 'tables/*.entities.parquet' GROUP BY 1"`,
		Args: noArguments,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "directory for the tables; new or empty")
	f.from.register(flags)
	flags.StringVar(&f.backup, "backup", "", "backup file to read instead")
	flags.StringVar(&f.account, "account", "", "export the traces of this account only")
	flags.StringVar(&f.since, "since", "", "export traces that received something since this time only")
	keyFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd) }
	return cmd
}

func (f *exportFlags) run(cmd *cobra.Command) error {
	sources := 0
	for _, is := range []bool{cmd.Flags().Changed("data"), f.backup != "", cmd.Flags().Changed("url")} {
		if is {
			sources++
		}
	}
	switch {
	case f.out == "":
		return usageError{cmd, errors.New("--out is required: the directory for the tables")}
	case sources > 1:
		return usageError{cmd, errors.New("--url, --data and --backup exclude each other")}
	}
	since := ""
	if f.since != "" {
		seconds, err := parseInstant(f.since, time.Now())
		if err != nil {
			return usageError{cmd, fmt.Errorf("--since: %w", err)}
		}
		since = strconv.FormatFloat(seconds, 'f', 9, 64)
	}
	q, err := server.ParseExport(f.account, since)
	if err != nil {
		return usageError{cmd, err}
	}
	tables, err := newTables(f.out)
	if err != nil {
		return err
	}
	var done *local.Exported
	alone := false
	if f.backup == "" {
		alone, err = f.from.noServer(cmd.Context())
	}
	switch {
	case err != nil:
	case alone:
		done, err = exportDirectory(cmd, f.from.data, q, tables.add)
	case f.backup != "":
		done, err = f.fromBackup(cmd, q, tables)
	default:
		done, err = f.download(cmd.Context(), since, tables)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("export: %w", err), tables.remove())
	}
	return f.report(cmd.ErrOrStderr(), done, tables)
}

// exportDirectory exports a directory with the keys that belong to it.
func exportDirectory(cmd *cobra.Command, dir string, q local.ExportQuery, add func(string, int64, io.Reader) error) (*local.Exported, error) {
	keys, err := openKeys(cmd, dir)
	if err != nil {
		return nil, err
	}
	return server.ExportDirectory(cmd.Context(), dir, keys, q, add)
}

func (f *exportFlags) fromBackup(cmd *cobra.Command, q local.ExportQuery, tables *tables) (*local.Exported, error) {
	in, err := os.Open(f.backup)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return server.ExportBackup(cmd.Context(), in, f.out, func(dir string) (*local.Exported, error) {
		return exportDirectory(cmd, dir, q, tables.add)
	})
}

// report prints what was exported. Something missing is an error.
func (f *exportFlags) report(w io.Writer, done *local.Exported, tables *tables) error {
	fmt.Fprintf(w, "%s: %d traces with %d documents and spans, in %d files\n", f.out, done.Traces, done.Segments, len(tables.names))
	for account, reason := range done.Missing {
		fmt.Fprintf(w, "account %s is not exported: %s\n", account, reason)
	}
	for _, d := range done.Damage {
		fmt.Fprintf(w, "damaged: %s\n", d)
	}
	if n := len(done.Missing) + len(done.Damage); n > 0 {
		return fmt.Errorf("the export lacks %d accounts and %d damaged places", len(done.Missing), len(done.Damage))
	}
	return nil
}

// tables writes the files of an export.
type tables struct {
	dir   string
	made  bool // the directory
	names []string
}

func newTables(dir string) (*tables, error) {
	entries, err := os.ReadDir(dir)
	t := &tables{dir: dir}
	if errors.Is(err, os.ErrNotExist) {
		t.made = true
		return t, os.MkdirAll(dir, 0o750)
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("directory %s is not empty", dir)
	}
	return t, err
}

// tableName is the form of the names in an export.
var tableName = regexp.MustCompile(`^[0-9a-f]{16}\.(entities|traces)\.parquet$`)

func (t *tables) add(name string, size int64, r io.Reader) (err error) {
	if !tableName.MatchString(name) {
		return fmt.Errorf("the export has a file with the name %.100q", name)
	}
	f, err := os.OpenFile(filepath.Join(t.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	t.names = append(t.names, name)
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, r)
	if err == nil && n != size {
		err = fmt.Errorf("%s ends after %d of %d bytes", name, n, size)
	}
	return err
}

// remove removes the files of an export that is not whole.
func (t *tables) remove() (err error) {
	for _, name := range t.names {
		err = errors.Join(err, os.Remove(filepath.Join(t.dir, name)))
	}
	if t.made {
		err = errors.Join(err, os.Remove(t.dir))
	}
	return err
}

// download exports a running service.
func (f *exportFlags) download(ctx context.Context, since string, tables *tables) (*local.Exported, error) {
	v := url.Values{}
	if f.account != "" {
		v.Set("account", f.account)
	}
	if since != "" {
		v.Set("since", since)
	}
	res, err := f.from.do(ctx, http.MethodGet, "/console/api/export?"+v.Encode(), nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return nil, fmt.Errorf("%s answered %s: %s", f.from.url, res.Status, strings.TrimSpace(string(text)))
	}
	return tables.unpack(tar.NewReader(res.Body))
}

// unpack reads an export to its end.
func (t *tables) unpack(from *tar.Reader) (*local.Exported, error) {
	for {
		h, err := from.Next()
		if err != nil {
			return nil, fmt.Errorf("the export was interrupted: %w", err)
		}
		if h.Name != server.ExportList {
			if err := t.add(h.Name, h.Size, from); err != nil {
				return nil, err
			}
			continue
		}
		done := &local.Exported{}
		if err := json.NewDecoder(io.LimitReader(from, 16<<20)).Decode(done); err != nil {
			return nil, fmt.Errorf("the list of the export cannot be read: %w", err)
		}
		return done, nil
	}
}
