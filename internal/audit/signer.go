package audit

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fluoro-io/fluoro/internal/seal"
)

// keyBits is the size of the signing key.
const keyBits = 2048

// Algorithm names the signatures as CloudTrail digests do: RSA PKCS #1 v1.5 with SHA-256.
const Algorithm = "SHA256withRSA"

// Signer signs digests and reports. Many goroutines may use it.
type Signer struct {
	key *rsa.PrivateKey
}

// NewSigner makes a signer with a new key, which is kept nowhere.
func NewSigner() (*Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	return &Signer{key}, err
}

// sealedKey is the file of a signing key while encryption is on.
type sealedKey struct {
	Key    uint32 `json:"key"`
	Salt   []byte `json:"salt"`
	Sealed []byte `json:"sealed"` // PKCS #8
}

const signerPurpose = "audit signing key 1"

// OpenSigner reads the signing key of an audit directory, and makes one if there is none.
// The file is sealed under the data keys of the system while encryption is on; else only
// the owner of the file may read it. Beside it stands the public key, for [Verify].
func OpenSigner(ctx context.Context, dir string, keys seal.Keys) (*Signer, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, keyName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		s, err := NewSigner()
		if err != nil {
			return nil, err
		}
		return s, s.save(ctx, dir, keys)
	}
	if err != nil {
		return nil, err
	}
	der, wasSealed, err := unsealKey(ctx, text, keys)
	if err != nil {
		return nil, fmt.Errorf("the signing key %s: %w", name, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("the signing key %s: %w", name, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the signing key %s is no RSA key", name)
	}
	s := &Signer{key}
	newest, err := keys.Newest(ctx, seal.System)
	if err != nil {
		return nil, err
	}
	_, noPublic := os.Stat(filepath.Join(dir, PublicKeyName))
	if wasSealed != (newest != nil) || noPublic != nil {
		return s, s.save(ctx, dir, keys) // encryption was switched on or off
	}
	return s, nil
}

// unsealKey returns the PKCS #8 form of a stored key.
func unsealKey(ctx context.Context, text []byte, keys seal.Keys) (der []byte, sealed bool, err error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == "PRIVATE KEY" {
		return block.Bytes, false, nil
	}
	var k sealedKey
	if err := strictly(text, &k); err != nil {
		return nil, false, errors.New("the file is neither PEM nor a sealed key")
	}
	key, err := keys.Find(ctx, seal.System, k.Key)
	if err != nil {
		return nil, true, err
	}
	aead, err := key.AEAD(signerPurpose, k.Salt)
	if err == nil {
		der, err = aead.Open(nil, nonce(0), k.Sealed, nil)
	}
	return der, true, err
}

// save writes the key, and beside it the public key.
func (s *Signer) save(ctx context.Context, dir string, keys seal.Keys) error {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return err
	}
	newest, err := keys.Newest(ctx, seal.System)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if newest != nil {
		k := sealedKey{Key: newest.ID(), Salt: make([]byte, 16)}
		_, _ = rand.Read(k.Salt)
		aead, err := newest.AEAD(signerPurpose, k.Salt)
		if err != nil {
			return err
		}
		k.Sealed = aead.Seal(nil, nonce(0), der, nil)
		if text, err = json.Marshal(k); err != nil {
			return err
		}
	}
	if err := writeOwn(filepath.Join(dir, keyName), text, 0o600); err != nil {
		return err
	}
	return writeOwn(filepath.Join(dir, PublicKeyName), s.PublicKey(), 0o640)
}

// writeOwn replaces a file with given rights.
func writeOwn(name string, text []byte, mode fs.FileMode) (err error) {
	temp := name + ".tmp"
	_ = os.Remove(temp) // of an earlier process: its rights may be others
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

// PublicKey returns the public key as PEM (PKIX, "PUBLIC KEY"), which openssl reads.
func (s *Signer) PublicKey() []byte {
	der, _ := x509.MarshalPKIXPublicKey(&s.key.PublicKey) // never fails for an RSA key
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Fingerprint names the public key as CloudTrail does: hex MD5 would be AWS's choice, which
// is not documented; it is the beginning of the SHA-256 of the PKCS #1 form.
func (s *Signer) Fingerprint() string { return fingerprint(&s.key.PublicKey) }

func fingerprint(key *rsa.PublicKey) string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(key))
	return hex.EncodeToString(sum[:16])
}

// Sign returns the signature of a text, as hex digits.
func (s *Signer) Sign(text []byte) (string, error) {
	sum := sha256.Sum256(text)
	b, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
	return hex.EncodeToString(b), err
}

// PublicKey verifies signatures.
type PublicKey struct{ key *rsa.PublicKey }

// ParsePublicKey reads a public key in PEM.
func ParsePublicKey(text []byte) (*PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("it is no public key in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < keyBits {
		return nil, fmt.Errorf("it is no RSA key of at least %d bits", keyBits)
	}
	return &PublicKey{key}, nil
}

// Fingerprint names the key.
func (k *PublicKey) Fingerprint() string { return fingerprint(k.key) }

// Verify checks the signature of a text.
func (k *PublicKey) Verify(text []byte, signature string) error {
	b, err := hex.DecodeString(signature)
	if err != nil || hex.EncodeToString(b) != signature { // one signature has one spelling
		return errors.New("the signature has digits that are not from 0 to f")
	}
	sum := sha256.Sum256(text)
	if rsa.VerifyPKCS1v15(k.key, crypto.SHA256, sum[:], b) != nil {
		return errors.New("the signature does not belong to this text and key")
	}
	return nil
}

// SignedText is a text with its signature.
type SignedText struct {
	Text        json.RawMessage `json:"report"`
	Signature   string          `json:"signature"`
	Algorithm   string          `json:"signatureAlgorithm"`
	Fingerprint string          `json:"publicKeyFingerprint"`
}

// SignText signs a JSON text.
func (s *Signer) SignText(text []byte) (SignedText, error) {
	signature, err := s.Sign(text)
	return SignedText{text, signature, Algorithm, s.Fingerprint()}, err
}

// VerifyText reads a signed text and checks its signature.
func (k *PublicKey) VerifyText(file []byte) (*SignedText, error) {
	t := &SignedText{}
	if err := json.Unmarshal(file, t); err != nil {
		return nil, fmt.Errorf("it is no signed report: %w", err)
	}
	if t.Algorithm != Algorithm {
		return nil, fmt.Errorf("the signature has the algorithm %.50q, not %s", t.Algorithm, Algorithm)
	}
	return t, k.Verify(t.Text, t.Signature)
}
