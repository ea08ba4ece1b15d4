package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// linksCommand is about sinks and links between accounts.
func linksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "links",
		Short: "let a monitoring account see the traces of other accounts",
		Long: `links connects accounts of one service. A monitoring account makes a sink, with a
policy that says which accounts may link to it. A source account links to the sink:
from then on, whoever reads the traces of the monitoring account also sees what the
source account receives. Nothing is copied, and a deleted link ends at once.

--account chooses the account that the command is about.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c := &linksClient{operatorFlags(cmd)}
	cmd.AddCommand(linksSinkCommand(c), linksAllowCommand(c), linksCreateCommand(c), linksListCommand(c), linksAttachedCommand(c), linksDeleteCommand(c))
	return cmd
}

func linksSinkCommand(c *linksClient) *cobra.Command {
	return &cobra.Command{
		Use: "sink NAME", Short: "make the sink of this (monitoring) account, and print its ARN", Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.print(cmd, "CreateSink", map[string]any{"Name": args[0]}, "Arn")
		},
	}
}

func linksAllowCommand(c *linksClient) *cobra.Command {
	cmd := &cobra.Command{
		Use: "allow SINK", Short: "say which accounts may link to a sink, by accounts or by a policy", Args: arguments(1),
		Example: "  fluoro links allow arn:aws:oam:us-east-1:111122223333:sink/… --accounts 222233334444,333344445555",
	}
	var accounts []string
	var file string
	cmd.Flags().StringSliceVar(&accounts, "accounts", nil, "accounts that may link")
	cmd.Flags().StringVar(&file, "policy", "", "file with a sink policy")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(accounts) == 0) == (file == "") {
			return usageError{cmd, errors.New("give either --accounts or --policy")}
		}
		policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
			"Effect": "Allow", "Principal": map[string]any{"AWS": accounts}, "Action": []string{"oam:CreateLink", "oam:UpdateLink"}, "Resource": "*",
			"Condition": map[string]any{"ForAllValues:StringEquals": map[string]any{"oam:ResourceTypes": []string{traceType}}},
		}}})
		if file != "" {
			policy, err = os.ReadFile(file)
		}
		if err != nil {
			return err
		}
		return c.print(cmd, "PutSinkPolicy", map[string]any{"SinkIdentifier": args[0], "Policy": string(policy)}, "Policy")
	}
	return cmd
}

const traceType = "AWS::XRay::Trace"

func linksCreateCommand(c *linksClient) *cobra.Command {
	var label string
	cmd := &cobra.Command{
		Use: "create SINK", Short: "share the traces of this (source) account with the account of a sink, and print the link's ARN", Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.print(cmd, "CreateLink", map[string]any{"SinkIdentifier": args[0], "LabelTemplate": label, "ResourceTypes": []string{traceType}}, "Arn")
		},
	}
	cmd.Flags().StringVar(&label, "label", "$AccountName", "label of the link; $AccountName stands for the account")
	return cmd
}

func linksListCommand(c *linksClient) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list the links of this (source) account", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.list(cmd, "ListLinks", map[string]any{}) },
	}
}

func linksAttachedCommand(c *linksClient) *cobra.Command {
	return &cobra.Command{
		Use: "attached SINK", Short: "list the links to a sink of this (monitoring) account", Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.list(cmd, "ListAttachedLinks", map[string]any{"SinkIdentifier": args[0]})
		},
	}
}

func linksDeleteCommand(c *linksClient) *cobra.Command {
	return &cobra.Command{
		Use: "delete ARN", Short: "end a link, or delete a sink without links", Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			verb := "DeleteLink"
			if strings.Contains(args[0], ":sink/") {
				verb = "DeleteSink"
			}
			return c.call(cmd.Context(), verb, map[string]any{"Identifier": args[0]}, nil)
		},
	}
}

// arguments requires a number of arguments.
func arguments(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{cmd, fmt.Errorf("%d arguments are given, %d are needed", len(args), n)}
		}
		return nil
	}
}

// linksClient makes requests about sinks and links with the rights of the operator.
type linksClient struct{ *operator }

// print makes a call and prints a member of the answer, or all of it as JSON.
func (c *linksClient) print(cmd *cobra.Command, verb string, in map[string]any, member string) error {
	var out map[string]any
	if err := c.call(cmd.Context(), verb, in, &out); err != nil {
		return err
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), out)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), out[member])
	return err
}

// list makes a call and prints a table of links.
func (c *linksClient) list(cmd *cobra.Command, verb string, in map[string]any) error {
	var out struct {
		Items []struct {
			Arn, Label, SinkArn string
			Since               float64
		}
	}
	if err := c.call(cmd.Context(), verb, in, &out); err != nil {
		return err
	}
	if c.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(out.Items)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LINK\tSINK\tSINCE\tLABEL")
	for _, l := range out.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Arn, l.SinkArn, time.Unix(int64(l.Since), 0).UTC().Format(time.RFC3339), l.Label)
	}
	return w.Flush()
}

// call makes a request to the running server, or in this process.
func (c *linksClient) call(ctx context.Context, verb string, in, out any) (err error) {
	op, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, op.Close()) }()
	return op.Call(ctx, "/api/oam/"+verb, in, out)
}
