package clients_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// issuer starts a real OpenID Connect provider and returns its issuer.
func issuer(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(harness.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(harness.Root(), "test", "oidc", "node_modules", ".bin", "oauth2-mock-server"), "-a", "127.0.0.1", "-p", port)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: scripts/install-test-tools.sh installs it", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	at := "http://localhost:" + port
	harness.Eventually(t, "the provider answers", func() bool {
		res, err := http.Get(at + "/.well-known/openid-configuration")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return at
}

// idToken gets a token for an audience.
func idToken(t *testing.T, issuer, audience string) string {
	t.Helper()
	res, err := http.PostForm(issuer+"/token", url.Values{"grant_type": {"password"}, "username": {"x"}, "password": {"x"}, "scope": {"openid"}, "client_id": {audience}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	var got struct {
		ID string `json:"id_token"`
	}
	if err != nil || json.Unmarshal(body, &got) != nil || got.ID == "" {
		t.Fatalf("%v: %s", err, body)
	}
	return got.ID
}

// operate runs a command of fluoro and returns a member of its JSON.
func operate(t *testing.T, s *harness.Server, member string, args ...string) string {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append(args, "--data", s.Data, "--json")...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	var v map[string]any
	if err != nil || json.Unmarshal(out, &v) != nil {
		t.Fatalf("fluoro %v: %v: %s", args, err, out)
	}
	text, _ := v[member].(string)
	return text
}

// people makes a user, two roles, a provider and a token for a container.
func people(t *testing.T, s *harness.Server) (env []string) {
	t.Helper()
	trust := func(principal, action, condition string) string {
		path := filepath.Join(t.TempDir(), "trust.json")
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":%s%s}]}`, principal, action, condition)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cmd := exec.Command(harness.Binary(t), "keys", "create", "--data", s.Data, "--user", "alice", "--policy", "AWSXRayDaemonWriteAccess", "--json")
	out, err := cmd.Output()
	var key struct{ AccessKeyId, SecretAccessKey string }
	if err != nil || json.Unmarshal(out, &key) != nil {
		t.Fatal(err, string(out))
	}
	at := issuer(t)
	provider := operate(t, s, "OpenIDConnectProviderArn", "providers", "create", at, "--client", "till")
	name := strings.TrimPrefix(at, "http://")
	operate(t, s, "", "roles", "create", "reader", "--trust", trust(`{"AWS":"arn:aws:iam::000000000000:user/alice"}`, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, ""))
	operate(t, s, "", "roles", "create", "pod", "--trust", trust(`{"Federated":"`+provider+`"}`, `"sts:AssumeRoleWithWebIdentity"`, `,"Condition":{"StringEquals":{"`+name+`:sub":"johndoe","`+name+`:aud":"till"}}`))
	for _, role := range []string{"reader", "pod"} {
		operate(t, s, "", "roles", "attach", role, "AWSXrayReadOnlyAccess")
	}
	return []string{
		"FLUORO_URL=" + s.URL(""), "FLUORO_KEY=" + key.AccessKeyId, "FLUORO_SECRET=" + key.SecretAccessKey, "FLUORO_PROVIDER=" + provider,
		"FLUORO_JWT=" + idToken(t, at, "till"), "FLUORO_JWT_OTHER=" + idToken(t, at, "other"), "FLUORO_TOKEN=" + operate(t, s, "Token", "keys", "container-token", "--role", "reader"),
	}
}

// boto3 finds its credentials in all the usual ways, against a server that requires them
// and a real OpenID Connect provider.
func TestSTS_boto3(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	cmd := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), "sts_test.py")
	cmd.Env = append(os.Environ(), people(t, s)...)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "\nOK") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The AWS CLI calls the operations of STS.
func TestSTS_cli(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	env := map[string]string{}
	for _, e := range people(t, s) {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command("/usr/bin/aws", append([]string{"sts", "--endpoint-url", s.URL(""), "--output", "text"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+env["FLUORO_KEY"], "AWS_SECRET_ACCESS_KEY="+env["FLUORO_SECRET"], "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, k := range []struct{ args, want string }{
		{"get-caller-identity", "arn:aws:iam::000000000000:user/alice"},
		{"get-access-key-info --access-key-id " + env["FLUORO_KEY"], "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: sts:GetAccessKeyInfo"},
		{"assume-role --role-session-name s1 --role-arn arn:aws:iam::000000000000:role/reader", "arn:aws:sts::000000000000:assumed-role/reader/s1"},
		{"assume-role --role-session-name s1 --role-arn arn:aws:iam::000000000000:role/pod", "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/pod"},
		{"assume-role-with-web-identity --role-session-name s1 --role-arn arn:aws:iam::000000000000:role/pod --web-identity-token " + env["FLUORO_JWT"], "arn:aws:sts::000000000000:assumed-role/pod/s1"},
		{"get-caller-identity --no-sign-request", "MissingAuthenticationToken"},
	} {
		if out, _ := run(strings.Fields(k.args)...); !strings.Contains(out, k.want) {
			t.Errorf("aws sts %.60s: %s, want %s", k.args, out, k.want)
		}
	}
}
