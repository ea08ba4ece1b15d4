package authn

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Kinds is a set of kinds of credentials.
type Kinds uint8

// The kinds of credentials.
const (
	SigV4   Kinds = 1 << iota // AWS Signature Version 4 in the Authorization header
	Bearer                    // a bearer token in the Authorization header
	MTLS                      // a client certificate
	Session                   // a console session
)

var kindNames = []string{"sigv4", "bearer", "mtls", "session"}

// possible are the kinds that a listener can take. gRPC messages are not signed: no
// client signs a stream.
var possible = map[string]Kinds{"http": SigV4 | Bearer | MTLS | Session, "otlp-http": SigV4 | Bearer | MTLS, "otlp-grpc": Bearer | MTLS}

// ParseKinds reads the names of kinds for a listener. It refuses unknown kinds, and kinds
// that the listener cannot take.
func ParseKinds(listener string, names []string) (Kinds, error) {
	var k Kinds
	for _, name := range names {
		i := slices.Index(kindNames, name)
		if i < 0 || possible[listener]&(1<<i) == 0 {
			return 0, fmt.Errorf("%q: want one or more of %s", name, possible[listener])
		}
		k |= 1 << i
	}
	return k, nil
}

// String returns the names, separated by commas.
func (k Kinds) String() string {
	var names []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// kinds returns what a listener takes.
func (a *Authenticator) kinds(listener string) Kinds {
	if k, set := a.Takes[listener]; set {
		return k
	}
	return possible[listener]
}

func (a *Authenticator) takes(listener string, k Kinds) bool { return a.kinds(listener)&k != 0 }

// Network is a range of addresses, and the account whose data it writes and reads; "" for
// the server's own.
type Network struct {
	netip.Prefix
	Account trace.Account
}

// Loopback tells whether only this machine has its addresses.
func (n Network) Loopback() bool { return n.Masked().Addr().IsLoopback() && n.Bits() >= 8 }

// Networks is a list of networks.
type Networks []Network

// find returns the smallest network that contains an address.
func (l Networks) find(ip netip.Addr) (best Network, found bool) {
	for _, n := range l {
		if ip.IsValid() && n.Contains(ip) && (!found || n.Bits() > best.Bits()) {
			best, found = n, true
		}
	}
	return best, found
}

// InScope tells whether the scopes of a credential include an action: names with * and ?,
// in any case. Nil includes all.
func InScope(scopes []string, action string) bool {
	return scopes == nil || slices.ContainsFunc(scopes, func(s string) bool { return matches(strings.ToLower(s), strings.ToLower(action)) })
}

// matches compares a text with a pattern of * and ?. Its time grows with the product of
// their lengths at most.
func matches(pattern, text string) bool {
	p, t, star, again := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, again = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0: // let the last * take one character more
			again++
			p, t = star+1, again
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
