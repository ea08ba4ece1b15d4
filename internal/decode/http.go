package decode

import (
	"strconv"

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

// status reads a status code; some SDKs send it as a string.
func status(v jsonscan.Value) int {
	n, ok := v.Int()
	if v.Kind() == jsonscan.String {
		var err error
		n, err = strconv.ParseInt(v.Text(), 10, 32)
		ok = err == nil
	}
	if !ok || n < 0 || n > 1<<31-1 {
		return 0
	}
	return int(n)
}
