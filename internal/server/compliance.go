package server

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/compliance"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/erase"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// year is the time for which PCI DSS 10.5.1 wants audit records.
const year = 365 * 24 * time.Hour

// fact makes a fact.
func fact(name string, met bool, format string, args ...any) compliance.Fact {
	f := compliance.Fact{Name: name, State: compliance.NotMet, Value: fmt.Sprintf(format, args...)}
	if met {
		f.State = compliance.Met
	}
	return f
}

// providers give the facts of a compliance report. Areas that are missing here are not
// evaluated.
func (s *server) providers(account trace.Account) map[compliance.Area]compliance.Provider {
	return map[compliance.Area]compliance.Provider{
		compliance.Retention:      s.retentionFacts,
		compliance.Erasure:        func(ctx context.Context) ([]compliance.Fact, error) { return s.erasureFacts(ctx, account) },
		compliance.Audit:          s.auditFacts,
		compliance.Integrity:      s.integrityFacts,
		compliance.Encryption:     func(ctx context.Context) ([]compliance.Fact, error) { return s.encryptionFacts(ctx, account) },
		compliance.Access:         func(ctx context.Context) ([]compliance.Fact, error) { return s.accessFacts(ctx, account) },
		compliance.Scrubbing:      func(ctx context.Context) ([]compliance.Fact, error) { return s.scrubbingFacts(ctx, account) },
		compliance.Transport:      s.transportFacts,
		compliance.Authentication: s.authenticationFacts,
		compliance.Clock:          clockFacts,
	}
}

func (s *server) retentionFacts(context.Context) ([]compliance.Fact, error) {
	c := s.config
	facts := []compliance.Fact{fact("traces", c.Retention > 0, "deleted %s after their last segment", c.Retention)}
	for _, r := range c.RetentionFor {
		of := "account " + r.Account
		if r.Group != "" {
			of = "group " + r.Group
		}
		facts = append(facts, fact("traces of "+of, r.For > 0, "deleted %s after their last segment", r.For))
	}
	if c.RetentionBytes > 0 {
		facts = append(facts, fact("size", true, "the oldest traces are deleted above %d bytes", c.RetentionBytes))
	}
	return facts, nil
}

func (s *server) erasureFacts(ctx context.Context, account trace.Account) ([]compliance.Fact, error) {
	usable, err := s.usableHolds()
	if err != nil {
		return nil, err
	}
	holds, err := usable.List(ctx, account)
	if err != nil {
		return nil, err
	}
	backups, err := erase.Backups(ctx, s.records)
	return []compliance.Fact{
		fact("fluoro erase", true, "deletes from answers, counts and files, with a signed report; late data is refused for %s", s.config.EraseGuard),
		fact("legal holds", true, "%d", len(holds)),
		fact("backups", true, "%d are on record; erasures name them", len(backups)),
	}, err
}

func (s *server) auditFacts(context.Context) ([]compliance.Fact, error) {
	a, c := s.audit, s.config
	if a == nil {
		return []compliance.Fact{fact("audit log", false, "off")}, nil
	}
	written, lost, failed := a.Stats()
	facts := []compliance.Fact{
		fact("audit log", failed == nil, "on; %d records since the start", written),
		fact("lost records", lost == 0, "%d since the start", lost),
		fact("kept for", c.AuditRetention >= year, "%s (PCI DSS 10.5.1: 12 months)", c.AuditRetention),
		// Serving without a record is a choice, so it is said, and not judged.
		fact("requests that cannot be recorded", true, "%s", map[bool]string{true: "are refused", false: "are served"}[a.required]),
	}
	if failed != nil {
		facts[0].Value = "cannot be written: " + failed.Error()
	}
	if a.streams == nil {
		return append(facts, compliance.Fact{Name: "copy at another place", State: compliance.NotMet, Value: "none: see --audit-streams"}), nil
	}
	for _, st := range a.streams.States() {
		value := "sent up to record " + fmt.Sprint(st.Next-1)
		if st.Error != "" {
			value += ": " + st.Error
		}
		facts = append(facts, fact("copy at "+st.Target, st.Error == "", "%s", value))
	}
	return facts, nil
}

// verifyTime bounds the time for which a report reads the audit log.
const verifyTime = time.Minute

func (s *server) integrityFacts(ctx context.Context) ([]compliance.Fact, error) {
	if s.audit == nil {
		return []compliance.Fact{fact("chain of the audit log", false, "there is no audit log")}, nil
	}
	ctx, done := context.WithTimeout(ctx, verifyTime)
	defer done()
	signer, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	key, err := audit.ParsePublicKey(signer.PublicKey())
	if err != nil {
		return nil, err
	}
	r, err := audit.Verify(ctx, audit.VerifyOptions{Dir: filepath.Join(s.config.Data, AuditDir), Key: key})
	if err != nil {
		return nil, err
	}
	f := fact("chain of the audit log", len(r.Problems) == 0, "records %d to %d and %d digests verified", r.First, r.Last, r.Digests)
	if len(r.Problems) > 0 {
		f.Value = fmt.Sprintf("%d problems; the first: %s", len(r.Problems), r.Problems[0])
	}
	return []compliance.Fact{f}, nil
}

func (s *server) transportFacts(context.Context) (facts []compliance.Fact, err error) {
	for _, l := range s.listeners {
		name := l.Protocol + " " + l.Address
		switch {
		case s.tls != nil && l.Protocol != "udp":
			facts = append(facts, fact(name, true, "TLS 1.2 or newer"))
		case config.Loopback(l.Address):
			facts = append(facts, fact(name, true, "in the clear, only on this machine"))
		default:
			facts = append(facts, fact(name, false, "in the clear, and other machines reach it"))
		}
	}
	return facts, nil
}

func (s *server) authenticationFacts(context.Context) ([]compliance.Fact, error) {
	required := s.config.Auth == config.Required
	value := "need no credentials (--auth open)"
	if required {
		value = "need credentials (--auth required)"
	}
	return []compliance.Fact{fact("requests", required, "%s", value)}, nil
}

type complianceRequest struct {
	Account string `json:"account"`
	// Files asks for the report as files, too: as signed JSON, byte for byte, and as HTML.
	Files bool `json:"files"`
}

// complianceAnswer is a signed report, and the same as text.
type complianceAnswer struct {
	Signed audit.SignedText `json:"signed"`
	Text   string           `json:"text"`
	JSON   string           `json:"json,omitempty"`
	HTML   string           `json:"html,omitempty"`
}

// complianceRoutes are the rows of reports. A report shows settings of the whole server.
func complianceRoutes() []route {
	return []route{{on: onHTTP, method: "POST", path: "/api/compliance/GetReport", action: "fluoro:GetComplianceReport", class: admitAlone, limit: maxRequest, whole: true,
		handler: func(s *server, rt *route) endpoint {
			return manage.Verb(rt.limit, func(ctx context.Context, q *complianceRequest) (any, error) { return s.compliance(ctx, q) })
		}}}
}

func (s *server) compliance(ctx context.Context, q *complianceRequest) (any, error) {
	owner, by, err := s.target(ctx, q.Account)
	if err != nil {
		return nil, err
	}
	signer, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	r := compliance.Make(ctx, compliance.Options{Service: Version(), Account: string(owner.Account), By: by, Now: time.Now(), Providers: s.providers(owner.Account),
		Principals: func(ctx context.Context) ([]compliance.Principal, error) { return s.principals(ctx, owner.Account) }})
	signed, err := r.Sign(signer)
	if err != nil {
		return nil, err
	}
	var states []string
	for _, p := range r.Points {
		if p.State == compliance.NotMet {
			states = append(states, p.Topic)
		}
	}
	audit.Of(ctx).Set("notMet", strings.Join(states, "; "))
	out := complianceAnswer{Signed: signed, Text: r.Text()}
	if !q.Files {
		return out, nil
	}
	file, err := json.Marshal(signed)
	if err != nil {
		return nil, err
	}
	var page strings.Builder
	if err := compliance.HTML(&page, &signed); err != nil {
		return nil, err
	}
	out.JSON, out.HTML = string(file), page.String()
	return out, nil
}
