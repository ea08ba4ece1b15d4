// Package demo is a small shop to explore: real servers on loopback addresses that
// talk HTTP, gRPC, SQL and a queue, some instrumented with the X-Ray SDK, some with
// OpenTelemetry, a load generator, and switches that break it on purpose.
//
//	            ┌→ catalog (OTel) ─→ SQL
//	storefront ─┼→ recommendations (OTel)
//	  (X-Ray)   └→ checkout ─┬→ inventory (OTel, gRPC) ─→ SQL
//	               (X-Ray)   ├→ payments (OTel) ─→ bank (not instrumented)
//	                         └→ order queue ─→ fulfilment (OTel)
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options of the shop.
type Options struct {
	XRayAddr string        // UDP address that receives X-Ray datagrams
	OTLPGRPC string        // address that receives OTLP over gRPC
	OTLPHTTP string        // address that receives OTLP over HTTP
	Console  string        // URL of the console, to print
	Control  string        // address of the page with the switches; "" for none
	Rate     float64       // requests a second
	Duration time.Duration // 0: until the context ends
	Break    []string      // switches that are on from the start
	Seed     uint64
	Out      io.Writer // for messages to people
	Logger   *slog.Logger
}

// shop is a running demo.
type shop struct {
	Options
	switches *switches
	random   *random
	services []service // in the order of display
	closers  []func(context.Context)
	wait     sync.WaitGroup
}

// service is one server of the shop.
type service struct{ name, addr, kind string }

// Run opens the shop and sends it requests until ctx or the duration ends; then it
// closes everything and returns nil. Errors tell what to do about an unknown switch,
// a busy address, or a missing receiver.
func Run(ctx context.Context, o Options) error {
	s := &shop{Options: o, switches: newSwitches(), random: &random{rnd: rand.New(rand.NewPCG(o.Seed, 1))}}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Out == nil {
		s.Out = io.Discard
	}
	if o.Rate <= 0 {
		return fmt.Errorf("rate is %v, want more than 0 requests a second", o.Rate)
	}
	for _, name := range o.Break {
		if err := s.switches.set(name, true); err != nil {
			return err
		}
	}
	if err := probe(ctx, o); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop() // first, so that servers waiting for messages stop
		s.close()
	}()
	if err := s.open(ctx); err != nil {
		return err
	}
	s.greet()
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	s.load(ctx)
	return nil
}

// probe checks that a server receives the spans, so that the shop does not run for
// nothing.
func probe(ctx context.Context, o Options) error {
	for _, addr := range []string{o.OTLPGRPC, o.OTLPHTTP} {
		conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("nothing receives traces at %s (%w): is `fluoro serve` running?", addr, err)
		}
		_ = conn.Close()
	}
	return nil
}

// open starts the servers, callees first.
func (s *shop) open(ctx context.Context) error {
	bank, err := s.bank()
	if err != nil {
		return err
	}
	queue, err := s.queue()
	if err != nil {
		return err
	}
	payments, err := s.payments(ctx, bank)
	if err != nil {
		return err
	}
	inventory, err := s.inventory(ctx)
	if err != nil {
		return err
	}
	catalog, err := s.catalog(ctx)
	if err != nil {
		return err
	}
	recommendations, err := s.recommendations(ctx)
	if err != nil {
		return err
	}
	if err := s.fulfilment(ctx, queue); err != nil {
		return err
	}
	checkout, err := s.checkout(ctx, inventory, payments, queue)
	if err != nil {
		return err
	}
	if _, err := s.storefront(ctx, catalog, recommendations, checkout); err != nil {
		return err
	}
	return s.control()
}

// serve runs an HTTP server on a free loopback port, or at addr, until close.
func (s *shop) serve(name, kind, addr string, h http.Handler) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.wait.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.Logger.Error("a server of the shop ended", "server", name, "error", err)
		}
	})
	s.closers = append(s.closers, func(ctx context.Context) { _ = server.Shutdown(ctx) })
	s.services = append(s.services, service{name, l.Addr().String(), kind})
	return l.Addr().String(), nil
}

// close stops everything in reverse order and flushes the exporters.
func (s *shop) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i](ctx)
	}
	s.wait.Wait()
}

// greet prints what is running and where to look.
func (s *shop) greet() {
	w := s.Out
	fmt.Fprintf(w, "The shop is open: %g requests a second. Look at %s\n\n", s.Rate, s.Console)
	for _, v := range s.services {
		fmt.Fprintf(w, "  %-16s %-22s %s\n", v.name, v.addr, v.kind)
	}
	fmt.Fprintf(w, "\nBreak it:\n")
	for _, sw := range s.switches.list() {
		if s.Control == "" {
			fmt.Fprintf(w, "  --break %-14s %s\n", sw.name, sw.help)
		} else {
			fmt.Fprintf(w, "  curl -X POST 'http://%s/switch/%s?on=true'\n      %s\n", s.Control, sw.name, sw.help)
		}
	}
	fmt.Fprintln(w)
}

// random is a source of random numbers that goroutines share.
type random struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func (r *random) float() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rnd.Float64()
}

func (r *random) intn(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rnd.IntN(n)
}

// chance is true with probability p.
func (r *random) chance(p float64) bool { return r.float() < p }

// work takes about as long as typical: usually less, sometimes several times more.
func (r *random) work(ctx context.Context, typical time.Duration) {
	r.mu.Lock()
	factor := r.rnd.ExpFloat64()*0.5 + 0.6
	r.mu.Unlock()
	select {
	case <-time.After(time.Duration(float64(typical) * factor)):
	case <-ctx.Done():
	}
}
