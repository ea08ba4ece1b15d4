package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// bucket stands where a digest of CloudTrail names an S3 bucket: objects are paths below
// the audit directory.
const bucket = "audit"

// digest has the members of a digest file of CloudTrail ("CloudTrail digest file
// structure"). It names the hashes of the log files that were finished since the digest
// before it.
type digest struct {
	Account           string       `json:"awsAccountId"`
	Start             string       `json:"digestStartTime"`
	End               string       `json:"digestEndTime"`
	Bucket            string       `json:"digestS3Bucket"`
	Object            string       `json:"digestS3Object"`
	Fingerprint       string       `json:"digestPublicKeyFingerprint"`
	Algorithm         string       `json:"digestSignatureAlgorithm"`
	Newest            *string      `json:"newestEventTime"`
	Oldest            *string      `json:"oldestEventTime"`
	PreviousBucket    *string      `json:"previousDigestS3Bucket"`
	PreviousObject    *string      `json:"previousDigestS3Object"`
	PreviousHash      *string      `json:"previousDigestHashValue"`
	PreviousAlgorithm *string      `json:"previousDigestHashAlgorithm"`
	PreviousSignature *string      `json:"previousDigestSignature"`
	Files             []digestFile `json:"logFiles"`
}

type digestFile struct {
	Bucket    string  `json:"s3Bucket"`
	Object    string  `json:"s3Object"`
	Hash      string  `json:"hashValue"`
	Algorithm string  `json:"hashAlgorithm"`
	Newest    *string `json:"newestEventTime"`
	Oldest    *string `json:"oldestEventTime"`
}

// signedText returns the text that the signature of a digest covers: four lines, as in
// CloudTrail ("Custom implementations of CloudTrail log file integrity validation").
func (d *digest) signedText(file []byte) []byte {
	previous := "null"
	if d.PreviousSignature != nil {
		previous = *d.PreviousSignature
	}
	sum := sha256.Sum256(file)
	return []byte(d.End + "\n" + d.Bucket + "/" + d.Object + "\n" + hex.EncodeToString(sum[:]) + "\n" + previous)
}

const (
	digestStamp  = "20060102T150405Z"
	digestSuffix = ".json"
	// maxDigest bounds a digest file. An hour has few log files.
	maxDigest = 16 << 20
)

// digestName names digests so that their order by name is that of their making.
func digestName(number uint64, end time.Time) string {
	return fmt.Sprintf("%08d_%s%s", number, end.UTC().Format(digestStamp), digestSuffix)
}

func digestNumber(name string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, digestSuffix)
	digits, _, found := strings.Cut(base, "_")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && found && err == nil && n > 0 && len(digits) >= 8
}

// listDigests returns the names of the digests in the order of their making.
func listDigests(fsys vfs.FS, dir string) (names []string, err error) {
	all, err := fsys.List(filepath.Join(dir, digestDir))
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		if _, ok := digestNumber(name); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// storedDigest is a digest with its signature, as its file has them: the JSON in one
// line, then the signature in a line of its own. CloudTrail keeps the signature in the
// metadata of the object.
type storedDigest struct {
	digest
	name      string
	text      []byte // the JSON
	hash      string // of text
	signature string
}

func parseDigest(name string, file []byte) (*storedDigest, error) {
	text, signature, ok := bytes.Cut(file, []byte("\n"))
	if !ok {
		return nil, errors.New("the digest has no signature")
	}
	d := &storedDigest{name: name, text: text, signature: string(bytes.TrimSuffix(signature, []byte("\n")))}
	if err := strictly(text, &d.digest); err != nil {
		return nil, fmt.Errorf("it is no digest: %w", err)
	}
	sum := sha256.Sum256(text)
	d.hash = hex.EncodeToString(sum[:])
	return d, nil
}

func readDigest(fsys vfs.FS, dir, name string) (*storedDigest, error) {
	full := filepath.Join(dir, digestDir, name)
	b, err := readSmall(fsys, full, maxDigest)
	if err != nil {
		return nil, err
	}
	d, err := parseDigest(name, b)
	if err != nil {
		return nil, vfs.Corrupt(full, -1, "%w", err)
	}
	return d, nil
}

// finished is a log file that no digest names yet.
type finished struct {
	number         uint64
	sum            hash
	bytes          int64
	oldest, newest string // times of its records; "" if it has none, or they are sealed
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// makeDigest makes the digest of some files that follows another one (nil: the first).
func makeDigest(s *Signer, before *storedDigest, d digest, end time.Time, files []finished) (*storedDigest, error) {
	number := uint64(1)
	if before != nil {
		number, _ = digestNumber(before.name)
		number++
	}
	name := digestName(number, end)
	d.End, d.Bucket, d.Object = end.UTC().Format(time.RFC3339), bucket, digestDir+"/"+name
	d.Fingerprint, d.Algorithm, d.Files = s.Fingerprint(), Algorithm, []digestFile{}
	if before != nil {
		algorithm := "SHA-256"
		d.PreviousBucket, d.PreviousObject, d.PreviousHash = &before.Bucket, &before.Object, &before.hash
		d.PreviousAlgorithm, d.PreviousSignature = &algorithm, &before.signature
	}
	oldest, newest := "", ""
	for _, f := range files {
		d.Files = append(d.Files, digestFile{bucket, logName(f.number), f.sum.String(), "SHA-256", orNull(f.newest), orNull(f.oldest)})
		if f.oldest != "" && (oldest == "" || f.oldest < oldest) {
			oldest = f.oldest
		}
		newest = max(newest, f.newest)
	}
	d.Oldest, d.Newest = orNull(oldest), orNull(newest)
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	signature, err := s.Sign(d.signedText(text))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return &storedDigest{digest: d, name: name, text: text, hash: hex.EncodeToString(sum[:]), signature: signature}, nil
}

func (d *storedDigest) file() []byte { return []byte(string(d.text) + "\n" + d.signature + "\n") }

// headState is the signed head of the chain: where it begins and where it ended when the
// head was last written. So a cut at the end is found, which no later line would show.
type headState struct {
	Version int    `json:"fluoro-audit-head"`
	Time    string `json:"time"`
	File    uint64 `json:"file"`
	Seq     uint64 `json:"seq"`
	Hash    string `json:"hash"` // of the last line
	// Start is the place before the first line that must exist: earlier files were
	// deleted by retention.
	Start struct {
		File uint64 `json:"file"` // the first one that exists
		Seq  uint64 `json:"seq"`
		Hash string `json:"hash"`
	} `json:"start"`
	Digest string `json:"digest,omitempty"` // name of the newest one
	// Digests is the name of the oldest one that exists.
	Digests string `json:"digests,omitempty"`
}

func (h *headState) encode(s *Signer) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	signature, err := s.Sign(text)
	return []byte(string(text) + "\n" + signature + "\n"), err
}

func parseHead(file []byte, key *PublicKey) (*headState, error) {
	text, signature, ok := bytes.Cut(file, []byte("\n"))
	if !ok {
		return nil, errors.New("it has no signature")
	}
	if err := key.Verify(text, string(bytes.TrimSuffix(signature, []byte("\n")))); err != nil {
		return nil, err
	}
	h := &headState{}
	if err := strictly(text, h); err != nil {
		return nil, err
	}
	if h.Version != formatVersion {
		return nil, fmt.Errorf("version %d, this program knows %d", h.Version, formatVersion)
	}
	return h, nil
}
