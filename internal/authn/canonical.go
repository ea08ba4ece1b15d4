package authn

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// request holds the parts of a request that a signature covers.
type request struct {
	method string
	target string // as in the request line: path and query
	host   string
	header http.Header
	length int64    // Content-Length, -1 if the request announced none
	coding []string // Transfer-Encoding
}

// partsOf returns the parts of a request that a signature covers.
func partsOf(r *http.Request) request {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // an absolute URL, as proxies get it
		target = r.URL.EscapedPath()
		if r.URL.RawQuery != "" {
			target += "?" + r.URL.RawQuery
		}
	}
	return request{r.Method, target, r.Host, r.Header, r.ContentLength, r.TransferEncoding}
}

// canonical writes the canonical request without its last line, the hash of the payload
// (AWS, "Create a signed AWS API request"). signed holds the sorted names of the signed
// headers, in lower case.
func (r *request) canonical(signed []string) []byte {
	path, query, _ := strings.Cut(r.target, "?")
	b := make([]byte, 0, 1024)
	b = append(append(b, r.method...), '\n')
	b = append(appendEncoded(b, normal(path), true), '\n')
	b = append(appendQuery(b, query), '\n')
	for _, name := range signed {
		b = append(append(b, name...), ':')
		b = append(r.appendValue(b, name), '\n')
	}
	b = append(b, '\n')
	for i, name := range signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return append(b, '\n')
}

// normal returns a path without empty segments, "." and ".." (RFC 3986, section 5.2.4).
// Only Amazon S3 signs paths as they are.
func normal(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	last := ""
	for s := range strings.SplitSeq(path, "/") {
		switch last = s; s {
		case "", ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, s)
		}
	}
	text := "/" + strings.Join(out, "/")
	if len(out) > 0 && (last == "" || last == "." || last == "..") {
		text += "/"
	}
	return text
}

const hexDigits = "0123456789ABCDEF"

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// appendEncoded writes a text percent-encoded. A path was encoded once when it was sent;
// this second encoding belongs to the rules of every service but Amazon S3.
func appendEncoded(b []byte, text string, path bool) []byte {
	for i := range len(text) {
		if c := text[i]; unreserved(c) || path && c == '/' {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// appendQuery writes the parameters of a query, sorted by their encoded names and values.
func appendQuery(b []byte, query string) []byte {
	if query == "" {
		return b
	}
	type parameter struct{ name, value string }
	var list []parameter
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		list = append(list, parameter{string(appendEncoded(nil, decoded(name), false)), string(appendEncoded(nil, decoded(value), false))})
	}
	slices.SortFunc(list, func(x, y parameter) int {
		if c := strings.Compare(x.name, y.name); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range list {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p.name...), '='), p.value...)
	}
	return b
}

// decoded undoes percent-encoding. A % without two hexadecimal digits stands for itself,
// and so does +.
func decoded(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, text[i])
	}
	return string(b)
}

// appendValue writes the canonical value of a header: its values in the order in which
// they were sent, without blanks at both ends, with one blank for several inside.
func (r *request) appendValue(b []byte, name string) []byte {
	var values []string
	switch name {
	case "host", ":authority":
		return appendTrimmed(b, r.host)
	default:
		values = r.header[textproto.CanonicalMIMEHeaderKey(name)]
	}
	if len(values) == 0 { // net/http may move these headers
		switch {
		case name == "content-length" && r.length >= 0:
			return strconv.AppendInt(b, r.length, 10)
		case name == "transfer-encoding":
			values = r.coding
		}
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

func appendTrimmed(b []byte, text string) []byte {
	text = strings.Trim(text, " \t\r\n")
	blank := false
	for i := range len(text) {
		switch c := text[i]; c {
		case ' ', '\t', '\r', '\n':
			blank = true
		default:
			if blank {
				b = append(b, ' ')
				blank = false
			}
			b = append(b, c)
		}
	}
	return b
}
