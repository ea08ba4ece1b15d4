package wire_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/fluoro-io/fluoro/test/harness"
)

// operate runs a command on the data of a server and decodes its JSON.
func operate(t *testing.T, data string, args ...string) map[string]any {
	t.Helper()
	out, err := tryOperate(t, data, args...)
	if err != nil {
		t.Fatalf("fluoro %v: %v", args, err)
	}
	var v map[string]any
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatalf("fluoro %v: %v: %s", args, err, out)
	}
	return v
}

func tryOperate(t *testing.T, data string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append(args, "--data", data, "--json")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out, err
}

// keyOf makes an access key and returns its credentials.
func keyOf(t *testing.T, data string, args ...string) aws.CredentialsProvider {
	t.Helper()
	k := operate(t, data, append([]string{"keys", "create"}, args...)...)
	return credentials.NewStaticCredentialsProvider(k["AccessKeyId"].(string), k["SecretAccessKey"].(string), "")
}

// callerIs asks who the holder of credentials is.
func callerIs(s *harness.Server, p aws.CredentialsProvider) (string, error) {
	out, err := stsOf(s, p).GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return *out.Arn, nil
}

func stsOf(s *harness.Server, p aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.URL("")), Credentials: p, RetryMaxAttempts: 1})
}

func groupsAs(s *harness.Server, p aws.CredentialsProvider) error {
	_, err := xray.New(xray.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.URL("")), Credentials: p, RetryMaxAttempts: 1}).GetGroups(context.Background(), &xray.GetGroupsInput{})
	return err
}

// `fluoro keys create` works before the first start, while a server runs and after it, and
// each change is in force at once.
func TestKeys_withAndWithoutAServer(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.Data), "data.key")); err == nil {
		t.Error("there is a key file before anything needed one")
	}
	s.Stop()
	if err := os.RemoveAll(s.Data); err != nil {
		t.Fatal(err)
	}
	before := keyOf(t, s.Data, "--policy", "AWSXrayReadOnlyAccess")
	for path, mode := range map[string]os.FileMode{s.Data + ".key": 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	s.Restart("--auth", "required")
	during := keyOf(t, s.Data, "--user", "alice", "--policy", "arn:aws:iam::aws:policy/AWSXrayReadOnlyAccess")
	for name, p := range map[string]aws.CredentialsProvider{"before": before, "during": during} {
		if err := groupsAs(s, p); err != nil {
			t.Errorf("the key made %s: %v", name, err)
		}
	}
	if arn, err := callerIs(s, during); err != nil || arn != "arn:aws:iam::000000000000:user/alice" {
		t.Errorf("caller %s, %v", arn, err)
	}
	c, _ := during.Retrieve(t.Context())
	for _, step := range []struct{ verb, want string }{{"disable", "security token included in the request is invalid"}, {"enable", ""}, {"delete", "security token included in the request is invalid"}} {
		if _, err := tryOperate(t, s.Data, "keys", step.verb, c.AccessKeyID); err != nil {
			t.Fatal(err)
		}
		if err := groupsAs(s, during); (err == nil) != (step.want == "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("after %s: %v", step.verb, err)
		}
	}
	s.Stop()
	after := keyOf(t, s.Data, "--policy", "AWSXrayReadOnlyAccess")
	s.Restart("--auth", "required")
	if err := groupsAs(s, after); err != nil {
		t.Error(err)
	}
	for args, want := range map[string]string{
		"keys create --policy Nope": "Policy Nope does not exist", "keys create": "--policy or --user is required", "keys create --user nobody": "user with name nobody cannot be found",
		"keys disable AKIAQAAAAAAAAAAAAAAA": "cannot be found", "users create a/b": "userName is invalid", "keys create --policy AWSXrayFullAccess --account 12": "want 12 digits",
	} {
		if _, err := tryOperate(t, s.Data, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fluoro %s: %v", args, err)
		}
	}
	if log := s.Log(); strings.Contains(log, c.SecretAccessKey) {
		t.Error("the log shows a secret")
	}
}

// The path of a data directory may be longer than the path of a socket.
func TestAdminSocket_longPath(t *testing.T) {
	s := harness.Start(t)
	s.Stop()
	s.Data = filepath.Join(t.TempDir(), strings.Repeat("long-directory/", 10), "data")
	s.Restart()
	if out := operate(t, s.Data, "users", "create", "alice"); out["UserName"] != "alice" {
		t.Error(out)
	}
}

// Kill -9 around the creation of keys: a key whose secret was shown works after the next
// start, and nothing is unreadable.
func TestKeys_surviveKills(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	var shown []aws.CredentialsProvider
	for round := range 8 {
		cmd := exec.Command(harness.Binary(t), "keys", "create", "--policy", "AWSXrayReadOnlyAccess", "--json", "--data", s.Data)
		var out strings.Builder
		cmd.Stdout = &out
		offline := round%2 == 1
		if offline {
			s.Stop()
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(round*7) * time.Millisecond)
		if offline {
			_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
		} else {
			s.Kill()
		}
		_ = cmd.Wait() // it may have been killed
		var k struct{ AccessKeyId, SecretAccessKey string }
		if json.Unmarshal([]byte(out.String()), &k) == nil {
			shown = append(shown, credentials.NewStaticCredentialsProvider(k.AccessKeyId, k.SecretAccessKey, ""))
		}
		s.Restart("--auth", "required")
		for i, p := range shown {
			if err := groupsAs(s, p); err != nil {
				t.Errorf("round %d: key %d: %v", round, i, err)
			}
		}
		if err := groupsAs(s, keyOf(t, s.Data, "--policy", "AWSXrayReadOnlyAccess")); err != nil {
			t.Errorf("round %d: a new key: %v", round, err)
		}
	}
	if _, err := tryOperate(t, s.Data, "keys", "list"); err != nil {
		t.Error(err)
	}
}

// trustFile writes a trust policy.
func trustFile(t *testing.T, principal, action, condition string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trust.json")
	text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":%q%s}]}`, principal, action, condition)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// aws-sdk-go-v2 assumes roles, chains them, and loses the session when it is revoked.
func TestSTS_assumeRoleWithTheGoSDK(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	alice := keyOf(t, s.Data, "--user", "alice", "--policy", "AWSXRayDaemonWriteAccess")
	operate(t, s.Data, "roles", "create", "reader", "--trust", trustFile(t, `{"AWS":"arn:aws:iam::000000000000:user/alice"}`, "sts:AssumeRole", `,"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`))
	operate(t, s.Data, "roles", "attach", "reader", "AWSXrayReadOnlyAccess")
	assume := func(id string) aws.CredentialsProvider {
		return stscreds.NewAssumeRoleProvider(stsOf(s, alice), "arn:aws:iam::000000000000:role/reader", func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.ExternalID = "till-1", aws.String(id)
		})
	}
	if err := groupsAs(s, alice); err == nil || !strings.Contains(err.Error(), "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: xray:GetGroups because no identity-based policy allows the xray:GetGroups action") {
		t.Errorf("alice herself: %v", err)
	}
	if _, err := assume("41").Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "AccessDenied: User: arn:aws:iam::000000000000:user/alice is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/reader because no role trust policy allows the sts:AssumeRole action") {
		t.Errorf("wrong external id: %v", err)
	}
	got, err := assume("42").Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session := credentials.StaticCredentialsProvider{Value: got}
	if arn, err := callerIs(s, session); err != nil || arn != "arn:aws:sts::000000000000:assumed-role/reader/till-1" {
		t.Errorf("caller %s, %v", arn, err)
	}
	if err := groupsAs(s, session); err != nil {
		t.Error(err)
	}
	without := credentials.NewStaticCredentialsProvider(got.AccessKeyID, got.SecretAccessKey, "")
	if err := groupsAs(s, without); err == nil || !strings.Contains(err.Error(), "The security token included in the request is invalid.") {
		t.Errorf("without its token: %v", err)
	}
	s.Stop()
	s.Restart("--auth", "required")
	if err := groupsAs(s, session); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	operate(t, s.Data, "roles", "revoke", "reader")
	if err := groupsAs(s, session); err == nil {
		t.Error("a revoked session works")
	}
}

// aws-sdk-go-v2 gets credentials from the endpoint for containers.
func TestContainerCredentials_withTheGoSDK(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	operate(t, s.Data, "roles", "create", "box", "--trust", trustFile(t, `{"AWS":"000000000000"}`, "sts:AssumeRole", ""))
	operate(t, s.Data, "roles", "attach", "box", "AWSXrayReadOnlyAccess")
	token := operate(t, s.Data, "keys", "container-token", "--role", "box")
	box := func(text string) aws.CredentialsProvider {
		return endpointcreds.New(s.URL("/container-credentials"), func(o *endpointcreds.Options) { o.AuthorizationToken = text })
	}
	p := box(token["Token"].(string))
	if err := groupsAs(s, p); err != nil {
		t.Fatal(err)
	}
	if arn, err := callerIs(s, p); err != nil || !strings.HasPrefix(arn, "arn:aws:sts::000000000000:assumed-role/box/container-") {
		t.Errorf("caller %s, %v", arn, err)
	}
	operate(t, s.Data, "tokens", "disable", token["TokenId"].(string))
	if _, err := box(token["Token"].(string)).Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "InvalidToken") {
		t.Errorf("a disabled token: %v", err)
	}
	res, err := http.Get(s.URL("/container-credentials"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Error(res.Status)
	}
}

// With encryption at rest, keys work as without, and no file shows a secret or a name.
func TestKeys_underEncryption(t *testing.T) {
	s := harness.Start(t, "--auth", "required", "--encryption", "local")
	during := keyOf(t, s.Data, "--user", "plantedalice", "--policy", "AWSXrayReadOnlyAccess")
	token := operate(t, s.Data, "tokens", "create", "--user", "plantedalice", "--description", "plantedtoken")
	s.Stop()
	offline := keyOf(t, s.Data, "--user", "plantedbob", "--policy", "AWSXrayReadOnlyAccess", "--encryption", "local")
	var all []byte
	err := filepath.WalkDir(s.Data, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, must2(os.ReadFile(path))...)
		}
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	secrets := []string{"planted", token["Token"].(string)}
	s.Restart("--auth", "required", "--encryption", "local")
	for name, p := range map[string]aws.CredentialsProvider{"online": during, "offline": offline} {
		if err := groupsAs(s, p); err != nil {
			t.Errorf("the key made %s: %v", name, err)
		}
		c, _ := p.Retrieve(t.Context())
		secrets = append(secrets, c.SecretAccessKey)
	}
	for _, secret := range secrets {
		if strings.Contains(string(all), secret) {
			t.Errorf("the data directory contains %q", secret)
		}
	}
}

func must2(b []byte, err error) []byte {
	if err != nil {
		return []byte(err.Error())
	}
	return b
}
