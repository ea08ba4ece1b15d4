package authn

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"testing"
)

// suite is AWS's published test suite of Signature Version 4; the file names its source
// and licence.
type suite struct {
	KeyID, Secret, Region, Service, Time string
	Vectors                              []vector
}

type vector struct {
	Name                          string
	Normalize, TokenUnsigned      bool
	Request, Canonical, Signature string
}

// read parses the text of a request. It is more lenient than net/http, as the suite has
// blanks and letters beyond ASCII in targets.
func (v *vector) read(t *testing.T) (r request, body string) {
	t.Helper()
	head, body, _ := strings.Cut(v.Request, "\n\n")
	lines := strings.Split(head, "\n")
	first := strings.Fields(lines[0])
	r = request{method: first[0], target: strings.TrimSuffix(strings.TrimPrefix(lines[0], first[0]+" "), " HTTP/1.1"), header: http.Header{}, length: int64(len(body))}
	var name string
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, " ") { // a value in several lines
			list := r.header[name]
			list[len(list)-1] += "\n" + line
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(key)
		r.header[name] = append(r.header[name], value)
	}
	r.host = r.header.Get("Host")
	r.header.Del("Host") // net/http does so
	return r, body
}

func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/sigv4.json")
	if err != nil {
		t.Fatal(err)
	}
	var s suite
	if err := json.Unmarshal(b, &s); err != nil || len(s.Vectors) != 38 {
		t.Fatal(len(s.Vectors), err)
	}
	a := New(Options{})
	accepted := 0
	for _, v := range s.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			r, body := v.read(t)
			sig, err := parse(r.header.Get("Authorization"), r.header)
			if v.TokenUnsigned {
				// Some services let the token be added after signing; X-Ray does not.
				if err == nil || !strings.Contains(err.Error(), "'X-Amz-Security-Token' must be a 'SignedHeader'") {
					t.Errorf("an unsigned token: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			prefix := r.canonical(sig.signed)
			sum := sha256.Sum256([]byte(body))
			hash := hex.EncodeToString(sum[:])
			got := a.verify(sig, s.Secret, prefix, hash)
			path, _, _ := strings.Cut(r.target, "?")
			// Only Amazon S3 signs paths that are not normal.
			if want := v.Normalize || normal(path) == path; got != want {
				t.Errorf("accepted: %v, want %v; ours:\n%s%s\ntheirs:\n%s", got, want, prefix, hash, v.Canonical)
			} else if want && string(prefix)+hash != v.Canonical {
				t.Errorf("ours:\n%s%s\ntheirs:\n%s", prefix, hash, v.Canonical)
			}
			if !got {
				return
			}
			accepted++
			if sig.hex != v.Signature {
				t.Errorf("signature %s, want %s", sig.hex, v.Signature)
			}
			if a.verify(sig, s.Secret+"x", prefix, hash) || a.verify(sig, "", prefix, hash) {
				t.Error("another secret is accepted")
			}
		})
	}
	if accepted != 31 {
		t.Errorf("%d vectors are accepted", accepted)
	}
}

// The paths as clients send them, and as their signatures see them: encoded twice.
func TestCanonical_path(t *testing.T) {
	for sent, want := range map[string]string{
		"":                    "/",
		"/":                   "/",
		"/Traces":             "/Traces",
		"/a%20b":              "/a%2520b",
		"/%2e%2E/Traces":      "/%252e%252E/Traces",
		"/a/../Traces":        "/Traces",
		"/../../Traces":       "/Traces",
		"/./Traces/.":         "/Traces/",
		"//Traces//":          "/Traces/",
		"/a/..":               "/",
		"/.hidden":            "/.hidden",
		"/a~b_c-d.e":          "/a~b_c-d.e",
		"/x=y+z:@!$&'()*,;":   "/x%3Dy%2Bz%3A%40%21%24%26%27%28%29%2A%2C%3B",
		"/\u1234":             "/%E1%88%B4",
		"/...":                "/...",
		"/api/iam/CreateUser": "/api/iam/CreateUser",
	} {
		if got := string(appendEncoded(nil, normal(sent), true)); got != want {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
}

func TestCanonical_query(t *testing.T) {
	for sent, want := range map[string]string{
		"":                      "",
		"b=2&a=1":               "a=1&b=2",
		"a":                     "a=",
		"a=&a":                  "a=&a=",
		"a=2&a=1&A=3":           "A=3&a=1&a=2",
		"a=%2f%2F":              "a=%2F%2F",
		"a=b%20c":               "a=b%20c",
		"a=b+c":                 "a=b%2Bc",
		"a=%zz%4":               "a=%25zz%254",
		"a=b=c":                 "a=b%3Dc",
		"&&a=1&":                "a=1",
		"=v":                    "=v",
		"a-b=1&a=2":             "a=2&a-b=1",
		"%61=1":                 "a=1",
		"start=1.5&end=2&f=%7B": "end=2&f=%7B&start=1.5",
	} {
		if got := string(appendQuery(nil, sent)); got != want {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
}

// net/http takes some headers out of the header map.
func TestCanonical_movedHeaders(t *testing.T) {
	r := request{host: "h:2000", header: http.Header{"X": {" a  b ", "c"}}, length: 7, coding: []string{"chunked"}}
	for name, want := range map[string]string{"host": "h:2000", ":authority": "h:2000", "content-length": "7", "transfer-encoding": "chunked", "x": "a b,c", "absent": ""} {
		if got := string(r.appendValue(nil, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A canonical form of a canonical form is the same, so that there is only one.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"", "/", "//", "/a/../b", "/%2e%2e/x?a=%2f&b", "/x?a=1&a=0&%61=2&=&&b=%zz%", "/\xff?\x00=\xff", "/./..//.?+", "*", "/a?b?c=d=e"} {
		f.Add(seed, " a  b\t")
	}
	f.Fuzz(func(t *testing.T, target, value string) {
		path, query, _ := strings.Cut(target, "?")
		once := normal(path)
		if twice := normal(once); twice != once {
			t.Errorf("path %q becomes %q, then %q", path, once, twice)
		}
		if !strings.HasPrefix(once, "/") && strings.HasPrefix(path, "/") || strings.Contains(once, "//") || strings.Contains(once+"/", "/../") || strings.Contains(once+"/", "/./") {
			t.Errorf("path %q becomes %q", path, once)
		}
		first := string(appendQuery(nil, query))
		if second := string(appendQuery(nil, first)); second != first {
			t.Errorf("query %q becomes %q, then %q", query, first, second)
		}
		r := request{method: "GET", target: target, host: "h", header: http.Header{"X": {value}}}
		if n := strings.Count(string(r.canonical([]string{"host", "x"})), "\n"); n != 7 {
			t.Errorf("%q and %q give %d lines", target, value, n)
		}
	})
}
