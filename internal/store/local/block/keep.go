package block

import "github.com/fluoro-io/fluoro/internal/lru"

// Keeper keeps pages that were decompressed, for more reading of what they hold:
// a *Memo or a *Cache.
type Keeper interface {
	// pages are pages that have some rows of a row group, kept or read.
	pages(b *Block, chunk uint32, from, n int, all bool) (*pages, error)
}

// Memo keeps the pages that were read last, for a caller that reads entries in
// their order. The zero value is ready; it is for one goroutine.
type Memo struct {
	block *Block
	chunk uint32
	last  *pages
}

func (m *Memo) pages(b *Block, chunk uint32, from, n int, all bool) (*pages, error) {
	again := m.block == b && m.chunk == chunk
	if again && m.last.has(from, n, all) {
		return m.last, nil
	}
	if again { // its dictionaries are not read a third time
		from, n = 0, b.Rows(int(chunk))
	}
	p, err := b.pages(chunk, from, n, all)
	if err != nil {
		return nil, err
	}
	*m = Memo{b, chunk, p}
	return p, nil
}

// Cache keeps pages that were used lately, bounded by their memory, for all
// blocks of a directory.
type Cache struct{ groups *lru.Cache[cacheKey, *pages] }

// cacheKey names a row group: the number of a block is never used again.
type cacheKey struct {
	block uint64
	chunk uint32
}

// NewCache makes a cache of so many bytes.
func NewCache(limit int64) *Cache {
	return &Cache{lru.New[cacheKey, *pages](limit, limit/4)}
}

// pages are kept in place of others of the row group: what is read in the order of
// time needs one after the other.
func (c *Cache) pages(b *Block, chunk uint32, from, n int, all bool) (*pages, error) {
	k := cacheKey{b.number, chunk}
	if p := c.groups.Get(k); p != nil && p.has(from, n, all) {
		return p, nil
	}
	p, err := b.pages(chunk, from, n, all)
	if err == nil {
		c.groups.Put(k, p, p.bytes)
	}
	return p, err
}
