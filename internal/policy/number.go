package policy

import (
	"strconv"
	"strings"
	"time"
)

// decimal is an exact decimal number: 0.DIGITS × 10^point. The zero value is 0. Numbers
// of any length compare exactly, and an exponent costs no memory.
type decimal struct {
	negative bool
	digits   string // without zeros at either end; "" for 0
	point    int64
}

// maxExponent bounds exponents, like the 32 bits of other implementations.
const maxExponent = 1<<31 - 1

// parseDecimal reads digits with an optional sign, fraction and exponent: 01, +1, 1.,
// .5, 1e0. NaN and infinities are no numbers.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if s != "" && (s[0] == '+' || s[0] == '-') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	mantissa, exponent := s, int64(0)
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.ParseInt(s[i+1:], 10, 64)
		if err != nil || n > maxExponent || n < -maxExponent {
			return decimal{}, false
		}
		mantissa, exponent = s[:i], n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	if all == "" || strings.Trim(all, "0123456789") != "" {
		return decimal{}, false
	}
	trimmed := strings.TrimLeft(all, "0")
	d.point = int64(len(whole)-(len(all)-len(trimmed))) + exponent
	if d.digits = strings.TrimRight(trimmed, "0"); d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// compare returns -1, 0 or 1.
func (d decimal) compare(e decimal) int {
	sign := func(x decimal) int {
		switch {
		case x.digits == "":
			return 0
		case x.negative:
			return -1
		}
		return 1
	}
	a, b := sign(d), sign(e)
	switch {
	case a != b && a < b:
		return -1
	case a != b:
		return 1
	case a == 0:
		return 0
	case d.point != e.point && d.point < e.point:
		return -a
	case d.point != e.point:
		return a
	}
	return a * strings.Compare(d.digits, e.digits)
}

// dateForms are the forms of ISO 8601 that W3C's note on dates has, without zone and
// fraction. A year alone would be a number of seconds.
var dateForms = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02", "2006-01"}

// parseDate reads a date of ISO 8601 (without a zone: UTC) or seconds since 1970, and
// returns milliseconds since 1970; finer digits are cut.
func parseDate(s string) (int64, bool) {
	if ms, ok := parseEpoch(s); ok {
		return ms, true
	}
	date, clock, hasClock := strings.Cut(s, "T")
	offset := time.Duration(0)
	if hasClock {
		var ok bool
		if clock, offset, ok = cutZone(clock); !ok {
			return 0, false
		}
	} else {
		date = strings.TrimSuffix(date, "Z")
	}
	ms := int64(0)
	if i := strings.IndexAny(clock, ".,"); i >= 0 {
		fraction := clock[i+1:]
		if fraction == "" || strings.Trim(fraction, "0123456789") != "" || strings.Count(clock[:i], ":") != 2 {
			return 0, false
		}
		ms, _ = strconv.ParseInt((fraction + "00")[:3], 10, 64)
		clock = clock[:i]
	}
	if hasClock {
		date += "T" + clock
	}
	for _, form := range dateForms {
		if len(form) != len(date) {
			continue
		}
		if t, err := time.Parse(form, date); err == nil {
			return t.Add(-offset).UnixMilli() + ms, true
		}
	}
	return 0, false
}

// maxSeconds is where seconds stop: farther times count as this one.
const maxSeconds = 9_200_000_000_000_000

// parseEpoch reads seconds since 1970, with an optional sign and fraction.
func parseEpoch(s string) (int64, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	digits := strings.TrimPrefix(strings.TrimPrefix(whole, "-"), "+")
	if digits == "" || len(whole)-len(digits) > 1 || strings.Trim(digits+fraction, "0123456789") != "" {
		return 0, false
	}
	seconds, _ := strconv.ParseInt(whole, 10, 64) // the nearest if it is out of range
	seconds = max(-maxSeconds, min(seconds, maxSeconds))
	ms, _ := strconv.ParseInt((fraction + "000")[:3], 10, 64)
	if whole[0] == '-' {
		ms = -ms
	}
	return seconds*1000 + ms, true
}

// cutZone splits a time of day from its zone: Z, +hh, +hhmm or +hh:mm.
func cutZone(clock string) (string, time.Duration, bool) {
	if rest, ok := strings.CutSuffix(clock, "Z"); ok {
		return rest, 0, true
	}
	i := strings.LastIndexAny(clock, "+-")
	if i < 0 {
		return clock, 0, true
	}
	zone := strings.Replace(clock[i+1:], ":", "", 1)
	if len(zone) == 2 {
		zone += "00"
	}
	if len(zone) != 4 || strings.Trim(zone, "0123456789") != "" {
		return "", 0, false
	}
	hours, _ := strconv.Atoi(zone[:2])
	minutes, _ := strconv.Atoi(zone[2:])
	if hours > 18 || minutes > 59 {
		return "", 0, false
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if clock[i] == '-' {
		d = -d
	}
	return clock[:i], d, true
}
