package ship

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/fluoro-io/fluoro/internal/audit"
)

// file appends records to a file of JSON lines. It opens the file again when somebody
// moved it away, as log rotation does.
type file struct {
	path string
	f    *os.File
	// last is the eventID of the last whole line when the file was opened: a delivery
	// whose position was not saved is not repeated.
	last string
}

// tailBytes bounds the search for the last line.
const tailBytes = 4 << 20

func openFile(path string) (*file, error) {
	f := &file{path: path}
	return f, f.open()
}

func (f *file) open() (err error) {
	if f.f, err = os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
		return err
	}
	size, err := f.f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	tail := make([]byte, min(size, tailBytes))
	if _, err := f.f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if end == 0 && size > tailBytes {
		return errors.New("the file holds something else")
	}
	if err := f.f.Truncate(size - int64(len(tail)-end)); err != nil { // an unfinished line
		return err
	}
	line := bytes.TrimSuffix(tail[:end], []byte("\n"))
	f.last = idOf(line[bytes.LastIndexByte(line, '\n')+1:])
	return nil
}

func idOf(event []byte) string {
	var e struct {
		ID string `json:"eventID"`
	}
	_ = json.Unmarshal(event, &e) // "" for other lines
	return e.ID
}

func (f *file) send(_ context.Context, batch []audit.Found) error {
	if f.f != nil {
		now, err := os.Stat(f.path)
		was, err2 := f.f.Stat()
		if err != nil || err2 != nil || !os.SameFile(now, was) {
			_ = f.f.Close()
			f.f = nil
		}
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.last != "" {
		for i := range batch {
			if idOf(batch[i].Event) == f.last {
				batch = batch[i+1:]
				break
			}
		}
	}
	var text []byte
	for _, r := range batch {
		text = append(append(text, r.Event...), '\n')
	}
	_, err := f.f.Write(text)
	if err == nil {
		err = f.f.Sync()
	}
	if err != nil {
		_ = f.f.Close()
		f.f = nil // opening it again looks how far it came
		return err
	}
	f.last = ""
	return nil
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	return f.f.Close()
}
