package clients_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/fluoro-io/fluoro/test/harness/inside"
)

const (
	goodKey = "AKIAGOODGOODGOODGOOD"
	secret  = "good/secret+of/forty/characters/EXAMPLEKEY"
)

// startRequired runs a server that requires credentials.
func startRequired(t *testing.T) *inside.Server {
	home := trace.Owner{Account: "000000000000", Region: "us-east-1"}
	return inside.Start(t, []string{"--auth", "required"}, server.WithCredentials(&inside.Directory{Keys: map[string]inside.Key{
		goodKey:                {Secret: secret, Owner: home},
		"AKIADISABLEDDISABLED": {Secret: secret, Disabled: true, Owner: home},
		"ASIASESSIONSESSIONSE": {Secret: secret, Token: "session-token", Owner: home},
		"ASIAEXPIREDEXPIREDEX": {Secret: secret, Token: "session-token", Expired: true, Owner: home},
	}}))
}

func TestBoto3_credentials(t *testing.T) {
	s := startRequired(t)
	cmd := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), "credentials_test.py")
	cmd.Env = append(os.Environ(), "FLUORO_ENDPOINT=http://"+s.HTTP, "FLUORO_SECRET="+secret, "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nOK") || strings.Contains(string(out), "Ran 0 tests") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The AWS CLI signs by itself, with the credentials of its environment.
func TestAWSCLI_credentials(t *testing.T) {
	s := startRequired(t)
	for _, c := range []struct {
		name, key, secret, token, region string
		args                             []string
		want                             string
	}{
		{"good", goodKey, secret, "", "us-east-1", nil, ""},
		{"temporary", "ASIASESSIONSESSIONSE", secret, "session-token", "us-east-1", nil, ""},
		{"wrong secret", goodKey, "wrong", "", "us-east-1", nil, "(InvalidSignatureException) when calling the GetGroups operation (reached max retries: 0): The request signature we calculated does not match"},
		{"unknown key", "AKIANOBODYNOBODYNOBO", secret, "", "us-east-1", nil, "(UnrecognizedClientException) when calling the GetGroups operation (reached max retries: 0): The security token included in the request is invalid."},
		{"disabled key", "AKIADISABLEDDISABLED", secret, "", "us-east-1", nil, "(UnrecognizedClientException)"},
		{"expired", "ASIAEXPIREDEXPIREDEX", secret, "session-token", "us-east-1", nil, "(ExpiredTokenException) when calling the GetGroups operation (reached max retries: 0): The security token included in the request is expired"},
		{"another region", goodKey, secret, "", "eu-west-3", nil, "(InvalidSignatureException) when calling the GetGroups operation (reached max retries: 0): Credential should be scoped to a valid region, not 'eu-west-3'."},
		{"unsigned", goodKey, secret, "", "us-east-1", []string{"--no-sign-request"}, "(MissingAuthenticationTokenException) when calling the GetGroups operation (reached max retries: 0): Missing Authentication Token"},
	} {
		cmd := exec.Command("/usr/bin/aws", append([]string{"xray", "get-groups", "--endpoint-url", "http://" + s.HTTP}, c.args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+c.key, "AWS_SECRET_ACCESS_KEY="+c.secret, "AWS_SESSION_TOKEN="+c.token, "AWS_DEFAULT_REGION="+c.region, "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true")
		out, err := cmd.CombinedOutput()
		if (err == nil) != (c.want == "") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v %s, want %q", c.name, err, out, c.want)
		}
	}
}
