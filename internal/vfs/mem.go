package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
)

// ErrCrashed is the error of every operation after the machine stopped.
var ErrCrashed = errors.New("vfs: the machine has stopped")

// Mem is a file system in memory that distinguishes durable data from data that is
// not, so that a test can stop the machine at any operation, lose unsynced data, and
// continue with the data that a disk would have. Its separator is "/".
//
// Only operations that change something are counted: Create, Write, Sync,
// Remove, Rename, MkdirAll, SyncDir.
type Mem struct {
	mu      sync.Mutex
	names   map[string]*inode // as they read now
	durable map[string]*inode // as of the last SyncDir
	dirs    map[string]bool   // directories are durable at once: they are made once, at start
	locks   map[string]bool
	ops     int
	stopped bool
	// before is called before every counted operation; its error makes the operation
	// fail.
	before func(op Op) error
}

// Op is one counted operation of a Mem.
type Op struct {
	N    int    // 0 for the first
	Kind string // "create", "write", "sync", "remove", "rename", "mkdir", "syncdir"
	Name string
}

type inode struct {
	data   []byte
	synced int // data[:synced] is durable
	// lost is the end of bytes that a failed Sync lost: they can be read, but no
	// later Sync makes them durable.
	lost int
}

// NewMem makes an empty file system.
func NewMem() *Mem {
	return &Mem{names: map[string]*inode{}, durable: map[string]*inode{}, dirs: map[string]bool{".": true, "/": true}, locks: map[string]bool{}}
}

// Before sets a function that is called before every counted operation. If it
// returns an error, the operation fails with it; ErrCrashed stops the machine.
func (m *Mem) Before(f func(Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// Ops returns the number of counted operations.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Crash stops the machine and returns the file system after the next start: it keeps
// a random part of the name changes since the last SyncDir and of each file's bytes
// since its last Sync.
func (m *Mem) Crash(rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	after := NewMem()
	for d := range m.dirs {
		after.dirs[d] = true
	}
	kept := map[string]*inode{}
	for _, name := range m.bothNames() {
		node := m.durable[name]
		if m.names[name] != node && rnd.IntN(2) == 0 {
			node = m.names[name]
		}
		if node != nil {
			kept[name] = node
		}
	}
	for name, node := range kept {
		after.names[name] = node.afterCrash(rnd)
		after.durable[name] = after.names[name]
	}
	return after
}

func (m *Mem) bothNames() []string {
	var list []string
	for n := range m.names {
		list = append(list, n)
	}
	for n := range m.durable {
		if m.names[n] == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// afterCrash keeps the durable bytes and a beginning of the others. The last part of
// it may be zeros, because a file can grow before its bytes are written.
func (n *inode) afterCrash(rnd *rand.Rand) *inode {
	size := n.synced
	if loose := len(n.data) - n.synced; loose > 0 {
		size += rnd.IntN(loose + 1)
	}
	data := slices.Clone(n.data[:size])
	if n.lost > n.synced {
		clear(data[n.synced:min(size, n.lost)])
	}
	if size > n.synced && rnd.IntN(2) == 0 {
		clear(data[n.synced+rnd.IntN(size-n.synced):])
	}
	return &inode{data: data, synced: size}
}

// Damage changes the bytes of a file in place.
func (m *Mem) Damage(name string, change func([]byte) []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[clean(name)]
	if n == nil {
		return &fs.PathError{Op: "damage", Path: name, Err: fs.ErrNotExist}
	}
	n.data = change(n.data)
	n.synced = len(n.data)
	return nil
}

// count counts an operation and returns an error if it must fail.
func (m *Mem) count(kind, name string) error {
	if m.stopped {
		return ErrCrashed
	}
	op := Op{N: m.ops, Kind: kind, Name: name}
	m.ops++
	if m.before == nil {
		return nil
	}
	err := m.before(op)
	if errors.Is(err, ErrCrashed) {
		m.stopped = true
	}
	if err != nil {
		return &fs.PathError{Op: kind, Path: name, Err: err}
	}
	return nil
}

func clean(name string) string { return path.Clean(name) }

// Create makes a file.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if err := m.count("create", name); err != nil {
		return nil, err
	}
	if !m.dirs[path.Dir(name)] {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	m.names[name] = &inode{}
	return &memFile{fs: m, node: m.names[name], name: name}, nil
}

// Open opens a file for reading.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if m.stopped {
		return nil, ErrCrashed
	}
	n := m.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{fs: m, node: n, name: name, readOnly: true}, nil
}

// Remove removes a file.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if err := m.count("remove", name); err != nil {
		return err
	}
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.names, name)
	return nil
}

// Rename moves a file.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = clean(from), clean(to)
	if err := m.count("rename", to); err != nil {
		return err
	}
	n := m.names[from]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(m.names, from)
	m.names[to] = n
	return nil
}

// MkdirAll makes a directory and its parents.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = clean(dir)
	if err := m.count("mkdir", dir); err != nil {
		return err
	}
	for d := dir; d != "." && d != "/"; d = path.Dir(d) {
		m.dirs[d] = true
	}
	return nil
}

// List returns the names in a directory, sorted.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = clean(dir)
	if m.stopped {
		return nil, ErrCrashed
	}
	if !m.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	add := func(p string) {
		if rest, ok := strings.CutPrefix(p, dir+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	for n := range m.names {
		add(n)
	}
	for d := range m.dirs {
		add(d)
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir makes the names in a directory durable.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = clean(dir)
	if err := m.count("syncdir", dir); err != nil {
		return err
	}
	for _, name := range m.bothNames() {
		if path.Dir(name) != dir {
			continue
		}
		if n := m.names[name]; n != nil {
			m.durable[name] = n
		} else {
			delete(m.durable, name)
		}
	}
	return nil
}

// Lock takes a lock.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if m.stopped {
		return nil, ErrCrashed
	}
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	if m.names[name] == nil {
		m.names[name] = &inode{}
	}
	return &memLock{m, name}, nil
}

type memLock struct {
	fs   *Mem
	name string
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

type memFile struct {
	fs       *Mem
	node     *inode
	name     string
	readOnly bool
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.stopped {
		return 0, ErrCrashed
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write appends. If it fails, a part may have been written.
func (f *memFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.readOnly {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrPermission}
	}
	if f.fs.stopped {
		return 0, ErrCrashed
	}
	if err := f.fs.count("write", f.name); err != nil {
		f.node.data = append(f.node.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

// Sync makes the bytes durable. If it fails, they never become durable.
func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.count("sync", f.name); err != nil {
		if !f.fs.stopped {
			f.node.lost = len(f.node.data)
		}
		return err
	}
	if f.node.lost <= f.node.synced {
		f.node.synced = len(f.node.data)
	}
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.stopped {
		return 0, ErrCrashed
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error { return nil }
