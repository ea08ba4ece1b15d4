package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/audit/ship"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// AuditDir is the directory of the audit log in a data directory.
const AuditDir = "audit"

// auditor connects the doors with the audit log. A nil auditor records nothing.
type auditor struct {
	*audit.Log
	required bool                // what cannot be recorded is not served
	ingest   bool                // requests that bring data are recorded, too
	hash     func(string) string // of filter expressions; nil: they are recorded

	// Requests without a known caller are only logged, at most one a second.
	strangers atomic.Int64
	last      atomic.Int64 // Unix nanoseconds of the last line

	streams *ship.Streams // nil: none
	lookups chan struct{} // holds a token for each search that runs
}

// audits reports whether the settings ask for an audit log.
func (s *server) audits() bool { return s.config.Audit == "on" }

// auditKeys returns the keys under which audit files are sealed.
func (s *server) auditKeys() seal.Keys {
	if s.keys == nil {
		return seal.Off{}
	}
	return s.keys
}

// openAudit opens the audit log, if the settings ask for it. The directory is locked.
func (s *server) openAudit(ctx context.Context) error {
	c := s.config
	if !s.audits() {
		return nil
	}
	dir, owner := filepath.Join(c.Data, AuditDir), trace.Owner{Account: s.own(), Region: c.Region}
	o := audit.Options{Dir: dir, Keys: s.auditKeys(), Owner: owner, Durable: c.AuditRequired, Keep: c.AuditRetention, Logger: s.log}
	var err error
	if o.Signer, err = s.signer(ctx); err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	a := &auditor{required: c.AuditRequired, ingest: c.AuditIngest, lookups: make(chan struct{}, lookups)}
	if a.Log, err = audit.Open(ctx, o); err != nil {
		return err
	}
	if c.AuditFilters == "hash" {
		a.hash = audit.Hasher()
	}
	s.audit = a
	s.registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "fluoro_audit_records_total", Help: "Records written to the audit log since the start."}, func() float64 {
			n, _, _ := a.Stats()
			return float64(n)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "fluoro_audit_records_lost_total", Help: "Records that could not be written to the audit log since the start."}, func() float64 {
			_, n, _ := a.Stats()
			return float64(n)
		}),
	)
	if err := a.note(owner, "StartLogging", map[string]any{"version": Version(), "required": a.required, "ingest": a.ingest}); err != nil {
		return err
	}
	return s.openStreams(o.Signer, filepath.Join(dir, "streams"))
}

// openStreams starts to send records to other places, if the settings ask for it.
func (s *server) openStreams(signer *audit.Signer, dir string) error {
	c := s.config
	targets, err := ship.Parse(c.AuditStreams)
	if err != nil {
		return fmt.Errorf("--audit-streams: %w", err)
	}
	if len(targets) == 0 {
		return nil
	}
	secret := ""
	if c.AuditSecretFile != "" {
		text, err := os.ReadFile(c.AuditSecretFile)
		if err != nil {
			return fmt.Errorf("--audit-secret-file: %w", err)
		}
		secret = strings.TrimRight(string(text), "\r\n")
	}
	owner := trace.Owner{Account: s.own(), Region: c.Region}
	a := s.audit
	a.streams, err = ship.Start(ship.Options{
		Targets: targets, Source: a.Log, Dir: dir, Secret: secret, Server: signer.Fingerprint(), Logger: s.log,
		Missed: func(target string, first, last uint64) {
			_ = a.note(owner, "LoseStreamRecords", map[string]any{"target": target, "firstRecord": first, "lastRecord": last})
		},
	})
	if err != nil {
		return err
	}
	for i, state := range a.streams.States() {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "fluoro_audit_stream_next_record", Help: "Number of the next record of the audit log to send, by stream.",
			ConstLabels: prometheus.Labels{"stream": fmt.Sprintf("%d %s", i, state.Target)},
		}, func() float64 { return float64(a.streams.States()[i].Next) }))
	}
	return nil
}

// note records an event of the server itself.
func (a *auditor) note(owner trace.Owner, name string, details map[string]any) error {
	if a == nil {
		return nil
	}
	return a.Write(audit.NewEvent(owner, name, details))
}

// close closes the audit log.
func (a *auditor) close(owner trace.Owner) error {
	if a == nil {
		return nil
	}
	_ = a.note(owner, "StopLogging", nil) // Close returns the reason
	var err error
	if a.streams != nil {
		err = a.streams.Close() // they read the log
	}
	if err = errors.Join(err, a.Close()); err != nil {
		return fmt.Errorf("close the audit log: %w", err)
	}
	return nil
}

// stranger logs, at most once a second, a request whose caller is not known: it belongs
// to no account.
func (s *server) stranger(c *identity.Call, err error) {
	a := s.audit
	if a == nil {
		return
	}
	n := a.strangers.Add(1)
	now, last := time.Now().UnixNano(), a.last.Load()
	if now-last < int64(time.Second) || !a.last.CompareAndSwap(last, now) {
		return
	}
	a.strangers.Add(-n)
	s.log.Info("a request without a known caller was refused", "action", c.Action, "source", c.Source, "listener", c.Listener, "reason", err.Error(), "refused", n)
}

// unrequired lists actions that are served although they cannot be recorded: they show
// nothing of a trace, and operators need them to see why nothing else is served.
var unrequired = map[string]bool{"fluoro:GetMetrics": true, "fluoro:GetStatus": true}

// records reports whether a row's requests are recorded.
func (a *auditor) records(rt *route) bool {
	return a != nil && (a.ingest || !audit.Ingest(rt.action))
}

// audited serves a request and records it. The record is written before the first byte of
// the answer leaves: nobody reads anything that is not recorded.
func (s *server) audited(w http.ResponseWriter, r *http.Request, row served, who *identity.Principal, serve func(http.ResponseWriter, *http.Request)) {
	a := s.audit
	c := callOf(row.route, r)
	ctx, details := audit.Begin(r.Context(), c, who, a.hash)
	r = r.WithContext(ctx)
	if row.brings != "" {
		// Senders of data get their answer in any case.
		out := &counted{ResponseWriter: w, status: http.StatusOK}
		serve(out, r)
		for _, name := range []string{"Grpc-Status", http.TrailerPrefix + "Grpc-Status"} {
			if code := w.Header().Get(name); code != "" && code != "0" {
				details.Fail("GrpcStatus"+code, "")
			}
		}
		_ = a.Write(details.End(out.status, w.Header().Get("x-amzn-RequestId"))) // the log counts what is lost
		return
	}
	required := a.required && !unrequired[row.action]
	if required {
		if err := a.Ready(); err != nil {
			row.Refuse(w, r, err)
			return
		}
	}
	if who.Proof == identity.ProofLater {
		// Whoever fails to prove an identity belongs to no account, and must not fill the log.
		out := &late{recorded: recorded{ResponseWriter: w, auditor: a, required: required, details: details, refuse: func(w http.ResponseWriter, err error) { row.Refuse(w, r, err) }},
			failed: func(status int) { s.stranger(&c, fmt.Errorf("status %d", status)) }}
		defer out.end()
		serve(out, r)
		out.served = true
		return
	}
	out := &recorded{ResponseWriter: w, auditor: a, required: required, details: details, refuse: func(w http.ResponseWriter, err error) { row.Refuse(w, r, err) }}
	defer out.end()
	serve(out, r)
	out.served = true
}

// counted remembers the status of an answer.
type counted struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (w *counted) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Flush sends what was written; gRPC asks for it.
func (w *counted) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap gives http.ResponseController the connection.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// callOf describes a request.
func callOf(rt *route, r *http.Request) identity.Call {
	return identity.Call{Action: rt.action, Listener: rt.on.String(), Request: r, Source: r.RemoteAddr}
}

// recorded is a ResponseWriter that writes the record of a request before its answer. If
// records are required and this one cannot be written, the answer is a refusal.
type recorded struct {
	http.ResponseWriter
	auditor  *auditor
	required bool
	details  *audit.Details
	refuse   func(http.ResponseWriter, error)
	written  bool
	refused  bool
	served   bool // the handler returned
}

// WriteHeader records the request, then sends the status.
func (w *recorded) WriteHeader(status int) {
	if w.written {
		return
	}
	if status < http.StatusOK { // informational: the answer is still to come
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if err := w.record(status); err != nil && status < http.StatusBadRequest {
		w.refused = true
		h := w.Header()
		for name := range h {
			h.Del(name)
		}
		w.refuse(w.ResponseWriter, err)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// record writes the record. It returns an error only if records are required.
func (w *recorded) record(status int) error {
	w.written = true
	if err := w.auditor.Write(w.details.End(status, w.Header().Get("x-amzn-RequestId"))); err != nil && w.required {
		return err
	}
	return nil
}

// Write sends a part of the answer, unless the answer was refused.
func (w *recorded) Write(b []byte) (int, error) {
	if !w.written {
		w.WriteHeader(http.StatusOK)
	}
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the connection.
func (w *recorded) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// end records a request whose handler wrote nothing or broke off.
func (w *recorded) end() {
	switch {
	case w.written:
	case w.served:
		w.WriteHeader(http.StatusOK)
	default:
		_ = w.record(http.StatusInternalServerError)
	}
}

// late is recorded for callers who prove who they are in the request itself, such as with
// a web identity: only successful requests are recorded.
type late struct {
	recorded
	failed func(status int)
}

// WriteHeader records a successful request, then sends the status.
func (w *late) WriteHeader(status int) {
	if !w.written && status >= http.StatusBadRequest {
		w.written = true
		w.failed(status)
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.recorded.WriteHeader(status)
}

// Write sends a part of the answer.
func (w *late) Write(b []byte) (int, error) {
	if !w.written {
		w.WriteHeader(http.StatusOK)
	}
	return w.recorded.Write(b)
}

// refusedTo records a request that a known caller may not make.
func (s *server) refusedTo(r *http.Request, rt *route, who *identity.Principal, err error) {
	if s.audit == nil || who.Account == "" { // the door logs callers that are not known
		return
	}
	_, details := audit.Begin(r.Context(), callOf(rt, r), who, s.audit.hash)
	details.Fail(codeOf(err), err.Error())
	_ = s.audit.Write(details.End(statusOf(err), "")) // the log counts what is lost
}

// codeOf returns the error code of a refusal.
func codeOf(err error) string {
	switch trace.KindOf(err) {
	case trace.KindDenied:
		return "AccessDenied"
	case trace.KindUnavailable:
		return "ServiceUnavailableException"
	}
	return "InternalFailure"
}

// lookups is how many searches of the audit log run at once: each reads files.
const lookups = 2

// lookupEvents searches the audit log for the identity in ctx. Only the server's own
// account sees the records of others.
func (s *server) lookupEvents(ctx context.Context, q *audit.Query) (*audit.Page, error) {
	p, err := identity.From(ctx)
	if err != nil {
		return nil, err
	}
	if s.audit == nil {
		return nil, trace.Errorf(trace.KindNotFound, "this server keeps no audit log; see --audit")
	}
	switch {
	case q.Account == "" || q.Account == p.Account:
		q.Account = p.Account
	case p.Account != s.own():
		return nil, trace.Errorf(trace.KindDenied, "only account %s may see the records of other accounts", s.own())
	case q.Account == "*":
		q.Account = ""
	}
	select {
	case s.audit.lookups <- struct{}{}:
		defer func() { <-s.audit.lookups }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.audit.Search(ctx, q)
}
