package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/spf13/cobra"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "verify, search and export the record of who did what",
		Long: `audit works on the audit log, which a service with --audit on keeps in the
directory audit of its data directory. Each record has the form of AWS CloudTrail.
Every record names the hash of the one before it, and signed digests name the hash
of each file: verify finds every change (docs/format/audit.md).`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(auditVerifyCommand(), auditSearchCommand(), auditTailCommand(), auditExportCommand(), auditPublicKeyCommand())
	return cmd
}

func auditDir(data string) string { return filepath.Join(data, server.AuditDir) }

func auditVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "verify that nothing in the audit log was changed",
		Long: `verify reads all files of an audit log and checks the chain of all records, the
signed digests and the signed head. It prints the first wrong record of each file.
It changes nothing; a service may use the directory meanwhile. Somebody who can
write the directory could replace key and records together: give the public key
that you exported before (fluoro audit public-key) to exclude that.

Exit codes: 0 nothing was changed, 1 something was changed or the directory cannot
be read, 2 wrong usage.`,
		Example: `  fluoro audit verify --data /var/lib/fluoro
  fluoro audit verify --data /var/lib/fluoro --public-key fluoro-audit.pem`,
		Args: noArguments,
	}
	data := dataFlag(cmd)
	key := cmd.Flags().String("public-key", "", "file with the public key that was exported before")
	asJSON := cmd.Flags().Bool("json", false, "print the report as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o := audit.VerifyOptions{Dir: auditDir(*data)}
		if *key != "" {
			text, err := os.ReadFile(*key)
			if err != nil {
				return err
			}
			if o.Key, err = audit.ParsePublicKey(text); err != nil {
				return fmt.Errorf("%s: %w", *key, err)
			}
		}
		r, err := audit.Verify(cmd.Context(), o)
		if err != nil {
			return err
		}
		if *asJSON {
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			err = e.Encode(r)
		} else {
			err = printVerified(cmd.OutOrStdout(), r)
		}
		if err == nil && len(r.Problems) > 0 {
			err = fmt.Errorf("the audit log was changed or damaged: %d problems", len(r.Problems))
		}
		return err
	}
	return cmd
}

func printVerified(w io.Writer, r *audit.Report) error {
	var failed error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		failed = errors.Join(failed, err)
	}
	for _, p := range r.Problems {
		say("%s\n", printable(p))
	}
	for _, n := range r.Notes {
		say("note: %s\n", printable(n))
	}
	say("%d files, records %d to %d, %d digests, head of %s, key %s", r.Files, r.First, r.Last, r.Digests, r.Head, r.Fingerprint)
	if len(r.Problems) == 0 {
		say(": nothing was changed")
	}
	say("\n")
	return failed
}

// printable escapes characters that could control a terminal.
func printable(s string) string {
	q := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// auditQuestion holds the flags that select records.
type auditQuestion struct {
	start, end, principal, action, traceID, code, account string
	limit                                                 int
}

func (q *auditQuestion) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.start, "start", "", "from this time on: RFC 3339, Unix seconds, or a duration before now")
	f.StringVar(&q.end, "end", "", "before this time")
	f.StringVar(&q.principal, "principal", "", "a part of the ARN, name, id or credential of the caller")
	f.StringVar(&q.action, "action", "", "name of the event, such as GetTraceSummaries, xray:Get* or iam:*")
	f.StringVar(&q.traceID, "trace", "", "a trace id that was read, written or deleted")
	f.StringVar(&q.code, "error", "", "an error code, such as AccessDenied; * for any")
	f.StringVar(&q.account, "account", "", "account of the records; * for all (only for the account of the server)")
	f.IntVar(&q.limit, "limit", 100, "greatest number of records; 0 for all")
}

// values returns the question as parameters of GET /console/api/audit.
func (q *auditQuestion) values() (url.Values, error) {
	v, now := url.Values{}, time.Now()
	for name, text := range map[string]string{"start": q.start, "end": q.end} {
		if text == "" {
			continue
		}
		at, err := parseInstant(text, now)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
		v.Set(name, strconv.FormatFloat(at, 'f', -1, 64))
	}
	for name, text := range map[string]string{"principal": q.principal, "action": q.action, "trace": q.traceID, "error": q.code, "account": q.account} {
		if text != "" {
			v.Set(name, text)
		}
	}
	return v, nil
}

// query returns the question for files.
func (q *auditQuestion) query() (*audit.Query, error) {
	v, err := q.values()
	if err != nil {
		return nil, err
	}
	out := &audit.Query{Account: trace.Account(q.account), Principal: q.principal, Action: q.action, TraceID: q.traceID, Error: q.code, Limit: audit.MaxPage}
	if out.Account == "*" {
		out.Account = ""
	}
	for name, at := range map[string]*time.Time{"start": &out.Start, "end": &out.End} {
		if text := v.Get(name); text != "" {
			seconds, _ := strconv.ParseFloat(text, 64) // values wrote it
			*at = time.Unix(0, int64(seconds*1e9))
		}
	}
	return out, nil
}

func auditSearchCommand() *cobra.Command {
	var q auditQuestion
	cmd := &cobra.Command{
		Use:   "search",
		Short: "print records of the audit log, the newest first",
		Long: `search prints records, one JSON object a line, the newest first. It asks a running
service, and reads the files of a data directory that no service uses.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro audit search --start 24h --error AccessDenied
  fluoro audit search --trace 1-58406520-a006649127e371903a2de979 --account '*'`,
		Args: noArguments,
	}
	q.flags(cmd)
	at := &remote{}
	at.register(cmd.Flags())
	keyFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		alone, err := at.noServer(cmd.Context())
		if err != nil {
			return err
		}
		if alone {
			return searchFiles(cmd, at.data, &q)
		}
		return searchService(cmd, at, &q)
	}
	return cmd
}

func searchFiles(cmd *cobra.Command, data string, q *auditQuestion) error {
	query, err := q.query()
	if err != nil {
		return usageError{cmd, err}
	}
	if _, err := os.Stat(auditDir(data)); err != nil {
		return err
	}
	keys, err := openKeys(cmd, data)
	if err != nil {
		return err
	}
	printed := 0
	for {
		page, err := audit.Search(cmd.Context(), audit.Options{Dir: auditDir(data), Keys: keys}, query)
		if err != nil {
			return err
		}
		for _, text := range page.Damaged {
			fmt.Fprintf(cmd.ErrOrStderr(), "damaged: %s\n", printable(text))
		}
		for _, f := range page.Records {
			if q.limit > 0 && printed >= q.limit {
				return nil
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", f.Event); err != nil {
				return err
			}
			printed++
		}
		if query.Before = page.Next; page.Next == 0 {
			return nil
		}
	}
}

// auditPage is the answer of GET /console/api/audit.
type auditPage struct {
	Events []struct {
		Seq   uint64          `json:"seq"`
		Event json.RawMessage `json:"event"`
	} `json:"events"`
	Token   string   `json:"token"`
	Damaged []string `json:"damaged"`
	Error   struct {
		Message string `json:"message"`
	} `json:"error"`
}

func askAudit(ctx context.Context, at *remote, v url.Values) (*auditPage, error) {
	res, err := at.do(ctx, http.MethodGet, "/console/api/audit?"+v.Encode(), nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	page := &auditPage{}
	if err := json.Unmarshal(text, page); err != nil {
		return nil, fmt.Errorf("%s answered %s without JSON: %.200q", at.url, res.Status, text)
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(page.Error.Message)
	}
	return page, nil
}

func searchService(cmd *cobra.Command, at *remote, q *auditQuestion) error {
	v, err := q.values()
	if err != nil {
		return usageError{cmd, err}
	}
	printed := 0
	for {
		v.Set("limit", "1000")
		if q.limit > 0 {
			v.Set("limit", strconv.Itoa(max(1, min(1000, q.limit-printed))))
		}
		page, err := askAudit(cmd.Context(), at, v)
		if err != nil {
			return err
		}
		for _, text := range page.Damaged {
			fmt.Fprintf(cmd.ErrOrStderr(), "damaged: %s\n", printable(text))
		}
		for _, e := range page.Events {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", e.Event); err != nil {
				return err
			}
			printed++
		}
		if page.Token == "" || q.limit > 0 && printed >= q.limit {
			return nil
		}
		v.Set("token", page.Token)
	}
}

func auditTailCommand() *cobra.Command {
	var q auditQuestion
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "print new records of a running service as they come",
		Long: `tail asks a running service every second for new records and prints them, one JSON
object a line, the oldest first, until it is interrupted.

Exit codes: 0 interrupted, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro audit tail --error AccessDenied`,
		Args:    noArguments,
	}
	q.flags(cmd)
	at := &remote{}
	at.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := q.values()
		if err != nil {
			return usageError{cmd, err}
		}
		last := uint64(0)
		for first := true; ; first = false {
			seq, err := tailOnce(cmd, at, v, last, first)
			if cmd.Context().Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			last = max(last, seq)
			select {
			case <-cmd.Context().Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	}
	return cmd
}

// tailOnce prints the records after last. The first call prints none but the ten newest.
func tailOnce(cmd *cobra.Command, at *remote, v url.Values, last uint64, first bool) (newest uint64, err error) {
	v.Del("token")
	v.Set("limit", "1000")
	if first {
		v.Set("limit", "10")
	}
	var lines []string
	for done := false; !done; {
		page, err := askAudit(cmd.Context(), at, v)
		if err != nil {
			return 0, err
		}
		for _, e := range page.Events {
			newest = max(newest, e.Seq)
			if e.Seq <= last {
				done = true
				break
			}
			lines = append(lines, string(e.Event))
		}
		done = done || first || page.Token == ""
		if n, err := strconv.ParseUint(page.Token, 10, 64); err == nil && n <= last {
			done = true
		}
		v.Set("token", page.Token)
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), lines[i]); err != nil {
			return 0, err
		}
	}
	return newest, nil
}

func auditExportCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "print all records of a data directory, the oldest first",
		Long: `export prints all records of a data directory, the oldest first: one JSON object a
line, or with --format cloudtrail one JSON object with all in its member Records, as
the log files of CloudTrail have them. A service may use the directory meanwhile.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro audit export --data /var/lib/fluoro > audit.jsonl
  fluoro audit export --format cloudtrail | gzip > records.json.gz`,
		Args: noArguments,
	}
	data := dataFlag(cmd)
	keyFlags(cmd)
	cmd.Flags().StringVar(&form, "format", "jsonl", "jsonl or cloudtrail")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if form != "jsonl" && form != "cloudtrail" {
			return usageError{cmd, fmt.Errorf("--format %s: want jsonl or cloudtrail", form)}
		}
		if _, err := os.Stat(auditDir(*data)); err != nil {
			return err
		}
		keys, err := openKeys(cmd, *data)
		if err != nil {
			return err
		}
		w, between := cmd.OutOrStdout(), ""
		if form == "cloudtrail" {
			fmt.Fprint(w, `{"Records":[`)
		}
		_, err = audit.Since(cmd.Context(), audit.Options{Dir: auditDir(*data), Keys: keys}, 1, func(f audit.Found) error {
			if form == "jsonl" {
				_, err := fmt.Fprintf(w, "%s\n", f.Event)
				return err
			}
			_, err := fmt.Fprintf(w, "%s%s", between, f.Event)
			between = ","
			return err
		})
		if err == nil && form == "cloudtrail" {
			_, err = fmt.Fprintln(w, "]}")
		}
		return err
	}
	return cmd
}

func auditPublicKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "public-key",
		Short: "print the public key that verifies digests and reports",
		Long: `public-key prints the public key of a data directory's audit log, in PEM. Keep a
copy at another place: verify --public-key then excludes that records and key were
replaced together.

Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.`,
		Example: `  fluoro audit public-key --data /var/lib/fluoro > fluoro-audit.pem`,
		Args:    noArguments,
	}
	data := dataFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		text, err := os.ReadFile(filepath.Join(auditDir(*data), audit.PublicKeyName))
		if err == nil {
			_, err = audit.ParsePublicKey(text)
		}
		if err != nil {
			return fmt.Errorf("%s holds no audit log: %w", *data, err)
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}
