package sqlite

import (
	"errors"
	"os"
	"runtime"
)

// syncDir makes the names in a directory durable, on systems that support it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
