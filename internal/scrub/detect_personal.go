package scrub

// findCards finds numbers of payment cards: 12 to 19 digits with the first digits of a
// network (ISO/IEC 7812), a right check digit (Luhn), in groups as on cards or without
// gaps.
func findCards(parts []part, text []byte) []part {
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) {
			continue
		}
		if i > 0 && (isWord(text[i-1]) || (text[i-1] == '.' || text[i-1] == '-') && i > 1 && isAlnum(text[i-2])) {
			i = run(text, i, isWord) // inside of an id or of a number
			continue
		}
		end, digits := cardAt(text, i)
		if end > 0 && (end == len(text) || !isWord(text[end]) && !decimals(text, end)) && luhn(digits) {
			parts = append(parts, part{i, end})
			i = end
			continue
		}
		i = run(text, i, isWord)
	}
	return parts
}

// decimals tells whether a number continues at i behind a dot or a hyphen.
func decimals(text []byte, i int) bool {
	return (text[i] == '.' || text[i] == '-') && i+1 < len(text) && isAlnum(text[i+1])
}

// cardAt reads the digits of a card number that begins at i. end is 0 if its form is not
// that of a card.
func cardAt(text []byte, i int) (end int, digits []byte) {
	digits = make([]byte, 0, 19)
	var groups [6]int
	n, separator := 0, byte(0)
	for end = i; end < len(text); end++ {
		c := text[end]
		switch {
		case isDigit(c):
			if len(digits) == 19 {
				return 0, nil
			}
			digits = append(digits, c-'0')
			groups[n]++
			continue
		case (c == ' ' || c == '-') && (separator == 0 || separator == c) && end+1 < len(text) && isDigit(text[end+1]) && n+1 < len(groups) && groups[n] >= 4:
			separator = c
			n++
			continue
		}
		break
	}
	length := len(digits)
	if !network(digits) {
		return 0, nil
	}
	switch {
	case n == 0:
		return end, digits
	case groups == [6]int{4, 4, 4, 4}, groups == [6]int{4, 6, 5}, groups == [6]int{4, 6, 4}, groups == [6]int{4, 4, 4, 4, length - 16} && length > 16:
		return end, digits
	}
	return 0, nil
}

// network tells whether digits begin like the numbers of a card network and have its
// length.
func network(d []byte) bool {
	if len(d) < 12 {
		return false
	}
	two := int(d[0])*10 + int(d[1])
	four := two*100 + int(d[2])*10 + int(d[3])
	n := len(d)
	switch {
	case d[0] == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34 || two == 37: // American Express
		return n == 15
	case two == 36 || two == 38 || two == 39 || four >= 3000 && four <= 3059: // Diners
		return n >= 14
	case four == 6011 || two == 64 || two == 65 || two == 62 || two == 60 || two == 81 || two == 82: // Discover, UnionPay, RuPay
		return n >= 16
	case four >= 3528 && four <= 3589: // JCB
		return n >= 16
	case two == 50 || two >= 56 && two <= 58 || two == 63 || two == 67 || two == 22: // Maestro, Mir
		return n >= 13
	}
	return false
}

func luhn(d []byte) bool {
	sum := 0
	for i, v := range d {
		n := int(v)
		if (len(d)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

// findMails finds e-mail addresses: a local part of atoms (RFC 5322, section 3.2.3), also
// of other scripts, and a domain with at least one dot whose last part has letters only.
func findMails(parts []part, text []byte) []part {
	local := func(c byte) bool {
		switch c {
		case '.', '_', '%', '+', '-', '!', '#', '$', '&', '*', '/', '=', '?', '^', '{', '|', '}', '~':
			return true
		}
		return isAlnum(c) || c >= 0x80
	}
	domain := func(c byte) bool { return isAlnum(c) || c == '-' || c == '.' || c >= 0x80 }
	for i := 0; i < len(text); i++ {
		size := 1
		switch {
		case text[i] == '@':
		case text[i] == '%' && i+2 < len(text) && text[i+1] == '4' && text[i+2] == '0': // escaped in a URL
			size = 3
		default:
			continue
		}
		least := 0
		if n := len(parts); n > 0 {
			least = parts[n-1].end
		}
		start := i
		for start > least && i-start < 64 && local(text[start-1]) {
			start--
		}
		// A URL's query is no part of the address: ?mail=a@b.example.
		for k := i - 1; k >= start; k-- {
			if c := text[k]; c == '=' || c == '/' || c == '?' || c == '&' {
				start = k + 1
				break
			}
		}
		for start < i && text[start] == '.' {
			start++
		}
		end := run(text, i+size, domain)
		for end > i && (text[end-1] == '.' || text[end-1] == '-') {
			end--
		}
		if start < i && topDomain(text[i+size:end]) {
			parts = append(parts, part{start, end})
			i = end - 1
		}
	}
	return parts
}

// topDomain tells whether a domain ends in a dot and at least two letters.
func topDomain(domain []byte) bool {
	n := len(domain)
	for i := n - 1; i > 0; i-- {
		switch c := domain[i]; {
		case c == '.':
			return n-i > 2 && domain[i-1] != '.'
		case !isLetter(c) && c < 0x80:
			return false
		}
	}
	return false
}

// ibanLength are the lengths of the IBANs of countries (ISO 13616 registry).
var ibanLength = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24,
	"DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27,
	"GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
	"LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28,
	"PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28,
	"TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}

// findIBANs finds international bank account numbers with right check digits (ISO 13616,
// ISO/IEC 7064 MOD 97-10), in groups of four or without gaps.
func findIBANs(parts []part, text []byte) []part {
	for i := 0; i+15 <= len(text); i++ {
		if !isLetter(text[i]) || i > 0 && isWord(text[i-1]) {
			continue
		}
		country := [2]byte{text[i] &^ 0x20, text[i+1] &^ 0x20}
		want := ibanLength[string(country[:])]
		if want == 0 || !isDigit(text[i+2]) || !isDigit(text[i+3]) {
			continue
		}
		if end := ibanEnd(text, i, want); end > 0 {
			parts = append(parts, part{i, end})
			i = end
		}
	}
	return parts
}

// ibanEnd returns the end of the IBAN of want characters that begins at i; 0 if there is
// none.
func ibanEnd(text []byte, i, want int) int {
	var digits [34]byte
	n, end := 0, i
	for ; end < len(text) && n < want; end++ {
		c := text[end]
		if (c == ' ' || c == '-') && n%4 == 0 && n > 0 {
			continue
		}
		if !isAlnum(c) {
			return 0
		}
		digits[n] = c
		n++
	}
	if n < want || end < len(text) && isWord(text[end]) {
		return 0
	}
	rest := 0
	for k := range want {
		c := digits[(k+4)%want]
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c&^0x20-'A') + 10) % 97
		}
	}
	if rest != 1 {
		return 0
	}
	return end
}
