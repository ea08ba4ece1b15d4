// Package kms wraps data keys with a key management service that has the API of AWS KMS.
package kms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/fluoro-io/fluoro/internal/seal"
)

const (
	// AWS as an endpoint means the one of AWS itself.
	AWS = "aws"
	// answerTime limits one request. seal limits a call with its second attempt.
	answerTime = 2 * time.Second
	attempts   = 2
)

// Options describe a service. Credentials come from where AWS's SDKs look for them:
// environment variables, files, a web identity, the container or the machine.
type Options struct {
	Endpoint string // URL, or AWS
	Region   string
	// CA is a PEM file with certificates to trust instead of the system's; "" for those.
	CA string
	// Cert and Key are PEM files with a certificate to show to the service; "" for none.
	// They are read for each connection.
	Cert, Key string
	// Plain allows an endpoint with http:// on another machine.
	Plain bool
}

// Service is a seal.KMS.
type Service struct{ client *kms.Client }

var _ seal.KMS = (*Service)(nil)

// New makes a Service. It does not connect: errors are about the options.
func New(ctx context.Context, o Options) (*Service, error) {
	if err := checkEndpoint(o); err != nil {
		return nil, err
	}
	secure, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	client := awshttp.NewBuildableClient().WithTimeout(answerTime).WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = secure
		t.MaxConnsPerHost = 16
	}).WithDialerOptions(func(d *net.Dialer) { d.Timeout = answerTime })
	// The SDK reads files and variables here, and connects to nothing.
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(o.Region), config.WithHTTPClient(client), config.WithRetryMaxAttempts(attempts))
	if err != nil {
		return nil, fmt.Errorf("credentials for the KMS: %w", err)
	}
	return &Service{kms.NewFromConfig(c, func(k *kms.Options) {
		if o.Endpoint != AWS {
			k.BaseEndpoint = aws.String(o.Endpoint)
		}
	})}, nil
}

// checkEndpoint refuses URLs that would send data keys over a network in the clear.
func checkEndpoint(o Options) error {
	if o.Endpoint == AWS {
		return nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		shown := o.Endpoint
		if u != nil {
			shown = u.Redacted()
		}
		return fmt.Errorf("%q is no endpoint of a KMS: want a URL such as https://kms.example.com, or %s", shown, AWS)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) && !o.Plain {
		return fmt.Errorf("endpoint %s of the KMS is not encrypted: data keys would cross the network in the clear; use https, or --insecure", o.Endpoint)
	}
	return nil
}

func tlsConfig(o Options) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("CA bundle for the KMS: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("CA bundle for the KMS: %s holds no PEM certificate", o.CA)
		}
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, errors.New("a client certificate for the KMS needs both a certificate and a key")
	}
	if o.Cert == "" {
		return c, nil
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate for the KMS: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	c.GetClientCertificate = load
	return c, nil
}

// refusals are the errors about a key, which trying again does not change (AWS KMS API
// reference). Others, such as throttling, may pass.
var refusals = []string{
	"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidCiphertextException", "IncorrectKeyException", "InvalidKeyUsageException",
	"AccessDeniedException", "InvalidGrantTokenException", "InvalidArnException", "ValidationException", "UnsupportedOperationException", "InvalidAliasNameException",
}

// explain turns errors of the SDK into those of seal.KMS.
func explain(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[smithy.APIError](err)
	switch {
	case ok && slices.Contains(refusals, e.ErrorCode()):
		return &seal.RefusedError{Code: e.ErrorCode(), Message: e.ErrorMessage()}
	case ok:
		return fmt.Errorf("%s: %s", e.ErrorCode(), e.ErrorMessage())
	}
	// The SDK's own texts list all attempts: the innermost cause says enough.
	if cause, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("no answer: %w", cause)
	}
	return fmt.Errorf("no answer: %w", err)
}

// Describe implements seal.KMS.
func (s *Service) Describe(ctx context.Context, key string) (string, error) {
	out, err := s.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	if err != nil {
		return "", explain(err)
	}
	m := out.KeyMetadata
	if m == nil || aws.ToString(m.Arn) == "" {
		return "", errors.New("the answer to DescribeKey has no ARN")
	}
	arn, spec := *m.Arn, m.KeySpec
	if spec == "" { // of services with an older form of the API
		//lint:ignore SA1019 they have only this member
		spec = types.KeySpec(m.CustomerMasterKeySpec)
	}
	switch {
	case m.KeyState == types.KeyStateDisabled || m.KeyState == "" && !m.Enabled:
		return "", &seal.RefusedError{Code: "DisabledException", Message: arn + " is disabled."}
	case m.KeyState != types.KeyStateEnabled && m.KeyState != types.KeyStateUpdating && m.KeyState != "":
		return "", &seal.RefusedError{Code: "KMSInvalidStateException", Message: fmt.Sprintf("%s is in the state %s.", arn, m.KeyState)}
	case m.KeyUsage != types.KeyUsageTypeEncryptDecrypt || spec != types.KeySpecSymmetricDefault:
		return "", &seal.RefusedError{Code: "InvalidKeyUsageException", Message: fmt.Sprintf("%s is a key of the kind %s for %s: a symmetric key for encryption is needed.", arn, spec, m.KeyUsage)}
	}
	return arn, nil
}

// Generate implements seal.KMS.
func (s *Service) Generate(ctx context.Context, arn string, with map[string]string) (plain, wrapped []byte, err error) {
	out, err := s.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: with})
	if err != nil {
		return nil, nil, explain(err)
	}
	return out.Plaintext, out.CiphertextBlob, nil
}

// Encrypt implements seal.KMS.
func (s *Service) Encrypt(ctx context.Context, arn string, with map[string]string, plain []byte) ([]byte, error) {
	out, err := s.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &arn, Plaintext: plain, EncryptionContext: with})
	if err != nil {
		return nil, explain(err)
	}
	return out.CiphertextBlob, nil
}

// Decrypt implements seal.KMS.
func (s *Service) Decrypt(ctx context.Context, arn string, with map[string]string, wrapped []byte) ([]byte, error) {
	out, err := s.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &arn, CiphertextBlob: wrapped, EncryptionContext: with})
	if err != nil {
		return nil, explain(err)
	}
	return out.Plaintext, nil
}

// ReEncrypt implements seal.KMS.
func (s *Service) ReEncrypt(ctx context.Context, from, to string, with map[string]string, wrapped []byte) ([]byte, error) {
	out, err := s.client.ReEncrypt(ctx, &kms.ReEncryptInput{
		SourceKeyId: &from, DestinationKeyId: &to, CiphertextBlob: wrapped, SourceEncryptionContext: with, DestinationEncryptionContext: with,
	})
	if err != nil {
		return nil, explain(err)
	}
	return out.CiphertextBlob, nil
}
