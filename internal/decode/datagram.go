package decode

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// Datagram splits a daemon datagram: a header line {"format":"json", "version":1}, a
// line feed, a document (aws-xray-daemon, pkg/tracesegment). The body shares the memory
// of b. It refuses with MissingHeader, InvalidHeader or MissingBody.
func Datagram(b []byte) (body []byte, refusal *Refusal) {
	line, body, found := bytes.Cut(b, []byte{'\n'})
	switch {
	case !found:
		return nil, &Refusal{Code: "MissingHeader", Message: fmt.Sprintf("datagram of %d bytes has no header line", len(b))}
	case len(body) == 0:
		return nil, &Refusal{Code: "MissingBody", Message: "datagram has no document behind its header line"}
	case !validHeader(line):
		return nil, &Refusal{Code: "InvalidHeader", Message: fmt.Sprintf(`datagram header is %.100q, want {"format":"json","version":1}`, line)}
	}
	return body, nil
}

func validHeader(line []byte) bool {
	// Nearly every SDK sends exactly this.
	if string(line) == `{"format":"json","version":1}` || string(line) == `{"format": "json", "version": 1}` {
		return true
	}
	h, err := jsonscan.Parse(line)
	if err != nil {
		return false
	}
	// The daemon decodes with Go's encoding/json, which ignores the case of member
	// names.
	var format string
	var version float64
	for name, m := range h.Members() {
		switch name := jsonscan.Unquote(name); {
		case strings.EqualFold(name, "format"):
			format = m.Text()
		case strings.EqualFold(name, "version"):
			version, _ = m.Float()
		}
	}
	return version == 1 && strings.EqualFold(format, "json")
}
