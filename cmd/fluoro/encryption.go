package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/spf13/cobra"
)

// keySettings are the settings that an offline command needs to use data keys. They must
// be those of the server.
var keySettings = []string{"encryption", "key-file", "kms-endpoint", "kms-region", "kms-key", "kms-ca", "kms-cert", "kms-cert-key", "region"}

// keyFlags adds the flags with which a command finds the keys of a data directory.
func keyFlags(cmd *cobra.Command) { config.RegisterOnly(cmd.Flags(), keySettings...) }

// openKeys opens the data keys of a data directory that the command only reads.
func openKeys(cmd *cobra.Command, dir string) (*seal.Ring, error) {
	c, err := keyConfig(cmd, dir)
	if err != nil {
		return nil, err
	}
	return server.ReadKeys(cmd.Context(), c)
}

// keyConfig returns the settings that are needed to use the keys of a data directory.
func keyConfig(cmd *cobra.Command, dir string) (*config.Config, error) {
	c, err := loadSettings(cmd.Flags())
	if err != nil {
		return nil, usageError{cmd, err}
	}
	c.Data = dir
	return c, nil
}

func encryptionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "encryption",
		Short: "show and change the keys of encrypted data",
		Long: `encryption shows and changes the data keys of accounts, through the running service,
or in a data directory that no service uses (--data). In the latter case, give the same
--key-file and --kms-… settings as to the service.

  fluoro encryption status     which account has which keys, and what is wrong
  fluoro encryption rotate     new data keys for new data
  fluoro encryption rewrap     wrap all data keys again under the present key
  fluoro encryption forget     destroy the keys of an account: its data is lost

Exit codes: 0 done, 1 failed or keys cannot be used (the reason is on standard error),
2 wrong usage.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(encryptionStatus(), encryptionRotate(), encryptionRewrap(), encryptionForget())
	return cmd
}

// keyCommand is a command about data keys.
type keyCommand struct {
	*cobra.Command
	at      remote
	account string
	json    bool
}

func newKeyCommand(use, short, long string) *keyCommand {
	c := &keyCommand{Command: &cobra.Command{Use: use, Short: short, Long: long, Args: noArguments}}
	f := c.Flags()
	c.at.register(f)
	f.BoolVar(&c.json, "json", false, "print JSON")
	f.StringVar(&c.account, "account", "", "account (12 digits, or system for the server's own data); all if empty")
	keyFlags(c.Command)
	return c
}

// run calls a verb: of the running server, or in this process if none uses the directory.
func (c *keyCommand) run(verb string, body map[string]any, out any) error {
	if c.Flags().Changed("data") && c.Flags().Changed("url") {
		return usageError{c.Command, errors.New("--data and --url exclude each other")}
	}
	alone, err := c.at.noServer(c.Context())
	switch {
	case err != nil:
		return err
	case !alone:
		return c.at.call(c.Context(), "encryption/"+verb, body, out)
	}
	// Nothing is made in a directory that holds no data.
	dir, err := local.LockExisting(c.at.data)
	if err != nil {
		return err
	}
	if verb == "List" { // it also shows what is wrong, so it must not fail because of that
		defer dir.Close()
		return c.list(out.(*seal.Report))
	}
	if err := dir.Close(); err != nil {
		return err
	}
	settings, err := keyConfig(c.Command, c.at.data)
	if err != nil {
		return err
	}
	op, err := server.Administer(c.Context(), settings, "")
	if err != nil {
		return err
	}
	return errors.Join(op.Call(c.Context(), "/api/encryption/"+verb, body, out), op.Close())
}

// list reads the keys of a directory that no server uses, and tries the newest ones.
func (c *keyCommand) list(out *seal.Report) error {
	ring, err := openKeys(c.Command, c.at.data)
	if err != nil {
		return err
	}
	defer ring.Close()
	for _, a := range ring.Report().Accounts {
		if a.Newest != 0 {
			_, _ = ring.Find(c.Context(), a.Account, a.Newest) // the report has the error
		}
	}
	*out = ring.Report()
	return nil
}

// show prints a report.
func (c *keyCommand) show(report *seal.Report) error {
	if c.json {
		return printJSON(c.OutOrStdout(), report)
	}
	return keyTable(c.OutOrStdout(), report)
}

func encryptionStatus() *cobra.Command {
	c := newKeyCommand("status", "which account has which keys, and what is wrong", `status lists the accounts with data keys: whether new data is encrypted, the type and
state that GetEncryptionConfig shows, how many data keys there are, and by which keys
they are wrapped. With --data it also tries each account's newest key.`)
	c.RunE = func(*cobra.Command, []string) error {
		report := &seal.Report{}
		if err := c.run("List", map[string]any{}, report); err != nil {
			return err
		}
		if c.account != "" {
			report.Accounts = slices.DeleteFunc(report.Accounts, func(a seal.AccountReport) bool { return string(a.Account) != c.account })
		}
		err := c.show(report)
		if err == nil && len(report.Problems) > 0 {
			err = errors.New(strings.Join(report.Problems, "\n"))
		}
		return err
	}
	return c.Command
}

func keyTable(out io.Writer, report *seal.Report) error {
	fmt.Fprintf(out, "encryption %s, key file %s\n", report.Mode, report.KeyFile)
	if len(report.Accounts) == 0 {
		_, err := fmt.Fprintln(out, "no account has keys")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tNEW DATA\tTYPE\tSTATUS\tKEYS\tNEWEST\tWRAPPED BY")
	for _, a := range report.Accounts {
		data, newest := "clear", ""
		if a.Encrypts {
			data = "encrypted"
		}
		if a.Created != nil {
			newest = fmt.Sprintf("%d, %s", a.Newest, a.Created.Format(time.RFC3339))
		}
		var by []string
		for _, wrapper := range slices.Sorted(maps.Keys(a.Wrappers)) {
			by = append(by, fmt.Sprintf("%s (%d)", wrapper, a.Wrappers[wrapper]))
		}
		if a.Destroyed != nil {
			by = append(by, "older ones destroyed "+a.Destroyed.Format(time.RFC3339))
		}
		if a.Pending != "" {
			by = append(by, "pending: "+a.Pending)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", a.Account, data, strings.TrimSpace(a.Type+" "+a.KeyID), a.Status, a.Keys, newest, strings.Join(by, ", "))
	}
	return w.Flush()
}

func encryptionRotate() *cobra.Command {
	c := newKeyCommand("rotate", "new data keys for new data", `rotate gives accounts new data keys. Stored traces keep theirs; control-plane records
move to the new one. With --new-key it first adds a new key to the key file, and wraps
all data keys that are under a local key under that one. The old local keys stay in the
file, because backups need them.`)
	newKey := c.Flags().Bool("new-key", false, "add a new key to the key file first")
	c.RunE = func(*cobra.Command, []string) error {
		report := &seal.Report{}
		if err := c.run("Rotate", map[string]any{"account": c.account, "key_file": *newKey}, report); err != nil {
			return err
		}
		return c.show(report)
	}
	return c.Command
}

func encryptionRewrap() *cobra.Command {
	c := newKeyCommand("rewrap", "wrap all data keys again under the present key", `rewrap wraps all data keys of accounts again: under the key that their configuration
names now, or under its new material after a rotation in the KMS. The data itself does
not change.`)
	c.RunE = func(*cobra.Command, []string) error {
		report := &seal.Report{}
		if err := c.run("Rewrap", map[string]any{"account": c.account}, report); err != nil {
			return err
		}
		return c.show(report)
	}
	return c.Command
}

func encryptionForget() *cobra.Command {
	c := newKeyCommand("forget", "destroy the keys of an account: its data is lost", `forget destroys all data keys of an account. What is encrypted under them, in the data
directory and in every backup made with later rings, is unreadable for good. Backups that
were made before still contain the wrapped keys: destroy them, or the key that wraps
them. The running service also deletes the account's traces.

It asks you to type the account; --confirm ACCOUNT answers that in scripts.`)
	confirm := c.Flags().String("confirm", "", "the account again, instead of typing it")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if c.account == "" {
			return usageError{cmd, errors.New("--account is required")}
		}
		if *confirm == "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "All encrypted data of account %s will be unreadable for good. Type the account to go on: ", c.account)
			line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			*confirm = strings.TrimSpace(line)
		}
		if *confirm != c.account {
			return fmt.Errorf("%q is not %s: nothing was destroyed", *confirm, c.account)
		}
		var answer struct {
			Deleted int                `json:"deleted_traces"`
			Keys    seal.AccountReport `json:"keys"`
		}
		if err := c.run("Forget", map[string]any{"account": c.account, "confirm": *confirm}, &answer); err != nil {
			return err
		}
		if c.json {
			return printJSON(cmd.OutOrStdout(), answer)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "the keys of account %s are destroyed, %d traces are deleted\n", c.account, answer.Deleted)
		return err
	}
	return c.Command
}
