package trace

import (
	"math"
	"strconv"
	"strings"
)

// ParseStatus reads an HTTP status that was sent as text: "503", "503.0",
// "503 Service Unavailable" or the status line "HTTP/1.1 503 Service Unavailable"
// (RFC 9112, section 4).
func ParseStatus(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 5 && strings.EqualFold(s[:5], "HTTP/") {
		_, s, _ = strings.Cut(s, " ")
		s = strings.TrimSpace(s)
	}
	if i := strings.IndexAny(s, " \t:,;("); i >= 0 {
		s = s[:i] // the phrase
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	return WholeStatus(f)
}

// WholeStatus reads an HTTP status that was sent as a number with a fraction,
// which must be zero.
func WholeStatus(f float64) (int64, bool) {
	return int64(f), f == math.Trunc(f) && f >= 0 && f < 1<<31
}
