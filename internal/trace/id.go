package trace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ID is a trace id: 128 bits, any value. Its X-Ray text form is "1-" + 8 hex digits
// + "-" + 24 hex digits; its W3C form is the same 32 hex digits without the "1" and
// the dashes (X-Ray developer guide, "Sending trace data"; the service has accepted
// W3C ids since late 2024). The first 8 digits are not a time: W3C ids are random.
type ID [16]byte

// SegmentID is the id of a segment or subsegment: 64 bits, 16 hex digits. The
// zero value means "none".
type SegmentID [8]byte

// ParseID reads a trace id in either notation, upper or lower case.
func ParseID(s string) (ID, error) {
	var id ID
	switch {
	case len(s) == 35 && s[0] == '1' && s[1] == '-' && s[10] == '-':
		if _, err := hex.Decode(id[:4], []byte(s[2:10])); err == nil {
			if _, err := hex.Decode(id[4:], []byte(s[11:])); err == nil {
				return id, nil
			}
		}
	case len(s) == 32:
		if _, err := hex.Decode(id[:], []byte(s)); err == nil {
			return id, nil
		}
	}
	return ID{}, fmt.Errorf("trace id %.50q: want 1-8hex-24hex or 32 hex digits", s)
}

// String returns the X-Ray form, lower case.
func (id ID) String() string {
	var b [35]byte
	b[0], b[1], b[10] = '1', '-', '-'
	hex.Encode(b[2:10], id[:4])
	hex.Encode(b[11:], id[4:])
	return string(b[:])
}

// Hex returns the W3C form: 32 lower-case hex digits.
func (id ID) Hex() string { return hex.EncodeToString(id[:]) }

// Share maps an id to [0, 1), evenly and always to the same number: the ids below p
// are the share p of all traces.
func (id ID) Share() float64 {
	sum := sha256.Sum256(id[:])
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// Compare orders ids by their bytes.
func (id ID) Compare(o ID) int { return bytes.Compare(id[:], o[:]) }

// IsZero reports whether all bits are zero, which OpenTelemetry calls invalid.
func (id ID) IsZero() bool { return id == ID{} }

// ParseSegmentID reads 16 hex digits, upper or lower case.
func ParseSegmentID(s string) (SegmentID, error) {
	var id SegmentID
	if len(s) == 16 {
		if _, err := hex.Decode(id[:], []byte(s)); err == nil {
			return id, nil
		}
	}
	return SegmentID{}, fmt.Errorf("segment id %.50q: want 16 hex digits", s)
}

// String returns 16 lower-case hex digits.
func (id SegmentID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is missing.
func (id SegmentID) IsZero() bool { return id == SegmentID{} }
