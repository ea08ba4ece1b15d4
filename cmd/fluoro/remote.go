package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/transport"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tokenEnv is the environment variable with the bearer token of commands that talk to a
// service. There is no flag: others can read the command lines of processes.
const tokenEnv = "FLUORO_TOKEN"

// remote is the service that a command talks to. The operator of a machine reaches the
// server of a data directory through its admin socket and needs no credentials; everybody
// else gives a URL.
type remote struct {
	url, ca, data string
	flags         *pflag.FlagSet
	// offline tells that the command also works in this process while no server runs. It
	// needs the settings of keySettings.
	offline bool
	// account is the account that the request is about, if the request itself does not name
	// it; only for the operator.
	account *string
}

// register adds the flags.
func (s *remote) register(f *pflag.FlagSet) {
	s.flags = f
	f.StringVar(&s.url, "url", "http://127.0.0.1:2000", "URL of a service, instead of --data; if it requires credentials: a bearer token in $"+tokenEnv+", or AWS keys in their variables")
	f.StringVar(&s.ca, "ca", "", "PEM file with a certificate authority to trust besides the system's, for https URLs")
	f.StringVar(&s.data, "data", "", "data directory; its running server is asked, without credentials. By default $FLUORO_DATA or ./data, if a server runs there, else --url")
}

// remoteOf adds the flags of the service that a command talks to. offline: it also works
// while no server runs.
func remoteOf(cmd *cobra.Command, offline bool) *remote {
	at := &remote{offline: offline, account: new(string)}
	at.register(cmd.Flags())
	cmd.Flags().StringVar(at.account, "account", "", "account that the command is about, with --data; by default the server's own")
	if offline {
		config.RegisterOnly(cmd.Flags(), keySettings...)
	}
	return at
}

// operator connects to the server of a data directory, or opens the directory. It returns
// nil if the command is to use a URL. Errors: server.ErrNoServer.
func (s *remote) operator(ctx context.Context) (*server.Operator, error) {
	given, env := s.flags.Changed("data"), os.Getenv(config.Env("data"))
	account := ""
	if s.account != nil {
		account = *s.account
	}
	switch {
	case given && s.flags.Changed("url"):
		return nil, errors.New("--data and --url exclude each other")
	case s.flags.Changed("url"), !given && os.Getenv(tokenEnv) != "":
		return nil, nil
	case !given && env == "":
		op, err := server.Connect(ctx, "./data", account)
		if errors.Is(err, server.ErrNoServer) {
			return nil, nil
		}
		return op, err
	case !given:
		s.data = env
	}
	if !s.offline {
		return server.Connect(ctx, s.data, account)
	}
	c, err := loadSettings(s.flags)
	if err != nil {
		return nil, err
	}
	c.Data = s.data
	return server.Administer(ctx, c, account)
}

// noServer tells that the command names a data directory that no server uses, so that it is
// to read the directory itself.
func (s *remote) noServer(ctx context.Context) (bool, error) {
	op, err := s.operator(ctx)
	if errors.Is(err, server.ErrNoServer) {
		return true, nil
	}
	if op != nil {
		err = errors.Join(err, op.Close())
	}
	return false, err
}

// do makes a request. The caller closes the body of the response.
func (s *remote) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	op, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	if op != nil {
		res, err := op.Do(ctx, method, path, body)
		if err != nil {
			return nil, errors.Join(err, op.Close())
		}
		res.Body = closing{res.Body, op}
		return res, nil
	}
	if s.account != nil && *s.account != "" {
		return nil, errors.New("--account works with --data; at a URL, the credentials decide about the account")
	}
	return s.overNetwork(ctx, method, path, body)
}

// closing closes a connection with the body of its answer.
type closing struct {
	io.ReadCloser
	op *server.Operator
}

// Close closes both.
func (c closing) Close() error { return errors.Join(c.ReadCloser.Close(), c.op.Close()) }

func (s *remote) overNetwork(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	config, err := transport.Client(transport.ClientOptions{CA: s.ca})
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	var text []byte
	if body != nil {
		if text, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.url, "/")+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	proved, err := prove(req, text)
	if err != nil {
		return nil, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = config
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("no service answers: %w", err)
	}
	if res.StatusCode == http.StatusUnauthorized && !proved {
		res.Body.Close()
		return nil, fmt.Errorf("%s requires credentials: on its machine, give its directory with --data; elsewhere, put a bearer token into $%s, or AWS keys into $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY", s.url, tokenEnv)
	}
	return res, nil
}

// prove adds the credentials in the environment to a request, if there are any.
func prove(req *http.Request, body []byte) (bool, error) {
	if token := os.Getenv(tokenEnv); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
		return true, nil
	}
	keys := aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}
	if !keys.HasKeys() {
		return false, nil
	}
	region := os.Getenv("AWS_REGION")
	if region == "" {
		region = os.Getenv("AWS_DEFAULT_REGION")
	}
	if region == "" {
		region = "us-east-1"
	}
	sum := sha256.Sum256(body)
	return true, v4.NewSigner().SignHTTP(req.Context(), keys, req, hex.EncodeToString(sum[:]), "fluoro", region, time.Now())
}

// call posts a JSON value to a verb of the management API and decodes the answer, unless
// out is nil.
func (s *remote) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	res, err := s.do(ctx, http.MethodPost, "/api/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var failed struct{ Error struct{ Message string } }
		if json.Unmarshal(text, &failed) != nil || failed.Error.Message == "" {
			return fmt.Errorf("/api/%s answered %s: %.200q", path, res.Status, text)
		}
		return errors.New(failed.Error.Message)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("/api/%s answered without JSON: %.200q", path, text)
	}
	return nil
}
