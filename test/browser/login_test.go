package browser_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

var setupToken = regexp.MustCompile(`/#/setup\?token=(\S+)`)

// TestLogin signs in with a setup link, a password, a passkey and an identity provider.
func TestLogin(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser: %v (scripts/install-test-tools.sh installs it)", err)
	}
	s := harness.Start(t, "--auth", "required")
	harness.Eventually(t, "the setup link is printed", func() bool { return setupToken.MatchString(s.Log()) })
	provider := harness.Issuer(t)
	sso := harness.Start(t, "--auth", "required", "--oidc-issuer", provider, "--oidc-client-id", "fluoro", "--oidc-roles", "sub:*=FluoroViewer")
	local := func(s *harness.Server) string { return strings.Replace(s.URL(""), "127.0.0.1", "localhost", 1) }
	out, err := exec.Command("node", "login.mjs", local(s), setupToken.FindStringSubmatch(s.Log())[1], browser, local(sso)).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
