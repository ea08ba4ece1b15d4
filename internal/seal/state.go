package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Folder is the name of the folder with the ring in the data directory. It has two files
// for each account, which normally are the same: ACCOUNT and ACCOUNT.copy.
const Folder = "keys"

const (
	copySuffix = ".copy"
	ringHead   = "fluoro keys 1\n"
	ringFoot   = "\nsha256 "
	// maxRing is the limit for the bytes of a file of the ring.
	maxRing = 64 << 20
)

// accountName matches the accounts that may have keys; their files have these names.
var accountName = regexp.MustCompile(`^([0-9]{12}|system)$`)

// state holds the keys of an account as they are on disk. It never changes: a change makes
// a new state.
type state struct {
	Revision  uint64        // increases with each change
	Account   trace.Account // the owner of the keys
	Config    Config        // the account chose it with PutEncryptionConfig
	Target    string        `json:",omitempty"` // of KMS: the ARN to which Config.KeyID resolved
	Updating  bool          `json:",omitempty"` // the change to Config is not complete
	Last      uint32        // the largest id that was ever used
	Destroyed *time.Time    `json:",omitempty"` // when all keys before Keys were destroyed
	Keys      []wrappedKey  // ids increase
	// Mode and KMSKey are those of the last server, in the state of System only. Mode
	// is "" for off.
	Mode   Mode   `json:",omitempty"`
	KMSKey string `json:",omitempty"`
}

// wrappedKey is a data key that only the owner of its wrapping key can read.
type wrappedKey struct {
	ID      uint32
	Created time.Time
	Wrapper string            // local:DIGEST, or the ARN of a key of a KMS
	Context map[string]string // the encryption context: part of the request to the KMS
	Wrapped []byte
	Check   []byte // proves that the unwrapped key is the right one
}

// newest returns the key for new data; nil if there is none.
func (s *state) newest() *wrappedKey {
	if len(s.Keys) == 0 {
		return nil
	}
	return &s.Keys[len(s.Keys)-1]
}

// oneOfEach returns the newest key of each wrapping key.
func (s *state) oneOfEach() (ids []uint32) {
	seen := map[string]bool{}
	for _, k := range slices.Backward(s.Keys) {
		if !seen[k.Wrapper] {
			seen[k.Wrapper] = true
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// local tells whether a key is wrapped by the key file.
func (s *state) local() bool {
	return slices.ContainsFunc(s.Keys, func(k wrappedKey) bool { return isLocal(k.Wrapper) })
}

func (s *state) find(id uint32) *wrappedKey {
	for i := len(s.Keys) - 1; i >= 0; i-- { // the newest are asked for most
		if s.Keys[i].ID == id {
			return &s.Keys[i]
		}
	}
	return nil
}

// next returns a new id. It shows the day of its creation: 2026112900 is the first of 29
// November 2026. So even if a ring is lost and a new one begins, a number does not mean
// two keys, and old data is reported as lost, not as damaged.
func (s *state) next(now time.Time) uint32 {
	y, m, d := now.UTC().Date()
	day := uint32(max(0, min(y, 4293)))*1_000_000 + uint32(m)*10_000 + uint32(d)*100
	return max(day, s.Last+1)
}

// clone returns a copy whose members may be changed.
func (s *state) clone() *state {
	c := *s
	c.Keys = append([]wrappedKey(nil), s.Keys...)
	return &c
}

// encode returns the file of a state.
func (s *state) encode() ([]byte, error) {
	body, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return nil, err
	}
	b := append([]byte(ringHead), body...)
	sum := sha256.Sum256(b)
	return append(b, ringFoot+hex.EncodeToString(sum[:])+"\n"...), nil
}

// parseState reads the file of a state.
func parseState(b []byte) (*state, error) {
	if !bytes.HasPrefix(b, []byte(ringHead)) {
		line, _, _ := bytes.Cut(b[:min(len(b), 40)], []byte("\n"))
		if bytes.HasPrefix(line, []byte("fluoro keys ")) {
			return nil, fmt.Errorf("it was written by a newer fluoro (%q): use that version", line)
		}
		return nil, fmt.Errorf("it begins with %q, not with %q", line, ringHead[:len(ringHead)-1])
	}
	at := bytes.LastIndex(b, []byte(ringFoot))
	if at < 0 {
		return nil, errors.New("its end is missing")
	}
	sum := sha256.Sum256(b[:at])
	if string(b[at+len(ringFoot):]) != hex.EncodeToString(sum[:])+"\n" {
		return nil, errors.New("wrong checksum")
	}
	d := json.NewDecoder(bytes.NewReader(b[len(ringHead):at]))
	d.DisallowUnknownFields()
	s := &state{}
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the keys")
	}
	return s, s.check()
}

// check verifies what the rest of the package relies on.
func (s *state) check() error {
	if !accountName.MatchString(string(s.Account)) {
		return fmt.Errorf("%.40q is no account", s.Account)
	}
	if s.Config.Type != TypeNone && s.Config.Type != TypeKMS {
		return fmt.Errorf("type %.40q is neither NONE nor KMS", s.Config.Type)
	}
	if s.Mode != "" && s.Mode != ModeLocal && s.Mode != ModeKMS {
		return fmt.Errorf("mode %.40q is neither local nor kms", s.Mode)
	}
	last := uint32(0)
	for _, k := range s.Keys {
		switch {
		case k.ID <= last:
			return fmt.Errorf("key %d follows key %d", k.ID, last)
		case k.ID > s.Last:
			return fmt.Errorf("key %d is larger than the last one, %d", k.ID, s.Last)
		case k.Wrapper == "" || len(k.Wrapped) == 0:
			return fmt.Errorf("key %d is incomplete", k.ID)
		case k.Context[contextAccount] != string(s.Account):
			return fmt.Errorf("key %d belongs to account %.40q", k.ID, k.Context[contextAccount])
		}
		last = k.ID
	}
	return nil
}

// readStates reads both files of an account. It returns the newer state; nil if there is
// no file. heal tells that a file is missing, older or damaged, and why; err means that
// neither can be used.
func readStates(fsys vfs.FS, dir string, account trace.Account) (newest *state, heal string, err error) {
	name := filepath.Join(dir, Folder, string(account))
	missing := 0
	var failed []error
	for _, path := range []string{name, name + copySuffix} {
		s, err := readState(fsys, path, account)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing++
			heal = path + " is missing"
		case err != nil:
			failed = append(failed, err)
			heal = err.Error()
		case newest == nil:
			newest = s
		case s.Revision != newest.Revision:
			heal = fmt.Sprintf("%s has revision %d, the other copy %d", path, s.Revision, newest.Revision)
			if s.Revision > newest.Revision {
				newest = s
			}
		}
	}
	switch {
	case newest != nil:
		return newest, heal, nil
	case missing == 2:
		return nil, "", nil
	}
	return nil, "", fmt.Errorf("both files with its keys are missing or damaged: %w", errors.Join(failed...))
}

func readState(fsys vfs.FS, path string, account trace.Account) (*state, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxRing+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxRing {
		return nil, vfs.Lost(path, "it has more than %d bytes", maxRing)
	}
	s, err := parseState(b)
	if err == nil && s.Account != account {
		err = fmt.Errorf("it holds the keys of account %s", s.Account)
	}
	if err != nil {
		return nil, vfs.Corrupt(path, 0, "%w", err)
	}
	return s, nil
}

// writeState writes both files, one after the other. The state counts only when both are
// on disk; after a crash between them, the newer one counts, whose new key nothing uses.
func writeState(fsys vfs.FS, dir string, s *state) error {
	b, err := s.encode()
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, Folder)
	if err := fsys.MkdirAll(folder); err != nil {
		return err
	}
	name := filepath.Join(folder, string(s.Account))
	for _, path := range []string{name, name + copySuffix} {
		if err := replace(fsys, path, b, vfs.CreatePrivate); err != nil {
			return err
		}
	}
	return nil
}
