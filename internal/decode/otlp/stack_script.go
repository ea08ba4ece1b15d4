package otlp

import (
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// parseScriptStack reads
//
//	Type: message
//	    at function (/path/file.js:42:7)
//	    at /path/file.js:42:7
//
// A strict reading takes the text before the first colon for the path and the text
// between the first two for the line, and keeps the blank after the function. A lenient
// one splits at the last two colons, so that it reads file:///a.mjs:3:4 and
// node:internal/x:1:2 correctly.
func parseScriptStack(text string, lenient bool) []stackException {
	l := lines{text}
	out := make([]stackException, 1)
	l.next()
	for line, ok := l.next(); ok; line, ok = l.next() {
		rest, found := strings.CutPrefix(line, "    at ")
		if !found {
			continue
		}
		var f Frame
		paren := strings.IndexByte(rest, '(')
		switch {
		case paren >= 0 && rest[len(rest)-1] == ')':
			f.Label, f.Path = rest[:paren], rest[paren+1:len(rest)-1]
		case paren < 0:
			f.Path = rest
		}
		if lenient {
			f.Label = strings.TrimSpace(f.Label)
			f.splitLast()
		} else {
			f.splitFirst()
		}
		if f != (Frame{}) {
			out[0].add(f)
		}
	}
	return out
}

// splitFirst splits the path off at its first colon and reads the line up to the second.
func (f *Frame) splitFirst() {
	path, rest, found := strings.Cut(f.Path, ":")
	if !found {
		if strings.Contains(path, "native") {
			f.Path = "native"
		}
		return
	}
	if n, _, found := strings.Cut(rest, ":"); found {
		f.Path, f.Line = path, number(n)
	}
}

// splitLast splits line and column off the end of the path.
func (f *Frame) splitLast() {
	rest, column, found := cutLast(f.Path)
	if !found || number(column) == 0 {
		return
	}
	if path, line, found := cutLast(rest); found && number(line) > 0 {
		f.Path, f.Line = path, number(line)
		return
	}
	f.Path, f.Line = rest, number(column)
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// The lines that Python writes between two exceptions of a chain.
const (
	pythonContext = "During handling of the above exception, another exception occurred:"
	pythonCause   = "The above exception was the direct cause of the following exception:"
)

// parsePythonStack reads, from the end, so that the innermost frame comes first,
//
//	Traceback (most recent call last):
//	  File "/path/file.py", line 42, in function
//	    source text
//	Type: message
//
//	During handling of the above exception, another exception occurred:
//
//	Traceback (most recent call last):
//	  …
//	Type: message
//
// A strict reading knows no other kind of chain and loses frames with a comma in path or
// function.
func parsePythonStack(text string, lenient bool) []stackException {
	all := strings.Split(text, "\n")
	out := make([]stackException, 1)
	for i := len(all) - 2; i >= 0; i-- {
		line := all[i]
		if strings.HasPrefix(line, "  File ") {
			if f, ok := pythonFrame(line, lenient); ok {
				out[len(out)-1].add(f)
			}
			continue
		}
		if !strings.HasPrefix(line, pythonContext) && !(lenient && strings.HasPrefix(line, pythonCause)) {
			continue
		}
		file := i - 1
		for file >= 0 && !strings.HasPrefix(all[file], "  File ") {
			file--
		}
		// The message begins two lines below the frame and ends two lines above.
		if file < 0 || file+2 > i-1 || len(out) >= trace.MaxExceptions {
			return out
		}
		message := strings.Join(all[file+2:i-1], "\n")
		colon := strings.IndexByte(message, ':')
		if colon < 0 {
			return out
		}
		out = append(out, stackException{typ: message[:colon], message: from(message, colon+2)})
		i = file + 1 // the frame is next
	}
	return out
}

func pythonFrame(line string, lenient bool) (Frame, bool) {
	if lenient {
		path, rest, found := strings.Cut(strings.TrimPrefix(line, `  File "`), `", line `)
		n, label, _ := strings.Cut(rest, ", in ")
		return Frame{Path: path, Line: number(n), Label: label}, found
	}
	parts := strings.Split(line, ",")
	if len(parts) != 3 {
		return Frame{}, false
	}
	var f Frame
	if len(parts[0]) > 8 {
		f.Path = parts[0][8 : len(parts[0])-1]
	}
	if n, found := strings.CutPrefix(parts[1], " line "); found {
		f.Line = number(n)
	}
	if label, found := strings.CutPrefix(parts[2], " in "); found {
		f.Label = label
	}
	return f, true
}
