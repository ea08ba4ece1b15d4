package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fluoro-io/fluoro/internal/policy"
)

// policyCommand groups the commands about policies. They need no data directory and no
// server.
func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Try, check and show policies",
		Long: `Policies in the language of AWS IAM say who may do what. These commands need no
data directory and no running server.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(simulateCommand(), validateCommand(), managedCommand())
	return cmd
}

// simulation holds the flags of fluoro policy simulate.
type simulation struct {
	cases                                 string
	identity, boundary, session, resource []string
	scp, action, context                  []string
	principal, account, arn               string
}

func simulateCommand() *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Say whether policies allow a request, and which statement decides",
		Long: `Says whether policies allow a request, and which statement decides.

With --cases, decides every case of a file (fluoro-iam-cases/1) and prints a line
"ID allow|deny REASON" for each. If a case has an expected decision, kind or layer
and the decision differs, the difference is printed on standard error and the exit
code is 1. A case with a policy that cannot be read is denied.

Without --cases, decides each --action and prints "ACTION allow|deny REASON". The
exit code is 0 whether allowed or denied. AWS's managed policies and Fluoro's own
may be given by name instead of a file.`,
		Example: `  fluoro policy simulate --policy AWSXrayReadOnlyAccess --action xray:GetTraceSummaries
  fluoro policy simulate --policy mine.json --action xray:UpdateGroup \
    --resource arn:aws:xray:us-east-1:111122223333:group/web/7Q2F \
    --context aws:PrincipalTag/team=pay --context 'aws:TagKeys=[team,env]'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.cases != "" {
				return s.runCases(cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if len(s.action) == 0 {
				return usageError{cmd, errors.New("give --cases, or --policy and --action")}
			}
			return s.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.cases, "cases", "", "file of decision cases; - is standard input")
	f.StringArrayVar(&s.identity, "policy", nil, "identity policy: a file or the name of a managed policy (may be repeated)")
	f.StringArrayVar(&s.boundary, "boundary", nil, "permissions boundary")
	f.StringArrayVar(&s.session, "session", nil, "session policy")
	f.StringArrayVar(&s.resource, "resource-policy", nil, "resource policy")
	f.StringArrayVar(&s.scp, "scp", nil, "service control policy; each is a level of its own")
	f.StringArrayVar(&s.action, "action", nil, "action, such as xray:GetGroup (may be repeated)")
	f.StringVar(&s.arn, "resource", "*", "ARN of the resource; * for actions without resource types")
	f.StringVar(&s.account, "resource-account", "", "account of the resource, if it is not the principal's")
	f.StringVar(&s.principal, "principal", "arn:aws:iam::000000000000:user/somebody", "ARN of a user, session or root user, or a service such as sns.amazonaws.com")
	f.StringArrayVar(&s.context, "context", nil, "condition key, as key=value or key=[value,value] (may be repeated)")
	return cmd
}

// runCases decides the cases of a file.
func (s *simulation) runCases(out, problems io.Writer) error {
	text, err := readFile(s.cases)
	if err != nil {
		return err
	}
	cases, err := policy.ParseCases(text)
	if err != nil {
		return fmt.Errorf("%s: %w", s.cases, err)
	}
	differ := 0
	for i := range cases {
		c := &cases[i]
		d, err := c.Decide()
		reason := d.String()
		if err != nil {
			reason = err.Error()
		}
		if _, err := fmt.Fprintf(out, "%s %s %s\n", c.ID, d.Word(), oneLine(reason)); err != nil {
			return err
		}
		if c.Expected != nil {
			if difference := c.Expected.Differs(d); difference != "" {
				differ++
				_, _ = fmt.Fprintf(problems, "%s: %s\n", c.ID, difference)
			}
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d of %d cases differ from what is expected", differ, len(cases))
	}
	return nil
}

// oneLine keeps texts of policies from starting lines of their own.
func oneLine(s string) string { return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s) }

// run decides the request of the flags.
func (s *simulation) run(cmd *cobra.Command) error {
	set := policy.Set{}
	for _, l := range []struct {
		from []string
		to   *[]policy.Policy
	}{{s.identity, &set.Identity}, {s.boundary, &set.Boundary}, {s.session, &set.Session}, {s.resource, &set.Resource}} {
		for _, name := range l.from {
			p, err := readPolicy(name)
			if err != nil {
				return err
			}
			*l.to = append(*l.to, p)
		}
	}
	for _, name := range s.scp {
		p, err := readPolicy(name)
		if err != nil {
			return err
		}
		set.SCP = append(set.SCP, []policy.Policy{p})
	}
	keys := policy.Context{}
	for _, pair := range s.context {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return usageError{cmd, fmt.Errorf("--context %q is not key=value", pair)}
		}
		if list, ok := strings.CutPrefix(value, "["); ok && strings.HasSuffix(list, "]") {
			keys.Set(key, policy.Several(strings.Split(strings.TrimSuffix(list, "]"), ",")...))
			continue
		}
		keys.Set(key, policy.Single(value))
	}
	role := ""
	if v := keys.Key("aws:principalarn").Values(); len(v) == 1 {
		role = v[0]
	}
	r := &policy.Request{Principal: policy.PrincipalOf(s.principal, role), Resource: s.arn, ResourceAccount: s.account, Keys: keys}
	if !strings.HasPrefix(s.principal, "arn:") {
		r.Principal = policy.Principal{Kind: policy.PrincipalService, Service: s.principal}
	}
	for _, action := range s.action {
		r.Action = action
		d := set.Decide(r)
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", action, d.Word(), oneLine(d.String())); err != nil {
			return err
		}
	}
	return nil
}

// readPolicy reads a policy from a file, or finds a managed one by its name or ARN.
func readPolicy(name string) (policy.Policy, error) {
	if m, ok := policy.FindManaged(name); ok {
		return m.Policy(), nil
	}
	text, err := readFile(name)
	if err != nil {
		return policy.Policy{}, err
	}
	d, err := policy.Parse(string(text))
	if err != nil {
		return policy.Policy{}, fmt.Errorf("%s: %w", name, err)
	}
	return policy.Policy{Name: name, Document: d}, nil
}

// maxPolicyFile bounds the files that these commands read.
const maxPolicyFile = 256 << 20

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, maxPolicyFile))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxPolicyFile))
}

func validateCommand() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check policies as if they were saved",
		Long: `Checks policies as if they were saved, and prints what is allowed but probably not
meant. The exit code is 1 if a policy is refused.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{cmd, errors.New("give at least one file; - is standard input")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			refused := 0
			for _, name := range args {
				text, err := readFile(name)
				if err != nil {
					return err
				}
				d, err := policy.Validate(policy.Kind(kind), string(text))
				if err != nil {
					refused++
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s: refused: %s\n", name, oneLine(err.Error()))
					continue
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: valid\n", name); err != nil {
					return err
				}
				for _, w := range d.Warnings() {
					_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: warning: %s\n", name, oneLine(w))
				}
			}
			if refused > 0 {
				return fmt.Errorf("%d of %d policies are refused", refused, len(args))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "kind", string(policy.KindIdentity), "identity, inline, boundary, session, trust, scp or resource (of PutResourcePolicy)")
	return cmd
}

func managedCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "managed [NAME]",
		Short: "List the managed policies that are built in, or print one",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{cmd, fmt.Errorf("unexpected argument %q", args[1])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, m := range policy.AllManaged() {
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", m.ARN, m.Version, m.About); err != nil {
						return err
					}
				}
				return nil
			}
			m, ok := policy.FindManaged(args[0])
			if !ok {
				return fmt.Errorf("there is no managed policy %.100q; 'fluoro policy managed' lists them", args[0])
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), m.Text)
			return err
		},
	}
}
