package block

import (
	"container/list"
	"sync"
)

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
type Cache struct {
	limit int64

	mu     sync.Mutex
	used   int64
	groups map[cacheKey]*list.Element
	order  list.List // of *cached, most lately used first
}

// cacheKey names a row group: the number of a block is never used again.
type cacheKey struct {
	block uint64
	chunk uint32
}

type cached struct {
	key   cacheKey
	pages *pages
}

// NewCache makes a cache of so many bytes.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, groups: map[cacheKey]*list.Element{}}
}

func (c *Cache) pages(b *Block, chunk uint32, from, n int, all bool) (*pages, error) {
	k := cacheKey{b.number, chunk}
	if p := c.get(k); p != nil && p.has(from, n, all) {
		return p, nil
	}
	p, err := b.pages(chunk, from, n, all)
	if err == nil {
		c.put(k, p)
	}
	return p, err
}

func (c *Cache) get(k cacheKey) *pages {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.groups[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).pages
}

// put keeps pages in place of others of the row group: what is read in the order
// of time needs one after the other.
func (c *Cache) put(k cacheKey, p *pages) {
	if p.bytes > c.limit/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.groups[k]; e != nil {
		c.remove(e)
	}
	c.groups[k] = c.order.PushFront(&cached{k, p})
	for c.used += p.bytes; c.used > c.limit; {
		c.remove(c.order.Back())
	}
}

func (c *Cache) remove(e *list.Element) {
	old := c.order.Remove(e).(*cached)
	delete(c.groups, old.key)
	c.used -= old.pages.bytes
}
