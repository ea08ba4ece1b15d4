package block

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
)

// maxChunk bounds the memory that a damaged length can claim.
const maxChunk = 1 << 30

// window is how far back a match may reach; more than a chunk gains nothing.
const window = 512 << 10

// Codec compresses chunks and indexes. It may be used by many goroutines.
type Codec struct {
	encoders [2]*zstd.Encoder // by level
	decoder  *zstd.Decoder
	writers  [2]sync.Pool // of *columnar.Writer of the table of entities, by level
	packed   sync.Pool    // of *[]byte: row groups as they are on disk
}

// writer takes a writer of the table of entities, which is as large as a row group, from
// a pool; free gives it back.
func (c *Codec) writer(l Level) *columnar.Writer {
	if w, ok := c.writers[l].Get().(*columnar.Writer); ok {
		return w
	}
	return entities.NewWriter(c.encoders[l])
}

func (c *Codec) free(l Level, w *columnar.Writer) {
	w.Reset()
	c.writers[l].Put(w)
}

// NewCodec makes a codec. One is enough for a process: its encoders are large.
func NewCodec() (*Codec, error) { return theCodec() }

var theCodec = sync.OnceValues(newCodec)

func newCodec() (*Codec, error) {
	c := &Codec{}
	for l, speed := range map[Level]zstd.EncoderLevel{Fast: zstd.SpeedFastest, Small: zstd.SpeedDefault} {
		var err error
		if c.encoders[l], err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(window), zstd.WithEncoderCRC(false)); err != nil {
			return nil, fmt.Errorf("set up compression: %w", err)
		}
	}
	var err error
	if c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxChunk)); err != nil {
		return nil, fmt.Errorf("set up decompression: %w", err)
	}
	return c, nil
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
