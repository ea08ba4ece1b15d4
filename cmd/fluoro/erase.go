package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/spf13/cobra"
)

// serviceFlag adds the flags of a service and --account.
func serviceFlag(cmd *cobra.Command) (at *remote, account *string) {
	at = &remote{}
	at.register(cmd.Flags())
	return at, cmd.Flags().String("account", "", "account, if it is another one (with --data, or for the account of the server)")
}

// erasure is the body of POST /api/erasure/Create.
type erasure struct {
	Account    string   `json:"account,omitempty"`
	User       string   `json:"user,omitempty"`
	Annotation string   `json:"annotation,omitempty"`
	Traces     []string `json:"traces,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	DryRun     bool     `json:"dryRun,omitempty"`
}

func eraseCommand() *cobra.Command {
	var e erasure
	var yes bool
	var report string
	cmd := &cobra.Command{
		Use:   "erase",
		Short: "delete everything about a user, an annotation or a trace, with a signed report",
		Long: `erase deletes from a running service all traces of a user, with an annotation, or
with given ids: from every answer, from the counts of graphs, and from all files of
the store. It then searches again, and prints a report. --report writes it to a file
with its signature, which 'fluoro erase verify' checks. Legal holds (fluoro hold)
protect their traces: the report names them. The report also names the backups that
may still hold the data. Late segments of the same traces and users are refused for
the time of --erase-guard.

Without --yes the traces are only counted.

Exit codes: 0 done, 1 failed or not complete (the reason is on standard error),
2 wrong usage.`,
		Example: `  fluoro erase --user carla@example.com
  fluoro erase --user carla@example.com --reason 'ticket 4711' --report carla.json --yes
  fluoro erase --annotation customer=4711 --yes
  fluoro erase --trace 1-58406520-a006649127e371903a2de979 --yes`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.User, "user", "", "erase the traces of this user")
	f.StringVar(&e.Annotation, "annotation", "", "erase the traces with an annotation KEY=VALUE")
	f.StringSliceVar(&e.Traces, "trace", nil, "erase traces with these ids")
	f.StringVar(&e.Reason, "reason", "", "reason for the report, such as the number of a ticket")
	f.StringVar(&report, "report", "", "file to write the signed report to; it must not exist yet")
	f.BoolVar(&yes, "yes", false, "erase the traces instead of counting them")
	at, account := serviceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := 0
		for _, set := range []bool{e.User != "", e.Annotation != "", len(e.Traces) > 0} {
			if set {
				given++
			}
		}
		if given != 1 {
			return usageError{cmd, errors.New("give one of --user, --annotation and --trace")}
		}
		e.Account, e.DryRun = *account, !yes
		return runErase(cmd, at, report, &e)
	}
	cmd.AddCommand(eraseVerifyCommand())
	return cmd
}

func runErase(cmd *cobra.Command, at *remote, report string, e *erasure) (err error) {
	var file *os.File
	if report != "" && !e.DryRun {
		// The file comes first: a report that cannot be kept would be lost.
		if file, err = os.OpenFile(report, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	var out struct {
		Signed json.RawMessage `json:"signed"`
		Text   string          `json:"text"`
	}
	if err := at.call(cmd.Context(), "erasure/Create", e, &out); err != nil {
		return err
	}
	if file != nil {
		if _, err := file.Write(append(out.Signed, '\n')); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprint(cmd.OutOrStdout(), out.Text); err != nil {
		return err
	}
	if e.DryRun {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "run this again with --yes to erase the traces")
		return err
	}
	var signed struct {
		Report struct {
			Purged bool `json:"purgedFromDisk"`
		} `json:"report"`
	}
	if json.Unmarshal(out.Signed, &signed) == nil && !signed.Report.Purged {
		return errors.New("the erasure is not complete: some of the data is still on the disk")
	}
	return nil
}

func eraseVerifyCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "check the signature of a report of erase or compliance",
		Long: `verify checks that a report was signed with the key of a service and not changed
since. The key is that of 'fluoro audit public-key'.

Exit codes: 0 the report is genuine, 1 it is not, 2 wrong usage.`,
		Example: `  fluoro erase verify --public-key fluoro-audit.pem carla.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{cmd, errors.New("give exactly one file")}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "public-key", "", "file with the public key")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if key == "" {
			return usageError{cmd, errors.New("--public-key is required")}
		}
		pem, err := os.ReadFile(key)
		if err != nil {
			return err
		}
		public, err := audit.ParsePublicKey(pem)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		if _, err := public.VerifyText(text); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: the signature is right, key %s\n", args[0], public.Fingerprint())
		return err
	}
	return cmd
}

// legalHold is a hold in the management API.
type legalHold struct {
	Account string    `json:"account,omitempty"`
	Name    string    `json:"name,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Traces  []string  `json:"traces,omitempty"`
	Filter  string    `json:"filter,omitempty"`
	Group   string    `json:"group,omitempty"`
	Held    int       `json:"heldTraces,omitempty"`
}

func holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "keep traces that must not disappear: legal holds and pins",
		Long: `hold keeps traces of a running service although retention, a limit of bytes or an
erasure would delete them. Held traces stay readable by their ids.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(holdAddCommand(), holdListCommand(), holdReleaseCommand())
	return cmd
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{cmd, errors.New("give exactly one name")}
	}
	return nil
}

func holdAddCommand() *cobra.Command {
	var h legalHold
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "hold traces by id, by a filter expression or by a group",
		Long: `add makes a hold. A hold with --filter or --group also holds traces that arrive
later, until it is released.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro hold add case-17 --filter 'user = "mallory"' --reason 'court order 17'
  fluoro hold add outage --trace 1-58406520-a006649127e371903a2de979`,
		Args: oneName,
	}
	f := cmd.Flags()
	f.StringSliceVar(&h.Traces, "trace", nil, "ids of traces")
	f.StringVar(&h.Filter, "filter", "", "filter expression, as in GetTraceSummaries")
	f.StringVar(&h.Group, "group", "", "name of a group")
	f.StringVar(&h.Reason, "reason", "", "reason")
	at, account := serviceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h.Name, h.Account = args[0], *account
		var out legalHold
		if err := at.call(cmd.Context(), "hold/Add", h, &out); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d traces\n", h.Name, out.Held)
		return err
	}
	return cmd
}

func holdListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "list the holds",
		Example: `  fluoro hold list --json`,
		Args:    noArguments,
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	at, account := serviceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var out struct {
			Holds []legalHold `json:"holds"`
		}
		if err := at.call(cmd.Context(), "hold/List", legalHold{Account: *account}, &out); err != nil {
			return err
		}
		if *asJSON {
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(out.Holds)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tHELD\tCREATED\tBY\tSELECTS\tREASON")
		for _, h := range out.Holds {
			what := h.Filter
			switch {
			case h.Group != "":
				what = "group " + h.Group
			case len(h.Traces) > 0:
				what = fmt.Sprintf("%d ids", len(h.Traces))
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", printable(h.Name), h.Held, h.Created.Format(time.RFC3339), printable(h.By), printable(what), printable(h.Reason))
		}
		return w.Flush()
	}
	return cmd
}

func holdReleaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "release NAME",
		Short:   "end a hold",
		Example: `  fluoro hold release case-17`,
		Args:    oneName,
	}
	at, account := serviceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var out struct {
			Released int `json:"releasedTraces"`
		}
		if err := at.call(cmd.Context(), "hold/Release", legalHold{Account: *account, Name: args[0]}, &out); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is released: no hold protects %d traces any more\n", args[0], out.Released)
		return err
	}
	return cmd
}
