package columnar

import (
	"encoding/binary"
	"errors"
	"slices"
)

var errPage = errors.New("a page ends early")

// appendHybrid writes numbers in Parquet's hybrid encoding of runs and packed
// numbers: as one run if they are equal, otherwise packed. A width is 1 bit or whole
// bytes, because numbers packed to other widths compress badly afterwards.
func appendHybrid[T byte | uint32](b []byte, numbers []T, width int) []byte {
	if len(numbers) == 0 {
		return b
	}
	same := true
	for _, n := range numbers {
		if n != numbers[0] {
			same = false
			break
		}
	}
	if same {
		b = binary.AppendUvarint(b, uint64(len(numbers))<<1)
		for i := 0; i < width; i += 8 {
			b = append(b, byte(uint32(numbers[0])>>i))
		}
		return b
	}
	groups := (len(numbers) + 7) / 8
	b = binary.AppendUvarint(b, uint64(groups)<<1|1)
	switch width {
	case 1:
		at := len(b)
		b = append(b, make([]byte, groups)...)
		for i, n := range numbers {
			b[at+i/8] |= byte(n&1) << (i % 8)
		}
		return b
	case 8:
		for _, n := range numbers {
			b = append(b, byte(n))
		}
	case 16:
		for _, n := range numbers {
			b = binary.LittleEndian.AppendUint16(b, uint16(n))
		}
	default:
		for _, n := range numbers {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))[:len(b)+width/8]
		}
	}
	return append(b, make([]byte, (8*groups-len(numbers))*(width/8))...)
}

// readHybrid reads n numbers of some bits each, written by any Parquet writer, and
// returns the remaining bytes.
func readHybrid[T byte | uint32](to []T, b []byte, width int, n int) ([]T, error) {
	for n > 0 {
		head, w := binary.Uvarint(b)
		if w <= 0 {
			return nil, errPage
		}
		b = b[w:]
		if head&1 == 0 {
			size := (width + 7) / 8
			if len(b) < size {
				return nil, errPage
			}
			var v uint32
			for i := range size {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[size:]
			count := int(min(head>>1, uint64(n)))
			if count == 0 {
				return nil, errPage
			}
			at := len(to)
			to = slices.Grow(to, count)[:at+count]
			for i := range to[at:] {
				to[at+i] = T(v)
			}
			n -= count
			continue
		}
		if head>>1 > uint64(len(b)) {
			return nil, errPage
		}
		size := int(head>>1) * width
		if size > len(b) || size == 0 {
			return nil, errPage
		}
		count := min(int(head>>1)*8, n)
		to = unpack(to, b[:size], width, count)
		b = b[size:]
		n -= count
	}
	return to, nil
}

func unpack[T byte | uint32](to []T, b []byte, width, count int) []T {
	at := len(to)
	to = slices.Grow(to, count)[:at+count]
	out := to[at:]
	switch width {
	case 1:
		for ; len(out) >= 8; out, b = out[8:], b[1:] {
			for i, v := range bitsOf[b[0]] {
				out[i] = T(v)
			}
		}
		for i := range out {
			out[i] = T(b[0] >> i & 1)
		}
	case 8:
		for i, v := range b[:count] {
			out[i] = T(v)
		}
	case 16:
		b = b[:2*count]
		for i := range out {
			out[i] = T(binary.LittleEndian.Uint16(b[2*i:]))
		}
	default:
		for i := range out {
			var v uint32
			for bit := range width {
				at := i*width + bit
				v |= uint32(b[at/8]>>(at%8)&1) << bit
			}
			out[i] = T(v)
		}
	}
	return to
}

// bitsOf are the bits of each byte, lowest first.
var bitsOf = func() (all [256][8]byte) {
	for b := range all {
		for i := range all[b] {
			all[b][i] = byte(b) >> i & 1
		}
	}
	return all
}()
