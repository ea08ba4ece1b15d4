package internal_test

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// policy lists the packages of this module that each package may import, one line each.
// A package without a line fails the test, so that a new package needs a line, and a
// new direction a reason. Tests may import anything.
const policy = `
trace            :
jsonscan         :
slab             : trace
lru              :
vfs              :
wal              : trace vfs
sight            :
seal             : trace vfs
seal/kms         : seal
identity         : trace sight
audit            : trace identity seal vfs
audit/ship       : audit
iam              : trace identity meta seal lru policy access
authn            : trace identity lru
transport        : seal
finding          : trace meta sight
quota            : trace meta
room             : trace
filter           : trace
decode           : trace jsonscan slab decode/otlp
decode/otlp      : trace jsonscan slab
decode/pieces    : decode/otlp
render           : trace jsonscan decode decode/otlp
assemble         : trace jsonscan filter slab
wire             : trace
meta             : trace
meta/metatest    : trace meta
meta/sqlite      : trace meta seal
tag              : trace meta
group            : trace meta filter tag
oam              : trace meta policy
policy           : jsonscan sight
policy/resource  : trace meta jsonscan policy
login            : trace identity meta iam lru
present/signin   : trace identity iam login present/manage
access           : trace identity sight policy lru
setting          : trace meta
sample           : trace meta tag
store            : trace filter assemble
store/facts      : trace filter assemble
store/answer     : trace sight filter assemble decode decode/otlp render lru store store/facts
store/memory     : trace assemble store store/facts
store/storetest  : trace sight filter store store/answer decode decode/otlp render assemble
store/storetest/remote: trace store store/memory
store/local      : trace seal jsonscan slab filter assemble store store/facts wal store/local/block lru store/local/rollup vfs
store/local/block: trace filter decode/pieces store/local/columnar lru vfs
store/local/columnar:
store/local/rollup: trace assemble lru vfs
lru  :
hold             : trace meta filter seal store store/answer
erase            : trace meta filter seal audit store store/answer
compliance       : audit
query            : trace identity sight room jsonscan filter store store/answer assemble render
query/analytics  : trace jsonscan filter store store/answer assemble
receive          : trace identity room decode decode/otlp
present/api      : trace identity audit jsonscan wire query decode filter sample assemble group tag policy/resource setting
present/manage   : trace identity audit
scrub            : trace jsonscan decode/otlp meta
scrub/retro      : trace meta scrub store/answer
present/admin    : trace identity jsonscan iam present/manage
present/sts      : trace identity audit iam authn
present/console  : trace identity audit room query/analytics query
backup           :
demo             :
config           :
server           : trace identity sight authn transport config decode decode/otlp store store/answer store/local receive query query/analytics wire present/api present/console sample backup meta meta/sqlite group tag policy policy/resource access setting quota present/manage room finding present/admin present/sts present/signin iam login seal seal/kms filter audit audit/ship hold erase compliance scrub scrub/retro oam
`

// owners names the only package that may import each third-party library.
const owners = `
go.opentelemetry.io/proto/otlp : receive demo
google.golang.org/grpc         : receive demo
github.com/prometheus          : receive server store/local
go.yaml.in/yaml                : config
github.com/spf13/pflag         : config
github.com/parquet-go          : store/local/columnar
github.com/rs/cors             : server
github.com/klauspost/compress  : receive store/local wal store/local/block store/local/columnar store/local/rollup present/console
github.com/DataDog/sketches-go : query/analytics
modernc.org/sqlite             : demo meta/sqlite
github.com/aws   : demo seal/kms audit/ship
github.com/coreos/go-oidc: iam login
golang.org/x/crypto/acme: transport
golang.org/x/oauth2: login
github.com/go-webauthn: login
golang.org/x/crypto/argon2: login
`

const module = "github.com/fluoro-io/fluoro/"

// parse reads lines of "name : word word".
func parse(text string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(text) {
		if name, words, ok := strings.Cut(line, ":"); ok {
			out[strings.TrimSpace(name)] = strings.Fields(words)
		}
	}
	return out
}

func TestImports_followThePolicy(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed, owned := parse(policy), parse(owners)
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		imports := strings.Fields(lines.Text())
		name := strings.TrimPrefix(imports[0], module+"internal/")
		if name == strings.TrimSuffix(module, "/")+"/internal" {
			continue
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s has no line in the policy", name)
		}
		for _, path := range imports[1:] {
			if own, ok := strings.CutPrefix(path, module+"internal/"); ok && !slices.Contains(may, own) {
				t.Errorf("%s must not import %s", name, own)
			}
			for library, users := range owned {
				if strings.HasPrefix(path, library) && !slices.Contains(users, name) {
					t.Errorf("%s must not import %s: it belongs to %v", name, path, users)
				}
			}
		}
	}
}
