package server

import "runtime/debug"

// release is set by the linker for releases: -X …/internal/server.release=v1.2.3.
var release = ""

// Version returns the release, or the version in the build information: a module
// version, or "dev" with the commit and whether the tree was changed.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	version := "dev"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			version += "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			version += "-changed"
		}
	}
	return version
}
