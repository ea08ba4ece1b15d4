package console

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// types maps file extensions to content types. The table of the operating system is not
// used: it differs between machines, and a wrong type breaks the console.
var types = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".png":  "image/png",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// encodings lists the compressed forms that a file may have, best first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// asset is one file to serve.
type asset struct {
	file        string
	contentType string
	etag        string            // of the uncompressed content, without quotes
	compressed  map[string]string // encoding to file
}

// assets serves files by their path. It compresses nothing at run time.
type assets struct {
	fsys  fs.FS
	files map[string]asset // by URL path
	err   error            // why the files could not be read
}

func newAssets(fsys fs.FS) *assets {
	a := &assets{fsys: fsys, files: map[string]asset{}}
	a.err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read console files at %s: %w", name, err)
		}
		contentType, known := types[path.Ext(name)]
		if d.IsDir() || !known {
			return nil
		}
		etag, err := digest(fsys, name)
		if err != nil {
			return err
		}
		f := asset{file: name, contentType: contentType, etag: etag, compressed: map[string]string{}}
		for _, e := range encodings {
			if _, err := fs.Stat(fsys, name+e.suffix); err == nil {
				f.compressed[e.name] = name + e.suffix
			}
		}
		a.files["/"+name] = f
		return nil
	})
	if page, ok := a.files["/index.html"]; ok {
		a.files["/"] = page
		delete(a.files, "/index.html") // the page has one address
	}
	return a
}

// digest returns the start of the SHA-256 of a file, in hex.
func digest(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", fmt.Errorf("open console file %s: %w", name, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read console file %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// ServeHTTP sends the file of a path in the best encoding that the client accepts.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.err != nil {
		http.Error(w, a.err.Error(), http.StatusInternalServerError)
		return
	}
	f, ok := a.files[r.URL.Path]
	if !ok {
		http.Error(w, "there is nothing at "+r.URL.Path, http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", cacheControl(r.URL.Path))
	name, etag := f.file, f.etag
	if len(f.compressed) > 0 {
		h.Set("Vary", "Accept-Encoding")
		if encoding := pickEncoding(r.Header.Get("Accept-Encoding"), f.compressed); encoding != "" {
			name, etag = f.compressed[encoding], f.etag+"-"+encoding
			h.Set("Content-Encoding", encoding)
		}
	}
	h.Set("ETag", strconv.Quote(etag))
	file, err := a.fsys.Open(name)
	if err != nil {
		h.Del("Content-Encoding")
		http.Error(w, "a file of the console cannot be read", http.StatusInternalServerError)
		return
	}
	defer file.Close()
	content, ok := file.(io.ReadSeeker)
	if !ok {
		h.Del("Content-Encoding")
		http.Error(w, "a file of the console cannot be read", http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, content)
}

// cacheControl lets browsers keep files forever whose names contain a hash of their
// content. Browsers ask again for all other files, and get 304 while they are unchanged.
func cacheControl(urlPath string) string {
	if strings.HasPrefix(urlPath, "/assets/") {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// pickEncoding returns the best available encoding that an Accept-Encoding header allows,
// or "" if it allows none (RFC 9110, section 12.5.3).
func pickEncoding(accept string, have map[string]string) string {
	admitted := map[string]bool{}
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(part, ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			parsed, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		admitted[strings.ToLower(strings.TrimSpace(name))] = q > 0
	}
	for _, e := range encodings {
		ok, named := admitted[e.name]
		if !named {
			ok = admitted["*"]
		}
		if _, exists := have[e.name]; ok && exists {
			return e.name
		}
	}
	return ""
}
