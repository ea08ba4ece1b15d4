package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// object is a JSON object.
type object = map[string]any

// operator has the flags of all commands that act with the rights of the operator.
type operator struct {
	data, account string
	json          bool
	flags         *pflag.FlagSet // the settings with which the data directory is read
}

// operatorFlags adds the flags of such commands.
func operatorFlags(cmd *cobra.Command) *operator {
	o := &operator{flags: cmd.PersistentFlags()}
	config.RegisterOnly(o.flags, keySettings...)
	dataFlagVar(cmd, &o.data)
	cmd.PersistentFlags().StringVar(&o.account, "account", "", "account that the command is about; by default the server's own")
	cmd.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	return o
}

// dataFlagVar adds --data for a command and those below it.
func dataFlagVar(cmd *cobra.Command, into *string) {
	value := os.Getenv(config.Env("data"))
	if value == "" {
		value = "./data"
	}
	cmd.PersistentFlags().StringVar(into, "data", value, "data directory; a server may be using it [$FLUORO_DATA]")

}

// loadSettings reads the settings of the server with which a data directory is used.
// --account of a command tells what it is about; it is not the setting of this name.
func loadSettings(flags *pflag.FlagSet) (*config.Config, error) {
	if f := flags.Lookup("account"); f != nil && f.Changed {
		f.Changed = false
		defer func() { f.Changed = true }()
	}
	return config.Load(flags, os.Getenv)
}

// connect reaches the running server, or opens the data directory.
func (o *operator) connect(ctx context.Context) (*server.Operator, error) {
	c, err := loadSettings(o.flags)
	if err != nil {
		return nil, err
	}
	c.Data = o.data
	return server.Administer(ctx, c, o.account)
}

// call makes a request of the management API to the running server, or in this process.
func (o *operator) call(ctx context.Context, verb string, in object) (out object, err error) {
	op, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, op.Close()) }()
	err = op.Call(ctx, "/api/iam/"+verb, in, &out)
	return out, err
}

// all reads all pages of a list.
func (o *operator) all(ctx context.Context, verb, member string, in object) (list []any, err error) {
	op, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, op.Close()) }()
	in["MaxItems"] = 1000
	list = []any{}
	for {
		var out object
		if err := op.Call(ctx, "/api/iam/"+verb, in, &out); err != nil {
			return nil, err
		}
		page, _ := out[member].([]any)
		list = append(list, page...)
		if more, _ := out["IsTruncated"].(bool); !more {
			return list, nil
		}
		in["Marker"] = out["Marker"]
	}
}

// do makes a request and prints a sentence, or the answer as JSON.
func (o *operator) do(cmd *cobra.Command, verb string, in object, done string) error {
	out, err := o.call(cmd.Context(), verb, in)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), out)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), done)
	return err
}

// show prints one member of an answer.
func (o *operator) show(cmd *cobra.Command, v any) error {
	if o.json {
		return printJSON(cmd.OutOrStdout(), v)
	}
	m, ok := v.(object)
	if !ok {
		return printJSON(cmd.OutOrStdout(), v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "%s\t%s\n", name, plain(m[name]))
	}
	return w.Flush()
}

// table prints a list with some members of its objects as columns.
func (o *operator) table(cmd *cobra.Command, list []any, columns ...string) error {
	if o.json {
		return printJSON(cmd.OutOrStdout(), list)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, item := range list {
		m, _ := item.(object)
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = plain(m[c])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// plain writes a JSON value on one line. Texts of others cannot steer the terminal.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				return '?'
			}
			return r
		}, v)
	case object:
		if at, ok := v["At"]; ok { // a last use
			address, _ := v["Address"].(string)
			action, _ := v["Action"].(string)
			return strings.TrimSpace(fmt.Sprintf("%v %s %s", at, plain(address), action))
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// readText reads a file, or standard input for -.
func readText(cmd *cobra.Command, name string) (string, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
	} else {
		b, err = os.ReadFile(name)
	}
	return string(b), err
}

// exactly requires positional arguments with these names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{cmd, fmt.Errorf("want %d arguments: %s", len(names), strings.Join(names, " "))}
		}
		return nil
	}
}

// family makes a command that only has commands below it.
func family(use, short, long, example string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
}

// leaf makes a command.
func leaf(use, short string, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	names := strings.Fields(use)[1:]
	return &cobra.Command{Use: use, Short: short, Args: exactly(names...), RunE: run}
}
