package kms_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/seal/kms"
	"github.com/fluoro-io/fluoro/test/harness"
)

func service(t testing.TB, o kms.Options) *kms.Service {
	t.Helper()
	o.Region = "us-east-1"
	s, err := kms.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every operation against a real server: data keys come back only with the same key and
// the same encryption context.
func TestService(t *testing.T) {
	k := harness.StartKMS(t)
	first, second := k.Key("alias/first"), k.Key("")
	s := service(t, kms.Options{Endpoint: k.URL()})
	ctx, with := t.Context(), map[string]string{"fluoro:account": "111111111111"}
	for _, name := range []string{first, "alias/first", first[strings.LastIndex(first, "/")+1:], strings.Replace(first, "key/"+first[strings.LastIndex(first, "/")+1:], "alias/first", 1)} {
		if arn, err := s.Describe(ctx, name); err != nil || arn != first {
			t.Errorf("%s: %q, %v", name, arn, err)
		}
	}
	plain, wrapped, err := s.Generate(ctx, first, with)
	if err != nil || len(plain) != seal.KeyBytes || bytes.Contains(wrapped, plain) {
		t.Fatalf("%d bytes, %v", len(plain), err)
	}
	if got, err := s.Decrypt(ctx, first, with, wrapped); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Decrypt: %v", err)
	}
	moved, err := s.ReEncrypt(ctx, first, second, with, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Decrypt(ctx, second, with, moved); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Decrypt after ReEncrypt: %v", err)
	}
	again, err := s.Encrypt(ctx, second, with, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Decrypt(ctx, second, with, again); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Decrypt after Encrypt: %v", err)
	}
	for name, f := range map[string]func() error{
		"another context": func() error {
			_, err := s.Decrypt(ctx, first, map[string]string{"fluoro:account": "222222222222"}, wrapped)
			return err
		},
		"no context":     func() error { _, err := s.Decrypt(ctx, first, nil, wrapped); return err },
		"another key":    func() error { _, err := s.Decrypt(ctx, second, with, wrapped); return err },
		"damaged":        func() error { _, err := s.Decrypt(ctx, first, with, wrapped[:len(wrapped)-1]); return err },
		"unknown key":    func() error { _, err := s.Describe(ctx, "alias/none"); return err },
		"asymmetric key": func() error { _, err := s.Describe(ctx, asymmetric(k)); return err },
		"disabled key": func() error {
			k.Enable(second, false)
			defer k.Enable(second, true)
			if _, err := s.Describe(ctx, second); err == nil {
				t.Error("a disabled key is described as usable")
			}
			_, err := s.Decrypt(ctx, second, with, moved)
			return err
		},
		"key to be deleted": func() error {
			third := k.Key("")
			k.Call("ScheduleKeyDeletion", map[string]any{"KeyId": third, "PendingWindowInDays": 7})
			_, err := s.Describe(ctx, third)
			return err
		},
	} {
		err := f()
		if _, refused := errors.AsType[*seal.RefusedError](err); !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	k.Stop()
	began := time.Now()
	_, err = s.Describe(ctx, first)
	if _, refused := errors.AsType[*seal.RefusedError](err); err == nil || refused || time.Since(began) > 5*time.Second {
		t.Errorf("an outage: %v after %v", err, time.Since(began))
	}
}

func asymmetric(k *harness.KMS) string {
	meta, _ := k.Call("CreateKey", map[string]any{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})["KeyMetadata"].(map[string]any)
	arn, _ := meta["Arn"].(string)
	return arn
}

// A server with a certificate of an own authority is trusted only with that authority's
// bundle.
func TestService_ownAuthority(t *testing.T) {
	k := harness.StartKMS(t)
	key := k.Key("")
	to, err := url.Parse(k.URL())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(to))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	front.StartTLS()
	defer front.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if arn, err := service(t, kms.Options{Endpoint: front.URL, CA: bundle}).Describe(t.Context(), key); err != nil || arn != key {
		t.Errorf("with the bundle: %q, %v", arn, err)
	}
	if _, err := service(t, kms.Options{Endpoint: front.URL}).Describe(t.Context(), key); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the bundle: %v", err)
	}
}

func TestNew_refusesBadOptions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]kms.Options{
		"no endpoint":            {Endpoint: "kms.example.com"},
		"\"ftp://x\"":            {Endpoint: "ftp://x"},
		"not encrypted":          {Endpoint: "http://10.0.0.1:8080"},
		"no such file":           {Endpoint: kms.AWS, CA: empty + "x"},
		"no PEM certificate":     {Endpoint: kms.AWS, CA: empty},
		"both a certificate":     {Endpoint: kms.AWS, Cert: empty},
		"failed to find any PEM": {Endpoint: kms.AWS, Cert: empty, Key: empty},
		"\"https://u:xxxxx@x\"":  {Endpoint: "https://u:p@x"},
	} {
		if _, err := kms.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	for _, o := range []kms.Options{{Endpoint: "http://10.0.0.1:8080", Plain: true}, {Endpoint: "http://[::1]:8080"}, {Endpoint: "http://localhost:8080"}, {Endpoint: "https://kms.example.com"}, {Endpoint: kms.AWS}} {
		if _, err := kms.New(t.Context(), o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
