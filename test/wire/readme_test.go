package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/test/harness"
)

// The commands of "On a network" in the README are run as they are written there, in an
// empty home directory. Only addresses and the names of the certificate's files differ.
func TestREADME_network(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(harness.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### On a network\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var commands [][]string
	for _, found := range regexp.MustCompile("`(fluoro [^`]*)`").FindAllStringSubmatch(section, -1) {
		commands = append(commands, strings.Fields(found[1])[1:])
	}
	if len(commands) != 3 || commands[2][0] != "serve" {
		t.Fatalf("the commands of the README: %q", commands)
	}
	home := t.TempDir()
	ca := harness.NewCA(t)
	pair := ca.Issue("127.0.0.1", time.Hour)
	at, otlp := harness.FreePort(t), harness.FreePort(t)
	given := strings.NewReplacer("DIR", filepath.Join(home, "data"), "cert.pem", pair.Cert, "key.pem", pair.Key, "0.0.0.0:2000", strings.Replace(at, "127.0.0.1", "0.0.0.0", 1), "0.0.0.0:4318", strings.Replace(otlp, "127.0.0.1", "0.0.0.0", 1))
	command := func(args []string, more ...string) *exec.Cmd {
		for i := range args {
			args[i] = given.Replace(args[i])
		}
		cmd := exec.Command(harness.Binary(t), append(args, more...)...)
		cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		return cmd
	}
	var key struct{ AccessKeyId, SecretAccessKey string }
	var token struct{ Token string }
	for i, v := range []any{&key, &token} {
		out, err := command(commands[i]).Output()
		if err != nil {
			t.Fatal(commands[i], err)
		}
		if err := json.Unmarshal(out, v); err != nil {
			t.Fatal(err, string(out))
		}
	}
	var log bytes.Buffer
	server := command(commands[2], "--udp", harness.FreePort(t), "--otlp-grpc", harness.FreePort(t))
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil || strings.Contains(log.String(), key.SecretAccessKey) || strings.Contains(log.String(), token.Token) {
			t.Errorf("%v\n%s", err, &log)
		}
	}()
	client := secureClient(t, &tls.Config{RootCAs: ca.Pool, MinVersion: tls.VersionTLS12})
	harness.Eventually(t, "the server answers over TLS", func() bool {
		res, err := client.Get("https://" + at + "/readyz")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	x := xray.New(xray.Options{Region: "us-east-1", BaseEndpoint: aws.String("https://" + at), HTTPClient: client, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyId, key.SecretAccessKey, "")})
	now := time.Now().Unix()
	document := fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"00000000000000aa","name":"shop","start_time":%d,"end_time":%d}`, now, 1, now-1, now)
	if out, err := x.PutTraceSegments(context.Background(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{document}}); err != nil || len(out.UnprocessedTraceSegments) > 0 {
		t.Errorf("the application's key: %v %v", err, out)
	}
	if _, err := x.GetTraceSummaries(context.Background(), &xray.GetTraceSummariesInput{StartTime: aws.Time(time.Unix(now-60, 0)), EndTime: aws.Time(time.Unix(now, 0))}); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
		t.Errorf("the application reads: %v", err)
	}
	for authorization, want := range map[string]int{"Bearer " + token.Token: 200, "Bearer fluoro_x": 401, "": 401} {
		r, err := http.NewRequest("POST", "https://"+otlp+"/v1/traces", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != want {
			t.Errorf("OTLP with %.12q: %d, want %d", authorization, res.StatusCode, want)
		}
	}
}

// The guide's policies are valid, decide as it says, and the tests it names exist.
func TestSecurityGuide(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "guides", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sets []*policy.Set
	for _, found := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		d, err := policy.Parse(found[1])
		if err != nil {
			t.Fatalf("%v: %s", err, found[1])
		}
		sets = append(sets, &policy.Set{Identity: []policy.Policy{{Name: "p", Document: d}}})
	}
	const groups = "arn:aws:xray:us-east-1:111122223333:group/"
	for _, c := range []struct {
		set              int
		action, resource string
		source           string
		allowed          bool
	}{
		{0, "xray:PutSpans", "*", "", true}, {0, "xray:GetSamplingRules", "*", "", false}, {0, "xray:BatchGetTraces", "*", "", false},
		{1, "xray:CreateGroup", groups + "shop-web/*", "", true}, {1, "xray:CreateGroup", groups + "other/*", "", false}, {1, "xray:GetTraceSummaries", "*", "", false}, {1, "xray:GetGroups", "*", "", true},
		{3, "xray:GetTraceSummaries", "*", "10.20.1.1", true}, {3, "xray:GetTraceSummaries", "*", "192.0.2.1", false}, {3, "xray:PutTraceSegments", "*", "10.20.1.1", false},
	} {
		r := &policy.Request{Principal: policy.Principal{Kind: policy.PrincipalUser, ARN: "arn:aws:iam::111122223333:user/x", Account: "111122223333"}, Action: c.action, Resource: c.resource, ResourceAccount: "111122223333", Keys: policy.Context{"aws:sourceip": policy.Single(c.source)}}
		if d := sets[c.set].Decide(r); d.Allowed != c.allowed {
			t.Errorf("policy %d: %s on %s from %q: %v", c.set+1, c.action, c.resource, c.source, d.Allowed)
		}
	}
	var all bytes.Buffer
	for _, pattern := range []string{"internal/*/*_test.go", "internal/*/*/*_test.go", "test/*/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(harness.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
	}
	for _, found := range regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(text), -1) {
		if !bytes.Contains(all.Bytes(), []byte("func "+found[1]+"(")) {
			t.Errorf("there is no test %s", found[1])
		}
	}
}
