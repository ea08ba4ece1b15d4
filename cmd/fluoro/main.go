// Command fluoro is AWS X-Ray that you run yourself: tracing service, daemon,
// API, web console and command line in one binary.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:   "fluoro",
		Short: "AWS X-Ray that you run yourself",
		Long: `Fluoro is AWS X-Ray that you run yourself. Apps with any X-Ray SDK or
OpenTelemetry send to it unchanged; the AWS CLI and every AWS SDK read from it
with an endpoint override. Nothing calls AWS.

  fluoro serve     run the service; its console is at http://127.0.0.1:2000/
  fluoro demo      send it the traffic of a small shop
  fluoro traces    delete traces
  fluoro scrub     remove secrets and personal data from traces
  fluoro links     let one account see the traces of others
  fluoro quota     what each account may send and ask
  fluoro findings  what is new or unusual in the traces
  fluoro backup    copy all data of a running service to one file
  fluoro restore   make a data directory from such a file
  fluoro export    write traces as Parquet tables, for DuckDB and others
  fluoro erase     delete everything about a user, with a signed report
  fluoro hold      keep traces that must not disappear
  fluoro compliance report how the service stands to GDPR, HIPAA and PCI DSS
  fluoro audit     verify, search and export the record of who did what
  fluoro store     inspect a data directory: check it, count its traces
  fluoro encryption  show and change the keys of encrypted data
  fluoro policy    try, check and show policies

Who may use it, by the running service or in its data directory:

  fluoro keys, tokens, certificates    credentials
  fluoro users, groups, roles          principals and their policies
  fluoro policies, organization        managed policies, service control policies
  fluoro providers                     issuers of web identities

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{cmd, err} })
	root.AddCommand(serveCommand(), demoCommand(), tracesCommand(), linksCommand(), backupCommand(), restoreCommand(), storeCommand(), policyCommand(), versionCommand(), keysCommand())
	root.AddCommand(tokensCommand(), usersCommand(), groupsCommand(), rolesCommand(), policiesCommand(), certificatesCommand(), providersCommand(), organizationCommand(), encryptionCommand())
	root.AddCommand(exportCommand(), auditCommand(), eraseCommand(), holdCommand(), complianceCommand(), scrubCommand(), quotaCommand(), findingsCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		os.Exit(report(err))
	}
}

// usageError reports a wrong command line.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e usageError) Error() string { return e.err.Error() }

// report prints an error and returns the exit code.
func report(err error) int {
	fmt.Fprintf(os.Stderr, "fluoro: %v\n", err)
	if u, ok := err.(usageError); ok {
		fmt.Fprintf(os.Stderr, "Run '%s --help' for usage.\n", u.cmd.CommandPath())
		return 2
	}
	return 1
}

// noArguments refuses arguments other than flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{cmd, fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
