package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/backup"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	var to string
	var from remote
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "copy all data of a running service to one file",
		Long: `backup copies all data of a running service, traces and settings, as of one
moment, to one file (a tar). The service keeps running. The backup contains
everything acknowledged before it began. The file gets its name only after every
checksum was verified and all bytes are on disk.

With --data it copies a data directory, through its service if one runs.

  fluoro backup verify FILE    reads a backup and verifies every checksum

Exit codes: 0 the backup is complete, 1 it failed (the reason is on standard error,
no file is left), 2 wrong usage.`,
		Example: `  fluoro backup --to fluoro-2026-11-25.tar
  FLUORO_TOKEN=... fluoro backup --url https://10.0.0.7:2000 --ca ca.pem --to - | ssh vault 'cat > fluoro.tar'
  fluoro backup --data /var/lib/fluoro --to fluoro.tar`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "file to write; it must not exist yet; - for standard output")
	from.register(f)
	keyFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case to == "":
			return usageError{cmd, errors.New("--to is required: the file to write")}
		case cmd.Flags().Changed("data") && cmd.Flags().Changed("url"):
			return usageError{cmd, errors.New("--data and --url exclude each other")}
		}
		alone, err := from.noServer(cmd.Context())
		if err != nil {
			return err
		}
		write := func(ctx context.Context, w io.Writer) error { return download(ctx, &from, w) }
		if alone {
			keys, err := openKeys(cmd, from.data)
			if err != nil {
				return err
			}
			write = func(ctx context.Context, w io.Writer) error { return server.BackupDirectory(ctx, w, from.data, keys) }
		}
		if to == "-" {
			return write(cmd.Context(), cmd.OutOrStdout())
		}
		m, err := backupTo(cmd.Context(), to, cmd.ErrOrStderr(), write)
		if err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d files, %d bytes, verified\n", to, len(m.Files), m.Bytes())
		}
		return err
	}
	cmd.AddCommand(backupVerifyCommand())
	return cmd
}

func backupVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "read a backup and verify every checksum",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{cmd, errors.New("give exactly one file")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := verifyBackup(args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: made %s, %d files, %d bytes: whole\n", args[0], m.Created.Format(time.RFC3339), len(m.Files), m.Bytes())
			return err
		},
	}
}

func verifyBackup(name string) (*backup.Manifest, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return backup.Read(f, func(string, int64, io.Reader) error { return nil })
}

// backupTo writes a backup under a temporary name, verifies it and gives it its
// final name.
func backupTo(ctx context.Context, to string, progress io.Writer, write func(context.Context, io.Writer) error) (m *backup.Manifest, err error) {
	if _, err := os.Lstat(to); err == nil {
		return nil, fmt.Errorf("%s exists already", to)
	}
	for _, note := range backup.Leftovers(filepath.Dir(to)) {
		fmt.Fprintf(progress, "note: %s\n", note)
	}
	temp, err := backup.CreatePart(to)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	out := &counted{w: temp}
	stop := out.report(progress)
	err = write(ctx, out)
	stop()
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return nil, err
	}
	if m, err = verifyBackup(temp.Name()); err != nil {
		return nil, fmt.Errorf("the received backup is not whole: %w", err)
	}
	return m, os.Rename(temp.Name(), to)
}

// counted counts the bytes written to it.
type counted struct {
	w     io.Writer
	bytes atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.bytes.Add(int64(n))
	return n, err
}

// report prints the number of bytes every few seconds, until stop is called.
func (c *counted) report(w io.Writer) (stop func()) {
	tick, done := time.NewTicker(3*time.Second), make(chan struct{})
	go func() {
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "%d MB so far\n", c.bytes.Load()>>20)
			case <-done:
				return
			}
		}
	}()
	return func() { tick.Stop(); close(done) }
}

// download writes the backup of a running service.
func download(ctx context.Context, from *remote, w io.Writer) error {
	res, err := from.do(ctx, http.MethodGet, "/console/api/backup", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return fmt.Errorf("%s answered %s: %s", from.url, res.Status, strings.TrimSpace(string(text)))
	}
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("the backup was interrupted: %w", err)
	}
	return nil
}

func restoreCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "make a data directory from a backup",
		Long: `restore verifies a backup and writes its files to a new or empty directory. Start
'fluoro serve --data' on it. The directory gets its name only after every checksum
was verified and all bytes are on disk.

Exit codes: 0 restored, 1 failed (the reason is on standard error, nothing is
left), 2 wrong usage.`,
		Example: `  fluoro restore --from fluoro-2026-11-25.tar --data ./restored
  ssh vault 'cat fluoro.tar' | fluoro restore --from - --data ./restored`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&from, "from", "", "backup file; - for standard input")
	data := dataFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in := cmd.InOrStdin()
		switch from {
		case "":
			return usageError{cmd, errors.New("--from is required: the backup file")}
		case "-":
		default:
			f, err := os.Open(from)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		for _, note := range backup.Leftovers(filepath.Dir(*data)) {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", note)
		}
		m, err := backup.Restore(in, *data)
		if err != nil {
			return fmt.Errorf("restore %s: %w", from, err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d files, %d bytes of %s\n", *data, len(m.Files), m.Bytes(), m.Created.Format(time.RFC3339))
		return err
	}
	return cmd
}
