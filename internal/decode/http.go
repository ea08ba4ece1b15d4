package decode

import (
	"math"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// http reads the http block (X-Ray developer guide, segment documents, "HTTP
// request data").
func (d *documentReader) http() (h trace.HTTP) {
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "request":
			h = trace.HTTP{Status: h.Status}
			d.request(&h)
		case "response":
			h.Status = 0
			for more := d.Object(); more; more = d.NextMember() {
				if v := d.Skip(); string(d.Name()) == "status" {
					h.Status = status(v)
				}
			}
		default:
			d.Skip()
		}
	}
	return h
}

func (d *documentReader) request(h *trace.HTTP) {
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "url":
			h.URL = d.text()
		case "method":
			h.Method = d.text()
		case "user_agent":
			h.UserAgent = d.text()
		case "client_ip":
			h.ClientIP = d.text()
		case "traced":
			h.Traced = d.flag()
		default:
			d.Skip()
		}
	}
}

// status reads a status code; some SDKs send it as text or with a fraction of zero.
// 0 is what cannot be read: the document keeps it as it came.
func status(v jsonscan.Value) int {
	n, ok := int64(0), false
	switch v.Kind() {
	case jsonscan.Number:
		if n, ok = v.Int(); ok && !isDigits(v) {
			f, _ := v.Float()
			n, ok = wholeStatus(f)
		}
	case jsonscan.String:
		n, ok = readStatus(v.Text())
	}
	if !ok || n < 0 || n > 1<<31-1 {
		return 0
	}
	return int(n)
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// readStatus reads a status code that came as text: "503", "503.0", "503 Service
// Unavailable" or the status line "HTTP/1.1 503 Service Unavailable" (RFC 9112,
// section 4).
func readStatus(s string) (int64, bool) {
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
	return wholeStatus(f)
}

// wholeStatus is a status code that came as a number with a fraction, which must be
// zero.
func wholeStatus(f float64) (int64, bool) {
	return int64(f), f == math.Trunc(f) && f >= 0 && f < 1<<31
}
