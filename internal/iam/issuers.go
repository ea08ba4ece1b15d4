package iam

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// discoverEvery is how long the discovery document of an issuer is used. Its keys are
	// read again whenever a token names an unknown one.
	discoverEvery = time.Hour
	// pause is the time between two requests to the same URL: tokens with invented keys
	// must not make this server flood an issuer.
	pause       = 5 * time.Second
	maxDocument = 1 << 20 // bytes of an issuer's answer
	issuerTime  = 5 * time.Second
	mostIssuers = 1000
)

// issuers finds the public keys of issuers.
type issuers struct {
	transport http.RoundTripper
	mu        sync.Mutex
	known     map[string]*issuer // by ARN of the provider, issuer and authorities
}

// issuer is one issuer. Its mutex is held while its document is read.
type issuer struct {
	mu       sync.Mutex
	provider *oidc.Provider
	read     time.Time
	err      error
}

// get returns an issuer by its discovery document.
func (i *issuers) get(ctx context.Context, p *Provider, name string, now time.Time) (*oidc.Provider, error) {
	key := p.ARN + "\x00" + name + "\x00" + p.Authorities
	i.mu.Lock()
	if i.known == nil || len(i.known) >= mostIssuers && i.known[key] == nil {
		i.known = map[string]*issuer{}
	}
	one := i.known[key]
	if one == nil {
		one = &issuer{}
		i.known[key] = one
	}
	i.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	age := now.Sub(one.read)
	if one.provider != nil && age < discoverEvery {
		return one.provider, nil
	}
	if one.err != nil && age >= 0 && age < pause {
		return nil, one.err
	}
	client, err := i.client(p)
	if err != nil {
		return nil, err
	}
	// The key set of the provider keeps this context; cancelling it would break it.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), client), name)
	one.read, one.err = now, err
	if err != nil {
		if one.provider != nil { // its keys may still be right
			return one.provider, nil
		}
		return nil, err
	}
	one.provider = found
	return found, nil
}

// client makes the HTTP client for an issuer.
func (i *issuers) client(p *Provider) (*http.Client, error) {
	base := i.transport
	if p.Authorities != "" {
		pool, err := poolOf(p.Authorities)
		if err != nil {
			return nil, err
		}
		t, ok := base.(*http.Transport)
		if !ok {
			return nil, errors.New("the certificates of the issuer cannot be used with this transport")
		}
		t = t.Clone()
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{}
		}
		t.TLSClientConfig.RootCAs, t.TLSClientConfig.MinVersion = pool, tls.VersionTLS12
		base = t
	}
	return &http.Client{
		Transport: &paced{base: base, answers: map[string]answer{}}, Timeout: issuerTime,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("too many redirects")
			}
			return nil
		},
	}, nil
}

// poolOf returns the system's authorities and those in a PEM text.
func poolOf(text string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if text != "" && !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, errors.New("the authorities contain no certificate in PEM form")
	}
	return pool, nil
}

// reachable refuses URLs to which tokens and keys would travel in clear.
func reachable(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%s is not https, which only loopback addresses need not be", u.Redacted())
}

// paced is a RoundTripper that asks a URL at most once in a while, with limited answers.
type paced struct {
	base    http.RoundTripper
	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	at     time.Time
	status int
	header http.Header
	body   []byte
	err    error
}

// RoundTrip answers from the last answer if that is recent.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := reachable(r.URL); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a, there := p.answers[r.URL.String()]
	if age := time.Since(a.at); !there || age < 0 || age >= pause {
		a = p.ask(r)
		if len(p.answers) > 10 {
			clear(p.answers)
		}
		p.answers[r.URL.String()] = a
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

func (p *paced) ask(r *http.Request) (a answer) {
	a.at = time.Now()
	res, err := p.base.RoundTrip(r)
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	a.body, a.err = io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if len(a.body) > maxDocument {
		a.err = fmt.Errorf("the answer of %s has more than %d bytes", r.URL.Redacted(), maxDocument)
	}
	return a
}
