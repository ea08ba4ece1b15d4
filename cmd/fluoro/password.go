package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// passwordCommand makes `fluoro users password`.
func passwordCommand(o *operator) *cobra.Command {
	var remove, generate bool
	cmd := leaf("password NAME", "set the password with which a user signs in to the console; the user's sessions end", func(cmd *cobra.Command, args []string) error {
		in := object{"UserName": args[0]}
		if remove {
			return o.do(cmd, "DeleteLoginProfile", in, args[0]+" has no password any more")
		}
		password, err := newPassword(cmd, generate)
		if err != nil {
			return err
		}
		in["Password"] = password
		out, err := o.call(cmd.Context(), "CreateLoginProfile", in)
		if err != nil && strings.Contains(err.Error(), "already exists") {
			out, err = o.call(cmd.Context(), "UpdateLoginProfile", in)
		}
		switch {
		case err != nil:
			return err
		case generate:
			m, _ := out["LoginProfile"].(object)
			if m == nil {
				m = object{"UserName": args[0]}
			}
			m["Password"] = password // shown once
			return o.show(cmd, m)
		case o.json:
			return printJSON(cmd.OutOrStdout(), out["LoginProfile"])
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), args[0]+" has a new password")
		return err
	})
	cmd.Long = "password sets the password with which a user signs in to the console. It reads the\npassword from the terminal, or one line of standard input, so that it is in no list of\nprocesses and no history. All sessions of the user end."
	cmd.Flags().BoolVar(&generate, "generate", false, "make a random password and print it once")
	cmd.Flags().BoolVar(&remove, "delete", false, "take the password away")
	return cmd
}

// newPassword makes a password, asks for it at the terminal, or reads it from standard
// input.
func newPassword(cmd *cobra.Command, generate bool) (string, error) {
	if generate {
		var b [18]byte
		_, _ = rand.Read(b[:])
		return base64.RawURLEncoding.EncodeToString(b[:]), nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 64<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(what string) (string, error) {
		fmt.Fprint(cmd.ErrOrStderr(), what+": ")
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(b), err
	}
	first, err := ask("New password")
	if err != nil {
		return "", err
	}
	again, err := ask("Again")
	if err == nil && again != first {
		err = errors.New("the two passwords differ")
	}
	return first, err
}
