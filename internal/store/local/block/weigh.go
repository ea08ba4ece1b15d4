package block

// Weight is about how many bytes were received of an entry's trace: its share
// of its row group. A large trace is all of one, or nearly.
func (b *Block) Weight(i int) int64 {
	e := &b.index.entries[i]
	chunk := b.index.chunks[e.chunk]
	if chunk.rows == 0 {
		return 0
	}
	return int64(chunk.received) * int64(e.Segments) / int64(chunk.rows)
}
