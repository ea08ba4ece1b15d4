package wire_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// guardedFlags make a server that trusts nobody and writes nothing in the clear.
var guardedFlags = []string{"--auth", "required", "--encryption", "local", "--audit", "on", "--settle", "100ms"}

// recordsOf returns the records of the audit log by event name.
func recordsOf(t *testing.T, data string) map[string][]event {
	t.Helper()
	out := map[string][]event{}
	for line := range strings.Lines(mustRun(t, "audit", "search", "--data", data, "--account", "*", "--limit", "0")) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out[e.EventName] = append(out[e.EventName], e)
	}
	return out
}

// change is a command of the operator, the name of its record, and a text of its
// parameters.
type change struct {
	args  []string
	event string
	with  string
}

// operatorChanges lists a command for each kind of change.
func operatorChanges(id, sink string) []change {
	return []change{
		{[]string{"keys", "create", "--policy", "AWSXRayReadOnlyAccess"}, "CreateAccessKey", "plantedkeyuser"},
		{[]string{"quota", "set", "--account", "111111111111", "spans=20000"}, "PutQuota", "20000"},
		{[]string{"quota", "reset", "--account", "111111111111"}, "ResetQuota", "111111111111"},
		{[]string{"scrub", "put", "planted-rule", "--key", "plantedscrub", "--action", "mask"}, "PutScrubRule", "planted-rule"},
		{[]string{"scrub", "delete", "planted-rule"}, "DeleteScrubRule", "planted-rule"},
		{[]string{"hold", "add", "planted-hold", "--trace", id, "--reason", "planted-reason"}, "AddHold", "planted-reason"},
		{[]string{"scrub", "--all"}, "StartScrubJob", ""},
		{[]string{"encryption", "rotate"}, "RotateDataKeys", ""},
		{[]string{"encryption", "rewrap", "--account", "000000000000"}, "RewrapDataKeys", "000000000000"},
		{[]string{"links", "create", sink, "--label", "planted-label", "--account", "222222222222"}, "CreateLink", "planted-label"},
		{[]string{"erase", "--user", "planted-nobody", "--reason", "planted-ticket", "--yes"}, "EraseTraces", "planted-ticket"},
		{[]string{"traces", "delete", "--start", "1h", "--filter", `service("planted-none")`, "--yes"}, "DeleteTraces", "planted-none"},
	}
}

// Where credentials are required, the operator of the machine needs none for any command,
// and each change leaves a record. No file of the data directory has a planted text.
func TestOperator_everyCommandWithoutToken(t *testing.T) {
	s := harness.Start(t, guardedFlags...)
	now := float64(time.Now().Unix())
	at := func(args ...string) []string { return append(args, "--data", s.Data) }
	// Who has no credentials can do nothing at the address.
	if out, code := fluoro(t, "scrub", "rules", "--url", s.URL("")); code != 1 || !strings.Contains(out, "requires credentials") {
		t.Errorf("at the address: %d %s", code, out)
	}
	keysOf := func(user string) (env []string) {
		var key struct{ AccessKeyId, SecretAccessKey string }
		if err := json.Unmarshal([]byte(mustRun(t, at("keys", "create", "--user", user, "--policy", "AdministratorAccess", "--json")...)), &key); err != nil {
			t.Fatal(err)
		}
		return []string{"AWS_ACCESS_KEY_ID=" + key.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + key.SecretAccessKey}
	}
	for _, v := range keysOf("plantedkeyuser") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	if out, code := fluoro(t, "scrub", "rules", "--url", s.URL("")); code != 0 {
		t.Errorf("with AWS keys at the address: %d %s", code, out)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	harness.Eventually(t, "the first trace is stored", func() bool { return putDatagram(t, s, secretDocument(1, now)) })
	id := exportID(1, now)
	sink := strings.TrimSpace(mustRun(t, at("links", "sink", "plantedsink")...))
	mustRun(t, at("links", "allow", sink, "--accounts", "222222222222")...)
	changes := operatorChanges(id, sink)
	for _, c := range changes {
		if out, code := fluoro(t, at(c.args...)...); code != 0 {
			t.Errorf("%s: exit %d\n%s", strings.Join(c.args, " "), code, out)
		} else if c.event == "StartScrubJob" && !strings.Contains(out, "1 are held") {
			t.Errorf("a held trace is scrubbed: %s", out)
		}
	}
	for _, read := range [][]string{
		{"encryption", "status", "--json"}, {"quota", "show", "--account", "111111111111", "--json"}, {"quota", "show"}, {"findings", "list"}, {"scrub", "rules"}, {"scrub", "preview"}, {"hold", "list", "--json"},
		{"compliance", "report", "--format", "json"}, {"links", "list", "--account", "222222222222"}, {"users", "list"},
		{"backup", "--to", filepath.Join(t.TempDir(), "b.tar")}, {"export", "--out", filepath.Join(t.TempDir(), "tables")},
	} {
		if out, code := fluoro(t, at(read...)...); code != 0 {
			t.Errorf("%s: exit %d\n%s", strings.Join(read, " "), code, out)
		}
	}
	reviewed(t, mustRun(t, at("compliance", "report", "--format", "json")...))
	records := recordsOf(t, s.Data)
	for _, c := range changes {
		list := records[c.event]
		text, _ := json.Marshal(list)
		if len(list) == 0 || !strings.Contains(string(text), c.with) {
			t.Errorf("%s: the record %s has not %q: %s", strings.Join(c.args, " "), c.event, c.with, text)
		}
	}
	clean := func(when string) {
		t.Helper()
		texts := []string{"plantedkeyuser", "plantedscrub", "planted-rule", "planted-reason", "planted-label", "planted-ticket", "planted-none", "planted-nobody", "plantedsink"}
		for _, text := range append(texts, secretTexts...) {
			if files := holding(t, s.Data, text); len(files) > 0 {
				t.Errorf("%s: %s is in %q", when, text, files)
			}
		}
	}
	clean("running")
	s.Stop()
	clean("stopped")
	offline(t, s, clean)
}

// reviewed checks what a compliance report says about access, scrubbing and encryption.
func reviewed(t *testing.T, text string) {
	t.Helper()
	var signed struct {
		Report struct {
			Facts      []struct{ Area, Name, State, Value string }
			Principals []struct {
				ARN, Kind, LastUsed string
				Policies            []string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &signed); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range signed.Report.Facts {
		got[f.Area+"/"+f.Name] = f.State + " " + f.Value
	}
	for name, want := range map[string]string{
		"access rights/administrators": "met 1: arn:aws:iam::000000000000:user/plantedkeyuser", "access rights/active keys and tokens that nobody used for 90 days": "met 0",
		"scrubbing/mode": "met ", "encryption at rest/audit log and records of the server": "met AES-256-GCM", "encryption at rest/new traces and records of account 000000000000": "met AES-256-GCM",
		"multi-factor authentication/state": "not evaluated",
	} {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	used := false
	for _, p := range signed.Report.Principals {
		used = used || p.Kind == "key" && strings.Contains(p.ARN, "user/plantedkeyuser/") && p.LastUsed != ""
	}
	if !used {
		t.Errorf("no key of plantedkeyuser was used: %+v", signed.Report.Principals)
	}
}

// offline uses the directory of a stopped server, without its settings.
func offline(t *testing.T, s *harness.Server, clean func(string)) {
	t.Helper()
	at := func(args ...string) []string { return append(args, "--data", s.Data) }
	changes := []change{
		{[]string{"keys", "create", "--user", "plantedofflineuser", "--policy", "AWSXRayReadOnlyAccess"}, "CreateAccessKey", "plantedofflineuser"},
		{[]string{"quota", "set", "--account", "111111111111", "spans=31000"}, "PutQuota", "31000"},
		{[]string{"scrub", "put", "planted-offline", "--key", "plantedscrub", "--action", "mask"}, "PutScrubRule", "planted-offline"},
		{[]string{"encryption", "rotate"}, "RotateDataKeys", ""},
	}
	for _, c := range changes {
		if out, code := fluoro(t, at(c.args...)...); code != 0 {
			t.Errorf("offline: %s: exit %d\n%s", strings.Join(c.args, " "), code, out)
		}
	}
	for _, needs := range [][]string{{"hold", "list"}, {"compliance", "report"}, {"scrub", "preview"}, {"traces", "delete", "--start", "1h"}} {
		if out, code := fluoro(t, at(needs...)...); code != 1 || !strings.Contains(out, "no server uses this data directory") {
			t.Errorf("offline: %v: %d %s", needs, code, out)
		}
	}
	if out := mustRun(t, "audit", "verify", "--data", s.Data); !strings.Contains(out, "nothing was changed") {
		t.Errorf("verify: %s", out)
	}
	records := recordsOf(t, s.Data)
	for _, c := range changes {
		if text, _ := json.Marshal(records[c.event]); !strings.Contains(string(text), c.with) {
			t.Errorf("offline: %s has not %q: %s", c.event, c.with, text)
		}
	}
	clean("after offline commands")
	for _, text := range []string{"plantedofflineuser", "planted-offline"} {
		if files := holding(t, s.Data, text); len(files) > 0 {
			t.Errorf("%s is in %q", text, files)
		}
	}
	// Without the key file nothing is written.
	if err := os.Rename(s.Data+".key", s.Data+".moved"); err != nil {
		t.Fatal(err)
	}
	if out, code := fluoro(t, at("users", "create", "lost")...); code != 1 || !strings.Contains(out, "key file does not exist") {
		t.Errorf("without the key file: %d %s", code, out)
	}
	if out, code := fluoro(t, at("users", "create", "found", "--key-file", s.Data+".moved")...); code != 0 {
		t.Errorf("with the key file at another place: %d %s", code, out)
	}
	if err := os.Rename(s.Data+".moved", s.Data+".key"); err != nil {
		t.Fatal(err)
	}
	s.Restart(guardedFlags...)
	if out := mustRun(t, at("users", "list")...); strings.Contains(out, "lost") || !strings.Contains(out, "found") || !strings.Contains(out, "plantedofflineuser") {
		t.Errorf("users: %s", out)
	}
	if out := mustRun(t, at("quota", "show", "--account", "111111111111")...); !strings.Contains(out, "31000") {
		t.Errorf("quota: %s", out)
	}
}

// putDatagram sends a document to the datagram address, where loopback needs no
// credentials, and tells whether it is stored.
func putDatagram(t *testing.T, s *harness.Server, document string) bool {
	t.Helper()
	sendDatagram(t, s, []byte("{\"format\":\"json\",\"version\":1}\n"+document))
	out, code := fluoro(t, "traces", "delete", "--data", s.Data, "--start", "1h")
	return code == 0 && strings.Contains(out, "1 traces would be deleted")
}

// filesOf lists the files of a data directory and beside it, with numbers as N.
func filesOf(t *testing.T, data string) (names []string) {
	t.Helper()
	root := filepath.Dir(data)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (path == data || strings.HasPrefix(path, data)) {
			name, _ := filepath.Rel(root, path)
			if folder := filepath.Base(filepath.Dir(path)); len(folder) == 16 || strings.Trim(filepath.Base(path), "0123456789abcdef.") == "wal" || strings.HasSuffix(path, ".log") {
				name = filepath.Join(filepath.Dir(name), "*")
			}
			names = append(names, strings.Replace(name, filepath.Base(data), "DATA", 1))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Without settings, a server makes only the files of its store and records. With
// credentials and encryption it also makes keys and an audit log (docs/guides/encryption.md).
func TestStart_makesTheseFilesOnly(t *testing.T) {
	always := []string{"DATA/FORMAT", "DATA/LOCK", "DATA/manifest", "DATA/meta.db", "DATA/meta.db-shm", "DATA/meta.db-wal", "DATA/wal/*"}
	for name, c := range map[string]struct{ flags, more []string }{
		"no settings": {nil, nil},
		"required credentials and encryption": {[]string{"--auth", "required", "--encryption", "local"}, []string{
			"DATA.key", "DATA/audit/00000001.jsonl", "DATA/audit/head", "DATA/audit/key", "DATA/audit/public-key.pem",
			"DATA/keys/000000000000", "DATA/keys/000000000000.copy", "DATA/keys/system", "DATA/keys/system.copy",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t, c.flags...)
			got, want := filesOf(t, s.Data), append(c.more, always...)
			if slices.Sort(want); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("files:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}
