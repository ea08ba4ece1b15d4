package trace

import "unicode/utf8"

const (
	// MaxDocument is how many bytes a segment document or a span may have. X-Ray
	// itself takes 64 KB, which is also what a datagram can hold.
	MaxDocument = 1 << 20
	// MaxExceptions is how many exceptions of one entity are read.
	MaxExceptions = 1000
	// MaxName is how many characters of an entity's name X-Ray keeps.
	MaxName = 200
)

// CutName shortens a name to MaxName characters, as X-Ray does.
func CutName(name string) string {
	if len(name) <= MaxName || utf8.RuneCountInString(name) <= MaxName {
		return name
	}
	n := 0
	for i := range name {
		if n == MaxName {
			return name[:i]
		}
		n++
	}
	return name
}
