package console

import (
	"context"
	"encoding/json"
	"net/http"
)

// Status returns the present figures. The caller owns the report.
type Status func(ctx context.Context) (*StatusReport, error)

// StatusReport is the answer of /console/api/status. Times are epoch seconds.
type StatusReport struct {
	Version   string     `json:"version"`
	Account   string     `json:"account"`
	Region    string     `json:"region"`
	Linked    []string   `json:"linked"` // accounts that share their traces with this one
	Started   float64    `json:"started"`
	Listeners []Listener `json:"listeners"`
	Received  []Count    `json:"received"`
	// Scrubbed counts the values that each scrub rule changed since the start.
	Scrubbed map[string]int64 `json:"scrubbed"`
	Refused  []Refused        `json:"refused"` // newest first, at most 50
	Store    StoreStatus      `json:"store"`
}

// Listener is an address that the server listens on. Protocol is one of udp, http,
// otlp-grpc, otlp-http.
type Listener struct {
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
}

// Count says how many documents and spans had one outcome since the start. Outcome is one
// of accepted, rejected, throttled, failed, dropped.
type Count struct {
	Protocol string `json:"protocol"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason"` // "" when accepted
	Source   string `json:"source"` // host that sent them; "" when accepted
	Count    int64  `json:"count"`
}

// Refused is a datagram, document or request that was not stored, and why.
type Refused struct {
	Time     float64 `json:"time"`
	Protocol string  `json:"protocol"`
	Source   string  `json:"source"` // host:port of the sender
	Reason   string  `json:"reason"` // short code, such as InvalidId
	Message  string  `json:"message"`
}

// StoreStatus describes the store. Its counts include all accounts; only the server's
// own account sees them.
type StoreStatus struct {
	Traces     int64  `json:"traces"`
	Segments   int64  `json:"segments"`
	Bytes      int64  `json:"bytes"` // on disk, write-ahead log included
	OpenTraces int64  `json:"open_traces"`
	Blocks     int64  `json:"blocks"`
	WALBytes   int64  `json:"wal_bytes"`
	ReadOnly   string `json:"read_only"` // why nothing can be written; "" when it can
	// Damaged is how many places are known to be damaged or missing; Damage describes
	// them, at most a few hundred.
	Damaged int64    `json:"damaged"`
	Damage  []string `json:"damage"`
	// Notes describe harmless things that an operator may want to check or clean up.
	Notes []string `json:"notes"`
	// Names is how many services graphs keep distinct. NamesFolded counts how often a
	// block had a further one since the start; the node OtherName counts these.
	Names       int    `json:"names"`
	NamesFolded int64  `json:"names_folded"`
	OtherName   string `json:"other_name"`
	// Search counts annotations and attributes beyond the limits of the index. They are
	// found, but more slowly.
	Search SearchStatus `json:"search"`
}

// SearchStatus counts since the start of the server.
type SearchStatus struct {
	Keys         int      `json:"keys"`          // with an index
	TracesBeyond int64    `json:"traces_beyond"` // settled with a key without an index
	ManyValues   []string `json:"many_values"`   // keys with too many values for the index: "account key", at most 20
}

// statusHandler answers with the present report. Lists are never null.
func statusHandler(status Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		report, err := status(r.Context())
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": err.Error()})
			return
		}
		whole := *report
		if whole.Linked == nil {
			whole.Linked = []string{}
		}
		if whole.Listeners == nil {
			whole.Listeners = []Listener{}
		}
		if whole.Received == nil {
			whole.Received = []Count{}
		}
		if whole.Scrubbed == nil {
			whole.Scrubbed = map[string]int64{}
		}
		if whole.Refused == nil {
			whole.Refused = []Refused{}
		}
		if whole.Store.Damage == nil {
			whole.Store.Damage = []string{}
		}
		if whole.Store.Notes == nil {
			whole.Store.Notes = []string{}
		}
		if whole.Store.Search.ManyValues == nil {
			whole.Store.Search.ManyValues = []string{}
		}
		_ = json.NewEncoder(w).Encode(whole) // the client may be gone
	})
}
