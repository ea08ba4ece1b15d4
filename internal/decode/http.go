package decode

import (
	"strconv"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// decodeHTTP reads the http block (X-Ray developer guide, segment documents,
// "HTTP request data").
func decodeHTTP(h *trace.HTTP, v jsonscan.Value) {
	for name, block := range v.Members() {
		switch string(name) {
		case "request":
			for name, m := range block.Members() {
				switch string(name) {
				case "url":
					h.URL = m.Text()
				case "method":
					h.Method = m.Text()
				case "user_agent":
					h.UserAgent = m.Text()
				case "client_ip":
					h.ClientIP = m.Text()
				case "traced":
					h.Traced = m.Bool()
				}
			}
		case "response":
			h.Status = status(block.Get("status"))
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
