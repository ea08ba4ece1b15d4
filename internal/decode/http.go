package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// http reads the http block (X-Ray developer guide, segment documents, "HTTP
// request data").
func (d *documentReader) http() (h trace.HTTP) {
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "request":
			h = trace.HTTP{Status: h.Status, Length: h.Length}
			d.request(&h)
		case "response":
			h.Status, h.Length = 0, 0
			for more := d.Object(); more; more = d.NextMember() {
				v := d.Skip()
				switch string(d.Name()) {
				case "status":
					h.Status = status(v)
				case "content_length":
					if n, ok := v.Int(); ok {
						h.Length = max(0, n)
					}
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

// status reads a status code; some SDKs send it as text or with a fraction of zero. It
// returns 0 if it cannot read it: the document's text still holds it.
func status(v jsonscan.Value) int {
	n, ok := int64(0), false
	switch v.Kind() {
	case jsonscan.Number:
		if n, ok = v.Int(); ok && !isDigits(v) {
			f, _ := v.Float()
			n, ok = trace.WholeStatus(f)
		}
	case jsonscan.String:
		n, ok = trace.ParseStatus(v.Text())
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
