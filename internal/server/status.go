package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// healthy answers 200 while the process serves.
func healthy(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// readyDamage is how many damaged places /readyz names.
const readyDamage = 10

// ready answers 200 while the store can write, else 503 with the reason. Damage does not
// make it unready, because the server serves the rest. Everybody may ask: where credentials
// are required, the answer names no files.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	stats, err := s.store.Stats(r.Context())
	reason := stats.ReadOnly
	if err != nil {
		reason = err.Error()
	}
	if own := s.keysOf(seal.System); reason == "" && own != nil {
		reason = own[0] // nothing can be stored or read without the keys of the server itself
	}
	w.Header().Set("Content-Type", "application/json")
	if reason != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	damage, n := s.damage(stats)
	if s.config.Auth == config.Required {
		damage = nil
		if reason != "" {
			reason = "the store cannot write; the log and the status page have the reason"
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"ready": reason == "", "reason": reason, "damaged": n, "damage": append([]string{}, damage[:min(len(damage), readyDamage)]...),
	})
}

// status makes the report of the console's status page for the identity in ctx.
func (s *server) status(ctx context.Context) (*console.StatusReport, error) {
	p, err := identity.From(ctx)
	if err != nil {
		return nil, err
	}
	report := &console.StatusReport{
		Version: Version(), Account: string(p.Account), Region: p.Region, Started: float64(s.started.UnixMilli()) / 1000,
		Listeners: s.listeners,
	}
	for _, l := range s.linkedTo(p.Account) {
		report.Linked = append(report.Linked, string(l.Account))
	}
	if report.Store, err = s.storeStatus(ctx, p); err != nil || p.Sight != nil {
		return report, err // counts and refusals are about segments of all services
	}
	report.Scrubbed = s.scrub.Counts(p.Account)
	seen := s.sees(p.Account)
	for _, c := range s.tally.Counts(seen...) {
		report.Received = append(report.Received, console.Count(c))
	}
	for _, r := range s.tally.Refused(seen...) {
		report.Refused = append(report.Refused, console.Refused(r))
	}
	return report, nil
}

// sees returns the accounts whose counts and refusals an account sees: itself, and for
// the server's own account also "", for unknown senders.
func (s *server) sees(account trace.Account) []trace.Account {
	if account == s.own() {
		return []trace.Account{account, ""}
	}
	return []trace.Account{account}
}

// storeStatus describes the contents of the store. Its figures count all accounts
// together, so only the server's own account sees them, if it sees all segments.
func (s *server) storeStatus(ctx context.Context, p identity.Principal) (console.StoreStatus, error) {
	stats, err := s.store.Stats(ctx)
	if err != nil {
		return console.StoreStatus{}, err
	}
	switch {
	case p.Sight != nil:
		return console.StoreStatus{
			ReadOnly: stats.ReadOnly, Names: stats.Names, OtherName: stats.Other,
			Notes: []string{"Your permissions do not include all segments of the account, so this page shows neither counts nor refusals."},
		}, nil
	case p.Account != s.own():
		return console.StoreStatus{
			ReadOnly: stats.ReadOnly, Names: stats.Names, OtherName: stats.Other,
			Notes: append([]string{"The figures of the store are of all accounts together; only account " + s.config.Account + " sees them."}, s.keysOf(p.Account)...),
		}, nil
	}
	report := console.StoreStatus{
		Traces: stats.Traces, Segments: stats.Segments, OpenTraces: stats.Gauge(local.GaugeOpenTraces), Blocks: stats.Gauge(local.GaugeBlocks),
		Bytes: stats.Gauge(local.GaugeBlockBytes) + stats.Gauge(local.GaugeLogBytes), WALBytes: stats.Gauge(local.GaugeLogBytes), ReadOnly: stats.ReadOnly,
		Search: console.SearchStatus{Keys: stats.Keys.Keys, TracesBeyond: stats.Keys.TracesBeyond},
		Names:  stats.Names, NamesFolded: stats.Folded, OtherName: stats.Other,
	}
	report.Damage, report.Damaged = s.damage(stats)
	report.Notes = append(slices.Clone(stats.Notes), s.leftovers...)
	for _, k := range stats.Keys.Over {
		report.Search.ManyValues = append(report.Search.ManyValues, string(k.Account)+" "+k.Key)
	}
	return report, nil
}
