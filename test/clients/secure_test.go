package clients_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/fluoro-io/fluoro/test/harness"
)

// TestSecure runs the official clients against one server that has everything on: required
// credentials, TLS with its own certificate, encryption at rest and the audit log.
func TestSecure(t *testing.T) {
	s := harness.Start(t, "--auth", "required", "--tls", "self-signed", "--encryption", "local", "--audit", "on")
	ca := filepath.Join(s.Data, "self-signed.pem")
	endpoint := "https://" + s.HTTP
	keys := map[string][2]string{}
	for role, policy := range map[string]string{"administrator": "FluoroAdministrator", "viewer": "AWSXrayReadOnlyAccess", "writer": "AWSXRayDaemonWriteAccess"} {
		out, err := exec.Command(harness.Binary(t), "keys", "create", "--user", role, "--policy", policy, "--encryption", "local", "--data", s.Data, "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var k struct{ AccessKeyId, SecretAccessKey string }
		if err := json.Unmarshal(out, &k); err != nil {
			t.Fatal(err)
		}
		keys[role] = [2]string{k.AccessKeyId, k.SecretAccessKey}
	}
	t.Run("boto3 and the calls of Terraform", func(t *testing.T) {
		text, _ := json.Marshal(keys)
		cmd := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), "secure_test.py")
		cmd.Env = append(os.Environ(), "FLUORO_ENDPOINT="+endpoint, "FLUORO_CA="+ca, "FLUORO_KEYS="+string(text), "AWS_EC2_METADATA_DISABLED=true")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "\nOK") || strings.Contains(string(out), "Ran 0 tests") {
			t.Fatalf("%v\n%s", err, out)
		}
	})
	t.Run("AWS CLI", func(t *testing.T) {
		for role, want := range map[string]string{"viewer": `"GroupName": "Default"`, "writer": "(AccessDeniedException)"} {
			cmd := exec.Command("/usr/bin/aws", "xray", "get-groups", "--endpoint-url", endpoint, "--output", "json")
			cmd.Env = append(os.Environ(), "AWS_CA_BUNDLE="+ca, "AWS_ACCESS_KEY_ID="+keys[role][0], "AWS_SECRET_ACCESS_KEY="+keys[role][1], "AWS_SESSION_TOKEN=", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
			if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
				t.Errorf("%s: %s", role, out)
			}
		}
	})
	t.Run("aws-sdk-go-v2", func(t *testing.T) { secureSDK(t, endpoint, ca, keys) })
	if out, err := exec.Command(harness.Binary(t), "audit", "verify", "--data", s.Data).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v %s", err, out)
	}
	err := filepath.WalkDir(s.Data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, k := range keys {
			if strings.Contains(string(b), k[1]) || strings.Contains(string(b), "planted-secret") {
				t.Errorf("%s contains a secret in the clear", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// secureSDK writes as one role and reads as another with the Go SDK.
func secureSDK(t *testing.T, endpoint, ca string, keys map[string][2]string) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := func(role string) *xray.Client {
		return xray.New(xray.Options{Region: "us-east-1", BaseEndpoint: aws.String(endpoint), RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(keys[role][0], keys[role][1], ""),
			HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}})
	}
	now := time.Now()
	id := fmt.Sprintf("1-%08x-%024x", now.Unix(), 0x60)
	document := fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000ac","name":"go","start_time":%d,"end_time":%d,"annotations":{"plain":"planted-secret"}}`, id, now.Unix()-1, now.Unix())
	put := &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{document}}
	if out, err := client("writer").PutTraceSegments(context.Background(), put); err != nil || len(out.UnprocessedTraceSegments) > 0 {
		t.Fatal(err, out)
	}
	if _, err := client("viewer").PutTraceSegments(context.Background(), put); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
		t.Errorf("the viewer writes: %v", err)
	}
	out, err := client("viewer").BatchGetTraces(context.Background(), &xray.BatchGetTracesInput{TraceIds: []string{id}})
	if err != nil || len(out.Traces) != 1 || !strings.Contains(*out.Traces[0].Segments[0].Document, "planted-secret") {
		t.Errorf("the viewer reads: %v %v", err, out)
	}
}
