package scrub

import "bytes"

// blank is true for blanks inside a line.
func blank(c byte) bool { return c == ' ' || c == '\t' }

// sensitiveBefore classifies the name before the sign at i: password=, "token": …,
// --api-key=, Authorization: ….
func sensitiveBefore(text []byte, i int) sensitivity {
	start, end := nameBefore(text, i)
	if start == end || start >= 2 && text[start-1] == '/' && text[start-2] == '/' {
		return harmless // the user in a URL is no name
	}
	var buffer [maxNormal]byte
	return sensitive(normal(&buffer, text[start:end]))
}

// nameBefore returns the name before the sign at i, without quotes and blanks around it.
func nameBefore(text []byte, i int) (start, end int) {
	end = i
	for end > 0 && i-end < 4 {
		if c := text[end-1]; !blank(c) && c != '"' && c != '\'' && c != '\\' && c != ']' {
			break
		}
		end--
	}
	start = end
	for start > 0 && end-start < maxNormal {
		if c := text[start-1]; !isAlnum(c) && c != '_' && c != '-' && c != '.' {
			break
		}
		start--
	}
	return start, end
}

// keywordBefore tells whether SQL expects a password in the quotes that open at i:
// IDENTIFIED BY '…', PASSWORD '…'.
func keywordBefore(text []byte, i int) bool {
	end := i
	for end > 0 && blank(text[end-1]) {
		end--
	}
	start := end
	for start > 0 && isLetter(text[start-1]) {
		start--
	}
	word := text[start:end]
	if end == i || start > 0 && isWord(text[start-1]) {
		return false
	}
	if equalFold(word, "password") {
		return true
	}
	for start > 0 && blank(text[start-1]) {
		start--
	}
	return equalFold(word, "by") && start >= len("identified") && equalFold(text[start-len("identified"):start], "identified")
}

// findPasswords finds values behind names of credentials in running text, forms, headers,
// JSON inside of text and connection strings, and passwords in URLs.
func findPasswords(parts []part, text []byte) []part {
	u := newURL(0)
	for i := 0; i < len(text); i++ {
		found := nothing
		u.next(text, i)
		switch text[i] {
		case '=', ':':
			if kind := sensitiveBefore(text, i); kind != harmless {
				found = assigned(text, i, kind)
			}
		case '\'':
			if i > 0 && blank(text[i-1]) && keywordBefore(text, i) {
				found = part{i + 1, closing(text, i+1, `'`)}
			}
		case '@':
			found = u.userInfo(text, i)
		}
		if found.start < 0 || found.end <= found.start || isToken(text[found.start:found.end]) {
			continue
		}
		if n := len(parts); n > 0 && found.start < parts[n-1].end {
			// A URL inside of an assigned value.
			parts[n-1].end = max(parts[n-1].end, found.end)
		} else {
			parts = append(parts, found)
		}
		if found.end-1 > i {
			i = found.end - 1
			if text[i] <= ' ' || i+1 == len(text) || text[i+1] != '@' {
				u = newURL(i + 1)
			}
		}
	}
	return parts
}

var nothing = part{-1, -1}

// assigned returns the value behind the sign at i.
func assigned(text []byte, i int, kind sensitivity) part {
	sign := text[i]
	at := i + 1
	if sign == '=' && at < len(text) && text[at] == '=' {
		return nothing // a comparison
	}
	if at < len(text) && (sign == '=' && text[at] == '>' || sign == ':' && text[at] == '=') {
		at++
	}
	if sign == ':' && bytes.HasPrefix(text[at:], []byte("//")) {
		return nothing // a URL
	}
	spaced := run(text, at, blank)
	if spaced-at > 8 {
		return nothing
	}
	if quote := quoteAt(text, spaced); quote != "" {
		start := spaced + len(quote)
		return part{start, closing(text, start, quote)}
	}
	if spaced == len(text) {
		return nothing
	}
	quotedName := i > 0 && (text[i-1] == '"' || text[i-1] == '\'')
	switch c := text[spaced]; {
	case c == '[':
		if end := bytes.IndexByte(text[spaced:], ']'); end > 0 {
			return part{spaced + 1, spaced + end}
		}
		return part{spaced + 1, len(text)}
	case c == '{' || c == '(' || quotedName && (bytes.HasPrefix(text[spaced:], []byte("null")) || bytes.HasPrefix(text[spaced:], []byte("true")) || bytes.HasPrefix(text[spaced:], []byte("false"))):
		return nothing
	}
	if kind == aHeader {
		return part{spaced, lineEnd(text, spaced, i)}
	}
	end := plainEnd(text, spaced, i)
	value := text[spaced:end]
	if kind == aToken && spaced > at && sign == ':' && !quotedName && !bytes.ContainsAny(value, "0123456789") && len(value) < 20 {
		return nothing // a sentence: "invalid token: unexpected end"
	}
	return part{spaced, end}
}

// quoteAt returns the quotes that open at i, with the backslashes before them; "" if none
// do.
func quoteAt(text []byte, i int) string {
	n := run(text, i, func(c byte) bool { return c == '\\' })
	if n < len(text) && (text[n] == '"' || text[n] == '\'') && n-i < 8 {
		return string(text[i : n+1])
	}
	return ""
}

// closing returns the offset of the quotes that close a text which begins at i; the end
// of the text if there are none.
func closing(text []byte, i int, quote string) int {
	for ; i < len(text); i++ {
		if text[i] == '\\' && quote[0] != '\\' {
			i++
			continue
		}
		if text[i] != quote[0] || !bytes.HasPrefix(text[i:], []byte(quote)) {
			continue
		}
		if quote == "'" && i+1 < len(text) && text[i+1] == '\'' {
			i++ // two quotes stand for one, as in SQL
			continue
		}
		// More backslashes than around the text belong to quotes inside of it.
		if quote[0] == '\\' && i > 0 && text[i-1] == '\\' {
			continue
		}
		return i
	}
	return len(text)
}

// lineEnd returns where the value of a header ends that begins at start: at the end of
// the line, at quotes, or at the & of a form.
func lineEnd(text []byte, start, sign int) int {
	for i := start; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r' || c == '"' || c == '\'':
			return i
		case c == '\\' && i+1 < len(text) && (text[i+1] == 'n' || text[i+1] == 'r' || text[i+1] == '"'):
			return i
		case text[sign] == '=' && (c == '&' || c == ']' || c == '}'):
			return i
		}
	}
	return len(text)
}

// plainEnd returns where a value without quotes ends that begins at start; its sign is
// at sign.
func plainEnd(text []byte, start, sign int) int {
	name, _ := nameBefore(text, sign)
	before := byte(0)
	if name > 0 {
		before = text[name-1]
	}
	query := before == '?' || before == '&'
	// In a connection string only a semicolon ends a value.
	list := text[sign] == '=' && !query && (before == ';' || (name == 0 || blank(before)) && connection(text[start:]))
	for i := start; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			return i
		case list:
			if c == ';' || c == '"' {
				return i
			}
		case c <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '`':
			return i
		case query:
			if c == '&' || c == '#' || c == ')' || c == ']' || c == '}' {
				return i
			}
		case c == '&' || c == ';' || c == ')' || c == '}' || c == ']' || c == '|':
			return i
		case c == ',' && (i+1 == len(text) || text[i+1] <= ' ' || pairFollows(text, i+1)):
			return i
		case c == '\\' && i+1 < len(text) && (text[i+1] == 'n' || text[i+1] == 'r' || text[i+1] == '"'):
			return i
		}
	}
	return len(text)
}

// connection tells whether a value is followed by a semicolon and another name with =.
func connection(text []byte) bool {
	i := bytes.IndexByte(text[:min(len(text), 256)], ';')
	return i >= 0 && (i+1 == len(text) || pairFollows(text, i+1))
}

// pairFollows tells whether a name with = or : begins at i.
func pairFollows(text []byte, i int) bool {
	i = run(text, i, func(c byte) bool { return blank(c) || c == '"' || c == '\'' })
	end := run(text, i, func(c byte) bool { return isWord(c) || c == '-' || c == '.' || c == ' ' })
	end = run(text, end, func(c byte) bool { return c == '"' || c == '\'' })
	return end > i && end < len(text) && (text[end] == '=' || text[end] == ':')
}

// url holds what was read of the word that may be a URL: where it begins, and its first
// signs behind ://; -1 for none.
type url struct{ word, scheme, colon, slash, query int }

func newURL(at int) url { return url{at, -1, -1, -1, -1} }

// next reads the byte at i.
func (u *url) next(text []byte, i int) {
	switch c := text[i]; {
	case c <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>' || c == ',' || c == '`':
		*u = newURL(i + 1)
	case c == ':' && i+2 < len(text) && text[i+1] == '/' && text[i+2] == '/':
		*u = url{u.word, i, -1, -1, -1}
	case u.scheme >= 0 && i < u.scheme+3:
	case c == ':' && u.colon < 0:
		u.colon = i
	case c == '/' && u.slash < 0:
		u.slash = i
	case (c == '?' || c == '#') && u.query < 0:
		u.query = i
	}
}

// longestUser bounds the user and password of a URL.
const longestUser = 512

// userInfo returns the password of a URL or connection string whose @ is at i:
// scheme://user:password@host, user:password@tcp(host), jdbc:oracle:thin:user/password@host.
func (u *url) userInfo(text []byte, i int) part {
	if i+1 == len(text) || i-u.word > 4*longestUser {
		return nothing
	}
	if u.scheme >= 0 {
		at := u.scheme + 3
		switch {
		case u.query >= 0 || i-at > longestUser:
			return nothing // the @ belongs to the query
		case u.slash >= 0 && (u.colon < 0 || u.slash < u.colon || portBefore(text, u.colon, u.slash)):
			return nothing // the @ belongs to the path
		case u.colon >= 0:
			return lastAt(text, part{u.colon + 1, i})
		case i-at >= 20 && bytes.ContainsAny(text[at:i], "0123456789"):
			return part{at, i} // a token instead of a user
		}
		return nothing
	}
	if bytes.HasPrefix(text[u.word:], []byte("jdbc:oracle:")) && u.slash >= 0 {
		return part{u.slash + 1, i}
	}
	for _, network := range [...]string{"tcp(", "unix(", "udp(", "tcp4(", "tcp6(", "cloudsql("} {
		if bytes.HasPrefix(text[i+1:], []byte(network)) && u.colon >= 0 {
			return part{u.colon + 1, i}
		}
	}
	return nothing
}

// portBefore tells whether a colon begins a port that ends at a slash: host:80/path@x.
func portBefore(text []byte, colon, slash int) bool {
	return slash > colon+1 && run(text, colon+1, isDigit) == slash
}

// lastAt extends a password to the last @ before the host: passwords may hold an @ that
// should have been escaped.
func lastAt(text []byte, p part) part {
	for i := p.end + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c <= ' ' || c == '/' || c == '?' || c == '#' || c == '"' || c == '\'' || c == ',' || c == ';' || c == '<' || c == '>':
			return p
		case c == '@':
			p.end = i
		}
	}
	return p
}
