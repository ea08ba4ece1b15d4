package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/spf13/cobra"
)

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "inspect a data directory: check it, count its traces",
		Long: `store inspects a data directory that no server uses; only accept changes it. While
a server has the directory open, all commands fail with exit code 1.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(storeCheckCommand(), storeStatsCommand(), storeAcceptCommand())
	return cmd
}

// dataFlag adds --data, with the same default as for serve.
func dataFlag(cmd *cobra.Command) *string {
	value := os.Getenv(config.Env("data"))
	if value == "" {
		value = "./data"
	}
	return cmd.Flags().String("data", value, "data directory with all traces [$FLUORO_DATA]")
}

func storeCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "verify every byte of a data directory",
		Long: `check reads every log file and block of a data directory from beginning to end,
and the control-plane records. It verifies all checksums, decodes every record and
looks for missing files. It prints each damaged place on standard output, with file
and offset. It changes nothing.

Exit codes: 0 everything is sound, 1 there is damage or the directory cannot be
read (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro store check
  fluoro store check --data /var/lib/fluoro`,
		Args: noArguments,
	}
	data := dataFlag(cmd)
	keyFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		keys, err := openKeys(cmd, *data)
		if err != nil {
			return err
		}
		r, err := local.Inspect(engine(*data, keys), true)
		if err != nil {
			return err
		}
		files, damage, notes, err := server.CheckDirectory(cmd.Context(), *data, keys)
		if err != nil {
			return err
		}
		r.Files, r.Damage, r.Notes = r.Files+files, append(r.Damage, damage...), append(r.Notes, notes...)
		out := cmd.OutOrStdout()
		var failed error
		say := func(format string, args ...any) {
			_, err := fmt.Fprintf(out, format, args...)
			failed = errors.Join(failed, err)
		}
		for _, d := range r.Damage {
			say("%s\n", d)
		}
		for _, n := range r.Notes {
			say("note: %s\n", n)
		}
		if len(r.Damage) > 0 {
			return errors.Join(failed, fmt.Errorf("%d damaged places in %s", len(r.Damage), *data))
		}
		say("%d files, %d bytes: sound\n", r.Files, r.BlockBytes+r.WALBytes)
		return failed
	}
	return cmd
}

func storeAcceptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "stop reporting files that are lost for good",
		Long: `accept acknowledges that missing files of a data directory, and data that was in
lost log files, are lost for good. They are no longer reported as damage. It prints
each of them. Put back every file you still have first. accept does not touch files
that exist but are damaged: they are reported until you move them away.

Exit codes: 0 done, 1 the directory cannot be read, 2 wrong usage.`,
		Example: `  fluoro store accept --data /var/lib/fluoro`,
		Args:    noArguments,
	}
	data := dataFlag(cmd)
	keyFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		keys, err := openKeys(cmd, *data)
		if err != nil {
			return err
		}
		gone, err := local.Accept(engine(*data, keys))
		if err != nil {
			return err
		}
		for _, text := range gone {
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), "accepted: "+text); err != nil {
				return err
			}
		}
		if len(gone) == 0 {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing is missing")
		}
		return err
	}
	return cmd
}

func storeStatsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "count the traces of a data directory, by account",
		Long: `stats prints for each account the number of traces and segments, its share of
the block files in bytes, and when its oldest and newest trace were received; then
the number and bytes of blocks and the bytes of the log. It does not count deleted
and superseded copies.`,
		Example: `  fluoro store stats --data /var/lib/fluoro
  fluoro store stats --json`,
		Args: noArguments,
	}
	data := dataFlag(cmd)
	keyFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON; times are RFC 3339, sizes are bytes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		keys, err := openKeys(cmd, *data)
		if err != nil {
			return err
		}
		r, err := local.Inspect(engine(*data, keys), false)
		if err != nil {
			return err
		}
		if *asJSON {
			return statsJSON(cmd.OutOrStdout(), r)
		}
		return statsTable(cmd.OutOrStdout(), r)
	}
	return cmd
}

func instant(t trace.Time) string {
	if t == 0 {
		return ""
	}
	return time.Unix(0, int64(t)).UTC().Format(time.RFC3339)
}

func statsTable(out io.Writer, r *local.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tTRACES\tSEGMENTS\tBYTES\tOLDEST\tNEWEST")
	for _, a := range r.Accounts {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\n", a.Account, a.Traces, a.Segments, a.Bytes, instant(a.Oldest), instant(a.Newest))
	}
	fmt.Fprintf(w, "\nblocks %d, %d bytes; log %d bytes; damaged places %d\n", r.Blocks, r.BlockBytes, r.WALBytes, len(r.Damage))
	return w.Flush()
}

func statsJSON(out io.Writer, r *local.Report) error {
	type account struct {
		Account  trace.Account `json:"account"`
		Traces   int64         `json:"traces"`
		Segments int64         `json:"segments"`
		Bytes    int64         `json:"bytes"`
		Oldest   string        `json:"oldest,omitempty"`
		Newest   string        `json:"newest,omitempty"`
	}
	v := struct {
		Accounts   []account `json:"accounts"`
		Blocks     int       `json:"blocks"`
		BlockBytes int64     `json:"block_bytes"`
		WALBytes   int64     `json:"wal_bytes"`
		Damage     []string  `json:"damage"`
	}{[]account{}, r.Blocks, r.BlockBytes, r.WALBytes, append([]string{}, r.Damage...)}
	for _, a := range r.Accounts {
		v.Accounts = append(v.Accounts, account{a.Account, a.Traces, a.Segments, a.Bytes, instant(a.Oldest), instant(a.Newest)})
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// engine returns the options to inspect a data directory that no server has open.
func engine(dir string, keys seal.Keys) local.Options {
	return local.Options{Dir: dir, Keys: keys, Rules: answer.NewRules(answer.Options{Retention: -1})}
}
