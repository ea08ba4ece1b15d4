package wal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// A frame with a sealed entry has codec 2: 16 bytes of salt, the same in all frames of a
// file, then the entries, each a uvarint length and
//
//	form     u8: 0 plain, 1 s2, 2 sealed, 3 s2 and then sealed
//	if sealed: uvarint id of the data key, uvarint length and bytes of the account
//	the bytes of the entry; if sealed, AES-256-GCM of them and 16 bytes of tag
//
// The key is derived from the data key, the purpose "wal 1" and the salt; the nonce is
// the LSN, which no file has twice; the associated data are the number of the file, the
// LSN and the bytes before the sealed ones. So each entry is readable with the key of its
// account alone, and in its place only.
const (
	codecEach   = 2
	saltBytes   = 16
	formPacked  = 1
	formSealed  = 2
	sealPurpose = "wal 1"
	maxAccount  = 255
)

// Payload is an entry for AppendSealed.
type Payload struct {
	Data    []byte
	Account string
	Key     vfs.SealKey // of the account; nil: the entry is not sealed
}

// Locked names the data key that a sealed entry needs, and why it cannot be used.
type Locked struct {
	Account string
	Key     uint32
	Err     error
}

// KeyUse names a data key of an account.
type KeyUse struct {
	Account string
	Key     uint32
}

// sealings has the derived keys of one file.
type sealings struct {
	number uint64
	start  uint32 // value of the checksums of frames
	salt   [saltBytes]byte
	byKey  map[KeyUse]cipher.AEAD
}

func (s *sealings) of(use KeyUse, key vfs.SealKey) (cipher.AEAD, error) {
	if a := s.byKey[use]; a != nil {
		return a, nil
	}
	a, err := key.AEAD(sealPurpose, s.salt[:])
	if err != nil {
		return nil, err
	}
	if s.byKey == nil {
		s.byKey = map[KeyUse]cipher.AEAD{}
	}
	s.byKey[use] = a
	return a, nil
}

// bind returns nonce and associated data of an entry with some readable bytes.
func (s *sealings) bind(data []byte, lsn uint64, readable []byte) (nonce [12]byte, bound []byte) {
	binary.LittleEndian.PutUint64(nonce[4:], lsn)
	data = binary.LittleEndian.AppendUint64(data[:0], s.number)
	data = binary.LittleEndian.AppendUint64(data, lsn)
	return nonce, append(data, readable...)
}

// appendEach appends a frame whose entries are packed and sealed one by one. scratch is
// reused.
func appendEach(dst, scratch []byte, s *sealings, at uint64, entries []Payload) (frame, scratched []byte, err error) {
	start := len(dst)
	dst = append(dst, frameMagic...)
	dst = append(dst, kindEntries, codecEach, 0, 0)
	dst = append(dst, make([]byte, frameBytes-8)...)
	body := len(dst)
	dst = append(dst, s.salt[:]...)
	var bound []byte
	for i := range entries {
		e := &entries[i]
		form, data := byte(0), e.Data
		if len(data) >= compressFrom {
			if n := s2.MaxEncodedLen(len(data)); n > cap(scratch) {
				scratch = make([]byte, n)
			}
			scratch = scratch[:cap(scratch)]
			if packed := s2.Encode(scratch, data); len(packed) < len(data)*9/10 {
				form, data = formPacked, packed
			}
		}
		if e.Key == nil {
			dst = binary.AppendUvarint(dst, uint64(1+len(data)))
			dst = append(dst, form)
			dst = append(dst, data...)
			continue
		}
		if len(e.Account) > maxAccount {
			return dst[:start], scratch, fmt.Errorf("log: the name of account %.80q is too long", e.Account)
		}
		use := KeyUse{e.Account, e.Key.ID()}
		aead, err := s.of(use, e.Key)
		if err != nil {
			return dst[:start], scratch, fmt.Errorf("log: seal an entry of account %s: %w", e.Account, err)
		}
		var readable [2 + 5 + maxAccount]byte
		head := append(readable[:0], form|formSealed)
		head = binary.AppendUvarint(head, uint64(use.Key))
		head = binary.AppendUvarint(head, uint64(len(e.Account)))
		head = append(head, e.Account...)
		dst = binary.AppendUvarint(dst, uint64(len(head)+len(data)+aead.Overhead()))
		dst = append(dst, head...)
		var nonce [12]byte
		nonce, bound = s.bind(bound, at+uint64(i), head)
		dst = aead.Seal(dst, nonce[:], data, bound)
		vfs.Count(e.Key, len(data))
	}
	if len(dst)-body > maxPayload {
		return dst[:start], scratch, fmt.Errorf("log: a group of %d bytes is over the limit of %d", len(dst)-body, maxPayload)
	}
	head := dst[start:body]
	binary.LittleEndian.PutUint32(head[8:], uint32(len(dst)-body))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(dst)-body))
	binary.LittleEndian.PutUint64(head[16:], at)
	binary.LittleEndian.PutUint32(head[24:], uint32(len(entries)))
	binary.LittleEndian.PutUint32(head[28:], frameSum(s.start, head, dst[body:]))
	return dst, scratch, nil
}

// each is an entry of a frame with codec 2.
type each struct {
	form     byte
	use      KeyUse // if sealed
	readable []byte
	data     []byte
}

func (e *each) sealed() bool { return e.form&formSealed != 0 }

// splitEach splits a frame with codec 2. The entries share its bytes.
func (f *frame) splitEach() (salt [saltBytes]byte, list []each, err error) {
	if len(f.stored) < saltBytes {
		return salt, nil, errors.New("a frame without salt")
	}
	salt = [saltBytes]byte(f.stored)
	for b := f.stored[saltBytes:]; len(b) > 0; {
		n, w := binary.Uvarint(b)
		if w <= 0 || n == 0 || n > uint64(len(b)-w) {
			return salt, nil, errors.New("entries do not fit into their frame")
		}
		e, err := readEach(b[w : w+int(n)])
		if err != nil {
			return salt, nil, err
		}
		list = append(list, e)
		b = b[w+int(n):]
	}
	if len(list) != int(f.entries) {
		return salt, nil, fmt.Errorf("%d entries, %d announced", len(list), f.entries)
	}
	return salt, list, nil
}

func readEach(b []byte) (each, error) {
	e := each{form: b[0], data: b[1:]}
	if e.form > formPacked|formSealed {
		return e, fmt.Errorf("unknown form %d of an entry", e.form)
	}
	if !e.sealed() {
		return e, nil
	}
	id, w := binary.Uvarint(e.data)
	if w <= 0 || id > 1<<32-1 {
		return e, errors.New("wrong id of a key in an entry")
	}
	n, v := binary.Uvarint(e.data[w:])
	if v <= 0 || n > maxAccount || int(n) > len(e.data)-w-v {
		return e, errors.New("wrong account in an entry")
	}
	end := w + v + int(n)
	e.use = KeyUse{string(e.data[w+v : end]), uint32(id)}
	e.readable, e.data = b[:1+end], e.data[end:]
	return e, nil
}

// open returns the bytes of an entry, which the caller may keep. A locked entry has none.
func (s *sealings) open(e *each, lsn uint64, find vfs.FindKey) (data []byte, locked *Locked, err error) {
	data = e.data
	if e.sealed() {
		aead := s.byKey[e.use]
		if aead == nil {
			key, err := find(e.use.Account, e.use.Key)
			if err == nil {
				aead, err = s.of(e.use, key)
			}
			if err != nil {
				return nil, &Locked{e.use.Account, e.use.Key, err}, nil
			}
		}
		nonce, bound := s.bind(nil, lsn, e.readable)
		if data, err = aead.Open(nil, nonce[:], e.data, bound); err != nil {
			return nil, nil, errors.New("the sealed entry was changed, or belongs to another place")
		}
	}
	if e.form&formPacked == 0 {
		if !e.sealed() {
			data = append([]byte(nil), data...)
		}
		return data, nil, nil
	}
	n, err := s2.DecodedLen(data)
	if err != nil {
		return nil, nil, err
	}
	if n > maxPayload {
		return nil, nil, fmt.Errorf("an entry of %d bytes", n)
	}
	data, err = s2.Decode(make([]byte, n), data)
	return data, nil, err
}
