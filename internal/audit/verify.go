package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// VerifyOptions say what to verify.
type VerifyOptions struct {
	Dir string
	FS  vfs.FS // nil: the operating system's
	// Key is the public key that was exported before; nil: the one in the directory,
	// which somebody who changed the files could have replaced.
	Key *PublicKey
	// Keys, if not nil, are used to decrypt each sealed record, too. Without them the
	// chain of sealed records is verified.
	Keys seal.Keys
}

// Report is the result of Verify. The log is intact if there are no problems.
type Report struct {
	Files       int      `json:"files"`
	Records     uint64   `json:"records"`
	First       uint64   `json:"firstRecord"` // 0 if there are none
	Last        uint64   `json:"lastRecord"`
	Digests     int      `json:"digests"`
	Head        string   `json:"headTime,omitempty"` // when the head was signed
	Fingerprint string   `json:"publicKeyFingerprint"`
	Problems    []string `json:"problems"` // the first one is about the earliest file
	Notes       []string `json:"notes"`    // harmless
}

// maxProblems bounds the lists of a Report.
const maxProblems = 1000

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

func (r *Report) note(format string, args ...any) {
	if len(r.Notes) < maxProblems {
		r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
	}
}

// verification is one run of Verify.
type verification struct {
	VerifyOptions
	Report
	ctx     context.Context
	head    *headState
	numbers []uint64
	sums    map[string]hash // of whole files, by name
}

// Verify checks an audit directory: the chain of all lines, the signed digests and the
// signed head. It changes nothing, and a server may write meanwhile. An error means that
// the directory cannot be read.
func Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	v := &verification{VerifyOptions: o, ctx: ctx, sums: map[string]hash{}}
	v.Problems, v.Notes = []string{}, []string{}
	if v.Key == nil {
		text, err := readSmall(v.FS, filepath.Join(v.Dir, PublicKeyName), 64<<10)
		if err != nil {
			return nil, fmt.Errorf("%s holds no audit log: %w", v.Dir, err)
		}
		if v.Key, err = ParsePublicKey(text); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(v.Dir, PublicKeyName), err)
		}
		v.note("the public key comes from the same directory; give the exported one to exclude that both were replaced")
	}
	v.Fingerprint = v.Key.Fingerprint()
	var err error
	if err = v.readHead(); err != nil {
		return nil, err
	}
	// The head was read first, so the files hold at least what it says.
	if v.numbers, err = listLogs(v.FS, v.Dir); err != nil {
		return nil, err
	}
	if err := v.chain(); err != nil {
		return nil, err
	}
	if err := v.digests(); err != nil {
		return nil, err
	}
	return &v.Report, nil
}

func (v *verification) readHead() error {
	b, err := readSmall(v.FS, filepath.Join(v.Dir, HeadName), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		v.problem("%s: the signed head is missing: nobody knows whether the log was cut", HeadName)
		return nil
	}
	if err != nil {
		return err
	}
	if v.head, err = parseHead(b, v.Key); err != nil {
		v.problem("%s: %v", HeadName, err)
		v.head = nil
		return nil
	}
	v.Head = v.head.Time
	return nil
}

// chain follows all files.
func (v *verification) chain() error {
	var before *place
	if v.head != nil && v.head.File > 0 {
		h, err := parseHash(v.head.Start.Hash)
		if err != nil {
			v.problem("%s: %v", HeadName, err)
		}
		before = &place{seq: v.head.Start.Seq, hash: h}
		v.numbers = slices.DeleteFunc(v.numbers, func(n uint64) bool {
			if n < v.head.Start.File {
				v.note("%s is left over: retention is about to delete it", logName(n))
			}
			return n < v.head.Start.File
		})
		if len(v.numbers) == 0 || v.numbers[0] != v.head.Start.File {
			v.problem("%s: the first file of the log is missing", logName(v.head.Start.File))
			before = nil
		}
	}
	for i, n := range v.numbers {
		if i > 0 && n != v.numbers[i-1]+1 {
			v.problem("%s: the file is missing, and the records in it", logName(v.numbers[i-1]+1))
			before = nil
		}
		at, err := v.file(n, before, i == len(v.numbers)-1)
		if err != nil {
			return err
		}
		before = at
	}
	if v.head == nil || v.head.File == 0 {
		return nil
	}
	if len(v.numbers) == 0 || v.numbers[len(v.numbers)-1] < v.head.File {
		v.problem("%s: the file is missing; the signed head names it", logName(v.head.File))
	} else if v.Last < v.head.Seq {
		v.problem("%s: the log ends with record %d, but it had record %d when the head was signed at %s: its end was cut", logName(v.numbers[len(v.numbers)-1]), v.Last, v.head.Seq, v.head.Time)
	}
	return nil
}

// file verifies one file and returns its end, nil if it is damaged.
func (v *verification) file(number uint64, before *place, last bool) (*place, error) {
	name := logName(number)
	var s *sealer
	decrypt := false
	checkHead := func(seq uint64, h hash) {
		if v.head != nil && v.head.File == number && v.head.Seq == seq && v.head.Hash != h.String() {
			v.problem("%s: record %d is not the one that the signed head names: it was changed", name, seq)
		}
	}
	torn := int64(0)
	if before != nil {
		torn = before.torn
	}
	at, err := follow(v.FS, v.Dir, number, before, visitor{
		opened: func(h *header, e *entry) (err error) {
			checkHead(h.First-1, e.hash)
			for _, text := range h.Lost {
				v.problem("%s: when the server opened this file, it found: %s", name, text)
			}
			if before != nil && torn != h.Torn {
				v.problem("%s: the file before it has %d bytes after its last record, not %d: its end was changed", name, torn, h.Torn)
			} else if h.Torn > 0 {
				v.note("%s: before it, the process ended while it wrote: %d bytes of an unfinished record", name, h.Torn)
			}
			if decrypt = v.Keys != nil && h.Key != 0; decrypt {
				s, err = sealerOf(v.ctx, v.Keys, h)
			}
			return err
		},
		seen: func(l *line, e *entry) error {
			checkHead(l.Seq, e.hash)
			if v.First == 0 {
				v.First = l.Seq
			}
			v.Records, v.Last = v.Records+1, max(v.Last, l.Seq)
			event := []byte(l.Event)
			if decrypt {
				var err error
				if event, err = s.open(l); err != nil {
					return err
				}
			}
			if event == nil {
				return nil
			}
			return json.Unmarshal(event, &Event{})
		},
	})
	v.Files++
	var damaged *vfs.CorruptError
	switch {
	case errors.Is(err, errNoHeader) && last:
		v.note("%s: the process ended while it began this file", name)
		return nil, nil
	case errors.As(err, &damaged):
		v.problem("%s: %v", name, damaged.Err)
		return nil, v.ctx.Err()
	case err != nil:
		return nil, err
	case last && at.torn > 0:
		v.note("%s: %d bytes of an unfinished record at the end", name, at.torn)
	}
	v.sums[name] = at.sum
	return &at, v.ctx.Err()
}

// digests verifies the chain of digests, and the hashes of the files that they name.
func (v *verification) digests() error {
	names, err := listDigests(v.FS, v.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		names, err = nil, nil
	}
	if err != nil {
		return err
	}
	if v.head != nil && v.head.Digests != "" && !slices.Contains(names, v.head.Digests) {
		v.problem("%s: the first digest is missing", v.head.Digests)
	}
	if v.head != nil && v.head.Digest != "" && !slices.Contains(names, v.head.Digest) {
		v.problem("%s: the newest digest is missing", v.head.Digest)
	}
	var before *storedDigest
	named := uint64(0)
	for _, name := range names {
		d, err := readDigest(v.FS, v.Dir, name)
		var damaged *vfs.CorruptError
		if errors.As(err, &damaged) {
			v.problem("%s: %v", name, damaged.Err)
			before = nil
			continue
		} else if err != nil {
			return err
		}
		v.Digests++
		v.digest(d, before, &named)
		before = d
	}
	return nil
}

func (v *verification) digest(d, before *storedDigest, named *uint64) {
	switch err := v.Key.Verify(d.signedText(d.text), d.signature); {
	case err != nil:
		v.problem("%s: %v", d.name, err)
		return
	case d.Object != digestDir+"/"+d.name:
		v.problem("%s: the digest was made under the name %s", d.name, d.Object)
	case before != nil && (d.PreviousHash == nil || *d.PreviousHash != before.hash || d.PreviousSignature == nil || *d.PreviousSignature != before.signature):
		v.problem("%s: it does not continue %s: a digest between them is missing or was changed", d.name, before.name)
	}
	for _, f := range d.Files {
		n, ok := logNumber(f.Object)
		if !ok {
			v.problem("%s: it names a file %.100q", d.name, f.Object)
			continue
		}
		if *named != 0 && n <= *named {
			v.problem("%s: it names %s again", d.name, f.Object)
		}
		*named = n
		sum, known := v.sums[f.Object]
		switch {
		case known && sum.String() != f.Hash:
			v.problem("%s: the file is not the one that was signed in %s", f.Object, d.name)
		case !known && v.head != nil && n >= v.head.Start.File && !slices.Contains(v.numbers, n):
			v.problem("%s: the file is missing; %s names it", f.Object, d.name)
		}
	}
}
