package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Postings list the entries of a block that have a token. They are in the block's file,
// in buckets of about bucketBytes by the upper bits of the token. A question reads the
// buckets that it needs; memory only has the place of each bucket.

const (
	bucketBytes = 4096
	// partitions is in how many steps postings are merged, which bounds the memory.
	partitions = 64
	maxBuckets = 1 << 20
)

// Choice numbers a choice of the attributes that have tokens.
type Choice uint32

// The choices with a meaning.
const (
	AllAttributes Choice = 0
	// manyChoices: a merged block has traces with different choices.
	manyChoices Choice = 1<<32 - 1
)

// covers tells whether the tokens of one choice include those of another.
func (c Choice) covers(o Choice) bool { return c == AllAttributes || c == o && c != manyChoices }

// and returns the choice of a block with traces of both.
func (c Choice) and(o Choice) Choice {
	switch {
	case c.covers(o):
		return o
	case o.covers(c):
		return c
	}
	return manyChoices
}

// bucketRef has the end of a bucket, counted from the begin of the first, and its
// checksum.
type bucketRef struct{ end, sum uint32 }

// pairs are tokens, each with an entry that has it; the token is in the upper bits.
type pairs []uint64

func pairOf(token uint32, entry int) uint64 { return uint64(token)<<32 | uint64(uint32(entry)) }

// sort sorts digit by digit, and skips digits that all pairs share.
func (p pairs) sort(space pairs) (sorted, other pairs) {
	if len(p) < 512 {
		slices.Sort(p)
		return p, space
	}
	const digit = 11
	var every, some uint64 = ^uint64(0), 0
	for _, v := range p {
		every, some = every&v, some|v
	}
	space = slices.Grow(space[:0], len(p))[:len(p)]
	for shift := 0; shift < 64; shift += digit {
		if (every^some)>>shift&(1<<digit-1) == 0 {
			continue
		}
		var at [1 << digit]int
		for _, v := range p {
			at[v>>shift&(1<<digit-1)]++
		}
		sum := 0
		for i, n := range at {
			at[i], sum = sum, sum+n
		}
		for _, v := range p {
			d := v >> shift & (1<<digit - 1)
			space[at[d]] = v
			at[d]++
		}
		p, space = space, p
	}
	return p, space
}

// mapping maps the entries of a merged block to those of the result.
type mapping struct {
	of *Block
	to []uint32 // gone: none
}

const gone = ^uint32(0)

// become maps an entry of another block to the next entry.
func (w *Writer) become(b *Block, i int) {
	if b.index.legacy {
		var t Tokens
		for _, token := range t.Whatever() {
			w.pairs = append(w.pairs, pairOf(token, len(w.index.entries)))
		}
		return
	}
	if n := len(w.merged); n == 0 || w.merged[n-1].of != b {
		at := slices.IndexFunc(w.merged, func(m mapping) bool { return m.of == b })
		if at < 0 {
			to := make([]uint32, len(b.index.entries))
			for i := range to {
				to[i] = gone
			}
			w.merged = append(w.merged, mapping{b, to})
			at = n
			w.index.choice = w.index.choice.and(b.index.choice)
		}
		// Entries of one block often follow each other.
		w.merged[at], w.merged[len(w.merged)-1] = w.merged[len(w.merged)-1], w.merged[at]
	}
	w.merged[len(w.merged)-1].to[i] = uint32(len(w.index.entries))
}

// writePostings writes the postings of all entries. Damage of a merged block is a
// *vfs.CorruptError.
func (w *Writer) writePostings() error {
	total := len(w.pairs)
	shift := 32
	for _, m := range w.merged {
		total += int(m.of.index.tokens)
	}
	// A token with its entry takes about 3 bytes.
	bucketBits := min(bits.Len(uint(total*3/bucketBytes)), bits.Len(uint(maxBuckets))-1)
	shift -= bucketBits
	x := &w.index.index
	x.shift = shift
	steps := 1
	if len(w.merged) > 0 {
		steps = min(partitions, 1<<bucketBits)
	}
	var list, space pairs
	if len(w.merged) == 0 {
		list, space = w.pairs.sort(nil)
		w.pairs = list
	}
	first := w.offset
	var packed []byte
	buckets := 1 << bucketBits / steps
	for step := range steps {
		if len(w.merged) > 0 {
			var err error
			if list, err = w.gather(list[:0], step, steps); err != nil {
				return err
			}
			list, space = list.sort(space)
		}
		rest := list
		for bucket := step * buckets; bucket < (step+1)*buckets; bucket++ {
			n := len(rest)
			if bucket < 1<<bucketBits-1 {
				n, _ = slices.BinarySearch(rest, uint64(bucket+1)<<shift<<32)
			}
			packed = appendBucket(packed[:0], uint64(bucket)<<shift, rest[:n], len(x.entries), &x.tokens)
			rest = rest[n:]
			if err := w.write(packed); err != nil {
				return err
			}
			if w.offset-first > 1<<32-1 {
				return errors.New("block: postings of more than 4 GB")
			}
			x.buckets = append(x.buckets, bucketRef{uint32(w.offset - first), crc32.Checksum(packed, castagnoli())})
		}
	}
	return nil
}

// gather collects the pairs of a range of tokens, step of steps.
func (w *Writer) gather(list pairs, step, steps int) (pairs, error) {
	low, high := uint64(step)<<32/uint64(steps), uint64(step+1)<<32/uint64(steps)
	for _, p := range w.pairs {
		if token := p >> 32; token >= low && token < high {
			list = append(list, p)
		}
	}
	for _, m := range w.merged {
		x := m.of.index
		for bucket := int(low >> x.shift); bucket < len(x.buckets) && uint64(bucket)<<x.shift < high; bucket++ {
			err := m.of.eachPosting(bucket, func(token uint32, entries []uint32) bool {
				if uint64(token) < low || uint64(token) >= high {
					return true
				}
				for _, e := range entries {
					if to := m.to[e]; to != gone {
						list = append(list, pairOf(token, int(to)))
					}
				}
				return true
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// appendBucket encodes the sorted pairs of a bucket: for each token twice the difference
// from the token before, plus 1 if one entry has it; else the number of entries follows,
// and the entries, each as the difference from the one before. In the place of the
// number, 0 stands for all entries, and 1 for a bit for each entry, which is shorter if
// many have the token. count grows by the number of pairs.
func appendBucket(b []byte, base uint64, list pairs, entries int, count *uint64) []byte {
	last := base
	for len(list) > 0 {
		token := list[0] >> 32
		n := 1
		for n < len(list) && list[n]>>32 == token {
			n++
		}
		same := slices.Compact(list[:n])
		list = list[n:]
		*count += uint64(len(same))
		gap := (token - last) << 1
		last = token
		if len(same) == 1 {
			b = binary.AppendUvarint(b, gap|1)
			b = binary.AppendUvarint(b, uint64(uint32(same[0])))
			continue
		}
		b = binary.AppendUvarint(b, gap)
		if len(same) == entries {
			b = append(b, everyEntry)
			continue
		}
		if len(same) > entries/8 {
			b = append(b, bitEach)
			at := len(b)
			b = append(b, make([]byte, (entries+7)/8)...)
			for _, p := range same {
				b[at+int(uint32(p)>>3)] |= 1 << (p & 7)
			}
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(same)))
		before := uint32(0)
		for _, p := range same {
			b = binary.AppendUvarint(b, uint64(uint32(p)-before))
			before = uint32(p)
		}
	}
	return b
}

// Numbers of entries with a special meaning.
const (
	everyEntry = 0
	bitEach    = 1
)

// eachPosting yields the tokens of a bucket, ascending, each with its entries,
// ascending, until yield is false. The slice is only valid in yield. Damage is a
// *vfs.CorruptError.
func (b *Block) eachPosting(bucket int, yield func(token uint32, entries []uint32) bool) error {
	x := b.index
	from, ref := int64(0), x.buckets[bucket]
	if bucket > 0 {
		from = int64(x.buckets[bucket-1].end)
	}
	p, err := b.read(headBytes+from, int(int64(ref.end)-from))
	if err != nil {
		return err
	}
	if crc32.Checksum(p, castagnoli()) != ref.sum {
		return vfs.Corrupt(b.name, headBytes+from, "wrong checksum of postings")
	}
	if err := decodeBucket(p, uint64(bucket)<<x.shift, len(x.entries), yield); err != nil {
		return vfs.Corrupt(b.name, headBytes+from, "postings: %w", err)
	}
	return nil
}

// decodeBucket decodes the bytes of appendBucket.
func decodeBucket(p []byte, base uint64, all int, yield func(token uint32, entries []uint32) bool) error {
	d := &Decoder{buf: p, end: len(p)}
	token := base
	var list []uint32
	for d.at < d.end {
		head := d.Uvarint()
		token += head >> 1
		list = list[:0]
		if head&1 == 1 {
			list = append(list, d.below(all))
		} else if n := d.Uvarint(); n == everyEntry {
			list = slices.Grow(list, all)
			for i := range uint32(all) {
				list = append(list, i)
			}
		} else if n == bitEach {
			for at, set := range d.Bytes(uint64(all+7) / 8) {
				for ; set != 0; set &= set - 1 {
					list = append(list, uint32(at*8+bits.TrailingZeros8(set)))
				}
			}
			if n := len(list); n > 0 && int(list[n-1]) >= all {
				return fmt.Errorf("entry %d of %d", list[n-1], all)
			}
		} else {
			if n > uint64(d.end-d.at) {
				return errShort
			}
			list = slices.Grow(list, int(n))
			entry := uint64(0)
			for range n {
				if entry += d.Uvarint(); entry >= uint64(all) {
					return fmt.Errorf("entry %d of %d", entry, all)
				}
				list = append(list, uint32(entry))
			}
		}
		if d.err != nil {
			return d.err
		}
		if token > 1<<32-1 {
			return fmt.Errorf("token %d", token)
		}
		if !yield(uint32(token), list) {
			return nil
		}
	}
	return nil
}

// having returns the entries that have one of some tokens, ascending. Damage is a
// *vfs.CorruptError.
func (b *Block) having(tokens ...uint32) (entries []uint32, err error) {
	for _, want := range tokens {
		err := b.eachPosting(int(uint64(want)>>b.index.shift), func(token uint32, list []uint32) bool {
			if token == want {
				entries = append(entries, list...)
			}
			return token < want
		})
		if err != nil {
			return nil, err
		}
	}
	if len(tokens) > 1 {
		slices.Sort(entries)
		entries = slices.Compact(entries)
	}
	return entries, nil
}

// CheckPostings reads all postings. Damage is a *vfs.CorruptError.
func (b *Block) CheckPostings() error {
	for i := range b.index.buckets {
		if err := b.eachPosting(i, func(uint32, []uint32) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}
