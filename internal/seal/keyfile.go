package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

const (
	// localPrefix begins the id of a key of the key file; its digest follows.
	localPrefix = "local:"
	// maxKeyFile is the limit for the bytes of a key file.
	maxKeyFile = 1 << 20
	tempSuffix = ".tmp"
)

const keyFileHead = `# Key file of Fluoro. Whoever has it and the data directory can read the data; without it
# the data is lost. Keep a copy, but not beside the backups of the data directory.
# One line is one key, the newest last: id, time of creation, secret.
`

// localKey wraps data keys on this machine.
type localKey struct {
	id      string // local: and 16 hexadecimal digits, computed from the secret
	created time.Time
	key     *Key
}

// keyFile is the file with local keys. It is read when it is needed first. Many goroutines
// may use it at once.
type keyFile struct {
	fs   vfs.FS
	path string

	mu   sync.Mutex
	keys []localKey // the newest last; nil until it was read
}

// errNoKeyFile means that the key file does not exist.
var errNoKeyFile = errors.New("the key file does not exist")

// newest returns the key for new data keys. If the file does not exist, it makes it if
// create is set, and otherwise returns errNoKeyFile.
func (f *keyFile) newest(create bool, now time.Time) (localKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.read()
	if errors.Is(err, errNoKeyFile) && create {
		err = f.append(now)
	}
	if err != nil {
		return localKey{}, err
	}
	return f.keys[len(f.keys)-1], nil
}

// find returns the key with an id.
func (f *keyFile) find(id string) (localKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return localKey{}, err
	}
	for _, k := range f.keys {
		if k.id == id {
			return k, nil
		}
	}
	return localKey{}, fmt.Errorf("key file %s does not contain %s: it belongs to other data, or an old key was removed from it", f.path, id)
}

// add makes a new key, which becomes the newest.
func (f *keyFile) add(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil && !errors.Is(err, errNoKeyFile) {
		return err
	}
	return f.append(now)
}

// reread forgets the keys, so that the next use reads the file. If that fails, it keeps
// them: while the process has a lost key in memory, its data can still be saved.
func (f *keyFile) reread() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys == nil {
		return nil // it was never needed
	}
	old := f.keys
	f.keys = nil
	err := f.read()
	for _, k := range old {
		if err == nil && !slices.ContainsFunc(f.keys, func(n localKey) bool { return n.id == k.id }) {
			err = fmt.Errorf("key file %s does not contain %s any more", f.path, k.id)
		}
	}
	if err != nil {
		f.keys = old
	}
	return err
}

// read reads the file unless it was read before.
func (f *keyFile) read() error {
	if f.keys != nil {
		return nil
	}
	file, err := f.fs.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s; restore it, or give its place with --key-file", errNoKeyFile, f.path)
	}
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	defer file.Close()
	if err := private(f.fs, f.path); err != nil {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, maxKeyFile+1))
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	keys, err := parseKeyFile(text)
	if err != nil {
		return fmt.Errorf("key file %s: %w", f.path, err)
	}
	f.keys = keys
	return nil
}

// private refuses a key file that others can read or change. Its group may read it:
// credentials that systemd or Kubernetes puts in place are like that.
func private(fsys vfs.FS, path string) error {
	if _, ok := fsys.(vfs.OS); !ok {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if mode := info.Mode().Perm(); filepath.Separator == '/' && mode&0o037 != 0 {
		return fmt.Errorf("key file %s has the permissions %#o, so that others can use it: chmod 600 it", path, mode)
	}
	return nil
}

// append writes the file with one more key. It replaces the file as a whole.
func (f *keyFile) append(now time.Time) (err error) {
	k, err := newLocalKey(now)
	if err != nil {
		return err
	}
	keys := append(append([]localKey(nil), f.keys...), k)
	if err := replace(f.fs, f.path, formatKeyFile(keys), vfs.CreatePrivate); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	// Two servers that share a key file may make it at the same moment. The file has the
	// keys of one of them, and both must use those.
	f.keys = nil
	return f.read()
}

func newLocalKey(now time.Time) (localKey, error) {
	var secret [KeyBytes]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return localKey{}, err
	}
	return makeLocalKey(secret, now.UTC().Truncate(time.Second)), nil
}

func makeLocalKey(secret [KeyBytes]byte, created time.Time) localKey {
	k := NewKey(0, secret)
	return localKey{localPrefix + hex.EncodeToString(k.Hash("key file", nil)[:8]), created, k}
}

func formatKeyFile(keys []localKey) []byte {
	var b bytes.Buffer
	b.WriteString(keyFileHead)
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %s %s\n", k.id, k.created.Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.key.secret[:]))
	}
	return b.Bytes()
}

// parseKeyFile reads a key file. Its errors name lines, never their content.
func parseKeyFile(text []byte) (keys []localKey, err error) {
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("it has more than %d bytes, so it is no key file", maxKeyFile)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("line %d has %d words instead of id, time and secret", n, len(words))
		}
		created, err := time.Parse(time.RFC3339, words[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: the second word is no time such as 2026-11-29T15:00:00Z", n)
		}
		secret, err := base64.StdEncoding.DecodeString(words[2])
		if err != nil || len(secret) != KeyBytes {
			return nil, fmt.Errorf("line %d: the secret is not %d bytes in base64: the line is damaged", n, KeyBytes)
		}
		k := makeLocalKey([KeyBytes]byte(secret), created.UTC())
		if k.id != words[0] {
			return nil, fmt.Errorf("line %d: id and secret do not match: the line is damaged", n)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key: it is empty or was cut short")
	}
	return keys, nil
}

// replace writes a file under a temporary name, then renames it.
func replace(fsys vfs.FS, name string, b []byte, create func(vfs.FS, string) (vfs.File, error)) error {
	f, err := create(fsys, name+tempSuffix)
	if err == nil {
		_, err = f.Write(b)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = fsys.Rename(name+tempSuffix, name)
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
