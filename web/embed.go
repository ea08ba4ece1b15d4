// Package web holds the built console. The files below dist are made by
// `npm run build` in this directory and are not in version control; without
// them the binary carries a page that says how to build the console.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist placeholder
var files embed.FS

// Built reports whether the console was built before the binary was.
func Built() bool {
	_, err := fs.Stat(files, "dist/index.html")
	return err == nil
}

// Assets returns the files to serve at the root of the console: the built app
// when there is one, the placeholder page otherwise.
func Assets() fs.FS {
	dir := "placeholder"
	if Built() {
		dir = "dist"
	}
	assets, err := fs.Sub(files, dir)
	if err != nil {
		return files // not reached: fs.Sub only refuses names that are not valid paths
	}
	return assets
}
