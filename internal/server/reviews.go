package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/compliance"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// unusedTime is after how long PCI DSS 8.2.6 wants an account that nobody uses disabled.
const unusedTime = 90 * 24 * time.Hour

// mostListed bounds the names in a fact.
const mostListed = 10

// principals lists who may do what in an account, with their credentials.
func (s *server) principals(ctx context.Context, account trace.Account) ([]compliance.Principal, error) {
	groups, err := iam.List[iam.Group](ctx, s.directory, account, "")
	if err != nil {
		return nil, err
	}
	ofGroup := map[string]*iam.Entity{}
	for i := range groups {
		ofGroup[groups[i].Name] = &groups[i].Entity
	}
	users, err := iam.List[iam.User](ctx, s.directory, account, "")
	if err != nil {
		return nil, err
	}
	list, of := []compliance.Principal{}, map[iam.Ref]*iam.Entity{}
	for i := range users {
		u := &users[i]
		p := compliance.Principal{ARN: u.ARN, Kind: "user", Policies: policiesOf(&u.Entity, ""), Created: day(u.Created)}
		for _, name := range u.Groups {
			if g := ofGroup[name]; g != nil {
				p.Policies = append(p.Policies, policiesOf(g, "group "+name+": ")...)
			}
		}
		list, of[iam.Ref{Type: iam.TypeUser, Name: u.Name}] = append(list, p), &u.Entity
	}
	roles, err := iam.List[iam.Role](ctx, s.directory, account, "")
	if err != nil {
		return nil, err
	}
	for i := range roles {
		r := &roles[i]
		list = append(list, compliance.Principal{ARN: r.ARN, Kind: "role", Policies: policiesOf(&r.Entity, ""), Created: day(r.Created)})
		of[iam.Ref{Type: iam.TypeRole, Name: r.Name}] = &r.Entity
	}
	credentials, err := s.credentialsOf(ctx, account, of)
	return append(list, credentials...), err
}

// credentialsOf lists the keys and tokens of an account. Their rights are those of their
// user or role, so their list of policies names these.
func (s *server) credentialsOf(ctx context.Context, account trace.Account, of map[iam.Ref]*iam.Entity) (list []compliance.Principal, err error) {
	add := func(p compliance.Principal, owner iam.Ref, used *iam.LastUsed) {
		p.Policies = []string{}
		if e := of[owner]; e != nil {
			p.ARN, p.Policies = e.ARN+"/"+p.ARN, []string{"those of " + string(owner.Type) + " " + owner.Name}
		}
		if used != nil {
			p.LastUsed = day(used.At)
		}
		list = append(list, p)
	}
	keys, err := s.directory.Keys(ctx, account, "")
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		add(compliance.Principal{ARN: k.ID, Kind: "key", Created: day(k.Created), Disabled: k.Status != iam.Active}, iam.Ref{Type: iam.TypeUser, Name: k.User}, k.LastUsed)
	}
	tokens, err := s.directory.Tokens(ctx, account, iam.Ref{})
	for _, t := range tokens {
		expired := t.Expires != nil && t.Expires.Before(time.Now())
		add(compliance.Principal{ARN: t.ID, Kind: "token", Created: day(t.Created), Disabled: expired || t.Status != iam.Active}, t.Of, t.LastUsed)
	}
	return list, err
}

func day(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// policiesOf lists the policies of an entity.
func policiesOf(e *iam.Entity, prefix string) []string {
	out := []string{}
	for _, arn := range e.Attached {
		out = append(out, prefix+arn)
	}
	for name := range e.Inline {
		out = append(out, prefix+"inline "+name)
	}
	slices.Sort(out)
	return out
}

// accessFacts tells about the credentials of an account.
func (s *server) accessFacts(ctx context.Context, account trace.Account) ([]compliance.Fact, error) {
	list, err := s.principals(ctx, account)
	if err != nil {
		return nil, err
	}
	var unused, administrators []string
	kinds := map[string]int{}
	for _, p := range list {
		kinds[p.Kind]++
		last := p.LastUsed
		if last == "" {
			last = p.Created
		}
		at, err := time.Parse(time.RFC3339, last)
		switch {
		case p.Kind == "user" || p.Kind == "role":
			if slices.ContainsFunc(p.Policies, func(name string) bool { return strings.HasSuffix(name, ":aws:policy/AdministratorAccess") }) {
				administrators = append(administrators, p.ARN)
			}
		case !p.Disabled && err == nil && time.Since(at) > unusedTime:
			unused = append(unused, p.ARN)
		}
	}
	return []compliance.Fact{
		fact("principals", true, "%d users, %d roles, %d keys, %d tokens; the report lists them", kinds["user"], kinds["role"], kinds["key"], kinds["token"]),
		// How many are right, nobody can say but the operator: this is for the review.
		fact("administrators", true, "%s", named(administrators)),
		fact("active keys and tokens that nobody used for 90 days", len(unused) == 0, "%s", named(unused)),
	}, nil
}

// named writes a number and the first names of a list.
func named(list []string) string {
	if len(list) == 0 {
		return "0"
	}
	more := ""
	if len(list) > mostListed {
		more = ", …"
	}
	return fmt.Sprintf("%d: %s%s", len(list), strings.Join(list[:min(len(list), mostListed)], ", "), more)
}

// scrubbingFacts tells what is removed before it is stored.
func (s *server) scrubbingFacts(ctx context.Context, account trace.Account) ([]compliance.Fact, error) {
	mode := s.config.Scrub
	rules, err := s.scrub.List(ctx, account)
	if err != nil {
		return nil, err
	}
	defaults, off, own, counting := 0, []string{}, 0, 0
	for _, r := range rules {
		switch {
		case r.Default:
			defaults++
			if r.Disabled || r.DryRun {
				off = append(off, r.Name)
			}
		case r.DryRun:
			counting++
		case !r.Disabled:
			own++
		}
	}
	changed := int64(0)
	for _, n := range s.scrub.Counts(account) {
		changed += n
	}
	return []compliance.Fact{
		fact("mode", mode != "off", "%s", mode),
		fact("default rules for credentials", defaults > 0 && len(off) == 0, "%d; not in use: %s", defaults, named(off)),
		fact("rules of the account", true, "%d in use, %d only count", own, counting),
		fact("values changed", true, "%d since the start", changed),
	}, nil
}

// encryptionFacts tells what is encrypted: new data by the keys, stored data by the state of
// the store.
func (s *server) encryptionFacts(ctx context.Context, account trace.Account) (facts []compliance.Fact, err error) {
	if s.keys == nil {
		return nil, nil
	}
	for _, of := range []struct {
		name    string
		account trace.Account
	}{{"audit log and records of the server", seal.System}, {"new traces and records of account " + string(account), account}} {
		r, err := s.keys.Account(of.account)
		if err != nil {
			return facts, err
		}
		value := "in the clear"
		if r.Encrypts {
			value = fmt.Sprintf("AES-256-GCM, %d data keys, %s", r.Keys, r.Status)
		}
		for _, problem := range []string{r.Problem, r.Pending} {
			if problem != "" {
				value += "; " + problem
			}
		}
		facts = append(facts, fact(of.name, r.Encrypts && r.Problem == "", "%s", value))
	}
	if s.config.Parquet == "clear" {
		facts = append(facts, fact("Parquet tables", false, "in the clear, by --parquet"))
	}
	if s.shelf == nil {
		return facts, nil
	}
	status, err := s.shelf.Status(ctx)
	if err != nil {
		return facts, err
	}
	for _, g := range status.Gauges {
		if g.Name == local.GaugeToConvert && g.Value > 0 {
			facts = append(facts, compliance.Fact{Name: "stored traces", State: compliance.NotMet, Value: fmt.Sprintf("%d blocks and log files are not yet as --encryption asks for; they are being rewritten", g.Value)})
		}
	}
	return facts, nil
}
