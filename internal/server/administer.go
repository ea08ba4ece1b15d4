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
	"slices"
	"syscall"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/oam"
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

// Administer connects to the data directory of a configuration. account is the account
// that requests are about; "" for the server's own.
func Administer(ctx context.Context, c *config.Config, account string) (*Operator, error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		conn, missing := dialSocket(ctx, c.Data)
		if missing == nil {
			_ = conn.Close() // requests make their own connections
			return overSocket(c.Data, account), nil
		}
		dir, locked := local.Lock(c.Data)
		if locked == nil {
			return inProcess(ctx, c, dir, account)
		}
		if !errors.Is(missing, fs.ErrNotExist) && !errors.Is(missing, syscall.ECONNREFUSED) && !errors.Is(missing, syscall.ENOENT) {
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
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	return &Operator{serve: client.Do, account: account, close: func() error { transport.CloseIdleConnections(); return nil }}
}

// inProcess serves requests in this process, which has locked the directory.
func inProcess(ctx context.Context, c *config.Config, dir *local.Directory, account string) (*Operator, error) {
	s := &server{config: c, log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(), refused: newRefused(), authorizer: identity.Everything{}}
	closeAll := func() error {
		failed := s.audit.close(trace.Owner{Account: s.own(), Region: c.Region})
		if s.meta != nil {
			failed = errors.Join(failed, s.meta.Close())
		}
		return errors.Join(failed, dir.Close())
	}
	var err error
	if s.keys, err = OpenKeys(ctx, c, nil); err != nil {
		return nil, errors.Join(err, closeAll())
	}
	s.openRecords()
	if s.meta == nil {
		return nil, errors.Join(errors.New(s.recordsLost), closeAll())
	}
	if err := s.openDirectory(); err != nil {
		return nil, errors.Join(err, closeAll())
	}
	s.links = oam.New(s.records)
	if _, err := os.Stat(filepath.Join(c.Data, AuditDir, audit.HeadName)); err == nil {
		// There is an audit log, so what the operator does belongs into it.
		c.Audit, c.AuditRequired = "on", true
		if err := s.openAudit(context.Background()); err != nil {
			return nil, errors.Join(err, closeAll())
		}
	}
	d := s.newDoor(onHTTP, slices.Concat(principalRoutes(), profileRoutes(), linkRoutes()), http.NotFoundHandler())
	serve := func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), socketKey{}, true)))
		return w.Result(), nil
	}
	return &Operator{serve, account, closeAll}, nil
}

// Close ends the connection, or unlocks the directory.
func (o *Operator) Close() error { return o.close() }

// Call posts a JSON value to a path and decodes the answer, unless into is nil. An
// error that the server answers has its message.
func (o *Operator) Call(ctx context.Context, path string, in, into any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://fluoro"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if o.account != "" {
		r.Header.Set(accountHeader, o.account)
	}
	res, err := o.serve(r)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("the server closed the connection: run this command as the user that the server runs as, or as root (%w)", err)
	}
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
