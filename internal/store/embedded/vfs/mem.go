package vfs

import (
	"errors"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

// Mem is a file system in memory for tests. Its methods may be called by many
// goroutines.
type Mem struct {
	// Before, if not nil, is called before every operation that changes something;
	// an error makes the operation fail without effect. It must be set before use.
	Before func(op, name string) error

	mu     sync.Mutex
	files  map[string]*memData // as the process sees them
	synced map[string]*memData // names as they are on disk
	locks  map[string]bool
}

// memData is a file's content; two names may share one while a rename is not
// durable.
type memData struct {
	content []byte
	durable int // bytes that are on disk for sure
}

// NewMem makes an empty file system.
func NewMem() *Mem {
	return &Mem{files: map[string]*memData{}, synced: map[string]*memData{}, locks: map[string]bool{}}
}

// Crash returns what a power loss leaves: names as last synced, and of each
// file's unsynced bytes a random part from the front.
func (m *Mem) Crash(rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	names := make([]string, 0, len(m.synced))
	for name := range m.synced {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		d := m.synced[name]
		keep := min(d.durable, len(d.content))
		keep += rnd.IntN(len(d.content) - keep + 1)
		c := &memData{content: append([]byte(nil), d.content[:keep]...), durable: keep}
		after.files[name], after.synced[name] = c, c
	}
	return after
}

// Flip inverts one bit of a file, as damage of a disk would.
func (m *Mem) Flip(name string, offset int, bit uint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name].content[offset] ^= 1 << bit
}

// Names lists all files in order.
func (m *Mem) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for name := range m.files {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func (m *Mem) before(op, name string) error {
	if m.Before == nil {
		return nil
	}
	return m.Before(op, name)
}

// MkdirAll does nothing: directories need no making here.
func (m *Mem) MkdirAll(string) error { return nil }

// Create makes or empties a file.
func (m *Mem) Create(name string) (File, error) {
	if err := m.before("create", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := &memData{}
	m.files[name] = d
	return &memFile{m, d, name}, nil
}

// Open opens a file.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.files[name]
	if d == nil {
		return nil, &iofs.PathError{Op: "open", Path: name, Err: iofs.ErrNotExist}
	}
	return &memFile{m, d, name}, nil
}

// ReadDir lists a directory.
func (m *Mem) ReadDir(dir string) ([]string, error) {
	var out []string
	for _, name := range m.Names() {
		if rest, ok := strings.CutPrefix(name, dir+string(filepath.Separator)); ok && !strings.ContainsRune(rest, filepath.Separator) {
			out = append(out, rest)
		}
	}
	return out, nil
}

// Rename gives a file another name.
func (m *Mem) Rename(from, to string) error {
	if err := m.before("rename", from); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.files[from]
	if d == nil {
		return iofs.ErrNotExist
	}
	delete(m.files, from)
	m.files[to] = d
	return nil
}

// Remove removes a file.
func (m *Mem) Remove(name string) error {
	if err := m.before("remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return iofs.ErrNotExist
	}
	delete(m.files, name)
	return nil
}

// SyncDir makes the names in a directory durable.
func (m *Mem) SyncDir(dir string) error {
	if err := m.before("syncdir", dir); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.synced {
		if filepath.Dir(name) == dir && m.files[name] == nil {
			delete(m.synced, name)
		}
	}
	for name, d := range m.files {
		if filepath.Dir(name) == dir {
			m.synced[name] = d
		}
	}
	return nil
}

// Lock takes a lock.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	return unlock(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locks, name)
	}), nil
}

type unlock func()

func (u unlock) Close() error { u(); return nil }

type memFile struct {
	fs   *Mem
	data *memData
	name string
}

// errShort is what Before may return to have half of a write happen.
var errShort = errors.New("short write")

// ErrShort makes a write stop half-way when Before returns it.
func ErrShort() error { return errShort }

func (f *memFile) Write(b []byte) (int, error) {
	err := f.fs.before("write", f.name)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if errors.Is(err, errShort) {
		b = b[:len(b)/2]
	} else if err != nil {
		return 0, err
	}
	f.data.content = append(f.data.content, b...)
	return len(b), err
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.data.content)) {
		return 0, io.EOF
	}
	n := copy(b, f.data.content[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Sync() error {
	if err := f.fs.before("sync", f.name); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.data.durable = len(f.data.content)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.fs.before("truncate", f.name); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.data.content = f.data.content[:size:size]
	f.data.durable = min(f.data.durable, int(size))
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.data.content)), nil
}

func (f *memFile) Close() error { return nil }
