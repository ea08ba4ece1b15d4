package audit

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/seal"
)

const (
	// formatVersion is the version of the files.
	formatVersion = 1
	// maxLine bounds a line. Records are bounded far below it.
	maxLine = 2 << 20
	// purpose separates the keys of audit files from those of other files.
	purpose = "audit 1"
)

// hash is the SHA-256 of a line without its line feed.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

func parseHash(s string) (h hash, err error) {
	if len(s) != 2*len(h) || strings.ToLower(s) != s {
		return h, errors.New("a hash has 64 digits from 0 to f")
	}
	_, err = hex.Decode(h[:], []byte(s))
	return h, err
}

// header is the first line of a file. Like every line it names the hash of the line
// before it, so that the files form one chain.
type header struct {
	Version int    `json:"fluoro-audit"`
	File    uint64 `json:"file"`
	First   uint64 `json:"first"` // number of the first record
	Prev    string `json:"prev"`
	Opened  string `json:"opened"` // UTC
	// Key is the data key under which records are sealed, Salt that of this file; 0 and
	// nil if they are in the clear.
	Key  uint32 `json:"key,omitempty"`
	Salt []byte `json:"salt,omitempty"`
	// Torn says how many bytes at the end of the file before are an unfinished line: the
	// process ended while it wrote.
	Torn int64 `json:"torn,omitempty"`
	// Lost says what was found wrong with earlier files when this one was opened.
	Lost []string `json:"lost,omitempty"`
}

// line is a record in a file.
type line struct {
	Seq    uint64          `json:"seq"` // from 1, without gaps
	Prev   string          `json:"prev"`
	Event  json.RawMessage `json:"event,omitempty"`
	Sealed []byte          `json:"sealed,omitempty"`
}

// strictly decodes one JSON object without unknown members and without more text.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.InputOffset() != int64(len(text)) {
		return errors.New("there is more text after the object")
	}
	return nil
}

func parseHeader(text []byte) (h header, err error) {
	if err := strictly(text, &h); err != nil {
		return h, fmt.Errorf("the first line is no header: %w", err)
	}
	switch {
	case h.Version != formatVersion:
		return h, fmt.Errorf("version %d of audit files, this program knows %d", h.Version, formatVersion)
	case h.First == 0 || h.File == 0:
		return h, errors.New("the header has no numbers")
	case h.Key != 0 && len(h.Salt) < 16:
		return h, errors.New("the header names a key and has no salt")
	}
	if _, err := parseHash(h.Prev); err != nil {
		return h, fmt.Errorf("prev of the header: %w", err)
	}
	return h, nil
}

func parseLine(text []byte) (l line, prev hash, err error) {
	if err := strictly(text, &l); err != nil {
		return l, prev, fmt.Errorf("it is no record: %w", err)
	}
	if l.Seq == 0 || (l.Event == nil) == (l.Sealed == nil) {
		return l, prev, errors.New("it is no record: it needs a number, and an event or a sealed one")
	}
	prev, err = parseHash(l.Prev)
	return l, prev, err
}

// sealer seals and opens the records of one file; nil for files in the clear.
type sealer struct{ aead cipher.AEAD }

// newSealer makes the sealer of a new file, and notes key and salt in its header.
func newSealer(ctx context.Context, keys seal.Keys, h *header) (*sealer, error) {
	key, err := keys.Newest(ctx, seal.System)
	if err != nil || key == nil {
		return nil, err
	}
	h.Key, h.Salt = key.ID(), make([]byte, 16)
	_, _ = rand.Read(h.Salt)
	aead, err := key.AEAD(purpose, h.Salt)
	return &sealer{aead}, err
}

// sealerOf makes the sealer of an existing file.
func sealerOf(ctx context.Context, keys seal.Keys, h *header) (*sealer, error) {
	if h.Key == 0 {
		return nil, nil
	}
	key, err := keys.Find(ctx, seal.System, h.Key)
	if err != nil {
		return nil, err
	}
	aead, err := key.AEAD(purpose, h.Salt)
	return &sealer{aead}, err
}

// nonce is the number of a record. No two records of a file share one, because a file is
// written once, by one process.
func nonce(seq uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), seq) }

// bound are the bytes that a sealed record is bound to: its place in the chain.
func bound(seq uint64, prev string) []byte {
	return []byte(purpose + " " + strconv.FormatUint(seq, 10) + " " + prev)
}

// encodeLine makes the line of a record.
func (s *sealer) encodeLine(seq uint64, prev hash, event []byte) []byte {
	p := prev.String()
	out := make([]byte, 0, len(event)+len(p)+40)
	out = append(out, `{"seq":`...)
	out = strconv.AppendUint(out, seq, 10)
	out = append(append(append(out, `,"prev":"`...), p...), '"')
	if s == nil {
		out = append(append(out, `,"event":`...), event...)
		return append(out, '}')
	}
	sealed, _ := json.Marshal(s.aead.Seal(nil, nonce(seq), event, bound(seq, p))) // bytes always have JSON
	out = append(append(out, `,"sealed":`...), sealed...)
	return append(out, '}')
}

// open returns the event of a record.
func (s *sealer) open(l *line) ([]byte, error) {
	switch {
	case l.Event != nil && s == nil:
		return l.Event, nil
	case l.Event != nil:
		return nil, errors.New("a record of a sealed file is in the clear")
	case s == nil:
		return nil, errors.New("a record of a file in the clear is sealed")
	}
	b, err := s.aead.Open(nil, nonce(l.Seq), l.Sealed, bound(l.Seq, l.Prev))
	if err != nil {
		return nil, errors.New("it cannot be decrypted: it was changed, or comes from another place")
	}
	return b, nil
}
