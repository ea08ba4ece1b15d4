package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// config asks for the encryption configuration.
func encryptionOf(t testing.TB, s *harness.Server) (kind, key, status string) {
	t.Helper()
	var answer struct {
		EncryptionConfig struct{ Type, KeyId, Status string }
	}
	s.Ask("/EncryptionConfig", m{}, &answer)
	c := answer.EncryptionConfig
	return c.Type, c.KeyId, c.Status
}

// choose calls PutEncryptionConfig and waits until the switch is complete.
func chooseKey(t testing.TB, s *harness.Server, key string) {
	t.Helper()
	request := m{"Type": "NONE"}
	if key != "" {
		request = m{"Type": "KMS", "KeyId": key}
	}
	var answer struct{ EncryptionConfig struct{ Status string } }
	s.Ask("/PutEncryptionConfig", request, &answer)
	if answer.EncryptionConfig.Status != "UPDATING" {
		t.Errorf("PutEncryptionConfig answers %+v", answer)
	}
	active(t, s)
}

func active(t testing.TB, s *harness.Server) {
	t.Helper()
	harness.Eventually(t, "the switch is complete", func() bool { _, _, status := encryptionOf(t, s); return status == "ACTIVE" })
}

// plant makes groups whose names and filters must not be readable on the disk.
func plant(s *harness.Server, names ...string) {
	for _, name := range names {
		var answer any
		s.Ask("/CreateGroup", m{"GroupName": "planted" + name, "FilterExpression": fmt.Sprintf(`service("plantedservice%s")`, name)}, &answer)
	}
}

// found fails unless all planted groups can be read.
func found(t testing.TB, s *harness.Server, names ...string) {
	t.Helper()
	status, _, b := s.Post("/Groups", m{})
	for _, name := range names {
		if status != http.StatusOK || !bytes.Contains(b, []byte("plantedservice"+name)) {
			t.Errorf("group %s: %d %s", name, status, b)
		}
	}
}

// holding lists the files below a directory that contain a text.
func holding(t testing.TB, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // the server has removed it meanwhile
		}
		if err != nil || !d.Type().IsRegular() { // sockets, too, are in the directory
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if bytes.Contains(b, []byte(text)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Without a setting nothing changes: no keys, no key file, nothing is encrypted.
func TestEncryption_offIsAsBefore(t *testing.T) {
	s := harness.Start(t)
	plant(s, "a")
	for _, name := range []string{s.Data + ".key", filepath.Join(s.Data, "keys")} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	if len(holding(t, s.Data, "plantedservicea")) == 0 {
		t.Error("the record is not in the clear")
	}
	code, out := run(t, "encryption", "status", "--url", s.URL(""))
	if code != 0 || !strings.Contains(out, "no account has keys") {
		t.Errorf("status: %d %s", code, out)
	}
}

// Records that were in the clear are sealed when encryption is switched on, survive a crash
// and a rotation, and are clear again when it is switched off.
func TestEncryption_local(t *testing.T) {
	s := harness.Start(t)
	plant(s, "a")
	s.Stop()
	s.Restart("--encryption", "local")
	plant(s, "b")
	harness.Eventually(t, "no file has planted text", func() bool { return holding(t, s.Data, "planted") == nil })
	found(t, s, "a", "b")
	if kind, key, status := encryptionOf(t, s); kind != "NONE" || key != "" || status != "ACTIVE" {
		t.Errorf("GetEncryptionConfig: %s %s %s", kind, key, status)
	}
	if info, err := os.Stat(s.Data + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	if code, out := run(t, "encryption", "rotate", "--new-key", "--url", s.URL("")); code != 0 || !strings.Contains(out, "encrypted") {
		t.Errorf("rotate: %d %s", code, out)
	}
	s.Kill()
	s.Restart("--encryption", "local")
	found(t, s, "a", "b")
	plant(s, "c")
	s.Stop()
	if code, out := run(t, "store", "check", "--data", s.Data); code != 0 {
		t.Errorf("check: %d %s", code, out)
	}
	if code, out := run(t, "encryption", "status", "--data", s.Data, "--encryption", "local"); code != 0 || !strings.Contains(out, "000000000000") {
		t.Errorf("offline status: %d %s", code, out)
	}
	s.Restart()
	harness.Eventually(t, "records are clear again", func() bool { return len(holding(t, s.Data, "plantedservicec")) > 0 })
	found(t, s, "a", "b", "c")
}

// Without its key file the server does not start and says which file it needs. It makes no
// other one, and works again when the file is back.
func TestEncryption_lostKeyFile(t *testing.T) {
	s := harness.Start(t, "--encryption", "local")
	plant(s, "a")
	s.Stop()
	file, away := s.Data+".key", s.Data+".away"
	if err := os.Rename(file, away); err != nil {
		t.Fatal(err)
	}
	refuses(t, s.Args("--encryption", "local"), file, "--key-file", "system")
	if code, out := run(t, "store", "check", "--data", s.Data); code != 1 || !strings.Contains(out, file) {
		t.Errorf("check without the key file: %d %s", code, out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a new key file hides that the old one is lost")
	}
	s.Restart("--encryption", "local", "--key-file", away)
	found(t, s, "a")
	if err := os.Rename(away, file); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	refuses(t, s.Args("--encryption", "local"), file, "chmod 600")
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	s.Restart("--encryption", "local")
	found(t, s, "a")
}

func get(t testing.TB, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// PutEncryptionConfig really switches to a key of a KMS: it refuses keys that cannot be
// used, and a key that is disabled makes the account unreadable within the time of the
// cache, until it chooses another one.
func TestEncryption_kms(t *testing.T) {
	kms := harness.StartKMS(t)
	first, second := kms.Key("alias/first"), kms.Key("alias/second")
	flags := []string{"--encryption", "local", "--kms-endpoint", kms.URL(), "--key-cache", "1s"}
	s := harness.Start(t, flags...)
	plant(s, "a")
	refusedAs(t, s, "/PutEncryptionConfig", m{"Type": "KMS", "KeyId": "alias/none"}, apiError{400, "InvalidRequestException", "alias/none"})
	if kind, _, _ := encryptionOf(t, s); kind != "NONE" {
		t.Errorf("a refused key is configured: %s", kind)
	}
	chooseKey(t, s, "alias/first")
	if kind, key, _ := encryptionOf(t, s); kind != "KMS" || key != "alias/first" {
		t.Errorf("GetEncryptionConfig: %s %s", kind, key)
	}
	plant(s, "b")
	if code, out := run(t, "encryption", "status", "--json", "--url", s.URL("")); code != 0 || !strings.Contains(out, first) {
		t.Errorf("status: %d %s", code, out)
	}
	kms.Enable(first, false)
	refusedAs(t, s, "/PutEncryptionConfig", m{"Type": "KMS", "KeyId": first}, apiError{400, "InvalidRequestException", "is disabled"})
	harness.Eventually(t, "the disabled key takes effect", func() bool {
		status, _, b := s.Post("/Groups", m{})
		return status == http.StatusServiceUnavailable && bytes.Contains(b, []byte(first)) && bytes.Contains(b, []byte("000000000000"))
	})
	for what, text := range map[string]string{"readyz": get(t, s.URL("/readyz")), "status": get(t, s.URL("/console/api/status")), "log": s.Log()} {
		if !strings.Contains(text, first) || !strings.Contains(text, "000000000000") {
			t.Errorf("%s does not name account and key: %s", what, text)
		}
	}
	if code, out := run(t, "encryption", "status", "--url", s.URL("")); code != 1 || !strings.Contains(out, first) {
		t.Errorf("status: %d %s", code, out)
	}
	chooseKey(t, s, "alias/second")
	kms.Enable(first, true)
	harness.Eventually(t, "everything can be read again", func() bool { status, _, _ := s.Post("/Groups", m{}); return status == http.StatusOK })
	found(t, s, "a", "b")
	harness.Eventually(t, "no data key is under the first key", func() bool {
		_, out := run(t, "encryption", "status", "--json", "--url", s.URL(""))
		return !strings.Contains(out, first) && strings.Contains(out, second)
	})
	kms.Enable(first, false) // nothing needs it any more
	s.Stop()
	s.Restart(flags...)
	found(t, s, "a", "b")

	kms.Stop()
	refusedAs(t, s, "/PutEncryptionConfig", m{"Type": "KMS", "KeyId": "alias/second"}, apiError{429, "ThrottledException", "try again later"})
	kms.Start()
	if code, out := run(t, "encryption", "rewrap", "--account", "000000000000", "--url", s.URL("")); code != 0 {
		t.Errorf("rewrap: %d %s", code, out)
	}
	chooseKey(t, s, "")
	s.Stop()
	kms.Stop()
	s.Restart("--encryption", "local") // without a KMS: nothing needs it
	found(t, s, "a", "b")
	refusedAs(t, s, "/PutEncryptionConfig", m{"Type": "KMS", "KeyId": "alias/second"}, apiError{400, "InvalidRequestException", "--kms-endpoint"})
	if files := holding(t, s.Data, "planted"); files != nil {
		t.Errorf("planted text in %v", files)
	}
}

// With --encryption kms, everything is under a key of the KMS, and there is no key file.
func TestEncryption_modeKMS(t *testing.T) {
	kms := harness.StartKMS(t)
	key := kms.Key("alias/server")
	flags := []string{"--encryption", "kms", "--kms-endpoint", kms.URL(), "--kms-key", "alias/server", "--key-cache", "1s"}
	s := harness.Start(t, flags...)
	plant(s, "a")
	if _, err := os.Stat(s.Data + ".key"); err == nil {
		t.Error("there is a key file")
	}
	if code, out := run(t, "encryption", "status", "--json", "--url", s.URL("")); code != 0 || strings.Count(out, key) != 2 {
		t.Errorf("status: %d %s", code, out)
	}
	kms.Stop()
	harness.Eventually(t, "without the KMS the server is not ready", func() bool { return strings.Contains(get(t, s.URL("/readyz")), `"ready":false`) })
	kms.Start()
	harness.Eventually(t, "the server is ready again", func() bool {
		status, _, _ := s.Post("/Groups", m{})
		return status == http.StatusOK && strings.Contains(get(t, s.URL("/readyz")), `"ready":true`)
	})
	found(t, s, "a")
	s.Kill()
	kms.Stop()
	refuses(t, s.Args(flags...), key, "connection refused")
	kms.Start()
	s.Restart(flags...)
	found(t, s, "a")
}

// A server that is killed at any moment while it switches and rotates keys loses nothing:
// 20 times.
func TestEncryption_killedWhileKeysRotate(t *testing.T) {
	kms := harness.StartKMS(t)
	keys := []string{kms.Key(""), kms.Key(""), ""}
	flags := []string{"--encryption", "local", "--kms-endpoint", kms.URL(), "--data-key-age", "1s"}
	s := harness.Start(t, flags...)
	var names []string
	for round := range 20 {
		name := fmt.Sprintf("r%d", round)
		plant(s, name)
		names = append(names, name)
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for i := 0; ; i++ {
				key := keys[rand.IntN(len(keys))]
				config := fmt.Sprintf(`{"Type":"KMS","KeyId":%q}`, key)
				if key == "" {
					config = `{"Type":"NONE"}`
				}
				for path, body := range map[string]string{"/PutEncryptionConfig": config, "/api/encryption/Rotate": fmt.Sprintf(`{"key_file":%v}`, i%3 == 0), "/api/encryption/Rewrap": `{}`} {
					res, err := http.Post(s.URL(path), "application/json", strings.NewReader(body))
					if err != nil {
						return // the server was killed
					}
					res.Body.Close()
				}
			}
		}()
		time.Sleep(time.Duration(20+rand.IntN(250)) * time.Millisecond)
		s.Kill()
		<-stop
		s.Restart(flags...)
		found(t, s, names...)
		active(t, s)
		if problems := problemsOf(t, s); problems != "[]" {
			t.Fatalf("round %d: %s", round, problems)
		}
	}
	s.Stop()
	check := append([]string{"store", "check", "--data", s.Data}, flags[:4]...)
	if code, out := run(t, check...); code != 0 {
		t.Errorf("check: %d %s", code, out)
	}
	if files := holding(t, s.Data, "planted"); files != nil {
		t.Errorf("planted text in %v", files)
	}
	s.Restart(flags...)
	found(t, s, names...)
}

func problemsOf(t testing.TB, s *harness.Server) string {
	t.Helper()
	var report struct{ Problems json.RawMessage }
	s.Ask("/api/encryption/List", m{}, &report)
	return string(report.Problems)
}

// A backup holds the wrapped data keys and sealed records, not the key file. With the key
// file of the original, its restored directory works.
func TestEncryption_backup(t *testing.T) {
	s := harness.Start(t, "--encryption", "local")
	plant(s, "a")
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
	}{{"online.tar", []string{"--url", s.URL("")}}, {"offline.tar", []string{"--data", s.Data, "--encryption", "local"}}} {
		if c.name == "offline.tar" {
			s.Stop()
		}
		file, restored := filepath.Join(dir, c.name), filepath.Join(dir, c.name+".data")
		mustRun(t, append([]string{"backup", "--to", file}, c.args...)...)
		key, err := os.ReadFile(s.Data + ".key")
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(string(key))
		for _, secret := range []string{words[len(words)-1], "planted"} {
			if files := holding(t, file, secret); files != nil {
				t.Errorf("%s holds %q", c.name, secret)
			}
		}
		mustRun(t, "restore", "--from", file, "--data", restored)
		other := harness.Start(t)
		other.Stop()
		other.Data = restored
		other.Restart("--encryption", "local", "--key-file", s.Data+".key")
		found(t, other, "a")
	}
}

// forget destroys the keys of one account, after the account was typed; others keep theirs.
func TestEncryption_forget(t *testing.T) {
	s := startShared(t, "--encryption", "local")
	for _, account := range []string{first, second} {
		s.must(account, "POST", "/CreateGroup", m{"GroupName": "planted", "FilterExpression": `service("plantedservice")`})
		s.must(account, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{documentFor(time.Now(), sharedID, "forgotten", "0a0a0a0a0a0a0a0a")}})
	}
	if code, answer := s.call(operator, "POST", "http://"+s.http+"/api/encryption/Forget", m{"account": first, "confirm": second}); code != http.StatusBadRequest {
		t.Errorf("without the right confirmation: %d %s", code, answer)
	}
	if answer := s.must(operator, "POST", "/api/encryption/Forget", m{"account": first, "confirm": first}); !strings.Contains(answer, `"deleted_traces":1`) || !strings.Contains(answer, `"destroyed"`) {
		t.Errorf("forget: %s", answer)
	}
	for account, want := range map[string]bool{first: false, second: true} {
		groups := s.must(account, "POST", "/Groups", m{})
		traces := s.must(account, "POST", "/Traces", m{"TraceIds": []string{sharedID}})
		if strings.Contains(groups, "plantedservice") != want || strings.Contains(traces, "forgotten") != want {
			t.Errorf("account %s: %s %s", account, groups, traces)
		}
	}
	if code, answer := s.call(operator, "POST", "http://"+s.http+"/api/encryption/Forget", m{"account": "333333333333", "confirm": "333333333333"}); code != http.StatusConflict {
		t.Errorf("an account without keys: %d %s", code, answer)
	}
}

// Two accounts with keys of their own: a disabled key makes one unreadable and is named to
// it; the other, and the server's own account, notice nothing.
func TestEncryption_disabledKeyHarmsNoOther(t *testing.T) {
	kms := harness.StartKMS(t)
	mine, theirs := kms.Key("alias/mine"), kms.Key("alias/theirs")
	s := startShared(t, "--encryption", "local", "--kms-endpoint", kms.URL(), "--key-cache", "500ms")
	for account, key := range map[string]string{first: "alias/mine", second: theirs} {
		s.must(account, "POST", "/PutEncryptionConfig", m{"Type": "KMS", "KeyId": key})
		harness.Eventually(t, "the switch is complete", func() bool { return strings.Contains(s.must(account, "POST", "/EncryptionConfig", m{}), "ACTIVE") })
	}
	for _, account := range []string{first, second, operator} {
		s.must(account, "POST", "/CreateGroup", m{"GroupName": "g", "FilterExpression": `service("planted")`})
	}
	kms.Enable(mine, false)
	harness.Eventually(t, "the disabled key takes effect", func() bool {
		code, answer := s.call(first, "POST", "http://"+s.http+"/Groups", m{})
		return code == http.StatusServiceUnavailable && strings.Contains(answer, mine) && strings.Contains(answer, first)
	})
	for _, account := range []string{second, operator} {
		if groups := s.must(account, "POST", "/Groups", m{}); !strings.Contains(groups, "planted") {
			t.Errorf("account %s: %s", account, groups)
		}
		s.must(account, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{documentFor(time.Now(), sharedID, "others", "0a0a0a0a0a0a0a0a")}})
		if traces := s.must(account, "POST", "/Traces", m{"TraceIds": []string{sharedID}}); !strings.Contains(traces, "others") {
			t.Errorf("account %s: %s", account, traces)
		}
	}
	for account, sees := range map[string]bool{first: true, second: false, operator: true} {
		if status := s.must(account, "GET", "/console/api/status", nil); strings.Contains(status, mine) != sees {
			t.Errorf("the status page of %s: %s", account, status)
		}
	}
	// Its own users can still choose another key.
	s.must(first, "POST", "/PutEncryptionConfig", m{"Type": "NONE"})
	kms.Enable(mine, true)
	harness.Eventually(t, "the account can be read again", func() bool {
		code, answer := s.call(first, "POST", "http://"+s.http+"/Groups", m{})
		return code == http.StatusOK && strings.Contains(answer, "planted")
	})
}
