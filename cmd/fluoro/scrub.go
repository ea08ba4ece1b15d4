package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// scrubRule is a rule as the API takes it (package scrub).
type scrubRule struct {
	Name        string   `yaml:"Name"`
	Description string   `json:",omitempty" yaml:"Description"`
	Order       int      `yaml:"Order"`
	Keys        []string `json:",omitempty" yaml:"Keys"`
	Paths       []string `json:",omitempty" yaml:"Paths"`
	Pattern     string   `json:",omitempty" yaml:"Pattern"`
	Detectors   []string `json:",omitempty" yaml:"Detectors"`
	Services    []string `json:",omitempty" yaml:"Services"`
	Action      string   `yaml:"Action"`
	DryRun      bool     `json:",omitempty" yaml:"DryRun"`
	Disabled    bool     `json:",omitempty" yaml:"Disabled"`
}

func scrubCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scrub",
		Short: "remove secrets and personal data: rules, previews, stored traces",
		Long: `scrub shows and changes the rules that remove values from received data before it
is stored, shows what they would change, and applies them to stored traces.

  fluoro scrub rules      list the rules and how many values each has changed
  fluoro scrub put        make or replace rules
  fluoro scrub delete     delete a rule
  fluoro scrub preview    show what rules would change in recent traces
  fluoro scrub test       show what becomes of a text or document

With --since or --all, scrub applies the rules to stored traces: it rewrites each trace
that a rule changes, keeps times, order and counts, and then takes the old bytes off
the disk. It waits for the end and shows the progress; interrupted, the job goes on in
the service, also after a restart, until --stop. Traces in backups stay as they are.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro scrub --since 24h --dry-run
  fluoro scrub --all --rule cards --rate 500
  fluoro scrub --status`,
	}
	var job scrubJob
	job.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
		}
		return job.run(cmd)
	}
	cmd.AddCommand(scrubRulesCommand(), scrubPutCommand(), scrubDeleteCommand(), scrubPreviewCommand(), scrubTestCommand())
	return cmd
}

// ruleFlags adds the flags that describe a rule.
func ruleFlags(cmd *cobra.Command, r *scrubRule) *string {
	f := cmd.Flags()
	file := f.String("file", "", "YAML or JSON file with one rule or a list of rules; - for standard input")
	f.StringVar(&r.Description, "description", "", "what the rule is for")
	f.IntVar(&r.Order, "order", 100, "rules with a smaller number work first")
	f.StringSliceVar(&r.Keys, "key", nil, "names of members and attributes, with * for any characters")
	f.StringSliceVar(&r.Paths, "path", nil, "places such as http.request.url or attributes.app.card, with * for any characters")
	f.StringVar(&r.Pattern, "pattern", "", "regular expression (RE2)")
	f.StringSliceVar(&r.Detectors, "detector", nil, "api-token, aws-key, bearer, card, email, iban, jwt, password, private-key or sql")
	f.StringSliceVar(&r.Services, "service", nil, "names of services, with * for any characters; default all")
	f.StringVar(&r.Action, "action", "mask", "drop, mask, last4, hash or keep")
	f.BoolVar(&r.DryRun, "count-only", false, "count the values, but change nothing")
	f.BoolVar(&r.Disabled, "disabled", false, "keep the rule, but do not use it")
	return file
}

// rulesOf returns the rules of a file, or the one that flags describe.
func rulesOf(cmd *cobra.Command, file string, args []string, r scrubRule) ([]scrubRule, error) {
	if file == "" {
		if len(args) == 1 {
			r.Name = args[0]
		}
		return []scrubRule{r}, nil
	}
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	strict := func(into any) error {
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		return d.Decode(into)
	}
	var list []scrubRule
	if err := strict(&list); err == nil {
		return list, nil
	}
	var one scrubRule
	if err := strict(&one); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return []scrubRule{one}, nil
}

func scrubRulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rules", Short: "list the rules and how many values each has changed", Args: noArguments,
		Long: `rules lists the scrub rules of the account in the order in which they work, the
default rules last, with the number of values that each changed since the service
started. A rule that only counts would have changed them.`,
	}
	at := remoteOf(cmd, true)
	asJSON := cmd.Flags().Bool("json", false, "print JSON, which fluoro scrub put --file reads")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var out struct {
			Rules []struct {
				scrubRule
				Default bool
				Values  int64
			}
		}
		if err := at.call(cmd.Context(), "scrub/ListRules", struct{}{}, &out); err != nil {
			return err
		}
		if *asJSON {
			rules := []scrubRule{}
			for _, r := range out.Rules {
				if !r.Default {
					rules = append(rules, r.scrubRule)
				}
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(rules)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "RULE\tORDER\tACTION\tSTATE\tVALUES\tSELECTS")
		for _, r := range out.Rules {
			state := "on"
			switch {
			case r.Disabled:
				state = "off"
			case r.DryRun:
				state = "counts only"
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\n", r.Name, r.Order, r.Action, state, r.Values, r.selects())
		}
		return w.Flush()
	}
	return cmd
}

// selects describes the values that a rule selects.
func (r *scrubRule) selects() string {
	var parts []string
	for _, l := range []struct {
		name  string
		items []string
	}{{"keys", r.Keys}, {"paths", r.Paths}, {"detectors", r.Detectors}, {"services", r.Services}} {
		if len(l.items) > 0 {
			parts = append(parts, l.name+" "+strings.Join(l.items, ","))
		}
	}
	if r.Pattern != "" {
		parts = append(parts, "pattern "+r.Pattern)
	}
	if len(parts) == 0 {
		return r.Description
	}
	return strings.Join(parts, "; ")
}

func scrubPutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put [NAME]", Short: "make or replace rules",
		Long: `put makes a rule, or replaces the one with its name, by flags or from a file. It
counts from the next request on. Of a default rule, such as default-jwt, only
--action, --count-only and --disabled can change.`,
		Example: `  fluoro scrub put cards --detector card --action last4
  fluoro scrub put user-ids --key user.id,enduser.id --action hash
  fluoro scrub put bodies --path 'metadata.*.request.body' --service checkout --action drop
  fluoro scrub put default-jwt --disabled
  fluoro scrub put --file rules.yaml`,
	}
	var r scrubRule
	at, file := remoteOf(cmd, true), ruleFlags(cmd, &r)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 || (len(args) == 0) == (*file == "") {
			return usageError{cmd, errors.New("name one rule, or give --file")}
		}
		rules, err := rulesOf(cmd, *file, args, r)
		if err != nil {
			return err
		}
		for _, rule := range rules {
			if err := at.call(cmd.Context(), "scrub/PutRule", map[string]any{"Rule": rule}, nil); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "rule %s is in use\n", rule.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func scrubDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "delete a rule",
		Long: `delete deletes a rule. The name of a default rule restores it: it works unchanged
again.`,
	}
	at := remoteOf(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{cmd, errors.New("name one rule")}
		}
		if err := at.call(cmd.Context(), "scrub/DeleteRule", map[string]string{"Name": args[0]}, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "rule %s is deleted\n", args[0])
		return err
	}
	return cmd
}

func scrubPreviewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "preview [NAME]", Short: "show what rules would change in recent traces",
		Long: `preview applies rules to the traces of the last hour and shows, for each rule, how
many values it would change in how many traces, and examples in which letters and
digits are replaced. It changes nothing. With flags or a file it tries rules that
do not exist yet; without, the rules of the account, or the one that is named.`,
		Example: `  fluoro scrub preview
  fluoro scrub preview --detector email,card
  fluoro scrub preview --file rules.yaml --since 24h`,
	}
	var r scrubRule
	at, file := remoteOf(cmd, false), ruleFlags(cmd, &r)
	since := cmd.Flags().Duration("since", time.Hour, "how far back to look")
	traces := cmd.Flags().Int("traces", 10_000, "how many traces to read at most, the newest first")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := map[string]any{"Seconds": int64(*since / time.Second), "Traces": *traces}
		flags := len(r.Keys)+len(r.Paths)+len(r.Detectors) > 0 || r.Pattern != ""
		switch {
		case len(args) > 1 || len(args) == 1 && (flags || *file != ""):
			return usageError{cmd, errors.New("name one rule, or describe one with flags, or give --file")}
		case len(args) == 1:
			q["Names"] = args
		case flags || *file != "":
			rules, err := rulesOf(cmd, *file, []string{"preview"}, r)
			if err != nil {
				return err
			}
			q["Rules"] = rules
		}
		var out struct {
			Traces, Segments int
			Complete         bool
			Rules            []struct {
				Rule           string
				Values, Traces int64
				Examples       []struct{ Path, Before, After string }
			}
		}
		if err := at.call(cmd.Context(), "scrub/Preview", q, &out); err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		more := ""
		if !out.Complete {
			more = " (there are more)"
		}
		fmt.Fprintf(w, "%d traces with %d segments were read%s\n", out.Traces, out.Segments, more)
		for _, f := range out.Rules {
			fmt.Fprintf(w, "\n%s: %d values in %d traces\n", f.Rule, f.Values, f.Traces)
			for _, e := range f.Examples {
				fmt.Fprintf(w, "  %s: %s → %s\n", e.Path, e.Before, e.After)
			}
		}
		return nil
	}
	return cmd
}

func scrubTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test [NAME]", Short: "show what becomes of a text or document",
		Long: `test reads a text from standard input, applies rules to it and prints the result.
Nothing is stored. Rules are those of the account, the one that is named, those of
a file, or the one that flags describe.`,
		Example: `  echo 'password=hunter2' | fluoro scrub test
  fluoro scrub test --document < segment.json
  echo 4111111111111111 | fluoro scrub test --detector card --action last4`,
	}
	var r scrubRule
	at, file := remoteOf(cmd, true), ruleFlags(cmd, &r)
	name := cmd.Flags().String("name", "", "name of the member or attribute that has the text")
	document := cmd.Flags().Bool("document", false, "the text is a segment document")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
		if err != nil {
			return err
		}
		q := map[string]any{"Text": strings.TrimSuffix(string(text), "\n"), "Key": *name, "Document": *document}
		switch {
		case len(args) > 1 || *file == "-":
			return usageError{cmd, errors.New("name one rule at most; standard input is the text")}
		case len(args) == 1:
			q["Names"] = args
		case *file != "" || len(r.Keys)+len(r.Paths)+len(r.Detectors) > 0 || r.Pattern != "":
			rules, err := rulesOf(cmd, *file, []string{"test"}, r)
			if err != nil {
				return err
			}
			q["Rules"] = rules
		}
		var out struct {
			Text    string
			Dropped bool
		}
		if err := at.call(cmd.Context(), "scrub/Test", q, &out); err != nil {
			return err
		}
		if out.Dropped {
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), "the member is dropped")
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), out.Text)
		return err
	}
	return cmd
}
