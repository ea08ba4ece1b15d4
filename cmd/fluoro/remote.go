package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/fluoro-io/fluoro/internal/transport"
	"github.com/spf13/pflag"
)

// tokenEnv is the environment variable with the bearer token of commands that talk to a
// service. There is no flag: others can read the command lines of processes.
const tokenEnv = "FLUORO_TOKEN"

// remote is a service that a command talks to.
type remote struct{ url, ca string }

// register adds the flags.
func (s *remote) register(f *pflag.FlagSet) {
	f.StringVar(&s.url, "url", "http://127.0.0.1:2000", "URL of the service; if it requires credentials, a bearer token is in $"+tokenEnv)
	f.StringVar(&s.ca, "ca", "", "PEM file with a certificate authority to trust besides the system's, for https URLs")
}

// do makes a request. The caller closes the body of the response.
func (s *remote) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	config, err := transport.Client(transport.ClientOptions{CA: s.ca})
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.url, "/")+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token := os.Getenv(tokenEnv); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = config
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("no service answers: %w", err)
	}
	if res.StatusCode == http.StatusUnauthorized && os.Getenv(tokenEnv) == "" {
		res.Body.Close()
		return nil, fmt.Errorf("%s requires credentials: put a bearer token into $%s", s.url, tokenEnv)
	}
	return res, nil
}
