package finding

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Source answers questions about the stored traces of an account.
type Source interface {
	// Graph returns the service graph of a window of receipt.
	Graph(ctx context.Context, account trace.Account, w trace.Window) (*trace.Graph, error)
	// Sample returns the id of a trace of the window that has a call from a service to
	// another node; the zero id if none is found.
	Sample(ctx context.Context, account trace.Account, w trace.Window, from, to string) (trace.ID, error)
}

// Options of Findings.
type Options struct {
	Store  meta.Store
	Source Source
	// Learn is how long an account is only learnt.
	Learn time.Duration
	// Every is the time between two looks; 0 means a minute.
	Every time.Duration
	// Found, if not nil, is called with each new finding.
	Found  func(trace.Account, Finding)
	Now    func() time.Time
	Logger *slog.Logger
}

// Findings finds. Its methods may be called by many goroutines.
type Findings struct {
	store  meta.Store
	source Source
	learn  time.Duration
	every  time.Duration
	found  func(trace.Account, Finding)
	now    func() time.Time
	log    *slog.Logger

	mu       sync.Mutex
	accounts map[trace.Account]*state

	looking sync.Mutex // held by Look
	last    time.Time  // end of the window of the last look
}

// New makes Findings.
func New(o Options) *Findings {
	f := &Findings{store: o.Store, source: o.Source, learn: o.Learn, every: o.Every, found: o.Found, now: o.Now, log: o.Logger, accounts: map[trace.Account]*state{}}
	if f.now == nil {
		f.now = time.Now
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.every == 0 {
		f.every = minute
	}
	f.last = f.now()
	return f
}

const (
	// minute is the time between two looks.
	minute = time.Minute
	// idle is how long an account without segments stays in memory.
	idle = 10 * time.Minute
)

// Run looks again and again until ctx ends.
func (f *Findings) Run(ctx context.Context) {
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.Look(ctx)
		}
	}
}

// Look compares what came since the last look with the baselines. An account whose
// records or graph cannot be read is looked at again the next time.
func (f *Findings) Look(ctx context.Context) {
	f.looking.Lock()
	defer f.looking.Unlock()
	now := f.now()
	window := trace.Window{Start: trace.TimeOf(f.last), End: trace.TimeOf(now)}
	f.last = now
	f.mu.Lock()
	var active []trace.Account
	for account, a := range f.accounts {
		if now.Sub(a.used) > idle {
			delete(f.accounts, account)
			continue
		}
		active = append(active, account)
	}
	f.mu.Unlock()
	slices.Sort(active)
	for _, account := range active {
		if err := f.look(ctx, account, window, now); err != nil && ctx.Err() == nil {
			f.log.Warn("security findings cannot be made now", "account", account, "error", err)
		}
	}
}

func (f *Findings) look(ctx context.Context, account trace.Account, w trace.Window, now time.Time) error {
	c, base := f.take(account)
	if c == nil {
		return nil
	}
	if base == nil {
		var err error
		if base, err = f.load(ctx, account, now); err != nil {
			return err
		}
	}
	g, err := f.source.Graph(ctx, account, w)
	if err != nil {
		return err
	}
	l := &look{base: base, now: now, day: uint16(now.Unix() / 86400), silent: now.Sub(base.Since) < f.learn}
	l.graph(g)
	l.clients(c)
	l.users(c)
	l.sizes(c)
	for i := range l.list {
		one := &l.list[i]
		if one.edge[0] == "" {
			continue
		}
		id, err := f.source.Sample(ctx, account, w, one.edge[0], one.edge[1])
		if err != nil {
			return err
		}
		if id != (trace.ID{}) {
			one.TraceID = id.String()
		}
	}
	base.shrink()
	f.mu.Lock()
	f.account(account).base = base
	f.mu.Unlock()
	if err := f.keep(ctx, account, base); err != nil {
		return err
	}
	return f.publish(ctx, account, l.findings())
}

// publish saves findings and announces the new ones.
func (f *Findings) publish(ctx context.Context, account trace.Account, list []Finding) error {
	if len(list) == 0 {
		return nil
	}
	fresh, err := f.save(ctx, account, list)
	if err != nil {
		return err
	}
	for _, one := range fresh {
		f.log.Info("security finding", "account", account, "kind", one.Kind, "severity", one.Severity, "service", one.Service, "subject", one.Subject, "trace", one.TraceID)
		if f.found != nil {
			f.found(account, one)
		}
	}
	return nil
}

// look is one comparison.
type look struct {
	base   *baseline
	now    time.Time
	day    uint16
	silent bool // still learning
	list   []candidate
	more   map[Kind]int // beyond newAtOnce
}

// candidate is a finding whose trace is found by its edge, if it has one.
type candidate struct {
	Finding
	edge [2]string
}

// find adds a finding, unless the account is still learnt.
func (l *look) find(k Kind, service, subject string, c candidate) {
	if l.silent {
		return
	}
	n := 0
	for i := range l.list {
		if l.list[i].Kind == k {
			n++
		}
	}
	if n >= newAtOnce {
		if l.more == nil {
			l.more = map[Kind]int{}
		}
		l.more[k]++
		return
	}
	at := seconds(l.now)
	c.ID, c.Kind, c.Severity, c.State, c.Service, c.Subject = idOf(k, service, subject), k, severities[k], Open, service, subject
	c.First, c.Last, c.Count = at, at, max(1, c.Count)
	l.list = append(l.list, c)
}

// findings returns what was found, with a finding for each kind that had too many.
func (l *look) findings() []Finding {
	var list []Finding
	for i := range l.list {
		list = append(list, l.list[i].Finding)
	}
	for k, n := range l.more {
		at := seconds(l.now)
		list = append(list, Finding{
			ID: idOf(k, "", "more"), Kind: k, Severity: Medium, State: Open, Subject: "many at once", First: at, Last: at, Count: int64(n),
			Text: fmt.Sprintf("%d more findings of this kind came at the same time; they are learnt and not listed one by one", n), Expected: fmt.Sprintf("at most %d a minute", newAtOnce),
		})
	}
	return list
}

// graph compares edges, remote nodes and the number of callees.
func (l *look) graph(g *trace.Graph) {
	for _, s := range g.Services {
		if s.Type == "client" || s.State != trace.StateActive || len(s.Edges) == 0 {
			continue
		}
		calls := 0
		for _, e := range s.Edges {
			if e.Link {
				continue
			}
			calls++
			l.edge(s, e)
		}
		b := l.base.service(s.Name, l.day)
		if before := b.Callees; before >= 1 && float64(calls) >= 2*before+4 {
			l.find(FanOut, s.Name, s.Name, candidate{Finding: Finding{
				Text: fmt.Sprintf("%s called %d other nodes within a minute", s.Name, calls), Expected: fmt.Sprintf("at most about %.0f", before),
			}, edge: [2]string{s.Name, s.Edges[0].To.Name}})
		}
		b.Callees = max(float64(calls), b.Callees*fade)
	}
}

// fade is how much a largest number keeps in one look: half of it after a week.
var fade = math.Pow(0.5, float64(minute)/float64(7*24*time.Hour))

func (l *look) edge(s *trace.GraphService, e *trace.GraphEdge) {
	to := e.To
	remote := to.State != trace.StateActive
	freshEdge := l.base.Edges.see(s.Name+"\x00"+to.Name+"\x00"+to.Type, l.day)
	freshNode := remote && l.base.Remotes.see(to.Name+"\x00"+to.Type, l.day)
	count := e.Statistics.OK + e.Statistics.Error + e.Statistics.Fault + e.Statistics.Throttle
	name := to.Name
	if to.Type != "" && to.Type != "remote" {
		name += " (" + to.Type + ")"
	}
	c := candidate{Finding: Finding{Count: count}, edge: [2]string{s.Name, to.Name}}
	switch {
	case freshNode:
		c.Text, c.Expected = fmt.Sprintf("%s called %s, which no service of this account called before", s.Name, name), fmt.Sprintf("one of %d known hosts, databases and AWS resources", len(l.base.Remotes)-1)
		l.find(NewRemote, s.Name, name, c)
	case freshEdge:
		c.Text, c.Expected = fmt.Sprintf("%s called %s for the first time", s.Name, name), fmt.Sprintf("one of %d known calls between services", len(l.base.Edges)-1)
		l.find(NewEdge, s.Name, name, c)
	}
}

// clients compares the networks that requests come from.
func (l *look) clients(c *counts) {
	for _, network := range slices.SortedFunc(maps.Keys(c.clients), netip.Prefix.Compare) {
		seen := c.clients[network]
		if !l.base.Clients.see(network.String(), l.day) {
			continue
		}
		l.find(NewClient, seen.service, network.String(), candidate{Finding: Finding{
			Text: fmt.Sprintf("%s got %d requests from %s, a network never seen before", seen.service, seen.count, network), Expected: fmt.Sprintf("one of %d known networks", len(l.base.Clients)-1),
			Count: seen.count, TraceID: seen.traceID.String(),
		}})
	}
}

// Thresholds: values below them are usual.
const (
	manyRequests = 60 // of a user in a minute, at least
	rateFactor   = 10 // times the user's mean
	deviations   = 6  // standard deviations
	leastNumbers = 30 // that a comparison needs
	sizeFactor   = 16 // times the mean size of the service
	manyNetworks = 4  // of a user in an hour, at least
)

// users compares the requests and networks of users.
func (l *look) users(c *counts) {
	hour := l.now.Unix() / 3600
	for _, k := range slices.SortedFunc(maps.Keys(c.users), func(a, b userKey) int {
		return strings.Compare(a.service+"\x00"+a.user, b.service+"\x00"+b.user)
	}) {
		u := c.users[k]
		key := fmt.Sprintf("%016x", hashOf(k.service+"\x00"+k.user))
		b := l.base.Users[key]
		if b == nil {
			b = &userBase{}
			l.base.Users[key] = b
		}
		b.Day = l.day
		rate := float64(u.count)
		if b.Rate.N >= leastNumbers && rate >= manyRequests && rate >= rateFactor*b.Rate.Mean && b.Rate.beyond(rate, 1) >= deviations {
			l.find(UnusualRate, k.service, k.user, candidate{Finding: Finding{
				Text: fmt.Sprintf("user %s made %d requests to %s within a minute", k.user, u.count, k.service), Expected: fmt.Sprintf("about %.1f a minute", b.Rate.Mean),
				Count: u.count, TraceID: u.traceID.String(),
			}})
		}
		b.Rate.add(rate)
		if b.Hour != hour {
			b.Networks = max(float64(len(b.Recent)), b.Networks*math.Pow(fade, 60))
			b.Hour, b.Recent = hour, nil
		}
		before := len(b.Recent)
		for _, n := range u.networks {
			if text := n.String(); !slices.Contains(b.Recent, text) && len(b.Recent) < 4*mostNets {
				b.Recent = append(b.Recent, text)
			}
		}
		networks := float64(len(b.Recent))
		if len(b.Recent) > before && networks >= manyNetworks && networks >= 2*b.Networks {
			l.find(ManyAddresses, k.service, k.user, candidate{Finding: Finding{
				Text: fmt.Sprintf("user %s came to %s from %.0f networks within an hour", k.user, k.service, networks), Expected: fmt.Sprintf("at most about %.0f", max(1, b.Networks)),
				Count: 1, TraceID: u.traceID.String(),
			}})
		}
	}
}

// sizes compares the largest response of each service.
func (l *look) sizes(c *counts) {
	for _, name := range slices.Sorted(maps.Keys(c.sizes)) {
		s := c.sizes[name]
		b := l.base.service(name, l.day)
		large := logOf(float64(s.largest))
		if b.Sizes.N >= leastNumbers && large-b.Sizes.Mean >= logOf(sizeFactor) && b.Sizes.beyond(large, 0.5) >= deviations {
			l.find(UnusualSize, name, name, candidate{Finding: Finding{
				Text: fmt.Sprintf("a response of %s had %d bytes", name, s.largest), Expected: fmt.Sprintf("about %.0f bytes", math.Exp2(b.Sizes.Mean)),
				Count: 1, TraceID: s.traceID.String(),
			}})
		}
		b.Sizes.join(s.sizes)
	}
}
