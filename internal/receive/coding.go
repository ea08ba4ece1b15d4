package receive

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// acceptedCodings lists the content codings that are read (RFC 9110, section 8.4.1,
// and those that the OpenTelemetry Collector sends).
const acceptedCodings = "gzip, deflate, zlib, zstd, snappy, identity"

// maxCodings bounds the codings of a body, one on top of the other.
const maxCodings = 3

// coding is the name of a compression.
type coding string

const (
	gzipCoding    coding = "gzip"
	deflateCoding coding = "deflate" // zlib; some senders leave its header out
	zstdCoding    coding = "zstd"
	snappyCoding  coding = "snappy" // as a block or as frames
)

// codingsOf reads Content-Encoding headers, or one grpc-encoding. It returns the codings
// in the order in which they were applied, without identity.
func codingsOf(headers []string) ([]coding, error) {
	var out []coding
	for _, h := range headers {
		for name := range strings.SplitSeq(h, ",") {
			switch name = strings.ToLower(strings.TrimSpace(name)); name {
			case "", "identity":
			case "gzip", "x-gzip":
				out = append(out, gzipCoding)
			case "deflate", "x-deflate", "zlib":
				out = append(out, deflateCoding)
			case "zstd", "x-zstd":
				out = append(out, zstdCoding)
			case "snappy", "x-snappy", "x-snappy-framed":
				out = append(out, snappyCoding)
			default:
				return nil, trace.Errorf(trace.KindUnsupported, "content encoding %.100q is not read here: want one or more of %s", name, acceptedCodings)
			}
		}
	}
	if len(out) > maxCodings {
		return nil, trace.Errorf(trace.KindUnsupported, "%d content encodings on top of each other: want at most %d", len(out), maxCodings)
	}
	return out, nil
}

// decompress undoes codings, the last one first. The result, and each result between
// two codings, may have at most limit bytes; decompress reserves room for them while
// they grow. It recycles the body if there are codings.
func (in *Intake) decompress(body []byte, codings []coding, taken *reservation, limit int64, reuse bool) ([]byte, error) {
	for i, c := range slices.Backward(codings) {
		out, err := c.undo(body, taken, limit, reuse || i > 0)
		recycle(body)
		if err != nil {
			return nil, err
		}
		body = out
	}
	return body, nil
}

// undo decompresses one coding.
func (c coding) undo(body []byte, taken *reservation, limit int64, reuse bool) ([]byte, error) {
	if len(body) == 0 {
		return nil, trace.Errorf(trace.KindInvalid, "body is not %s: it is empty", c)
	}
	var window uint64
	if c == zstdCoding {
		var err error
		if window, err = windowOf(body); err != nil {
			return nil, c.explain(err)
		}
	}
	out, err := c.undoWithin(window, body, taken, limit, reuse)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) && window < maxWindow {
		// A later frame needs a larger window than the first one.
		out, err = c.undoWithin(maxWindow, body, taken, limit, reuse)
	}
	return out, c.explain(err)
}

func (c coding) undoWithin(window uint64, body []byte, taken *reservation, limit int64, reuse bool) ([]byte, error) {
	if window > maxWindow {
		return nil, zstd.ErrWindowSizeExceeded
	}
	src := bytes.NewReader(body)
	defer src.Reset(nil) // pooled readers must not keep the body in memory
	r, done, err := c.reader(src, window, body, taken, limit)
	if err != nil {
		return nil, err
	}
	defer done()
	g := &growing{room: taken, limit: limit, reuse: reuse}
	if err := g.read(r, 4*len(body)); err != nil {
		recycle(g.buf)
		taken.give(int64(cap(g.buf)))
		return nil, err
	}
	return g.buf, nil
}

// explain makes an error of a decompressor say that the body is not what its header
// says. It leaves our own errors as they are.
func (c coding) explain(err error) error {
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return trace.Errorf(trace.KindTooLarge, "zstd frames may need at most %d MB of window", maxWindow>>20)
	case err == nil, trace.KindOf(err) != trace.KindInternal:
		return err
	}
	return trace.Errorf(trace.KindInvalid, "body is not %s: %v", c, err)
}

// Readers are pooled: each has tables of tens of kilobytes.
var gzips, zlibs, flates, snappies, zstds sync.Pool

// reader returns a reader of the decompressed body; src reads body. done ends its use.
func (c coding) reader(src *bytes.Reader, window uint64, body []byte, taken *reservation, limit int64) (r io.Reader, done func(), err error) {
	switch c {
	case gzipCoding:
		z, _ := gzips.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		return z, func() { gzips.Put(z) }, z.Reset(src)
	case deflateCoding:
		return inflate(src, body)
	case zstdCoding:
		return zstdReader(src, window, taken)
	}
	const stream = "\xff\x06\x00\x00sNaPpY" // snappy framing format, section 4.1
	if !bytes.HasPrefix(body, []byte(stream)) {
		return snappyBlock(body, taken, limit)
	}
	z, _ := snappies.Get().(*s2.Reader)
	if z == nil {
		z = s2.NewReader(nil, s2.ReaderMaxBlockSize(64<<10)) // section 4.2: no block has more
	}
	z.Reset(src)
	return z, func() { snappies.Put(z) }, nil
}

// inflate reads deflate with or without the header of zlib (RFC 1950, section 2.2). No
// block of deflate begins like that header.
func inflate(src *bytes.Reader, body []byte) (io.Reader, func(), error) {
	whole := func(r io.Reader) io.Reader { return &toTheEnd{r: r, src: src} }
	if len(body) > 1 && body[0]&0x0f == 8 && body[0]>>4 <= 7 && (int(body[0])<<8|int(body[1]))%31 == 0 {
		if z, ok := zlibs.Get().(io.ReadCloser); ok {
			return whole(z), func() { zlibs.Put(z) }, z.(zlib.Resetter).Reset(src, nil)
		}
		z, err := zlib.NewReader(src)
		return whole(z), func() { zlibs.Put(z) }, err
	}
	if z, ok := flates.Get().(io.ReadCloser); ok {
		return whole(z), func() { flates.Put(z) }, z.(flate.Resetter).Reset(src, nil)
	}
	z := flate.NewReader(src)
	return whole(z), func() { flates.Put(z) }, nil
}

// toTheEnd returns an error if bytes follow the stream: they would be lost silently.
type toTheEnd struct {
	r   io.Reader
	src *bytes.Reader
}

func (t *toTheEnd) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if err == io.EOF && t.src.Len() > 0 {
		err = errors.New("there is something behind its end")
	}
	return n, err
}

const (
	// maxWindow is how far back zstd may refer (RFC 8878, section 3.1.1.1.2: at least
	// 8 MB should be supported).
	maxWindow = 8 << 20
	// keptWindow is the largest window of a pooled reader.
	keptWindow = 1 << 20
)

// windowOf returns the window size that the first frame asks for; skippable frames ask
// for none.
func windowOf(body []byte) (uint64, error) {
	var h zstd.Header
	if err := h.Decode(body); err != nil {
		return 0, err
	}
	if h.SingleSegment {
		return max(h.FrameContentSize, keptWindow), nil
	}
	return max(h.WindowSize, keptWindow), nil
}

// zstdReader reserves room for a window, in bytes; no frame may ask for a larger one.
func zstdReader(src *bytes.Reader, window uint64, taken *reservation) (io.Reader, func(), error) {
	if err := taken.take(int64(window)); err != nil {
		return nil, nil, err
	}
	z, _ := zstds.Get().(*zstd.Decoder)
	if z == nil {
		var err error
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			return nil, nil, err
		}
	}
	return z, func() {
		taken.give(int64(window))
		if window == keptWindow && z.Reset(nil) == nil {
			zstds.Put(z)
		}
	}, z.ResetWithOptions(src, zstd.WithDecoderMaxWindow(window))
}

// snappyBlock decompresses a block; its header holds the decompressed length.
func snappyBlock(body []byte, taken *reservation, limit int64) (io.Reader, func(), error) {
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, nil, err
	}
	if int64(n) > limit {
		return nil, nil, errLimit(limit)
	}
	if err := taken.take(int64(n)); err != nil {
		return nil, nil, err
	}
	buf := buffer(n)
	out, err := s2.Decode(buf[:n], body)
	done := func() {
		taken.give(int64(n))
		recycle(buf)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return bytes.NewReader(out), done, nil
}

// growing reads decompressed bytes into a growing buffer and reserves room for them
// step by step, so that many large bodies at once cannot exhaust the memory.
type growing struct {
	room  *reservation
	limit int64
	reuse bool
	buf   []byte
}

// read reads up to the end; hint is an estimate of the size.
func (g *growing) read(src io.Reader, hint int) error {
	if err := g.grow(min(hint, 1<<20) + 512); err != nil {
		return err
	}
	for {
		if len(g.buf) == cap(g.buf) {
			if err := g.grow(2 * cap(g.buf)); err != nil {
				return err
			}
		}
		n, err := src.Read(g.buf[len(g.buf):cap(g.buf)])
		g.buf = g.buf[:len(g.buf)+n]
		switch {
		case int64(len(g.buf)) > g.limit:
			return errLimit(g.limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (g *growing) grow(size int) error {
	if g.reuse {
		size = int(classSize(int64(size)))
	}
	if err := g.room.take(int64(size - cap(g.buf))); err != nil {
		return err
	}
	into := append(buffer(size), g.buf...)
	recycle(g.buf)
	g.buf = into
	return nil
}
