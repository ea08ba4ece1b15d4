package scrub

import "bytes"

// findLiterals finds the literals of an SQL statement: texts in quotes with their
// prefixes, dollar-quoted texts of PostgreSQL, numbers. It leaves names, parameters
// ($1, :name, @p1, ?) and comments. A text in double quotes is a literal where a value
// must stand (MySQL), else a name.
func findLiterals(parts []part, text []byte) []part {
	value := false // must a value stand here?
	list := false  // behind VALUES or IN, whose lists have values only
	depth := 0     // of brackets since then
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '-' && bytes.HasPrefix(text[i:], []byte("--")):
			i = endOf(text, i, "\n")
		case c == '/' && bytes.HasPrefix(text[i:], []byte("/*")):
			i = endOf(text, i+2, "*/")
		case c == '\'':
			end := literalEnd(text, i+1)
			if end-i > 2 || end == len(text) && text[end-1] != '\'' {
				parts = append(parts, part{i, end})
			}
			i, value = end, false
		case c == '"' || c == '`':
			end := min(closing(text, i+1, string(c))+1, len(text))
			if (value || list && depth > 0) && c == '"' {
				parts = append(parts, part{i, end})
			}
			i, value = end, false
		case c == '$':
			end := dollarQuoted(text, i)
			if end > 0 {
				parts = append(parts, part{i, end})
			} else {
				end = run(text, i+1, isWord)
			}
			i = max(end, i+1)
		case c == ':' || c == '@':
			i = max(run(text, i+1, isWord), i+1)
		case isDigit(c) || c == '.' && i+1 < len(text) && isDigit(text[i+1]):
			end := number(text, i)
			parts = append(parts, part{i, end})
			i, value = end, false
		case isWord(c):
			end := run(text, i, isWord)
			if end < len(text) && text[end] == '\'' && prefix(text[i:end]) {
				stop := literalEnd(text, end+1)
				parts = append(parts, part{i, stop})
				i, value = stop, false
				continue
			}
			word := text[i:end]
			value = equalFold(word, "like") || value && equalFold(word, "not")
			if depth == 0 {
				list = equalFold(word, "values") || equalFold(word, "in")
			}
			i = end
		default:
			switch c {
			case '=', '<', '>', '!':
				value = true
			case '(':
				if list {
					depth++
				}
			case ')':
				depth = max(depth-1, 0)
				value = false
			case ',', ' ', '\t', '\n', '\r':
			default:
				value = false
			}
			i++
		}
	}
	return parts
}

// literalEnd returns the offset behind the literal whose content begins at i. Whether a
// backslash protects a quote depends on the database: with one, the literal continues to
// the last quote of the statement, so that nothing of it stays visible.
func literalEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch {
		case text[i] != '\'':
		case text[i-1] == '\\':
			return max(bytes.LastIndexByte(text, '\''), i) + 1
		case i+1 < len(text) && text[i+1] == '\'':
			i++
		default:
			return i + 1
		}
	}
	return len(text)
}

// endOf returns the offset behind the next occurrence of mark; the end of the text if
// there is none.
func endOf(text []byte, i int, mark string) int {
	if n := bytes.Index(text[i:], []byte(mark)); n >= 0 {
		return i + n + len(mark)
	}
	return len(text)
}

// prefix tells whether a word before a quote belongs to the literal: N'…', X'…', E'…',
// B'…', U&'…' and the character sets of MySQL.
func prefix(word []byte) bool {
	return len(word) == 1 && bytes.IndexByte([]byte("nNxXeEbBuUqQ"), word[0]) >= 0 || word[0] == '_' && len(word) > 1
}

// dollarQuoted returns the end of a text such as $$…$$ or $tag$…$tag$ that begins at i;
// 0 if there is none.
func dollarQuoted(text []byte, i int) int {
	end := run(text, i+1, func(c byte) bool { return isWord(c) && c != '$' })
	if end >= len(text) || text[end] != '$' || end > i+1 && isDigit(text[i+1]) {
		return 0
	}
	return endOf(text, end+1, string(text[i:end+1]))
}

// number returns the end of a number that begins at i: decimal, with exponent, or hex.
func number(text []byte, i int) int {
	end := run(text, i, func(c byte) bool { return isWord(c) || c == '.' })
	if e := text[end-1]; (e == 'e' || e == 'E') && end < len(text) && (text[end] == '-' || text[end] == '+') && isDigit(text[i]) {
		end = run(text, end+1, isDigit)
	}
	for end > i+1 && text[end-1] == '.' {
		end--
	}
	return end
}
