package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fluoro-io/fluoro/internal/quota"
	"github.com/spf13/cobra"
)

// tenantCommand is a command about the quotas of an account. Its requests name the account
// themselves, because they are those of the server's own account.
type tenantCommand struct {
	*cobra.Command
	at   *remote
	json bool
}

func newTenantCommand(use, short string, args cobra.PositionalArgs) *tenantCommand {
	c := &tenantCommand{Command: &cobra.Command{Use: use, Short: short, Args: args}}
	c.at = remoteOf(c.Command, true)
	c.Flags().BoolVar(&c.json, "json", false, "print JSON")
	c.at.account = nil
	c.Flags().Lookup("account").Usage = "account (12 digits) whose quotas they are"
	return c
}

// call calls a verb and prints the quotas.
func (c *tenantCommand) call(verb string, in object) error {
	account, err := c.Flags().GetString("account")
	if err != nil {
		return err
	}
	if account != "" {
		in["account"] = account
	}
	var out object
	if err := c.at.call(c.Context(), "quota/"+verb, in, &out); err != nil {
		return err
	}
	if c.json {
		return printJSON(c.OutOrStdout(), out)
	}
	return c.print(out)
}

// print prints the limits and counters of an answer, the name of each on a line.
func (c *tenantCommand) print(out object) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	limits, _ := out["limits"].(object)
	refused, _ := out["refused"].(object)
	fmt.Fprintln(w, "QUOTA\tLIMIT\tREFUSED")
	for _, name := range []string{"spans", "bytes", "series", "queries", "scans"} {
		limit := "none"
		if n, ok := limits[name].(float64); ok && n != 0 {
			limit = fmt.Sprintf("%.0f", n)
		}
		n, _ := refused[name].(float64)
		fmt.Fprintf(w, "%s\t%s\t%.0f\n", name, limit, n)
	}
	return w.Flush()
}

func quotaCommand() *cobra.Command {
	cmd := family("quota", "show and change the quotas of accounts", `quota shows and changes what an account may send, keep distinct and ask, so that one
tenant cannot take a server from the others (docs/guides/tenants.md). A change counts
within seconds and survives restarts.`, `  fluoro quota show --account 111111111111
  fluoro quota set --account 111111111111 spans=20000,queries=50
  fluoro quota reset --account 111111111111`)
	show := newTenantCommand("show", "show the quotas of an account, and what was refused", noArguments)
	show.RunE = func(*cobra.Command, []string) error {
		if show.Flags().Changed("account") {
			return show.call("GetFor", object{})
		}
		return show.call("Get", object{})
	}
	set := newTenantCommand("set LIMITS", "set the quotas of an account; those that are not named have no limit", exactly("LIMITS"))
	set.RunE = func(_ *cobra.Command, args []string) error {
		limits, err := quota.Parse(args[0])
		if err != nil {
			return usageError{set.Command, err}
		}
		return set.change("Put", object{"limits": limits})
	}
	reset := newTenantCommand("reset", "give an account the quotas of --quota again", noArguments)
	reset.RunE = func(*cobra.Command, []string) error { return reset.change("Reset", object{}) }
	cmd.AddCommand(show.Command, set.Command, reset.Command)
	return cmd
}

// change calls a verb that changes quotas.
func (c *tenantCommand) change(verb string, in object) error {
	if !c.Flags().Changed("account") {
		return usageError{c.Command, errors.New("--account is required")}
	}
	return c.call(verb, in)
}

func findingsCommand() *cobra.Command {
	cmd := family("findings", "list and decide security findings", `findings lists what is new or unusual in the traces of an account, and records
decisions (docs/guides/findings.md).`, `  fluoro findings list
  fluoro findings ack 0011223344556677 --note 'planned'
  fluoro findings dismiss 0011223344556677`)
	cmd.AddCommand(findingsListCommand(), findingsShowCommand(), findingsDecideCommand("ack", "acknowledged", "record that a finding is known"),
		findingsDecideCommand("dismiss", "dismissed", "record that a finding is harmless"), findingsDecideCommand("reopen", "open", "take a decision back"))
	return cmd
}

func findingsListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the findings, the newest first", Args: noArguments}
	at := remoteOf(cmd, true)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	state := cmd.Flags().String("state", "", "only findings in this state: open, acknowledged or dismissed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains([]string{"", "open", "acknowledged", "dismissed"}, *state) {
			return usageError{cmd, fmt.Errorf("--state %s: want open, acknowledged or dismissed", *state)}
		}
		var out struct {
			Findings []object `json:"findings"`
		}
		if err := at.call(cmd.Context(), "findings/List", object{}, &out); err != nil {
			return err
		}
		list := slices.DeleteFunc(append([]object{}, out.Findings...), func(f object) bool { return *state != "" && f["state"] != *state })
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSEVERITY\tKIND\tSTATE\tLAST\tCOUNT\tTEXT")
		for _, f := range list {
			last, _ := f["last"].(float64)
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%v\t%s\n", plain(f["id"]), plain(f["severity"]), plain(f["kind"]), plain(f["state"]), second(last), f["count"], plain(f["text"]))
		}
		return w.Flush()
	}
	return cmd
}

func findingsShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "show a finding with its evidence", Args: exactly("ID")}
	at := remoteOf(cmd, true)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var out object
		if err := at.call(cmd.Context(), "findings/Get", object{"id": args[0]}, &out); err != nil {
			return err
		}
		return printObject(cmd, out, *asJSON)
	}
	return cmd
}

func findingsDecideCommand(use, state, short string) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID", Short: short, Args: exactly("ID")}
	at := remoteOf(cmd, true)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	note := cmd.Flags().String("note", "", "why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var out object
		if err := at.call(cmd.Context(), "findings/Decide", object{"id": args[0], "state": state, "note": *note}, &out); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), out)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "finding %s is %s\n", args[0], strings.ToLower(state))
		return err
	}
	return cmd
}

// second writes Unix seconds.
func second(at float64) string { return time.Unix(int64(at), 0).UTC().Format(time.RFC3339) }

// printObject prints the members of an object, one a line.
func printObject(cmd *cobra.Command, v object, asJSON bool) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		text := plain(v[name])
		if at, ok := v[name].(float64); ok && (name == "first" || name == "last") {
			text = second(at)
		}
		fmt.Fprintf(w, "%s\t%s\n", name, text)
	}
	return w.Flush()
}
