package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func tracesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "traces",
		Short: "delete traces",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(tracesDeleteCommand())
	return cmd
}

// deletion is the body of POST /console/api/delete (docs/console-api.md).
type deletion struct {
	IDs    []string `json:"ids,omitempty"`
	Start  *float64 `json:"start,omitempty"`
	End    *float64 `json:"end,omitempty"`
	Filter string   `json:"filter,omitempty"`
	DryRun bool     `json:"dry_run,omitempty"`
}

func tracesDeleteCommand() *cobra.Command {
	var d deletion
	var start, end string
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "delete traces permanently, by id or by filter",
		Long: `delete removes traces from every answer of a running service at once; their bytes
leave the disk within a day. This cannot be undone. Earlier backups still contain
the traces.

Select traces with --id, or with --start, --end (when they start) and --filter, a
filter expression as in GetTraceSummaries. Without --yes they are only counted. A
segment that arrives later begins its trace anew.

A time is RFC 3339, Unix seconds, or a duration before now: 2h.

Exit codes: 0 done, 1 failed (the reason is on standard error; some traces may be
deleted), 2 wrong usage.`,
		Example: `  fluoro traces delete --id 1-58406520-a006649127e371903a2de979 --yes
  fluoro traces delete --start 24h --end 0s --filter 'annotation.tenant = "acme"'`,
		Args: noArguments,
	}
	f := cmd.Flags()
	at := remoteOf(cmd, false)
	f.StringSliceVar(&d.IDs, "id", nil, "ids of traces, in X-Ray's or W3C's notation")
	f.StringVar(&start, "start", "", "delete traces that start at this time or later")
	f.StringVar(&end, "end", "", "delete traces that start before this time; default now")
	f.StringVar(&d.Filter, "filter", "", "filter expression; empty for all traces of that time")
	f.BoolVar(&yes, "yes", false, "delete the traces instead of counting them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case len(d.IDs) > 0 && (start != "" || end != "" || d.Filter != ""):
			return usageError{cmd, errors.New("--id excludes --start, --end and --filter")}
		case len(d.IDs) == 0 && start == "":
			return usageError{cmd, errors.New("select traces with --id, or with --start")}
		}
		if start != "" {
			now := time.Now()
			from, err := parseInstant(start, now)
			if err != nil {
				return usageError{cmd, fmt.Errorf("--start: %w", err)}
			}
			to := float64(now.UnixNano()) / 1e9
			if end != "" {
				if to, err = parseInstant(end, now); err != nil {
					return usageError{cmd, fmt.Errorf("--end: %w", err)}
				}
			}
			d.Start, d.End = &from, &to
		}
		d.DryRun = !yes
		n, err := deleteTraces(cmd.Context(), at, &d)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%d traces deleted", n)
		if d.DryRun {
			text = fmt.Sprintf("%d traces would be deleted; run this again with --yes to delete them", n)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// parseInstant reads an RFC 3339 time, Unix seconds, or a duration before now,
// as Unix seconds.
func parseInstant(text string, now time.Time) (float64, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return float64(now.Add(-ago).UnixNano()) / 1e9, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a time (2026-11-25T10:00:00Z), nor Unix seconds, nor a duration before now (2h)", text)
	}
	return float64(t.UnixNano()) / 1e9, nil
}

func deleteTraces(ctx context.Context, at *remote, d *deletion) (int, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return 0, err
	}
	res, err := at.do(ctx, http.MethodPost, "/console/api/delete", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	var out struct {
		Traces int
		Error  struct{ Message string }
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return 0, fmt.Errorf("%s answered %s without JSON: %.200q", at.url, res.Status, text)
	}
	if res.StatusCode != http.StatusOK {
		return 0, errors.New(out.Error.Message)
	}
	return out.Traces, nil
}
