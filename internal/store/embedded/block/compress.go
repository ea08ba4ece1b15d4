package block

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// compressor and decompressor are shared: EncodeAll and DecodeAll may be called
// by many goroutines.
var compressor = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // only options can be wrong
	}
	return e
})

var decompressor = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxChunk))
	if err != nil {
		panic(err) // only options can be wrong
	}
	return d
})
