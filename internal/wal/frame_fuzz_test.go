package wal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// seal gives each frame in b the right checksum, as a bug in the writer would: so
// the fuzzer gets behind the checksums. It reports whether no frame announces more
// than a test should decompress.
func seal(b []byte, salt uint32) (small bool) {
	for len(b) >= frameBytes {
		i := bytes.Index(b, []byte(frameMagic))
		if i < 0 || len(b)-i < frameBytes {
			return true
		}
		b = b[i:]
		stored := binary.LittleEndian.Uint32(b[8:])
		if uint64(stored) > uint64(len(b)-frameBytes) {
			b = b[1:]
			continue
		}
		if binary.LittleEndian.Uint32(b[12:]) > 16<<20 {
			return false
		}
		payload := b[frameBytes : frameBytes+int(stored)]
		binary.LittleEndian.PutUint32(b[28:], frameSum(salt, b, payload))
		b = b[frameBytes+int(stored):]
	}
	return true
}

// vfsKey is a data key.
type vfsKey struct{}

func (vfsKey) ID() uint32 { return 1 }
func (vfsKey) AEAD(string, []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

var errNoKey = errors.New("no such key")

func findFuzz(account string, id uint32) (vfs.SealKey, error) {
	if account != "a" || id != 1 {
		return nil, errNoKey
	}
	return vfsKey{}, nil
}

// eachOf returns the entries of a frame with codec 2, and whether some are damaged.
func eachOf(f *frame, at int) (want []Entry, damaged bool) {
	salt, list, err := f.splitEach()
	if err != nil {
		return nil, true
	}
	for i := range list {
		s := sealings{number: 1, salt: salt}
		e := Entry{LSN: f.lsn + uint64(i), File: 1, At: int64(at)}
		var bad error
		if e.Data, e.Locked, bad = s.open(&list[i], e.LSN, findFuzz); bad != nil {
			damaged = true
			continue
		}
		want = append(want, e)
	}
	return want, damaged
}

// Frames with right checksums and arbitrary content: Open never panics, and returns
// exactly the entries of the frames that it does not name as damaged.
func FuzzFrames(f *testing.F) {
	frames := func(groups ...[][]byte) (b []byte) {
		lsn := uint64(1)
		for _, entries := range groups {
			var err error
			if b, _, err = appendFrame(b, nil, 0, lsn, entries); err != nil {
				f.Fatal(err)
			}
			lsn += uint64(len(entries))
		}
		return b
	}
	good := frames([][]byte{[]byte("one"), {}}, [][]byte{bytes.Repeat([]byte("long "), 200)})
	f.Add(good)
	f.Add(good[:len(good)-3])
	for at, value := range map[int]byte{4: kindEnd, 5: codecS2, 12: 1, 16: 7, 24: 9, frameBytes: 0xff} {
		bad := bytes.Clone(good)
		bad[at] = value
		f.Add(bad)
	}
	each, _, err := appendEach(nil, nil, &sealings{number: 1}, 1, []Payload{{Data: []byte("clear")}, {Data: bytes.Repeat([]byte("s"), 300), Account: "a", Key: vfsKey{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(each)
	for _, at := range []int{frameBytes, frameBytes + saltBytes, frameBytes + saltBytes + 8, len(each) - 1} {
		f.Add(append(bytes.Clone(each[:at]), append([]byte{each[at] ^ 0xff}, each[at+1:]...)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if !seal(b, 0) {
			return
		}
		var want []Entry
		damaged := false
		for at := 0; at < len(b); {
			frame, err := readFrame(b[at:], 0)
			if err != nil {
				skip := nextFrame(b[at+1:], 0)
				if damaged = damaged || skip >= 0; skip < 0 {
					break // torn
				}
				at += 1 + skip
				continue
			}
			if frame.kind == kindEntries && frame.codec == codecEach {
				list, bad := eachOf(&frame, fileStart+at)
				want, damaged = append(want, list...), damaged || bad
				at += frame.size
				continue
			}
			entries, err := frame.split()
			if frame.kind == kindEntries && err == nil {
				for i, e := range entries {
					want = append(want, Entry{LSN: frame.lsn + uint64(i), File: 1, At: int64(fileStart + at), Data: e})
				}
				if len(entries) != int(frame.entries) {
					t.Fatalf("%d entries in a frame that announces %d", len(entries), frame.entries)
				}
				again, _, err := appendFrame(nil, nil, 0, frame.lsn, entries)
				if err != nil {
					t.Fatal(err)
				}
				back, err := readFrame(again, 0)
				if err != nil {
					t.Fatal(err)
				}
				if same, err := back.split(); err != nil || !reflect.DeepEqual(same, entries) {
					t.Fatalf("written again the frame has %q, %v", same, err)
				}
			} else if frame.kind != kindEnd {
				damaged = true
			}
			at += frame.size
		}
		fs := vfs.NewMem()
		if err := fs.MkdirAll("wal"); err != nil {
			t.Fatal(err)
		}
		file, err := fs.Create(filepath.Join("wal", fileName(1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(append(header{number: 1, firstLSN: 1}.encode(), b...)); err != nil {
			t.Fatal(err)
		}
		var got []Entry
		_, found, err := Open(Options{FS: fs, Dir: "wal", FileBytes: 1 << 20, Find: findFuzz}, func(e Entry) error { got = append(got, e); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("entries %v, want %v", got, want)
		}
		if damaged && len(found.Damage) == 0 {
			t.Fatalf("no damage is named, torn %d", found.Torn)
		}
	})
}
