package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// files is a small built console.
func files() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"index.html":            file("<!doctype html>page"),
		"assets/app-1a2b.js":    file("plain script"),
		"assets/app-1a2b.js.br": file("br script"),
		"assets/app-1a2b.js.gz": file("gz script"),
		"favicon.svg":           file("<svg/>"),
		".gitkeep":              file(""),
		"notes.md":              file("not for serving"),
	}
}

// handler serves the console by path, like a server behind its door.
func handler(o console.Options) http.Handler {
	if o.Assets == nil {
		o.Assets = files()
	}
	if o.Status == nil {
		o.Status = func(context.Context) (*console.StatusReport, error) { return &console.StatusReport{}, nil }
	}
	c := console.New(o)
	mux := http.NewServeMux()
	mux.Handle("/console/api/status", c.Status)
	mux.Handle("/console/api/live", c.Live)
	mux.Handle("/", c.Files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := identity.Principal{Owner: trace.Owner{Account: "1"}}
		mux.ServeHTTP(w, r.WithContext(identity.With(r.Context(), p)))
	})
}

func get(t *testing.T, h http.Handler, path string, headers ...string) *http.Response {
	t.Helper()
	return do(t, h, http.MethodGet, path, headers...)
}

func do(t *testing.T, h http.Handler, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHandler_servesFiles(t *testing.T) {
	for _, test := range []struct {
		path, accept          string
		status                int
		body, encoding, ctype string
		cache                 string
	}{
		{"/", "", 200, "<!doctype html>page", "", "text/html; charset=utf-8", "no-cache"},
		{"/favicon.svg", "", 200, "<svg/>", "", "image/svg+xml", "no-cache"},
		{"/assets/app-1a2b.js", "", 200, "plain script", "", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/app-1a2b.js", "gzip, deflate, br", 200, "br script", "br", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/app-1a2b.js", "gzip", 200, "gz script", "gzip", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/app-1a2b.js", "br;q=0, gzip;q=0.5", 200, "gz script", "gzip", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/app-1a2b.js", "*", 200, "br script", "br", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/app-1a2b.js", "br;q=nonsense", 200, "plain script", "", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/index.html", "", 404, "", "", "", ""},
		{"/assets/app-1a2b.js.br", "", 404, "", "", "", ""},
		{"/.gitkeep", "", 404, "", "", "", ""},
		{"/notes.md", "", 404, "", "", "", ""},
		{"/traces", "", 404, "", "", "", ""},
		{"/assets/", "", 404, "", "", "", ""},
		{"/console/api/other", "", 404, "", "", "", ""},
	} {
		t.Run(test.path+" "+test.accept, func(t *testing.T) {
			r := get(t, handler(console.Options{}), test.path, "Accept-Encoding", test.accept)
			if r.StatusCode != test.status {
				t.Fatalf("status = %d, want %d", r.StatusCode, test.status)
			}
			if test.status != 200 {
				return
			}
			if got := body(t, r); got != test.body {
				t.Errorf("body = %q, want %q", got, test.body)
			}
			for header, want := range map[string]string{"Content-Encoding": test.encoding, "Content-Type": test.ctype, "Cache-Control": test.cache} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("%s = %q, want %q", header, got, want)
				}
			}
		})
	}
}

func TestHandler_answersNotModified(t *testing.T) {
	h := handler(console.Options{})
	first := get(t, h, "/assets/app-1a2b.js", "Accept-Encoding", "br")
	etag := first.Header.Get("ETag")
	if etag == "" || first.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("ETag = %q, Vary = %q", etag, first.Header.Get("Vary"))
	}
	if r := get(t, h, "/assets/app-1a2b.js", "Accept-Encoding", "br", "If-None-Match", etag); r.StatusCode != http.StatusNotModified {
		t.Errorf("with the same ETag: status = %d, want 304", r.StatusCode)
	}
	if r := get(t, h, "/assets/app-1a2b.js", "If-None-Match", etag); r.StatusCode != http.StatusOK {
		t.Errorf("another encoding has another ETag: status = %d, want 200", r.StatusCode)
	}
}

func TestHandler_setsSecurityHeadersEverywhere(t *testing.T) {
	for _, path := range []string{"/", "/nowhere", "/console/api/status"} {
		r := get(t, handler(console.Options{}), path)
		if got := r.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'self'") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: Content-Security-Policy = %q", path, got)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers = %v", path, r.Header)
		}
	}
}

func TestHandler_refusesOtherMethods(t *testing.T) {
	for _, path := range []string{"/", "/console/api/status", "/console/api/live"} {
		if r := do(t, handler(console.Options{}), http.MethodPost, path); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s = %d, Allow %q", path, r.StatusCode, r.Header.Get("Allow"))
		}
	}
	if r := do(t, handler(console.Options{}), http.MethodHead, "/"); r.StatusCode != 200 || body(t, r) != "" {
		t.Error("HEAD / is not an empty 200")
	}
}

func TestHandler_saysSoWithoutFiles(t *testing.T) {
	if r := get(t, handler(console.Options{Assets: fstest.MapFS{}}), "/"); r.StatusCode != http.StatusNotFound {
		t.Errorf("status = %d, want 404", r.StatusCode)
	}
}

func TestStatus_isJSONWithoutNullLists(t *testing.T) {
	report := &console.StatusReport{Version: "1.2.3", Started: 1.5, Store: console.StoreStatus{Traces: 7, WALBytes: 8, ReadOnly: "disk full"}}
	h := handler(console.Options{Status: func(context.Context) (*console.StatusReport, error) { return report, nil }})
	r := get(t, h, "/console/api/status")
	text := body(t, r)
	if strings.Contains(text, "null") || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("body %s, headers %v", text, r.Header)
	}
	var got struct {
		Version  string
		Started  float64
		Received []any
		Store    map[string]any
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "1.2.3" || got.Started != 1.5 || got.Received == nil || got.Store["wal_bytes"] != 8.0 || got.Store["read_only"] != "disk full" {
		t.Errorf("got %+v", got)
	}
}

func TestStatus_saysWhatFailed(t *testing.T) {
	h := handler(console.Options{Status: func(context.Context) (*console.StatusReport, error) { return nil, errors.New("store is closed") }})
	r := get(t, h, "/console/api/status")
	if text := body(t, r); r.StatusCode != http.StatusInternalServerError || !strings.Contains(text, "store is closed") {
		t.Errorf("%d %s", r.StatusCode, text)
	}
}
