package block

import "github.com/fluoro-io/fluoro/internal/lru"

// Keeper keeps decompressed pages for further reads: a *Memo or a *Cache.
type Keeper interface {
	// pages returns the pages of some rows of a row group, kept or newly read.
	pages(b *Block, chunk uint32, from, n int, all bool) (*pages, error)
}

// Memo keeps the last pages, for a caller that reads entries in their order. The zero
// value is ready. It is for one goroutine.
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
	if again { // read all: its dictionaries are not read a third time
		from, n = 0, b.Rows(int(chunk))
	}
	p, err := b.pages(chunk, from, n, all)
	if err != nil {
		return nil, err
	}
	*m = Memo{b, chunk, p}
	return p, nil
}

// Cache keeps the pages of all blocks of a directory that were used last, up to a bound
// of memory. It is for many goroutines.
type Cache struct{ groups *lru.Cache[cacheKey, *pages] }

// cacheKey names a row group: the number of a block is never used again.
type cacheKey struct {
	block uint64
	chunk uint32
}

// NewCache makes a cache that is bounded in bytes.
func NewCache(limit int64) *Cache {
	return &Cache{lru.New[cacheKey, *pages](limit, limit/4)}
}

// pages replaces kept pages of the row group by new ones: a reader in the order of time
// needs one after the other.
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
