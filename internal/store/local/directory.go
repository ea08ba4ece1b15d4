package local

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// The data directory (docs/format/store.md).
const (
	formatName    = "FORMAT"
	formatText    = "fluoro local store"
	formatVersion = 5
	// sealedVersion is the format of a directory that may have sealed files.
	sealedVersion = 6
	// lastWithoutManifest is the format that had none. It is brought up to date.
	lastWithoutManifest = 4

	lockName = "LOCK"
	logDir   = "wal"
	blockDir = "blocks"
)

// Directory is a data directory that this process alone may write: it is locked.
type Directory struct {
	fs   vfs.FS
	path string
	lock io.Closer

	// What check found.
	version  int       // 5 or 6
	old      bool      // of a version that had no manifest
	sealed   []byte    // the manifest, if it is sealed: unseal opens it
	present  []string  // names in the directory at the lock
	manifest *manifest // nil if it is missing or cannot be read
	damage   []error
	// missing are the files of others that were gone at the lock, before anybody makes
	// them anew.
	missing []error
	// These files cannot be read; they are kept beside their replacements.
	badFormat, badManifest bool
}

// ErrInUse tells that another process has locked a data directory.
var ErrInUse = errors.New("is in use by another fluoro process")

// Lock locks a data directory, and makes it if it is missing. It changes nothing before
// it has checked that the directory is ours. Others may then open their files in it,
// before Open opens the shelf. Errors: the directory is foreign, newer, locked or cannot
// be written.
func Lock(path string) (*Directory, error) { return lockDirectory(vfs.OS{}, path) }

func lockDirectory(fsys vfs.FS, path string) (*Directory, error) {
	if path == "" {
		return nil, errors.New("data directory: no name given")
	}
	d := &Directory{fs: fsys, path: path}
	fresh, err := d.check()
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := fsys.MkdirAll(path); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	d.lock, err = fsys.Lock(filepath.Join(path, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data directory %s %w: stop that one or choose another directory", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	if d.manifest != nil {
		d.missing = missingBeside(d)
	}
	if d.present, err = fsys.List(path); err != nil {
		return nil, errors.Join(fmt.Errorf("read data directory: %w", err), d.lock.Close())
	}
	return d, nil
}

// lockExisting locks a data directory that no server has open, and changes nothing in
// it.
func lockExisting(fsys vfs.FS, path string) (*Directory, error) {
	d := &Directory{fs: fsys, path: path}
	if fresh, err := d.check(); err != nil {
		return nil, err
	} else if fresh {
		return nil, fmt.Errorf("data directory %s holds no Fluoro data", path)
	}
	var err error
	d.lock, err = fsys.Lock(filepath.Join(path, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data directory %s is in use by another fluoro process: stop that one first", path)
	}
	if err == nil {
		d.present, err = fsys.List(path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	return d, nil
}

// check reads the format file and the manifest. fresh: the directory is new. An error
// refuses a foreign one. It names damage of ours in d.damage and goes on.
func (d *Directory) check() (fresh bool, err error) {
	d.old, d.manifest, d.damage, d.badFormat, d.badManifest = false, nil, nil, false, false
	d.version, d.sealed = formatVersion, nil
	names, err := d.fs.List(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read data directory: %w", err)
	}
	m, sealed, damage := readManifest(d.fs, d.sub(manifestName))
	if d.sealed = sealed; sealed != nil {
		d.version = sealedVersion
	}
	text, err := readFile(d.fs, d.sub(formatName))
	switch {
	case err == nil && string(text) == formatOf(formatVersion):
		d.version = formatVersion
	case err == nil && string(text) == formatOf(sealedVersion):
		d.version = sealedVersion
	case err == nil && string(text) == formatOf(lastWithoutManifest):
		d.old = true // a manifest beside it was left by an upgrade that was cut short
		return false, nil
	case errors.Is(err, fs.ErrNotExist):
		if foreign := d.foreign(names, m); foreign == "" {
			return true, nil
		} else if m == nil && !d.evidence() {
			return false, fmt.Errorf("data directory %s is not empty and holds no Fluoro data (found %q, no %s file): choose another directory", d.path, foreign, formatName)
		}
		d.damage = append(d.damage, vfs.Lost(d.sub(formatName), "the file is missing"))
	case err != nil:
		if m == nil && !d.evidence() {
			return false, fmt.Errorf("read data directory: %w", err)
		}
		d.badFormat = true
		d.damage = append(d.damage, vfs.Lost(d.sub(formatName), "the file cannot be read: %w", err))
	default:
		if err := d.refuse(string(text), m); err != nil {
			return false, err
		}
		d.badFormat = true
		d.damage = append(d.damage, vfs.Corrupt(d.sub(formatName), 0, "it says %.80q; other files say that this is a data directory of Fluoro", text))
	}
	if m == nil && len(d.damage) > 0 && !slices.Contains(names, manifestName) {
		d.old = true // probably of a version that had no manifest
		return false, nil
	}
	d.manifest, d.badManifest = m, m == nil && sealed == nil && slices.Contains(names, manifestName)
	d.damage = append(d.damage, damage...)
	return false, nil
}

// foreign returns a file that no interrupted first start can have left; "" if there is
// none.
func (d *Directory) foreign(names []string, m *manifest) string {
	for _, n := range names {
		switch n {
		case lockName, "lost+found", formatName + tempSuffix, manifestName + tempSuffix:
		case manifestName:
			if m == nil || m.Log.Newest > 0 { // a sealed one is not the first
				return n
			}
		default:
			return n
		}
	}
	return ""
}

// refuse returns an error, unless a format file with another text can only be a damaged
// one of ours. It believes a text that has the right checksum or that no other file
// contradicts.
func (d *Directory) refuse(text string, m *manifest) error {
	line, _, _ := strings.Cut(text, "\n")
	name, number, _ := strings.Cut(line, " version ")
	version, err := strconv.Atoi(number)
	ours := name == formatText && err == nil
	switch {
	case ours && version > sealedVersion && text == formatOf(version):
		return fmt.Errorf("data directory %s was written by a newer fluoro (format %d, this one knows up to %d): use that version", d.path, version, sealedVersion)
	case m != nil:
		return nil
	case ours && version >= 1 && version < lastWithoutManifest:
		return fmt.Errorf("data directory %s has format %d, of a fluoro before the first release; this one reads format %d: choose another directory", d.path, version, formatVersion)
	case d.evidence():
		return nil
	}
	return fmt.Errorf("data directory %s holds something else: its %s file says %.80q", d.path, formatName, text)
}

// evidence tells whether a log file or a block shows that the directory is ours.
func (d *Directory) evidence() bool {
	if d.sealed != nil {
		return true
	}
	for _, sub := range []string{logDir, blockDir} {
		names, err := d.fs.List(d.sub(sub))
		if err != nil {
			continue
		}
		for _, n := range names {
			_, log := wal.Number(n)
			_, index := block.Number(n)
			if !log && !index {
				continue
			}
			b, err := readFile(d.fs, filepath.Join(d.sub(sub), n))
			if err == nil && (log && wal.Begins(b) || index && (block.Begins(b) || vfs.IsSealed(b))) {
				return true
			}
		}
	}
	return false
}

// formatOf returns the text of a format file. From version 5 on it has its own checksum,
// so that one flipped bit does not pass for another version.
func formatOf(version int) string {
	line := fmt.Sprintf("%s version %d\n", formatText, version)
	if version <= lastWithoutManifest {
		return line
	}
	return fmt.Sprintf("%schecksum %08x\n", line, crc32.Checksum([]byte(line), castagnoli))
}

// prepare writes the manifest and the format file of a new directory, makes its
// subdirectories, and replaces a format file that cannot be read.
func (d *Directory) prepare() error {
	// Check again under the lock: another process may have been faster.
	fresh, err := d.check()
	if err != nil {
		return err
	}
	if fresh {
		if err := d.claim(); err != nil {
			return err
		}
	}
	if len(d.damage) > 0 && !d.old {
		d.heal()
	}
	for _, sub := range []string{logDir, blockDir} {
		if _, err := d.fs.List(d.sub(sub)); err == nil {
			continue
		}
		if err := d.fs.MkdirAll(d.sub(sub)); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		if err := d.fs.SyncDir(d.path); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	return nil
}

// claim writes the manifest, then the format file, before all other files.
func (d *Directory) claim() error {
	d.manifest = &manifest{Next: 1, Blocks: []listed{}}
	one, err := d.manifest.encode()
	if err != nil {
		return err
	}
	if err := replace(d.fs, d.sub(manifestName), append(one[:len(one):len(one)], one...)); err != nil {
		return err
	}
	if err := d.writeFormat(); err != nil {
		return err
	}
	// Makes the name of the directory itself durable; not every system can sync its parent.
	_ = d.fs.SyncDir(filepath.Dir(d.path))
	return nil
}

func (d *Directory) writeFormat() error {
	return replace(d.fs, d.sub(formatName), []byte(formatOf(d.version)))
}

// mark writes the format of directories with sealed files, so that older programs leave
// the directory alone.
func (d *Directory) mark() error {
	if d.version == sealedVersion {
		return nil
	}
	d.version = sealedVersion
	if err := d.writeFormat(); err != nil {
		d.version = formatVersion
		return err
	}
	return nil
}

// heal replaces a format file that cannot be read, and keeps the old one aside. If it
// fails, the next start tries again.
func (d *Directory) heal() {
	name := d.sub(formatName)
	if text, err := readFile(d.fs, name); err == nil && string(text) == formatOf(d.version) {
		return
	}
	if d.badFormat && d.fs.Rename(name, aside(d.fs, name)) != nil {
		return
	}
	if err := d.writeFormat(); err != nil {
		d.damage = append(d.damage, err)
	}
}

func (d *Directory) sub(name string) string { return filepath.Join(d.path, name) }

func (d *Directory) close() error { return d.lock.Close() }

// LockExisting locks a data directory that no server has open, for work on the files of
// others in it. It changes nothing.
func LockExisting(path string) (*Directory, error) { return lockExisting(vfs.OS{}, path) }

// Close releases the lock of a directory that Open did not take over.
func (d *Directory) Close() error { return d.close() }

// has tells whether a file is there.
func (d *Directory) has(name string) bool {
	f, err := d.fs.Open(d.sub(filepath.FromSlash(name)))
	if err == nil {
		_ = f.Close() // only its existence matters
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// missingBeside names the files of others that the manifest has and that are gone.
func missingBeside(d *Directory) (damage []error) {
	for _, name := range d.manifest.Beside {
		f, err := d.fs.Open(d.sub(name))
		if errors.Is(err, fs.ErrNotExist) {
			damage = append(damage, vfs.Lost(d.sub(name), "the file is missing, with all that it held"))
		} else if err == nil {
			_ = f.Close() // its owner reads it
		}
	}
	return damage
}

// damagedAside names files that an earlier start found damaged and replaced.
func damagedAside(d *Directory) (notes []string) {
	for _, sub := range []string{"", logDir, blockDir} {
		names, err := d.fs.List(d.sub(sub))
		if err != nil {
			continue // somebody else names that damage
		}
		for _, name := range names {
			if strings.Contains(name, ".damaged") {
				notes = append(notes, filepath.Join(d.sub(sub), name)+" was found damaged and is kept for you to look at")
			}
		}
	}
	return notes
}
