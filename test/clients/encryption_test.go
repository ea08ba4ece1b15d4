package clients_test

import (
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// The stock AWS CLI switches the encryption of an account to a key of a KMS and back.
func TestAWSCLI_encryption(t *testing.T) {
	kms := harness.StartKMS(t)
	key := kms.Key("alias/traces")
	s := harness.Start(t, "--encryption", "local", "--kms-endpoint", kms.URL())
	var answer struct {
		EncryptionConfig struct{ KeyId, Status, Type string }
	}
	for _, c := range []struct{ kind, key string }{{"KMS", "alias/traces"}, {"KMS", key}, {"NONE", ""}} {
		args := []string{"put-encryption-config", "--type", c.kind}
		if c.key != "" {
			args = append(args, "--key-id", c.key)
		}
		if failure := cli(t, s, &answer, args...); failure != "" || answer.EncryptionConfig.Status != "UPDATING" {
			t.Fatalf("%v: %+v %s", args, answer, failure)
		}
		harness.Eventually(t, "the switch is complete", func() bool {
			answer.EncryptionConfig.KeyId = ""
			failure := cli(t, s, &answer, "get-encryption-config")
			return failure == "" && answer.EncryptionConfig.Status == "ACTIVE"
		})
		if got := answer.EncryptionConfig; got.Type != c.kind || got.KeyId != c.key {
			t.Errorf("get-encryption-config: %+v, want %+v", got, c)
		}
	}
	kms.Enable(key, false)
	if failure := cli(t, s, nil, "put-encryption-config", "--type", "KMS", "--key-id", key); !strings.Contains(failure, "InvalidRequestException") || !strings.Contains(failure, "is disabled") {
		t.Errorf("a disabled key: %s", failure)
	}
	if failure := cli(t, s, nil, "put-encryption-config", "--type", "KMS", "--key-id", "alias/none"); !strings.Contains(failure, "InvalidRequestException") {
		t.Errorf("an unknown key: %s", failure)
	}
}
