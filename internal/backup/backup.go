// Package backup writes and reads backups: a tar with the files of a data directory,
// followed by their list with SHA-256 checksums, and the checksum of that list at
// the end (docs/format/backup.md). So a truncated or changed backup is never
// mistaken for a complete one.
package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"
)

const (
	listName = "MANIFEST.json"
	sumName  = "MANIFEST.sha256"
	version  = 1
	// maxList limits the list of files, so that a wrong size cannot cause a large
	// allocation.
	maxList = 64 << 20
)

// Manifest is the list at the end of a backup.
type Manifest struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Files   []File    `json:"files"`
}

// File is one file of a backup. Names are relative, with slashes.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes returns the size of all files.
func (m *Manifest) Bytes() (sum int64) {
	for _, f := range m.Files {
		sum += f.Bytes
	}
	return sum
}

// Writer writes a backup.
type Writer struct {
	tar  *tar.Writer
	list Manifest
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, created time.Time) *Writer {
	return &Writer{tar: tar.NewWriter(w), list: Manifest{Version: version, Created: created.UTC().Truncate(time.Second), Files: []File{}}}
}

// Add adds a file of size bytes; r must yield exactly that many.
func (w *Writer) Add(name string, size int64, r io.Reader) error {
	sum := sha256.New()
	if err := w.entry(name, size, io.TeeReader(r, sum)); err != nil {
		return err
	}
	w.list.Files = append(w.list.Files, File{name, size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

func (w *Writer) entry(name string, size int64, r io.Reader) error {
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o640, ModTime: w.list.Created}); err != nil {
		return fmt.Errorf("write %s to the backup: %w", name, err)
	}
	n, err := io.Copy(w.tar, r)
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes instead of the announced %d", n, size)
	}
	if err != nil {
		return fmt.Errorf("write %s to the backup: %w", name, err)
	}
	return nil
}

// Close completes the backup. Without it, the backup is refused as incomplete.
func (w *Writer) Close() error {
	list, err := json.MarshalIndent(w.list, "", " ")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(list)
	text := hex.EncodeToString(sum[:]) + "\n"
	if err := w.entry(listName, int64(len(list)), bytes.NewReader(list)); err != nil {
		return err
	}
	if err := w.entry(sumName, int64(len(text)), strings.NewReader(text)); err != nil {
		return err
	}
	return w.tar.Close()
}

var errNotWhole = errors.New("the backup ends before its list of files: it is not whole")

// Read reads a backup to its end and verifies it. take receives each file before it
// is verified: callers may use the files only if Read returns no error. Errors name
// the wrong file.
func Read(r io.Reader, take func(name string, size int64, r io.Reader) error) (*Manifest, error) {
	t := tar.NewReader(r)
	var read []File
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errNotWhole
		case err != nil:
			return nil, fmt.Errorf("this is no backup, or it is damaged after %d files: %w", len(read), err)
		case h.Name == listName:
			return end(t, h, read)
		}
		if err := checkName(h); err != nil {
			return nil, err
		}
		sum := sha256.New()
		if err := pass(h, t, sum, take); err != nil {
			return nil, err
		}
		read = append(read, File{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))})
	}
}

func pass(h *tar.Header, t io.Reader, sum hash.Hash, take func(string, int64, io.Reader) error) error {
	in := io.TeeReader(t, sum)
	err := take(h.Name, h.Size, in)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (in %s)", errNotWhole, h.Name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// checkName refuses names that lead out of a directory, and entries that are not
// files.
func checkName(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg || h.Name == "" || path.Clean(h.Name) != h.Name || path.IsAbs(h.Name) || strings.HasPrefix(h.Name, "..") || strings.ContainsAny(h.Name, "\\:\x00") {
		return fmt.Errorf("this is no backup: it contains %.100q", h.Name)
	}
	return nil
}

// end reads the list of files and its checksum, and compares them with the files.
func end(t *tar.Reader, h *tar.Header, read []File) (*Manifest, error) {
	if h.Size > maxList {
		return nil, fmt.Errorf("the list of files has %d bytes; the limit is %d", h.Size, maxList)
	}
	list, err := io.ReadAll(t)
	if err != nil {
		return nil, errNotWhole
	}
	if h, err = t.Next(); err != nil || h.Name != sumName || h.Size > 100 {
		return nil, errNotWhole
	}
	text, err := io.ReadAll(t)
	if err != nil {
		return nil, errNotWhole
	}
	if sum := sha256.Sum256(list); strings.TrimSpace(string(text)) != hex.EncodeToString(sum[:]) {
		return nil, errors.New("the checksum of the list of files is wrong: the backup is damaged")
	}
	var m Manifest
	if err := json.Unmarshal(list, &m); err != nil {
		return nil, fmt.Errorf("the list of files cannot be read: %w", err)
	}
	if m.Version != version {
		return nil, fmt.Errorf("the backup has version %d, this fluoro reads version %d: use a newer one", m.Version, version)
	}
	for i, want := range m.Files {
		switch {
		case i >= len(read) || read[i].Name != want.Name:
			return nil, fmt.Errorf("%s is missing", want.Name)
		case read[i] != want:
			return nil, fmt.Errorf("%s is damaged: it has %d bytes with SHA-256 %s instead of %d with %s", want.Name, read[i].Bytes, read[i].SHA256, want.Bytes, want.SHA256)
		}
	}
	if len(read) > len(m.Files) {
		return nil, fmt.Errorf("%s is not in the list of files", read[len(m.Files)].Name)
	}
	return &m, nil
}
