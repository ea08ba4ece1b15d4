package policy

import (
	"net/netip"
	"strings"
)

// parsePrefix reads an address or a range in CIDR notation, whose host bits are ignored.
func parsePrefix(s string) (netip.Prefix, bool) {
	text, length, ranged := strings.Cut(s, "/")
	a, ok := parseAddress(text)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if ranged {
		n, ok := parseSmall(length, 128)
		mapped := a.Is4() && strings.Contains(text, ":") // ::ffff:192.0.2.0/120 is 192.0.2.0/24
		if mapped {
			n -= 96
		}
		if !ok || n < 0 || n > bits {
			return netip.Prefix{}, false
		}
		bits = n
	}
	return netip.PrefixFrom(a, bits).Masked(), true
}

// parseAddress reads an IPv4 or IPv6 address. Leading zeros of the decimal parts do not
// make them octal. An IPv4 address in IPv6 form is that IPv4 address.
func parseAddress(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Addr{}, false
		}
		return a.Unmap(), true
	}
	var octets [4]byte
	for i := range octets {
		octet, rest, more := strings.Cut(s, ".")
		n, ok := parseSmall(octet, 255)
		if !ok || more != (i < 3) {
			return netip.Addr{}, false
		}
		octets[i], s = byte(n), rest
	}
	return netip.AddrFrom4(octets), true
}

// parseSmall reads a decimal number with any leading zeros.
func parseSmall(s string, most int) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int(s[i]-'0'); n > most {
			return 0, false
		}
	}
	return n, s != ""
}
