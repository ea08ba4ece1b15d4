package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/finding"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/oam"
	"github.com/fluoro-io/fluoro/internal/quota"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// Operator makes requests with the rights of the operator: to a running server through
// its admin socket, or to the same handlers in this process if no server uses the data
// directory.
type Operator struct {
	serve   func(r *http.Request) (*http.Response, error)
	account string
	close   func() error
}

// lockTime is how long Administer waits while another process starts, stops or changes
// the directory.
const lockTime = 10 * time.Second

// ErrNoServer means that no server uses a data directory.
var ErrNoServer = errors.New("no server uses this data directory")

// Connect connects to the server that runs on a data directory, through its admin socket.
// account is the account that requests are about; "" for the server's own. Errors:
// ErrNoServer.
func Connect(ctx context.Context, dir, account string) (*Operator, error) {
	conn, err := dialSocket(ctx, dir)
	switch {
	case err == nil:
		_ = conn.Close() // requests make their own connections
		return overSocket(dir, account), nil
	case noSocket(err):
		return nil, fmt.Errorf("%w: %s", ErrNoServer, dir)
	}
	return nil, fmt.Errorf("the admin socket of %s cannot be used: %w", dir, err)
}

// noSocket tells that nobody listens on an admin socket.
func noSocket(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}

// Administer connects to the data directory of a configuration: to its server, or if none
// runs, to the same handlers in this process. account is as for Connect.
func Administer(ctx context.Context, c *config.Config, account string) (*Operator, error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		op, missing := Connect(ctx, c.Data, account)
		if missing == nil {
			return op, nil
		}
		dir, locked := local.Lock(c.Data)
		if locked == nil {
			return inProcess(ctx, c, dir, account)
		}
		if !errors.Is(missing, ErrNoServer) {
			return nil, fmt.Errorf("%w; and its admin socket cannot be used: %w", locked, missing)
		}
		if !errors.Is(locked, local.ErrInUse) {
			return nil, locked
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; and it has no admin socket: %w", locked, missing)
		}
	}
}

// overSocket makes requests through the admin socket of a running server.
func overSocket(dir, account string) *Operator {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, dir) }}
	client := &http.Client{Transport: transport} // a backup may take hours
	return &Operator{serve: client.Do, account: account, close: func() error { transport.CloseIdleConnections(); return nil }}
}

// offlineRoutes are the rows that need only control-plane records and keys, so that the
// operator may use them while no server runs.
func offlineRoutes() []route {
	list := append(principalRoutes(), linkRoutes()...)
	list = append(list, profileRoutes()...)
	list = append(list, quotaRoutes()...)
	list = append(list, keyRoutes()...)
	list = append(list, findingRoutes()...)
	return append(list, scrubRuleRoutes()...)
}

// inProcess serves requests in this process, which has locked the directory.
func inProcess(ctx context.Context, c *config.Config, dir *local.Directory, account string) (_ *Operator, err error) {
	s := &server{config: c, log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(), refused: newRefused(), authorizer: identity.Everything{}}
	closeAll := func() error {
		failed := s.audit.close(trace.Owner{Account: s.own(), Region: c.Region})
		if s.meta != nil {
			failed = errors.Join(failed, s.meta.Close())
		}
		if s.keys != nil {
			s.keys.Close()
		}
		return errors.Join(failed, dir.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	if s.keys, err = OpenKeys(ctx, c); err != nil {
		return nil, err
	}
	s.openRecords()
	if s.meta == nil {
		return nil, errors.New(s.recordsLost)
	}
	if err := s.openDirectory(); err != nil {
		return nil, err
	}
	limits, err := quota.Parse(c.Quota)
	if err != nil {
		return nil, fmt.Errorf("--quota: %w", err)
	}
	s.links = oam.New(s.records)
	s.quotas = quota.New(quota.Options{Store: s.records, Defaults: limits, Logger: s.log})
	s.scrub = s.scrubRules()
	s.findings = finding.New(finding.Options{Store: s.records, Logger: s.log})
	if _, err := os.Stat(filepath.Join(c.Data, AuditDir, audit.HeadName)); err == nil {
		// There is an audit log, so what the operator does belongs into it.
		c.Audit, c.AuditRequired, c.AuditStreams = "on", true, ""
		if err := s.openAudit(context.Background()); err != nil {
			return nil, err
		}
	}
	d := s.newDoor(onHTTP, offlineRoutes(), http.HandlerFunc(onlyRunning))
	serve := func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), socketKey{}, true)))
		return w.Result(), nil
	}
	return &Operator{serve, account, closeAll}, nil
}

// onlyRunning answers requests that need a running server.
func onlyRunning(w http.ResponseWriter, r *http.Request) {
	http.Error(w, ErrNoServer.Error()+"; "+r.URL.Path+" needs one", http.StatusNotFound)
}

// Close ends the connection, or unlocks the directory.
func (o *Operator) Close() error { return o.close() }

// Do makes a request. The caller closes the body of the response.
func (o *Operator) Do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://fluoro"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if o.account != "" {
		r.Header.Set(accountHeader, o.account)
	}
	res, err := o.serve(r)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil, fmt.Errorf("the server closed the connection: run this command as the user that the server runs as, or as root (%w)", err)
	}
	return res, err
}

// Call posts a JSON value to a path and decodes the answer, unless into is nil. An
// error that the server answers has its message.
func (o *Operator) Call(ctx context.Context, path string, in, into any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	res, err := o.Do(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var problem struct {
			Error struct{ Message, Code string }
		}
		if json.Unmarshal(answer, &problem) != nil || problem.Error.Message == "" {
			return fmt.Errorf("%s answered %s: %.500s", path, res.Status, answer)
		}
		if problem.Error.Code != "" {
			return fmt.Errorf("%s (%s)", problem.Error.Message, problem.Error.Code)
		}
		return errors.New(problem.Error.Message)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
