package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Marks in the names of an unfinished backup and an unfinished directory.
const (
	partMark      = ".part-"
	restoringMark = ".restoring-"
)

// CreatePart makes the file to which a backup is written before it gets its final
// name.
func CreatePart(to string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+partMark+"*")
}

// Leftovers lists the unfinished files and directories of interrupted backups and
// restores (a crash, a kill) in some directories. It cannot distinguish them from
// running ones. It skips directories that cannot be read.
func Leftovers(dirs ...string) (notes []string) {
	var seen []string
	for _, dir := range dirs {
		dir, err := filepath.Abs(dir)
		if err != nil || slices.Contains(seen, dir) {
			continue
		}
		seen = append(seen, dir)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			switch {
			case e.IsDir() && ends(e.Name(), restoringMark):
				notes = append(notes, fmt.Sprintf("%s belongs to an unfinished restore: remove it unless a restore is running", name))
			case !e.IsDir() && strings.HasPrefix(e.Name(), ".") && ends(e.Name(), partMark):
				notes = append(notes, fmt.Sprintf("%s belongs to an unfinished backup: remove it unless a backup is running", name))
			}
		}
	}
	return notes
}

// ends reports whether a name ends with a mark and a number.
func ends(name, mark string) bool {
	i := strings.LastIndex(name, mark)
	return i > 0 && len(name) > i+len(mark) && strings.Trim(name[i+len(mark):], "0123456789") == ""
}
