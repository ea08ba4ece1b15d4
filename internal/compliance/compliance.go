// Package compliance tells how the settings and records of a service stand to points of
// GDPR, HIPAA and PCI DSS that concern a store of traces. It gives pointers, no legal
// advice. States are computed from facts, which the parts of the service give; what nobody
// evaluates is "not evaluated", never met.
package compliance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
)

// State is the state of a fact or of a point.
type State string

// The states, the best first.
const (
	Met          State = "met"
	NotEvaluated State = "not evaluated"
	NotMet       State = "not met"
)

// worse returns the worse of two states: a point that is not met stays so, whatever else
// is unknown.
func worse(a, b State) State {
	order := []State{Met, NotEvaluated, NotMet}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// Area names what a fact is about. Each part of a service gives the facts of its areas.
type Area string

// The areas.
const (
	Retention      Area = "retention"
	Erasure        Area = "erasure"
	Audit          Area = "audit log"
	Integrity      Area = "integrity of the audit log"
	Encryption     Area = "encryption at rest"
	Transport      Area = "encryption in transit"
	Authentication Area = "authentication"
	MFA            Area = "multi-factor authentication"
	Access         Area = "access rights"
	Scrubbing      Area = "scrubbing"
	Clock          Area = "clock"
)

// areas lists all areas in the order of reports.
var areas = []Area{Scrubbing, Retention, Erasure, Audit, Integrity, Access, Authentication, MFA, Encryption, Transport, Clock}

// Fact is one observation about the service.
type Fact struct {
	Area  Area   `json:"area"`
	Name  string `json:"name"`
	State State  `json:"state"`
	Value string `json:"value"`
}

// Provider gives the facts of one area at the moment of the call. It must not wait long.
type Provider func(ctx context.Context) ([]Fact, error)

// Principal is a row of the list of access rights, for reviews.
type Principal struct {
	ARN      string   `json:"arn"`
	Kind     string   `json:"kind"` // user, role, key, token, certificate
	Policies []string `json:"policies"`
	Created  string   `json:"created,omitempty"`
	LastUsed string   `json:"lastUsed,omitempty"` // "" for never
	Disabled bool     `json:"disabled,omitempty"`
}

// Point is a requirement. Areas without facts make it "not evaluated".
type Point struct {
	Topic string `json:"topic"`
	GDPR  string `json:"gdpr"`
	HIPAA string `json:"hipaa"`
	PCI   string `json:"pciDss"`
	State State  `json:"state"`
	Areas []Area `json:"areas"`
	Note  string `json:"note,omitempty"`
}

// points lists the requirements: Regulation (EU) 2016/679, 45 CFR part 164, PCI DSS
// v4.0.1. The wording of the laws is shortened to a topic.
var points = []Point{
	{Topic: "store no more than needed", GDPR: "Art. 5(1)(c), 25", HIPAA: "164.502(b)", PCI: "3.2.1, 3.3.1, 3.4.1", Areas: []Area{Scrubbing}},
	{Topic: "keep no longer than needed", GDPR: "Art. 5(1)(e)", HIPAA: "164.316(b)(2)(i)", PCI: "3.2.1", Areas: []Area{Retention}},
	{Topic: "keep audit records long enough", GDPR: "Art. 5(2)", HIPAA: "164.316(b)(2)(i)", PCI: "10.5.1", Areas: []Area{Audit}},
	{Topic: "erase and give access on request", GDPR: "Art. 15, 17, 19, 20", HIPAA: "164.526, 164.528", PCI: "3.2.1", Areas: []Area{Erasure}, Note: "backups and exports outside the service are not known to it"},
	{Topic: "record who did what", GDPR: "Art. 5(2), 30, 33", HIPAA: "164.312(b), 164.308(a)(1)(ii)(D)", PCI: "10.2.1, 10.2.2", Areas: []Area{Audit, Authentication}},
	{Topic: "protect audit records from change", GDPR: "Art. 5(1)(f)", HIPAA: "164.312(c)(1)", PCI: "10.3.1–10.3.4, 11.5.2", Areas: []Area{Audit, Integrity}},
	{Topic: "synchronise clocks", GDPR: "–", HIPAA: "–", PCI: "10.6", Areas: []Area{Clock}},
	{Topic: "identify everybody", GDPR: "Art. 32(1)(b)", HIPAA: "164.312(a)(2)(i), (d)", PCI: "8.2.1, 8.3, 8.6", Areas: []Area{Authentication}},
	{Topic: "least privilege, reviewed every six months", GDPR: "Art. 25, 32(1)(b)", HIPAA: "164.312(a)(1)", PCI: "7.2.1–7.2.6", Areas: []Area{Authentication, Access}, Note: "the review itself is the operator's task; the report lists what to review"},
	{Topic: "multi-factor authentication", GDPR: "Art. 32(1)(b)", HIPAA: "164.312(d)", PCI: "8.4.2", Areas: []Area{MFA}},
	{Topic: "encrypt stored data", GDPR: "Art. 32(1)(a)", HIPAA: "164.312(a)(2)(iv)", PCI: "3.5.1, 3.6, 3.7", Areas: []Area{Encryption}},
	{Topic: "encrypt data in transit", GDPR: "Art. 32(1)(a)", HIPAA: "164.312(e)(2)(ii)", PCI: "4.2.1", Areas: []Area{Transport}},
	{Topic: "review audit records", GDPR: "Art. 5(2)", HIPAA: "164.308(a)(1)(ii)(D)", PCI: "10.4.1.1", Note: "organisational: the service cannot know who reviews"},
	{Topic: "contracts with processors, transfers", GDPR: "Art. 28, 44–49", HIPAA: "164.504(e)", PCI: "12.8, 12.9", Note: "organisational: the service cannot know"},
}

// Report is the state of a service at one moment.
type Report struct {
	Version    int         `json:"fluoro-compliance"`
	Service    string      `json:"serviceVersion"`
	Account    string      `json:"account"`
	Made       time.Time   `json:"made"`
	By         string      `json:"by"`
	Points     []Point     `json:"points"`
	Facts      []Fact      `json:"facts"`
	Principals []Principal `json:"principals"` // null: nobody gives the list
	Notice     string      `json:"notice"`
}

const notice = "Pointers for a review, computed from the settings and records of the service at one moment. No legal advice, and no certificate."

// Options of a report.
type Options struct {
	Service, Account, By string
	Now                  time.Time
	// Providers give facts, by area. An area without one is not evaluated.
	Providers map[Area]Provider
	// Principals lists who may do what; nil: nobody does.
	Principals func(ctx context.Context) ([]Principal, error)
}

// Make makes a report.
func Make(ctx context.Context, o Options) *Report {
	r := &Report{Version: 1, Service: o.Service, Account: o.Account, Made: o.Now.UTC(), By: o.By, Notice: notice, Facts: []Fact{}}
	states := map[Area]State{}
	for _, area := range areas {
		facts := factsOf(ctx, area, o.Providers[area])
		for _, f := range facts {
			if old, known := states[area]; known {
				states[area] = worse(old, f.State)
			} else {
				states[area] = f.State
			}
		}
		r.Facts = append(r.Facts, facts...)
	}
	if o.Principals != nil {
		var err error
		if r.Principals, err = o.Principals(ctx); err != nil {
			r.Facts = append(r.Facts, Fact{Access, "list of principals", NotEvaluated, "it cannot be read: " + err.Error()})
			states[Access] = worse(states[Access], NotEvaluated)
		}
	}
	for _, p := range points {
		p.State = NotEvaluated
		for i, area := range p.Areas {
			if i == 0 {
				p.State = states[area]
			} else {
				p.State = worse(p.State, states[area])
			}
		}
		p.Areas = append([]Area{}, p.Areas...)
		r.Points = append(r.Points, p)
	}
	return r
}

// factsOf asks a provider. Without facts, the area is not evaluated.
func factsOf(ctx context.Context, area Area, p Provider) []Fact {
	if p == nil {
		return []Fact{{area, "state", NotEvaluated, "this version of the service does not tell"}}
	}
	facts, err := p(ctx)
	switch {
	case err != nil:
		facts = append(facts, Fact{area, "state", NotEvaluated, "it cannot be determined: " + err.Error()})
	case len(facts) == 0:
		facts = []Fact{{area, "state", NotEvaluated, "nothing is known"}}
	}
	for i := range facts {
		facts[i].Area = area
		if !slices.Contains([]State{Met, NotEvaluated, NotMet}, facts[i].State) {
			facts[i].State = NotEvaluated
		}
	}
	return facts
}

// Sign signs a report.
func (r *Report) Sign(s *audit.Signer) (audit.SignedText, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return audit.SignedText{}, err
	}
	return s.SignText(b)
}

// Text writes a report for people, in plain lines.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Compliance of account %s, made %s by %+q, service %s\n%s\n\n", r.Account, r.Made.Format(time.RFC3339), r.By, r.Service, r.Notice)
	for _, p := range r.Points {
		fmt.Fprintf(&b, "%-13s  %s (GDPR %s; HIPAA %s; PCI DSS %s)\n", p.State, p.Topic, p.GDPR, p.HIPAA, p.PCI)
		if p.Note != "" {
			fmt.Fprintf(&b, "%-13s    %s\n", "", p.Note)
		}
		for _, f := range r.Facts {
			if slices.Contains(p.Areas, f.Area) {
				fmt.Fprintf(&b, "%-13s    %s: %s: %s: %s\n", "", f.State, f.Area, f.Name, f.Value)
			}
		}
	}
	return b.String()
}
