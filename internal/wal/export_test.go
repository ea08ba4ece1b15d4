package wal

import "encoding/binary"

// FrameOf is a frame that a test forges.
type FrameOf struct {
	LSN     uint64
	Payload []byte
}

// FirstFrame returns the first frame of a file.
func FirstFrame(b []byte) FrameOf {
	h, err := decodeHeader(b)
	if err != nil {
		panic(err)
	}
	f, err := readFrame(b[fileStart:], h.salt)
	if err != nil {
		panic(err)
	}
	return FrameOf{f.lsn, append([]byte(nil), f.stored...)}
}

// Forge changes the first frame of a file, with correct checksums.
func Forge(b []byte, change func(*FrameOf)) []byte {
	h, _ := decodeHeader(b)
	old, _ := readFrame(b[fileStart:], h.salt)
	f := FirstFrame(b)
	change(&f)
	head := append([]byte(nil), b[fileStart:fileStart+frameBytes]...)
	binary.LittleEndian.PutUint32(head[8:], uint32(len(f.Payload)))
	binary.LittleEndian.PutUint64(head[16:], f.LSN)
	binary.LittleEndian.PutUint32(head[28:], frameSum(h.salt, head, f.Payload))
	out := append(append([]byte(nil), b[:fileStart]...), head...)
	return append(append(out, f.Payload...), b[fileStart+old.size:]...)
}
