// Package server connects the parts: it is the only package that knows all of them. It
// opens the store, binds the listeners, serves until told to stop, and then closes
// everything in the opposite order. Its route table (routes.go) lists all routes; each
// listener has a door (door.go) that finds the row of a request and its principal.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/erase"
	"github.com/fluoro-io/fluoro/internal/finding"
	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/hold"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/login"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/oam"
	"github.com/fluoro-io/fluoro/internal/present/api"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/quota"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/scrub/retro"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/transport"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
)

const (
	// drainTime is how long running requests may take after the order to stop.
	drainTime = 10 * time.Second
	// headerTime and bodyTime limit how slowly a request may arrive.
	headerTime = 10 * time.Second
	bodyTime   = 60 * time.Second
	idleTime   = 2 * time.Minute
)

// server holds what one `fluoro serve` runs.
type server struct {
	config        *config.Config
	log           *slog.Logger
	started       time.Time
	authenticator identity.Authenticator
	credentials   identity.Credentials // nil: there are none
	authorizer    identity.Authorizer
	grants        *grants // policies decide; nil: the authorizer does
	registry      *prometheus.Registry
	memory        budget
	dir           *local.Directory // locked, until the shelf has it
	shelf         *local.Shelf
	store         *answer.Store // answers from the shelf
	keys          *seal.Ring
	reseal        chan bool     // see resealSoon
	meta          *sqlite.Store // nil if it cannot be opened
	records       meta.Store    // meta, or a store that answers why it cannot be opened
	recordsLost   string
	leftovers     []string // found at start
	directory     *iam.Directory
	logins        *login.Logins
	groups        *group.Groups
	links         *oam.Links
	intake        *receive.Intake
	questions     *query.Query
	retrievals    *query.Retrievals
	api           *api.API
	console       *console.Console
	tally         *receive.Tally
	quotas        *quota.Quotas
	findings      *finding.Findings
	turns         *room.Turns
	scrub         *scrub.Rules
	scrubJobs     *retro.Jobs
	answers       *query.Room
	refused       *prometheus.CounterVec // by the doors
	names         int                    // services that graphs keep distinct
	live          *live
	audit         *auditor // nil: nothing is recorded
	signers       signers
	mapper        *otlp.Mapper
	eraser        *erase.Eraser
	holds         atomic.Pointer[hold.Holds]  // nil: not yet open, or the records cannot be read
	vault         atomic.Pointer[local.Shelf] // of held traces; nil: there is none yet

	udp       *receive.UDP
	grpc      *http.Server
	grpcAt    net.Listener
	main      *http.Server
	mainAt    net.Listener
	otlp      *http.Server
	otlpAt    net.Listener
	admin     *http.Server
	adminAt   net.Listener
	acme      *http.Server // answers challenges of a certificate authority
	acmeAt    net.Listener
	tls       *transport.Server // nil: the addresses do not speak TLS
	listeners []console.Listener
}

// Option changes how a server runs.
type Option func(*server)

// WithAuthenticator sets the authenticator. Without this option the settings and the
// credentials of WithCredentials decide.
func WithAuthenticator(a identity.Authenticator) Option {
	return func(s *server) { s.authenticator = a }
}

// WithAuthorizer sets the authorizer. Without this option every principal may do
// everything in its account.
func WithAuthorizer(a identity.Authorizer) Option {
	return func(s *server) { s.authorizer = a }
}

// Run serves until ctx ends, then drains and returns nil. It prints the addresses that
// it listens on to out, and logs to logs. Its errors are written for people: a busy
// port, a directory that cannot be used.
func Run(ctx context.Context, c *config.Config, out, logs io.Writer, options ...Option) (err error) {
	s := &server{config: c, log: logger(c, logs), started: time.Now(), registry: prometheus.NewRegistry(), refused: newRefused()}
	for _, o := range options {
		o(s)
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), s.refused)
	s.live = newLive(s.sees, s.linkedTo)
	s.tally = receive.NewTally(s.registry, time.Now, s.live.refused)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(); err != nil {
		return err
	}
	s.greet(out)
	return s.serve(ctx)
}

func logger(c *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // config has checked it
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(newSparse(slog.NewJSONHandler(w, o)))
	}
	return slog.New(newSparse(slog.NewTextHandler(w, o)))
}

// open makes all parts. The server serves nothing until all of that has succeeded. Each
// part needs those before it:
//
//   - addresses: a port in use is found before anything on the disk is touched
//   - the lock of the directory: no other process uses it
//   - keys: everything on the disk may be sealed under them, also the keys of ACME
//   - TLS, control-plane records, principals
//   - the store: it asks the records for groups and retention while it opens
//   - the audit log, after everything that can fail because of a setting
//   - holds before scrub jobs: a job that goes on must know what it must not change
//   - doors last: they let requests in
func (s *server) open() error {
	ctx := context.Background()
	for _, step := range []func() error{
		s.bind, s.lock, s.openKeys, s.openTLS, s.openControl, s.openStore,
		func() error { return s.openAudit(ctx) },
		s.openIntake,
		func() error { return s.openEvidence(ctx) },
		s.resumeScrubJobs, s.openDoors,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// bind binds the TCP addresses.
func (s *server) bind() (err error) {
	c := s.config
	if s.mainAt, err = receive.ListenTCP("HTTP", c.HTTP); err != nil {
		return busy(err, "--http")
	}
	if c.OTLPHTTP != config.Off {
		if s.otlpAt, err = receive.ListenTCP("OTLP/HTTP", c.OTLPHTTP); err != nil {
			return busy(err, "--otlp-http")
		}
	}
	if c.OTLPGRPC != config.Off {
		if s.grpcAt, err = receive.ListenTCP("OTLP/gRPC", c.OTLPGRPC); err != nil {
			return busy(err, "--otlp-grpc")
		}
	}
	return nil
}

// lock locks the data directory. The store takes the lock over and releases it.
func (s *server) lock() (err error) {
	s.dir, err = local.Lock(s.config.Data)
	return err
}

// openControl opens the control-plane records and what only needs them.
func (s *server) openControl() error {
	c := s.config
	s.openRecords()
	if err := s.openDirectory(); err != nil {
		return err
	}
	limits, err := quota.Parse(c.Quota)
	if err != nil {
		return fmt.Errorf("--quota: %w", err)
	}
	s.turns = room.NewTurns(runtime.GOMAXPROCS(0))
	s.quotas = quota.New(quota.Options{Store: s.records, Defaults: limits, Logger: s.log})
	s.scrub = s.scrubRules()
	s.links = oam.New(s.records)
	s.groups = group.New(s.records, group.Options{Keep: s.longest(), Logger: s.log})
	return nil
}

// openStore opens the store of traces.
func (s *server) openStore() error {
	c := s.config
	searched, err := otlp.ParsePatterns(c.SearchAttributes)
	if err != nil {
		return fmt.Errorf("--search-attributes: %w", err)
	}
	attributes := c.SearchAttributes
	if searched == nil {
		attributes = "" // all
	}
	mapping := otlp.Options{Searched: searched}
	if c.OTLPMapping == "collector" {
		mapping.Profile = otlp.ProfileCollector
	}
	s.mapper = otlp.NewMapper(mapping)
	s.memory = s.budget()
	memory := &s.memory
	s.answers, s.names = query.NewRoom(memory.answers), memory.names
	s.store, err = answer.Open(context.Background(), answer.Options{
		Retention: s.longest(), Keep: s.keep(), RetentionBytes: c.RetentionBytes, Holds: s, Groups: s.groupVersions, Refused: s.contradicted,
		Names: memory.names, CacheBytes: memory.views, Restore: decode.Restorer(s.mapper), Logger: s.log,
	}, func(rules store.Rules) (store.Shelf, error) {
		dir := s.dir
		s.dir = nil // the shelf unlocks it, even if it fails to open
		s.shelf, err = local.Open(local.Options{
			Directory: dir, Keys: s.keys, Rules: rules, MemoryLimit: memory.head, CacheBytes: memory.cache, FlushBytes: memory.flush, SettleAfter: c.Settle,
			BoundBytes: c.RetentionBytes, Attributes: attributes, AnnotationKeys: c.AnnotationKeys, AnnotationValues: c.AnnotationValues, ClearTables: c.Parquet == "clear", Logger: s.log,
		})
		return s.shelf, err
	})
	if err != nil {
		return err
	}
	s.keepFiles()
	s.leftovers = leftovers(c.Data)
	for _, note := range s.leftovers {
		s.log.Warn("there are leftover files", "note", note)
	}
	return nil
}

// openIntake makes what receives segments and what answers questions.
func (s *server) openIntake() error {
	s.newEraser()
	memory := &s.memory
	s.intake = receive.New(receive.Options{Store: s.store, Erased: s.erased, Observe: s.watch(), Mapper: s.mapper, Quota: s.quotas, Turns: s.turns, Scrub: s.scrubs, MaxInFlight: memory.inFlight, UDPQueueBytes: memory.datagrams, Tally: s.tally, Logger: s.log})
	s.present()
	return nil
}

// openDoors makes the doors of all listeners.
func (s *server) openDoors() (err error) {
	if s.config.UDP != config.Off {
		if s.udp, err = receive.ListenUDP(s.config.UDP, s.intake, s.datagrams()); err != nil {
			return busy(err, "--udp")
		}
		s.listening("udp", s.udp.Addr())
	}
	s.listening("http", s.mainAt.Addr())
	s.main = s.secure(httpServer(s.httpDoor(), s.log), "h2", "http/1.1")
	if s.otlpAt != nil {
		s.listening("otlp-http", s.otlpAt.Addr())
		s.otlp = s.secure(httpServer(s.otlpDoor(), s.log), "h2", "http/1.1")
	}
	if s.grpcAt != nil {
		s.listening("otlp-grpc", s.grpcAt.Addr())
		// It checks no names: its only answer is gRPC's, which no page of a browser can ask
		// for.
		s.grpc = s.secure(receive.GRPCServer(s.newDoor(onOTLPGRPC, routes(), nil), s.tls != nil), "h2")
		s.grpc.ErrorLog = s.main.ErrorLog
	}
	s.openSocket()
	s.measure()
	return nil
}

// contradicted counts observations that turned out to contradict others when their
// trace settled. By then the address of the sender is unknown.
func (s *server) contradicted(account trace.Account, refused []trace.Refused) {
	byProtocol := map[string][]trace.Refused{}
	for _, r := range refused {
		protocol := receive.ProtocolXRay
		if r.In.Source.IsSpan() {
			protocol = receive.ProtocolOTLPHTTP
		}
		byProtocol[protocol] = append(byProtocol[protocol], r)
	}
	for protocol, list := range byProtocol {
		s.tally.Contradict(receive.Sender{Account: account, Protocol: protocol}, list)
	}
}

// busy adds advice to the error of an address that cannot be bound.
func busy(err error, flag string) error {
	return fmt.Errorf("%w; choose another address with %s", err, flag)
}

func (s *server) listening(protocol string, addr net.Addr) {
	s.listeners = append(s.listeners, console.Listener{Protocol: protocol, Address: addr.String()})
}

func httpServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve runs the listeners until ctx ends or one of them fails, then drains.
func (s *server) serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.udp != nil {
		group.Go(s.udp.Serve)
	}
	for _, h := range []struct {
		server *http.Server
		at     net.Listener
	}{{s.main, s.mainAt}, {s.otlp, s.otlpAt}, {s.grpc, s.grpcAt}, {s.acme, s.acmeAt}, {s.admin, s.adminAt}} {
		if h.server != nil {
			group.Go(func() error {
				serve := h.server.Serve
				if h.server.TLSConfig != nil {
					serve = func(l net.Listener) error { return h.server.ServeTLS(l, "", "") }
				}
				if err := serve(h.at); !errors.Is(err, http.ErrServerClosed) {
					return err
				}
				return nil
			})
		}
	}
	group.Go(func() error { return s.live.follow(ctx, s.store) })
	group.Go(func() error { return s.directory.Run(ctx) })
	group.Go(func() error { return s.logins.Run(ctx) })
	group.Go(func() error { return s.tendKeys(ctx) })
	if s.config.Findings {
		group.Go(func() error { s.findings.Run(ctx); return nil })
	}
	group.Go(func() error {
		<-ctx.Done()
		s.log.Info("stopping: running requests may finish")
		s.drain()
		return nil
	})
	return group.Wait()
}

// drain stops taking new work and waits up to drainTime for running requests.
func (s *server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var group errgroup.Group
	if s.udp != nil {
		group.Go(s.udp.Close)
	}
	for _, h := range []*http.Server{s.main, s.otlp, s.grpc, s.acme, s.admin} {
		if h != nil {
			group.Go(func() error {
				if err := h.Shutdown(ctx); err != nil {
					return h.Close()
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		s.log.Warn("a listener did not close cleanly", "error", err)
	}
}

// close releases what open has opened, even if open failed halfway.
func (s *server) close() error {
	for _, l := range []net.Listener{s.mainAt, s.otlpAt, s.grpcAt, s.acmeAt} {
		if l != nil {
			_ = l.Close() // already closed if it was served
		}
	}
	if s.udp != nil {
		_ = s.udp.Close()
	}
	if s.retrievals != nil {
		s.retrievals.Close() // they read the store
	}
	if s.scrubJobs != nil {
		s.scrubJobs.Close()
	}
	failed := errors.Join(s.closeSocket(), s.closeEvidence()) // holds read the store
	// Close the store before the records: it asks them for the groups while it writes its
	// last blocks. It also releases the lock of the directory; SQLite has its own lock.
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("close the store: %w", err))
		}
	}
	if s.dir != nil { // the store did not take it over
		failed = errors.Join(failed, s.dir.Close())
	}
	if s.meta != nil {
		failed = errors.Join(failed, s.meta.Close())
	}
	failed = errors.Join(failed, s.audit.close(trace.Owner{Account: s.own(), Region: s.config.Region}))
	if s.keys != nil {
		s.keys.Close() // all others encrypt until they are closed
	}
	if failed != nil || s.store == nil {
		return failed
	}
	s.log.Info("stopped: everything is on disk")
	return nil
}

// greet prints, on one screen, the addresses and how to send a first trace.
func (s *server) greet(w io.Writer) {
	at := map[string]string{}
	for _, l := range s.listeners {
		at[l.Protocol] = l.Address
	}
	fmt.Fprintf(w, "Fluoro %s is ready in %d ms. Traces are kept in %s.\n\n", Version(), time.Since(s.started).Milliseconds(), s.config.Data)
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
		if print := s.tls.Fingerprint(); print != "" {
			fmt.Fprintf(w, "  TLS certificate        SHA-256 %s\n", print)
		}
	}
	if s.config.Auth == config.Required {
		fmt.Fprintf(w, "  Access                 only with credentials (fluoro keys create); see docs/guides/network.md\n")
	}
	fmt.Fprintf(w, "  Console and X-Ray API  %s://%s/\n", scheme, at["http"])
	for _, l := range []struct{ protocol, label string }{{"udp", "X-Ray SDKs (UDP)      "}, {"otlp-grpc", "OpenTelemetry, gRPC   "}, {"otlp-http", "OpenTelemetry, HTTP   "}} {
		if a := at[l.protocol]; a != "" {
			fmt.Fprintf(w, "  %s %s\n", l.label, a)
		}
	}
	s.invite(w, scheme, at["http"])
	fmt.Fprintf(w, "\nThree ways to send a first trace:\n\n")
	if at["udp"] != "" {
		fmt.Fprintf(w, "  1. an app with an X-Ray SDK:\n     AWS_XRAY_DAEMON_ADDRESS='tcp:%s udp:%s' your-app\n", at["http"], at["udp"])
	} else {
		fmt.Fprintf(w, "  1. the AWS CLI:\n     aws xray put-trace-segments --endpoint-url %s://%s --trace-segment-documents ...\n", scheme, at["http"])
	}
	endpoint := at["otlp-http"]
	if endpoint == "" {
		endpoint = at["http"]
	}
	fmt.Fprintf(w, "  2. an app with OpenTelemetry:\n     OTEL_EXPORTER_OTLP_ENDPOINT=%s://%s OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf your-app\n", scheme, endpoint)
	fmt.Fprintf(w, "  3. a small shop with traffic:\n     fluoro demo\n\nRead them with: aws xray get-service-graph --endpoint-url %s://%s ...\n\n", scheme, at["http"])
}
