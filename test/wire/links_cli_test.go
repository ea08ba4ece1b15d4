package wire_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// The command line makes a sink, says who may link, and refuses wrong links with the
// reason.
func TestLinks_fromTheCommandLine(t *testing.T) {
	s := harness.Start(t)
	links := func(args ...string) (string, int) {
		return fluoro(t, append([]string{"links", "--data", s.Data}, args...)...)
	}
	sink, code := links("sink", "central")
	if sink = strings.TrimSpace(sink); code != 0 || !strings.HasPrefix(sink, "arn:aws:oam:us-east-1:000000000000:sink/") {
		t.Fatalf("%d: %s", code, sink)
	}
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"oam:CreateLink","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
		ok   bool
	}{
		{[]string{"sink", "second"}, "has a sink in us-east-1 already", false},
		{[]string{"allow", sink, "--accounts", "222233334444,333344445555"}, `"222233334444"`, true},
		{[]string{"allow", sink, "--accounts", "me"}, "Policy: ", false},
		{[]string{"allow", sink, "--policy", policy}, "\"tomorrow\" is no date", false},
		{[]string{"allow", sink}, "give either --accounts or --policy", false},
		{[]string{"attached", sink}, "LINK", true},
		{[]string{"list", "--json"}, "[]", true},
		{[]string{"create", sink, "--account", "444455556666"}, "does not allow account 444455556666 to link", false},
		{[]string{"create", sink, "--account", "222233334444"}, "arn:aws:oam:us-east-1:222233334444:link/", true},
		{[]string{"create", sink, "--account", "222233334444"}, "is linked to this sink already", false},
		{[]string{"list", "--account", "222233334444"}, sink, true},
		{[]string{"attached", sink}, ":222233334444:link/", true},
		{[]string{"delete", sink}, "the sink has 1 links", false},
		{[]string{"create", sink}, "an account cannot link to its own sink", false},
		{[]string{"create", strings.Replace(sink, "us-east-1", "eu-west-1", 1)}, "must be in one region", false},
		{[]string{"create", strings.Replace(sink, "000000000000", "999999999999", 1)}, "does not allow account 000000000000 to link", false},
		{[]string{"delete", "arn:aws:oam:us-east-1:000000000000:link/x"}, "there is no link", false},
	} {
		out, code := links(c.args...)
		if (code == 0) != c.ok || !strings.Contains(out, c.want) {
			t.Errorf("%v: %d, %s", c.args, code, out)
		}
	}
	s.Stop() // the commands work without a server, too
	list, _ := links("list", "--account", "222233334444", "--json")
	link := regexp.MustCompile(`arn:aws:oam:us-east-1:222233334444:link/[0-9a-f-]+`).FindString(list)
	if out, code := links("delete", link, "--account", "222233334444"); code != 0 || link == "" {
		t.Errorf("delete %s: %s", link, out)
	}
	if out, code := links("delete", sink); code != 0 {
		t.Errorf("delete the sink: %s", out)
	}
	if out, code := links("attached", sink); code == 0 || !strings.Contains(out, "there is no sink") {
		t.Errorf("after its deletion: %s", out)
	}
}
