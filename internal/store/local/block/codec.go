package block

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	pagezstd "github.com/parquet-go/parquet-go/compress/zstd"
)

// maxChunk bounds what a damaged length can make us allocate.
const maxChunk = 1 << 30

// window is how far back a match may reach; more than a chunk gains nothing.
const window = 512 << 10

// Codec compresses chunks and indexes. It may be used by many goroutines.
type Codec struct {
	fast, small *zstd.Encoder
	decoder     *zstd.Decoder
}

// pages compress the pages of tables, by level.
var pages = [...]pagezstd.Codec{Fast: {Level: pagezstd.SpeedFastest}, Small: {Level: pagezstd.SpeedDefault}}

// NewCodec is the codec; there is one, as its encoders are large.
func NewCodec() (*Codec, error) { return theCodec() }

var theCodec = sync.OnceValues(newCodec)

func newCodec() (*Codec, error) {
	fast, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(window), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	small, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxChunk))
	if err != nil {
		return nil, fmt.Errorf("set up decompression: %w", err)
	}
	return &Codec{fast: fast, small: small, decoder: decoder}, nil
}

func (c *Codec) unpack(dst, stored []byte, raw uint32) ([]byte, error) {
	if raw > maxChunk {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", raw, maxChunk)
	}
	b, err := c.decoder.DecodeAll(stored, dst[:0])
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(b) != int(raw) {
		return nil, fmt.Errorf("%d bytes, %d announced", len(b), raw)
	}
	return b, nil
}
