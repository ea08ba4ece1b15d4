package lru

import "testing"

// The cache keeps recently used values, and stays within its limit.
func TestCache_isBounded(t *testing.T) {
	c := New[int, string](100, 25)
	for i := range 10 {
		c.Put(i, "x", 25)
		if c.Get(0) != "x" {
			t.Fatalf("what was used last is gone after %d", i)
		}
	}
	c.Put(0, "y", 20)
	c.Put(10, "large", 26)
	if len(c.items) != 4 || c.order.Len() != 4 || c.used != 95 || c.Get(0) != "y" || c.Get(9) != "x" || c.Get(5) != "" || c.Get(10) != "" {
		t.Errorf("%d items of %d bytes", len(c.items), c.used)
	}
}
