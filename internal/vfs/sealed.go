package vfs

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
)

// A sealed file (docs/format/sealed-files.md), all integers little-endian:
//
//	header 128 bytes
//	  0  magic "FLUOSEAL"
//	  8  version      u32
//	 12  chunk        u32  plain bytes of each chunk except the last
//	 16  key          u32  id of the data key
//	 20  account      u32  length of its name
//	 24  generation   u64  greater than in older files of the same name; 0: not counted
//	 32  salt         32 bytes
//	 64  account      60 bytes, filled with zeros
//	124  crc32c       u32  of the 124 bytes before: so damage never looks like another key
//	chunks: AES-256-GCM of the plain bytes, and 16 bytes of tag
//
// The key of a file is derived from the data key, the purpose "file 1" and the salt. The
// nonce is the number of the chunk. The associated data are the header, the name of the
// file, the number of the chunk, and whether it is the last one. So no chunk can be
// changed, moved, left out, or taken from another file.
const (
	sealMagic    = "FLUOSEAL"
	sealVersion  = 1
	sealHeader   = 128
	sealTag      = 16
	sealPurpose  = "file 1"
	mostAccount  = 60
	leastChunk   = 1 << 10
	mostChunk    = 1 << 20
	readAhead    = 256 << 10 // sealed bytes that one read of the disk takes
	tempSuffix   = ".tmp"
	defaultChunk = 16 << 10
)

// SealKey is a data key; *seal.Key is one.
type SealKey interface {
	ID() uint32
	AEAD(purpose string, salt []byte) (cipher.AEAD, error)
}

// Count tells a key how many bytes were sealed under it, if it wants to know.
func Count(key SealKey, bytes int) {
	if c, ok := key.(interface{ Count(bytes int64) }); ok {
		c.Count(int64(bytes))
	}
}

// SealHeader is the readable begin of a sealed file.
type SealHeader struct {
	Account    string
	Key        uint32 // id of the data key
	Generation uint64
	Salt       [32]byte
	chunk      uint32
}

// KeyError reports that a file is sealed and its key cannot be used now. The file is not
// damaged.
type KeyError struct {
	File    string
	Account string
	Key     uint32
	Err     error
}

// Error names the file, the account and the key.
func (e *KeyError) Error() string {
	return fmt.Sprintf("%s is encrypted under key %d of account %s: %v", e.File, e.Key, e.Account, e.Err)
}

// Unwrap returns the reason.
func (e *KeyError) Unwrap() error { return e.Err }

// FindKey returns the data key of an account that has an id.
type FindKey func(account string, id uint32) (SealKey, error)

func sealSum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (h *SealHeader) encode() ([]byte, error) {
	if len(h.Account) > mostAccount {
		return nil, fmt.Errorf("seal a file: the name of account %.80q has more than %d bytes", h.Account, mostAccount)
	}
	b := make([]byte, 0, sealHeader)
	b = append(b, sealMagic...)
	b = binary.LittleEndian.AppendUint32(b, sealVersion)
	b = binary.LittleEndian.AppendUint32(b, h.chunk)
	b = binary.LittleEndian.AppendUint32(b, h.Key)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.Account)))
	b = binary.LittleEndian.AppendUint64(b, h.Generation)
	b = append(b, h.Salt[:]...)
	b = append(b, h.Account...)
	b = append(b, make([]byte, mostAccount-len(h.Account))...)
	return binary.LittleEndian.AppendUint32(b, sealSum(b)), nil
}

// IsSealed reports whether a file begins as a sealed one.
func IsSealed(b []byte) bool { return bytes.HasPrefix(b, []byte(sealMagic)) }

func decodeSealHeader(b []byte) (*SealHeader, error) {
	if !IsSealed(b) || len(b) < sealHeader {
		return nil, errors.New("no sealed file begins here")
	}
	b = b[:sealHeader]
	if sealSum(b[:124]) != binary.LittleEndian.Uint32(b[124:]) {
		return nil, errors.New("wrong checksum of the header of a sealed file")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != sealVersion {
		return nil, fmt.Errorf("version %d of sealed files, this program knows %d", v, sealVersion)
	}
	h := &SealHeader{
		chunk: binary.LittleEndian.Uint32(b[12:]), Key: binary.LittleEndian.Uint32(b[16:]),
		Generation: binary.LittleEndian.Uint64(b[24:]), Salt: [32]byte(b[32:64]),
	}
	n := binary.LittleEndian.Uint32(b[20:])
	if n > mostAccount || len(bytes.Trim(b[64+n:124], "\x00")) > 0 {
		return nil, errors.New("wrong name of an account in the header of a sealed file")
	}
	if h.chunk < leastChunk || h.chunk > mostChunk {
		return nil, fmt.Errorf("chunks of %d bytes in a sealed file, want %d to %d", h.chunk, leastChunk, mostChunk)
	}
	h.Account = string(b[64 : 64+n])
	return h, nil
}

// sealing has the key of one file.
type sealing struct {
	SealHeader
	aead cipher.AEAD
	// bound begins the associated data: header and name.
	bound []byte
}

func newSealing(h *SealHeader, name string, key SealKey) (*sealing, error) {
	head, err := h.encode()
	if err != nil {
		return nil, err
	}
	s := &sealing{SealHeader: *h, bound: append(head, name...)}
	if s.aead, err = key.AEAD(sealPurpose, h.Salt[:]); err != nil {
		return nil, err
	}
	if s.aead.Overhead() != sealTag || s.aead.NonceSize() != 12 {
		return nil, fmt.Errorf("seal a file: a cipher with %d bytes of tag and %d of nonce", s.aead.Overhead(), s.aead.NonceSize())
	}
	return s, nil
}

// chunkRoom has what sealing or opening one chunk needs besides the key.
type chunkRoom struct {
	nonce [12]byte
	data  []byte // associated data
	buf   []byte
}

var chunkRooms = sync.Pool{New: func() any { return new(chunkRoom) }}

// prepare sets nonce and associated data of a chunk.
func (r *chunkRoom) prepare(s *sealing, chunk uint64, last bool) {
	binary.LittleEndian.PutUint64(r.nonce[4:], chunk)
	r.data = append(r.data[:0], s.bound...)
	r.data = binary.LittleEndian.AppendUint64(r.data, chunk)
	if last {
		r.data = append(r.data, 1)
	} else {
		r.data = append(r.data, 0)
	}
}

// sealer writes a sealed file.
type sealer struct {
	File
	*sealing
	key   SealKey
	room  chunkRoom
	plain []byte // of the chunk that is being filled
	next  uint64 // its number
	done  bool   // the last chunk is written
	err   error
}

// seal begins a sealed file; to is new and empty.
func seal(to File, name string, h *SealHeader, key SealKey) (*sealer, error) {
	h.Key = key.ID()
	if h.chunk == 0 {
		h.chunk = defaultChunk
	}
	if _, err := rand.Read(h.Salt[:]); err != nil {
		return nil, err
	}
	s, err := newSealing(h, name, key)
	if err != nil {
		return nil, err
	}
	w := &sealer{File: to, sealing: s, key: key, plain: make([]byte, 0, h.chunk)}
	w.room.buf = make([]byte, 0, h.chunk+sealTag)
	if _, err := to.Write(s.bound[:sealHeader]); err != nil {
		return nil, err
	}
	return w, nil
}

// Write seals full chunks; the last bytes wait for Sync.
func (w *sealer) Write(p []byte) (n int, err error) {
	if w.err == nil && w.done {
		w.err = errors.New("vfs: a sealed file is written after Sync")
	}
	for len(p) > 0 && w.err == nil {
		if len(w.plain) == int(w.chunk) {
			w.flush(false)
			continue
		}
		k := min(len(p), int(w.chunk)-len(w.plain))
		w.plain = append(w.plain, p[:k]...)
		p, n = p[k:], n+k
	}
	return n, w.err
}

func (w *sealer) flush(last bool) {
	w.room.prepare(w.sealing, w.next, last)
	w.room.buf = w.aead.Seal(w.room.buf[:0], w.room.nonce[:], w.plain, w.room.data)
	if _, err := w.File.Write(w.room.buf); err != nil {
		w.err = err // a part of the chunk may be in the file: it cannot go on
		return
	}
	Count(w.key, len(w.plain))
	w.next++
	w.plain = w.plain[:0]
}

// Sync writes the last chunk and makes the file durable. Nothing can be written after it.
func (w *sealer) Sync() error {
	if !w.done && w.err == nil {
		w.flush(true)
		w.done = w.err == nil
	}
	if w.err != nil {
		return w.err
	}
	return w.File.Sync()
}

// Size returns the plain bytes written so far.
func (w *sealer) Size() (int64, error) {
	return int64(w.next)*int64(w.chunk) + int64(len(w.plain)), w.err
}

// ReadAt fails: a sealed file is read after it was written.
func (w *sealer) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("vfs: a sealed file is read while it is being written")
}

// opener reads a sealed file.
type opener struct {
	File
	*sealing
	name   string // for errors
	size   int64  // plain
	chunks int64
}

// plainSize returns the plain bytes and the chunks of a sealed file of a length.
func plainSize(size int64, chunk uint32) (plain, chunks int64, err error) {
	body, full := size-sealHeader, int64(chunk)+sealTag
	chunks = (body + full - 1) / full
	last := body - (chunks-1)*full
	if body < sealTag || last < sealTag || last == sealTag && chunks > 1 {
		return 0, 0, errors.New("the sealed file ends within a chunk")
	}
	return body - chunks*sealTag, chunks, nil
}

// open opens a sealed file whose first bytes are head. Damage is a *CorruptError, a key
// that cannot be used a *KeyError.
func open(f File, path, name string, head []byte, find FindKey) (*opener, error) {
	h, err := decodeSealHeader(head)
	if err != nil {
		return nil, Corrupt(path, 0, "%w", err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	r := &opener{File: f, name: path}
	if r.size, r.chunks, err = plainSize(size, h.chunk); err != nil {
		return nil, Corrupt(path, size, "%w", err)
	}
	key, err := find(h.Account, h.Key)
	if err == nil {
		r.sealing, err = newSealing(h, name, key)
	}
	if err != nil {
		return nil, &KeyError{File: path, Account: h.Account, Key: h.Key, Err: err}
	}
	if r.size == 0 { // no read would verify it
		if _, err := r.piece(nil, 0, new(chunkRoom)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Size returns the plain bytes.
func (r *opener) Size() (int64, error) { return r.size, nil }

// Write fails: the file is open for reading.
func (r *opener) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: r.name, Err: fs.ErrPermission}
}

// ReadAt reads and verifies the chunks that have the bytes.
func (r *opener) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: r.name, Err: fs.ErrInvalid}
	}
	room := chunkRooms.Get().(*chunkRoom)
	defer chunkRooms.Put(room)
	want := min(int64(len(p)), max(0, r.size-off))
	for int64(n) < want {
		k, err := r.piece(p[n:want], off+int64(n), room)
		n += k
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// piece reads as many chunks as one read of the disk takes, at least one.
func (r *opener) piece(p []byte, off int64, room *chunkRoom) (n int, err error) {
	chunk, full := int64(r.chunk), int64(r.chunk)+sealTag
	first := off / chunk
	last := min(max(off, off+int64(len(p))-1)/chunk, first+max(1, readAhead/full)-1)
	from, to := sealHeader+first*full, sealHeader+(last+1)*full
	if last == r.chunks-1 {
		to = sealHeader + r.size + r.chunks*sealTag
	}
	if int64(cap(room.buf)) < to-from {
		room.buf = make([]byte, max(to-from, readAhead))
	}
	sealed := room.buf[:to-from]
	if got, err := r.File.ReadAt(sealed, from); got < len(sealed) {
		if err == nil || errors.Is(err, io.EOF) {
			err = Corrupt(r.name, from+int64(got), "the sealed file ends here")
		}
		return 0, err
	}
	for c := first; c <= last; c++ {
		b := sealed[:min(full, int64(len(sealed)))]
		sealed = sealed[len(b):]
		skip := off + int64(n) - c*chunk
		plain := len(b) - sealTag - int(skip) // bytes that the caller can use
		room.prepare(r.sealing, uint64(c), c == r.chunks-1)
		whole := skip == 0 && plain <= len(p)-n
		to := b[:0]
		if whole {
			to = p[n : n : n+plain]
		}
		opened, err := r.aead.Open(to, room.nonce[:], b, room.data)
		if err != nil {
			return n, Corrupt(r.name, sealHeader+c*full, "chunk %d of the sealed file was changed, or belongs to another file or place", c)
		}
		if !whole {
			plain = copy(p[n:], opened[skip:])
		}
		n += plain
	}
	return n, nil
}

// Sealed is a file system whose files are sealed. It opens files that are not sealed, too:
// callers that expect a sealed file check its header.
type Sealed struct {
	FS
	// Root is the directory of all files: the name that is bound to a file is its path
	// below Root, with slashes and without ".tmp" at its end.
	Root string
	Find FindKey
	// Account and Key seal new files. With a nil Key they are not sealed.
	Account string
	Key     SealKey
	// Clear, if not nil, tells which new files are not sealed.
	Clear func(name string) bool
}

// SealedName returns the name that is bound to a file.
func SealedName(root, name string) string {
	if rel, err := filepath.Rel(root, name); err == nil {
		name = rel
	}
	return strings.TrimSuffix(filepath.ToSlash(name), tempSuffix)
}

// Create makes a sealed file. It is complete once Sync returned nil.
func (s Sealed) Create(name string) (File, error) {
	f, err := s.FS.Create(name)
	if err != nil || s.Key == nil || s.Clear != nil && s.Clear(name) {
		return f, err
	}
	w, err := seal(f, SealedName(s.Root, name), &SealHeader{Account: s.Account}, s.Key)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// Open opens a file for reading, sealed or not. Errors: *CorruptError, *KeyError.
func (s Sealed) Open(name string) (File, error) {
	f, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	head := make([]byte, sealHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close()) // nobody knows whether it is sealed
	}
	if !IsSealed(head[:n]) {
		return f, nil
	}
	r, err := open(f, name, SealedName(s.Root, name), head[:n], s.Find)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// ReadSealHeader reads the header of a file; nil if the file is not sealed. A damaged
// header is a *CorruptError.
func ReadSealHeader(fsys FS, name string) (*SealHeader, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened only for reading
	head := make([]byte, sealHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !IsSealed(head[:n]) {
		return nil, nil
	}
	h, err := decodeSealHeader(head[:n])
	if err != nil {
		return nil, Corrupt(name, 0, "%w", err)
	}
	return h, nil
}

// SealBytes returns a sealed file with some content.
func SealBytes(name string, h SealHeader, key SealKey, plain []byte) ([]byte, error) {
	var b memory
	w, err := seal(&b, name, &h, key)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	return b.bytes, w.Sync()
}

// OpenBytes returns the content of a sealed file. path is for errors.
func OpenBytes(b []byte, path, name string, find FindKey) ([]byte, *SealHeader, error) {
	f := &memory{b}
	r, err := open(f, path, name, b[:min(sealHeader, len(b))], find)
	if err != nil {
		return nil, nil, err
	}
	plain := make([]byte, r.size)
	if _, err := r.ReadAt(plain, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	return plain, &r.SealHeader, nil
}

// memory is a File in memory.
type memory struct{ bytes []byte }

func (m *memory) Write(p []byte) (int, error) { m.bytes = append(m.bytes, p...); return len(p), nil }
func (m *memory) Sync() error                 { return nil }
func (m *memory) Close() error                { return nil }
func (m *memory) Size() (int64, error)        { return int64(len(m.bytes)), nil }
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.bytes).ReadAt(p, off)
}
