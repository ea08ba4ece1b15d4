package login

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// The names of the cookies. Browsers take a cookie with the prefix __Host- only over TLS,
// from the host itself, for all paths: neither a page of another name of the same domain
// nor somebody on the way can set it (RFC 6265bis, section 4.1.3.2).
const (
	secureCookie = "__Host-fluoro"
	plainCookie  = "fluoro-session"
	secureFlow   = "__Host-fluoro-oidc"
	plainFlow    = "fluoro-oidc"
)

func cookieName(secure bool) string {
	if secure {
		return secureCookie
	}
	return plainCookie
}

// Sizes of the parts of a cookie, in bytes before base64.
const (
	idBytes     = 16
	secretBytes = 32
)

// ticket is the content of a session's cookie: ACCOUNT.ID.SECRET. The account tells where
// the session's record is.
type ticket struct {
	account    trace.Account
	id, secret string
}

// String writes a ticket.
func (t ticket) String() string { return string(t.account) + "." + t.id + "." + t.secret }

// parseTicket reads a ticket.
func parseTicket(text string) (ticket, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(parts[0]) != 12 || strings.Trim(parts[0], "0123456789") != "" {
		return ticket{}, false
	}
	for i, n := range []int{idBytes, secretBytes} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(parts[i+1])
		if err != nil || len(b) != n || strings.ContainsAny(parts[i+1], "\r\n") {
			return ticket{}, false
		}
	}
	return ticket{trace.Account(parts[0]), parts[1], parts[2]}, true
}

// ticketOf finds the ticket of a request. present is true even if the cookie cannot be
// read, or is there twice.
func ticketOf(r *http.Request, secure bool) (t ticket, present, ok bool) {
	all := r.CookiesNamed(cookieName(secure))
	if len(all) == 0 {
		return ticket{}, false, false
	}
	if len(all) == 1 {
		t, ok = parseTicket(all[0].Value)
	}
	return t, true, ok
}

// sessionCookie makes the cookie of a ticket; an empty one deletes the cookie. SameSite is
// Strict: the page itself needs no cookie, and the requests of its scripts come from the same
// site even if a link on another site led to the page.
func sessionCookie(value string, secure bool) *http.Cookie {
	c := &http.Cookie{Name: cookieName(secure), Value: value, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
