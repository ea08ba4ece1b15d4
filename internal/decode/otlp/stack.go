package otlp

import (
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxFrames bounds the stack frames read from one stack trace.
const maxFrames = 10_000

// Frame is one element of an exception's stack.
type Frame struct {
	Path, Label string
	Line        int
}

// stackException is one exception in a stack trace. Type and message of the first, which
// stand in the trace's first or last line, stay empty.
type stackException struct {
	typ, message string
	frames       []Frame
}

// parseStack reads a stack trace as the telemetry SDKs of a language
// (telemetry.sdk.language) write it: the exception itself, then its cause, and so on. It
// returns nil for an unknown language or an empty trace. It reads what the collector's
// awsxrayexporter reads, in the same way; lenient reads more: Node.js, paths with
// colons, direct causes of Python.
func parseStack(language, text string, lenient bool) []stackException {
	if text == "" {
		return nil
	}
	switch language {
	case "java", "php": // the PHP SDK writes stacks as Java does
		return parseJavaStack(text)
	case "python":
		return parsePythonStack(text, lenient)
	case "javascript":
		return parseScriptStack(text, lenient)
	case "nodejs", "webjs": // what the JavaScript SDKs really report
		if lenient {
			return parseScriptStack(text, lenient)
		}
	case "dotnet":
		return parseDotnetStack(text)
	case "go":
		return parseGoStack(text)
	}
	return nil
}

// lines iterates over lines. The last one may lack a line end.
type lines struct{ rest string }

func (l *lines) next() (line string, ok bool) {
	if l.rest == "" {
		return "", false
	}
	line, rest, found := strings.Cut(l.rest, "\n")
	l.rest = rest
	if found {
		line = strings.TrimSuffix(line, "\r")
	}
	return line, true
}

// add appends a frame to the last exception.
func (e *stackException) add(f Frame) {
	if len(e.frames) < maxFrames {
		e.frames = append(e.frames, f)
	}
}

// number reads a line number like strconv.Atoi: 0 if it is not a number, the nearest int
// if it is too large.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// from removes the first i bytes; "" if s is shorter.
func from(s string, i int) string {
	if i >= len(s) {
		return ""
	}
	return s[i:]
}

// parseJavaStack reads
//
//	Type: message
//		at module/package.Class.method(File.java:42)
//		... 5 more
//	Caused by: Type: message
func parseJavaStack(text string) []stackException {
	l := lines{text}
	out := make([]stackException, 1)
	l.next() // type and message
	line, ok := l.next()
	for ok {
		if f, is := javaFrame(line); is {
			out[len(out)-1].add(f)
		} else if cause, found := strings.CutPrefix(line, "Caused by: "); found && len(out) < trace.MaxExceptions {
			var e stackException
			e, line, ok = javaCause(cause, &l)
			out = append(out, e)
			continue
		}
		line, ok = l.next()
	}
	return out
}

// javaCause reads the header of a cause, whose message may have several lines. It
// returns the first line that is a frame.
func javaCause(header string, l *lines) (e stackException, line string, ok bool) {
	e.typ = header
	var message strings.Builder
	if i := strings.IndexByte(header, ':'); i >= 0 {
		e.typ = header[:i]
		message.WriteString(from(header, i+2))
	}
	for {
		if line, ok = l.next(); !ok {
			break
		}
		if _, is := javaFrame(line); is {
			break
		}
		message.WriteString(line)
	}
	e.message = message.String()
	return e, line, ok
}

func javaFrame(line string) (Frame, bool) {
	rest, found := strings.CutPrefix(line, "\tat ")
	paren := strings.IndexByte(rest, '(')
	if !found || paren < 0 || rest[len(rest)-1] != ')' {
		return Frame{}, false
	}
	f := Frame{Label: rest[:paren], Path: rest[paren+1 : len(rest)-1]}
	if _, after, found := strings.Cut(f.Label, "/"); found {
		f.Label = after // without module or class loader
	}
	if path, n, found := strings.Cut(f.Path, ":"); found {
		f.Path, f.Line = path, number(n)
	}
	return f, true
}

// parseDotnetStack reads
//
//	Type: message
//	   at Name.Space.Class.Method(Type arg) in /src/File.cs:line 42
func parseDotnetStack(text string) []stackException {
	l := lines{text}
	out := make([]stackException, 1)
	l.next()
	for line, ok := l.next(); ok; line, ok = l.next() {
		line = strings.TrimSpace(line)
		rest, found := strings.CutPrefix(line, "at ")
		if !found {
			continue
		}
		if parts := strings.Split(line, " in "); len(parts) > 1 {
			f := Frame{Label: from(parts[0], len("at ")), Path: parts[1]}
			if i := strings.LastIndexByte(f.Path, ':'); i >= 0 {
				n := f.Path[i+1:]
				if strings.HasPrefix(n, "line") {
					n = from(n, len("line "))
				}
				f.Path, f.Line = f.Path[:i], number(n)
			}
			out[0].add(f)
		} else if i := strings.LastIndexByte(rest, ')'); i >= 0 {
			out[0].add(Frame{Label: rest[:i+1]})
		}
	}
	return out
}

// parseGoStack reads
//
//	Type: message
//	goroutine 1 [running]:
//	main.function(0x1, 0x2)
//		/src/file.go:42 +0x1f
func parseGoStack(text string) []stackException {
	l := lines{text}
	out := make([]stackException, 1)
	l.next()
	var f Frame
	for line, ok := l.next(); ok; line, ok = l.next() {
		if isGoroutine(line) {
			line, _ = l.next()
		}
		f.Label = line
		line, _ = l.next()
		if path, n, found := goLocation(line); found {
			f.Path, f.Line = path, n
		}
		out[0].add(f)
	}
	return out
}

// isGoroutine matches ^goroutine.*\brunning\b.*:$
func isGoroutine(line string) bool {
	rest, found := strings.CutPrefix(line, "goroutine")
	if !found || !strings.HasSuffix(rest, ":") {
		return false
	}
	const word = "running"
	for at := 0; ; {
		i := strings.Index(rest[at:], word)
		if i < 0 {
			return false
		}
		i += at
		before := byte('e') // of "goroutine"
		if i > 0 {
			before = rest[i-1]
		}
		if !isWord(before) && !isWord(rest[i+len(word)]) {
			return true
		}
		at = i + 1
	}
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// goLocation finds the first ([^:\s]+):(\d+)
func goLocation(line string) (path string, n int, found bool) {
	start := 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r':
			start = i + 1
		case c == ':':
			end := i + 1
			for end < len(line) && '0' <= line[end] && line[end] <= '9' {
				end++
			}
			if i > start && end > i+1 {
				return line[start:i], number(line[i+1 : end]), true
			}
			start = i + 1
		}
	}
	return "", 0, false
}
