package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What stands in the names of a backup and of a directory that are not whole yet.
const (
	partMark      = ".part-"
	restoringMark = ".restoring-"
)

// CreatePart makes the file that a backup is written to before it gets its name.
func CreatePart(to string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+partMark+"*")
}

// Leftovers names what backups and restores that were broken off (the machine
// stopped, the process was killed) left in some directories. What is being written
// right now looks the same. Directories that cannot be read are passed over.
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
				notes = append(notes, fmt.Sprintf("%s is of a restore that did not end (or is under way): if none is, remove it", name))
			case !e.IsDir() && strings.HasPrefix(e.Name(), ".") && ends(e.Name(), partMark):
				notes = append(notes, fmt.Sprintf("%s is of a backup that did not end (or is under way): if none is, remove it", name))
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
