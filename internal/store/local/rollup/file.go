package rollup

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const (
	magic     = "FLUOROL\n"
	version   = 2
	headBytes = 16
	tailBytes = 40
	// rules increases whenever the counting by assemble.Observe, or by code it
	// depends on, changes: files with another number are not used.
	rules = 2
	// maxPage limits the allocation that a damaged length can cause.
	maxPage = 256 << 20
	// maxIndex is larger than any index, since names are limited.
	maxIndex = 32 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoders and decoders may be used by many goroutines; their options are valid.
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(512<<10), zstd.WithEncoderCRC(false))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPage))
)

// pageKey identifies a page of a file.
type pageKey struct {
	owner Owner
	level level
	start int64
}

func (k pageKey) compare(o pageKey) int {
	return cmp.Or(compareOwners(k.owner, o.owner), cmp.Compare(k.level, o.level), cmp.Compare(k.start, o.start))
}

func compareOwners(a, b Owner) int {
	return cmp.Or(strings.Compare(string(a.Account), string(b.Account)), strings.Compare(a.Version, b.Version))
}

// series are the pages of one owner and level.
type series struct {
	owner Owner
	level level
}

// ref is the location of a page.
type ref struct {
	at               int64
	stored, raw, sum uint32
}

// writer makes a file in memory (docs/format/store.md):
//
//	head    16 bytes: magic, version u32, crc32c u32 of the 12 before
//	pages   zstd each
//	index   zstd
//	tail    40 bytes: u64 offset of the index, u32 stored, u32 raw bytes, u32
//	        crc32c of the stored index, u32 rules, u32 version, u32 crc32c of the
//	        28 before, magic
type writer struct {
	names  *names
	file   []byte
	pages  []pageKey // in the order of writing
	refs   []ref
	buffer []byte
}

func newWriter() *writer {
	head := binary.LittleEndian.AppendUint32([]byte(magic), version)
	return &writer{names: newNames(), file: binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))}
}

func (w *writer) page(o Owner, l level, start int64, p *page) {
	if w.buffer = p.encode(w.buffer[:0], w.names, start); len(w.buffer) > 0 {
		w.pages = append(w.pages, pageKey{o, l, start})
		w.refs = append(w.refs, w.pack(w.buffer))
	}
}

func (w *writer) pack(raw []byte) ref {
	at := len(w.file)
	w.file = packer.EncodeAll(raw, w.file)
	stored := w.file[at:]
	return ref{at: int64(at), stored: uint32(len(stored)), raw: uint32(len(raw)), sum: crc32.Checksum(stored, castagnoli)}
}

func (w *writer) finish() []byte {
	r := w.pack(w.index())
	b := binary.LittleEndian.AppendUint64(w.file, uint64(r.at))
	for _, n := range []uint32{r.stored, r.raw, r.sum, rules, version} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[len(b)-28:], castagnoli))
	return append(b, magic...)
}

func (w *writer) index() []byte {
	n := w.names
	b := binary.AppendUvarint(nil, uint64(len(n.services)))
	for _, s := range n.services {
		for _, text := range []string{s.Name, s.Type, s.Account} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(n.nodes)))
	for _, name := range n.nodes {
		b = binary.AppendUvarint(b, uint64(name))
	}
	b = binary.AppendUvarint(b, uint64(len(n.edges)))
	for _, name := range n.edges {
		b = binary.AppendUvarint(b, uint64(name.from))
		b = binary.AppendUvarint(b, uint64(name.to))
	}
	b = binary.AppendUvarint(b, uint64(len(w.pages)))
	var owner Owner
	for i, k := range w.pages {
		same := byte(1)
		if i == 0 || k.owner != owner {
			same = 0
		}
		b = append(b, same)
		if owner = k.owner; same == 0 {
			for _, text := range []string{string(owner.Account), owner.Version} {
				b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
			}
		}
		b = append(b, byte(k.level))
		b = binary.AppendVarint(b, k.start)
		b = binary.AppendUvarint(b, uint64(w.refs[i].stored))
		b = binary.AppendUvarint(b, uint64(w.refs[i].raw))
		b = binary.LittleEndian.AppendUint32(b, w.refs[i].sum)
	}
	return b
}

// File is an open rollup. It may be used by many goroutines.
type File struct {
	name  string
	data  vfs.File // nil: the file is in memory
	mem   []byte
	names *names
	refs  map[pageKey]ref
	// starts are the first seconds of the pages, ascending.
	starts map[series][]int64
	cache  *Cache
	id     uint64 // in the cache
}

// Unusable returns a file that Open refuses with ErrRules, for traces that were not
// counted.
func Unusable() []byte {
	b := (&Builder{}).Encode()
	at := len(b) - tailBytes
	binary.LittleEndian.PutUint32(b[at+20:], 0)
	binary.LittleEndian.PutUint32(b[at+28:], crc32.Checksum(b[at:at+28], castagnoli))
	return b
}

// ErrRules reports a file that another version of the program counted, by other
// rules.
var ErrRules = errors.New("made by other rules")

// Open reads the index of a rollup file; data must stay open as long as the File is
// used. Damage is a *vfs.CorruptError; ErrRules reports a file made by other rules.
func Open(data vfs.File, name string, cache *Cache) (*File, error) {
	f := &File{name: name, data: data, cache: cache, id: cache.files.Add(1)}
	size, err := data.Size()
	if err != nil {
		return nil, vfs.Lost(name, "the file cannot be read: %w", err)
	}
	return f, f.load(size)
}

// InMemory opens a result of Encode or Merge.
func InMemory(b []byte, cache *Cache) (*File, error) {
	f := &File{name: "rollup in memory", mem: b, cache: cache, id: cache.files.Add(1)}
	return f, f.load(int64(len(b)))
}

func (f *File) bytes(at int64, n int) ([]byte, error) {
	if f.data == nil {
		if at < 0 || at+int64(n) > int64(len(f.mem)) {
			return nil, vfs.Corrupt(f.name, at, "%d bytes are missing", n)
		}
		return f.mem[at : at+int64(n)], nil
	}
	b := make([]byte, n)
	if got, err := f.data.ReadAt(b, at); got < n {
		return nil, vfs.Corrupt(f.name, at, "%d of %d bytes: %w", got, n, err)
	}
	return b, nil
}

func (f *File) load(size int64) error {
	if size < headBytes+tailBytes {
		return vfs.Corrupt(f.name, 0, "%d bytes are fewer than an empty rollup", size)
	}
	head, err := f.bytes(0, headBytes)
	if err != nil {
		return err
	}
	tailAt := size - tailBytes
	tail, err := f.bytes(tailAt, tailBytes)
	if err != nil {
		return err
	}
	u32 := func(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
	switch {
	case string(head[:8]) != magic || u32(head[12:]) != crc32.Checksum(head[:12], castagnoli):
		return vfs.Corrupt(f.name, 0, "no rollup begins here")
	case string(tail[32:]) != magic || u32(tail[28:]) != crc32.Checksum(tail[:28], castagnoli):
		return vfs.Corrupt(f.name, tailAt, "no rollup ends here")
	case u32(tail[24:]) > version || u32(head[8:]) > version:
		return vfs.Corrupt(f.name, 8, "version %d of a rollup, this program knows %d", max(u32(tail[24:]), u32(head[8:])), version)
	case u32(tail[20:]) != rules || u32(tail[24:]) != version || u32(head[8:]) != version:
		return fmt.Errorf("rollup %s: %w", f.name, ErrRules)
	}
	r := ref{at: int64(binary.LittleEndian.Uint64(tail)), stored: u32(tail[8:]), raw: u32(tail[12:]), sum: u32(tail[16:])}
	if r.at < headBytes || r.at+int64(r.stored) != tailAt {
		return vfs.Corrupt(f.name, tailAt, "an index of %d bytes at %d does not end here", r.stored, r.at)
	}
	if r.raw > maxIndex {
		return fmt.Errorf("rollup %s: more names than the limit: %w", f.name, ErrRules)
	}
	raw, err := f.unpack(r)
	if err != nil {
		return err
	}
	if err := f.loadIndex(raw, r.at); err != nil {
		return vfs.Corrupt(f.name, r.at, "index: %w", err)
	}
	return nil
}

func (f *File) unpack(r ref) ([]byte, error) {
	if r.raw > maxPage {
		return nil, vfs.Corrupt(f.name, r.at, "%d bytes are over the limit of %d", r.raw, maxPage)
	}
	stored, err := f.bytes(r.at, int(r.stored))
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(stored, castagnoli) != r.sum {
		return nil, vfs.Corrupt(f.name, r.at, "wrong checksum")
	}
	raw, err := unpacker.DecodeAll(stored, make([]byte, 0, r.raw))
	if err == nil && len(raw) != int(r.raw) {
		err = fmt.Errorf("%d bytes, %d announced", len(raw), r.raw)
	}
	if err != nil {
		return nil, vfs.Corrupt(f.name, r.at, "decompress: %w", err)
	}
	return raw, nil
}

func (f *File) loadIndex(b []byte, end int64) error {
	r := &reader{b: b}
	n := &names{}
	for range r.count(3) {
		n.services = append(n.services, trace.Service{Name: r.text(), Type: r.text(), Account: r.text()})
	}
	for range r.count(1) {
		n.nodes = append(n.nodes, nodeName(r.below(2*len(n.services))))
	}
	for range r.count(2) {
		n.edges = append(n.edges, edgeName{r.below(len(n.nodes)), r.below(len(n.nodes))})
	}
	f.names, f.refs, f.starts = n, map[pageKey]ref{}, map[series][]int64{}
	at := int64(headBytes)
	var k pageKey
	for range r.count(9) {
		if r.below(2) == 0 {
			k.owner = Owner{trace.Account(r.text()), r.text()}
		}
		k.level, k.start = level(r.below(int(levels))), r.varint()
		p := ref{at: at, stored: uint32(r.uvarint()), raw: uint32(r.uvarint())}
		if sum := r.bytes(4); sum != nil {
			p.sum = binary.LittleEndian.Uint32(sum)
		}
		if at += int64(p.stored); at > end || k.start != floor(k.start, k.level.length()) {
			r.fail(fmt.Errorf("a page of second %d does not fit", k.start))
		}
		f.refs[k] = p
		list := f.starts[series{k.owner, k.level}]
		if len(list) > 0 && list[len(list)-1] >= k.start {
			r.fail(errors.New("pages are out of order"))
		}
		f.starts[series{k.owner, k.level}] = append(list, k.start)
	}
	if r.err == nil && (len(r.b) > 0 || at != end) {
		r.fail(errors.New("it does not end where it should"))
	}
	return r.err
}

// read reads a page for a query and caches it; nil if the page does not exist.
func (f *File) read(k pageKey) (*decoded, error) {
	r, ok := f.refs[k]
	if !ok {
		return nil, nil
	}
	if p := f.cache.pages.Get(cacheKey{f.id, r.at}); p != nil {
		return p, nil
	}
	p, err := f.pageOf(k)
	if err == nil {
		f.cache.pages.Put(cacheKey{f.id, r.at}, p, p.bytes)
	}
	return p, err
}

// pageOf reads a page; nil if it does not exist.
func (f *File) pageOf(k pageKey) (*decoded, error) {
	r, ok := f.refs[k]
	if !ok {
		return nil, nil
	}
	raw, err := f.unpack(r)
	if err != nil {
		return nil, err
	}
	p, err := decode(raw, f.names, k.level, k.start)
	if err != nil {
		return nil, vfs.Corrupt(f.name, r.at, "page of second %d: %w", k.start, err)
	}
	return p, nil
}

// Check reads the whole file.
func (f *File) Check() error {
	var failed error
	for _, r := range f.refs {
		if _, err := f.unpack(r); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
