package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/compliance"
	"github.com/spf13/cobra"
)

func complianceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compliance",
		Short: "report how the service stands to GDPR, HIPAA and PCI DSS",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(complianceReportCommand())
	return cmd
}

func complianceReportCommand() *cobra.Command {
	var form, to string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "print a dated and signed report",
		Long: `report asks a running service for the state of its retention, encryption, access,
audit and scrubbing, computed from its settings and records, and sets it against
points of GDPR, HIPAA and PCI DSS. What the service cannot know is "not evaluated".
'fluoro erase verify' checks the signature of the JSON form.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro compliance report
  fluoro compliance report --format html --to report.html`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&form, "format", "text", "text, json or html")
	cmd.Flags().StringVar(&to, "to", "-", "file to write; - for standard output")
	at, account := serviceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if form != "text" && form != "json" && form != "html" {
			return usageError{cmd, fmt.Errorf("--format %s: want text, json or html", form)}
		}
		var out struct {
			Signed json.RawMessage `json:"signed"`
			Text   string          `json:"text"`
		}
		if err := at.call(cmd.Context(), "compliance/GetReport", map[string]string{"account": *account}, &out); err != nil {
			return err
		}
		var w io.Writer = cmd.OutOrStdout()
		if to != "-" {
			f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			defer f.Close()
			w = f
		}
		switch form {
		case "json":
			_, err := fmt.Fprintf(w, "%s\n", out.Signed)
			return err
		case "html":
			signed := &audit.SignedText{}
			if err := json.Unmarshal(out.Signed, signed); err != nil {
				return err
			}
			return compliance.HTML(w, signed)
		}
		_, err := io.WriteString(w, out.Text)
		return err
	}
	return cmd
}
