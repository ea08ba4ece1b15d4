package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// KMS is a running local-kms: a server with the API of AWS KMS, of other authors.
type KMS struct {
	Address string // host:port
	t       testing.TB
	dir     string
	cmd     *exec.Cmd
	log     *buffer
}

// StartKMS runs a KMS without keys, and gives the process credentials for it. It stops
// when the test ends.
func StartKMS(t testing.TB) *KMS {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	k := &KMS{Address: FreePort(t), t: t, dir: t.TempDir()}
	k.Start()
	t.Cleanup(k.Stop)
	return k
}

// URL returns the endpoint.
func (k *KMS) URL() string { return "http://" + k.Address }

// Start runs the KMS again, with the keys it had.
func (k *KMS) Start() {
	k.t.Helper()
	tool := filepath.Join(Root(), ".cache", "bin", "local-kms")
	if _, err := os.Stat(tool); err != nil {
		k.t.Fatalf("run scripts/install-test-tools.sh: %v", err)
	}
	k.log = &buffer{}
	k.cmd = exec.Command(tool)
	_, port, _ := strings.Cut(k.Address, ":")
	k.cmd.Env = append(os.Environ(), "PORT="+port, "KMS_ACCOUNT_ID=000000000000", "KMS_REGION=us-east-1", "KMS_DATA_PATH="+k.dir, "KMS_SEED_PATH="+filepath.Join(k.dir, "none"))
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	Eventually(k.t, "the KMS answers", func() bool {
		_, _, err := k.call("ListKeys", map[string]any{})
		return err == nil
	})
}

// Stop ends the KMS: an outage.
func (k *KMS) Stop() {
	if k.cmd != nil {
		_ = k.cmd.Process.Kill()
		_ = k.cmd.Wait()
		k.cmd = nil
	}
}

// Log returns the output of the KMS.
func (k *KMS) Log() string { return k.log.String() }

func (k *KMS) call(operation string, body map[string]any) (int, []byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequest(http.MethodPost, k.URL()+"/", bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService."+operation)
	client := &http.Client{Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// Call calls an operation of the KMS, which must succeed.
func (k *KMS) Call(operation string, body map[string]any) map[string]any {
	k.t.Helper()
	status, b, err := k.call(operation, body)
	if err != nil || status != http.StatusOK {
		k.t.Fatalf("KMS %s: status %d, %v: %s", operation, status, err, b)
	}
	out := map[string]any{}
	if len(bytes.TrimSpace(b)) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			k.t.Fatalf("KMS %s: %v: %s", operation, err, b)
		}
	}
	return out
}

// Key makes a key for encryption and returns its ARN. alias, such as "alias/traces", may
// be "".
func (k *KMS) Key(alias string) string {
	k.t.Helper()
	meta, _ := k.Call("CreateKey", map[string]any{})["KeyMetadata"].(map[string]any)
	arn := fmt.Sprint(meta["Arn"])
	if alias != "" {
		k.Call("CreateAlias", map[string]any{"AliasName": alias, "TargetKeyId": arn})
	}
	return arn
}

// Enable enables or disables a key.
func (k *KMS) Enable(arn string, on bool) {
	k.t.Helper()
	operation := "DisableKey"
	if on {
		operation = "EnableKey"
	}
	k.Call(operation, map[string]any{"KeyId": arn})
}
