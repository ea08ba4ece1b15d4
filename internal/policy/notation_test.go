package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The notation of testdata/*.txt. A line has the fields number, policies, request,
// decision and title, separated by ‖.
//
// Policies: layers separated by ¦, each with its name before a colon (SCP, BOUNDARY,
// SESSION, RESOURCE; none: identity); — is no policy; ⊕ separates policies, / levels of
// SCPs, "; " statements. A statement: A(llow) or D(eny), P(principal) or NP(principal),
// actions with | between them ("not" before them: NotAction), @ resource (@not:
// NotResource; none: *), "if" conditions: Operator key=value|value, key=value & Operator …
// (Version …) stands before the first statement.
//
// Request: action @ resource + further actions by principal; key=value, key=[value,value],
// without key. A value may be in double quotes, with the escapes of JSON.
//
// Decision: allow, deny (implicit) or DENY (explicit), with the layer in brackets if it
// is not identity.

const (
	testAccount  = "111122223333"
	otherAccount = "444455556666"
)

var shorthand = strings.NewReplacer("…:", "arn:aws:xray:us-east-1:"+testAccount+":", "OTHER", otherAccount, "ACC", testAccount)

// long expands the abbreviations of ARNs.
func long(s string) string {
	s = shorthand.Replace(s)
	for short, whole := range map[string]string{"iam:": "arn:aws:iam::" + testAccount + ":", "iam2:": "arn:aws:iam::" + otherAccount + ":", "sts:": "arn:aws:sts::" + testAccount + ":assumed-role/"} {
		if rest, ok := strings.CutPrefix(s, short); ok {
			return whole + rest
		}
	}
	return s
}

func longAll(list []string) (out []string) {
	for _, s := range list {
		out = append(out, unquote(long(s)))
	}
	return out
}

func unquote(s string) string {
	var out string
	if strings.HasPrefix(s, `"`) && json.Unmarshal([]byte(s), &out) == nil {
		return out
	}
	return s
}

// readNotation reads a file of testdata.
func readNotation(t testing.TB, name string) (cases []Case, titles []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " ‖ ")
		if len(f) != 5 || seen[f[0]] {
			t.Fatalf("%s: %q has %d fields, or its number stands twice", name, line, len(f))
		}
		seen[f[0]] = true
		c := Case{ID: f[0]}
		readLayers(t, &c, f[1])
		readRequest(t, &c.Request, f[2])
		decision, layer, bracket := strings.Cut(f[3], " (")
		c.Expected = &Expected{Decision: strings.ToLower(decision), Kind: "explicit", By: "identity"}
		if decision == "deny" {
			c.Expected.Kind = "implicit"
		}
		if bracket {
			c.Expected.By = strings.TrimSuffix(layer, ")")
		}
		cases, titles = append(cases, c), append(titles, f[4])
	}
	return cases, titles
}

func readLayers(t testing.TB, c *Case, text string) {
	for _, layer := range strings.Split(text, " ¦ ") {
		to := &c.Policies.Identity
		for name, p := range map[string]*[]json.RawMessage{"BOUNDARY: ": &c.Policies.Boundary, "SESSION: ": &c.Policies.Session, "RESOURCE: ": &c.Policies.Resource} {
			if rest, ok := strings.CutPrefix(layer, name); ok {
				layer, to = rest, p
			}
		}
		if rest, ok := strings.CutPrefix(layer, "SCP: "); ok {
			for _, level := range strings.Split(rest, " / ") {
				var list []json.RawMessage
				readPolicies(t, &list, level)
				c.Policies.SCP = append(c.Policies.SCP, list)
			}
			continue
		}
		readPolicies(t, to, layer)
	}
}

func readPolicies(t testing.TB, to *[]json.RawMessage, text string) {
	*to = []json.RawMessage{}
	if text == "—" {
		return
	}
	for _, p := range strings.Split(text, " ⊕ ") {
		*to = append(*to, json.RawMessage(notationDocument(t, p)))
	}
}

// notationDocument makes a document from its notation.
func notationDocument(t testing.TB, text string) string {
	d := map[string]any{"Version": "2012-10-17"}
	if rest, ok := strings.CutPrefix(text, "(Version "); ok {
		version, after, _ := strings.Cut(rest, ") ")
		text = after
		d["Version"] = version
		if version == "none" {
			delete(d, "Version")
		}
	}
	if text == "FullAWSAccess" {
		text = "A *"
	}
	var list []any
	for _, s := range strings.Split(text, "; ") {
		list = append(list, notationStatement(t, s))
	}
	d["Statement"] = list
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func notationStatement(t testing.TB, text string) map[string]any {
	s := map[string]any{"Effect": "Allow", "Resource": "*"}
	effect, rest, ok := strings.Cut(text, " ")
	if effect == "D" {
		s["Effect"] = "Deny"
	}
	if !ok || effect != "A" && effect != "D" {
		t.Fatalf("%q is no statement", text)
	}
	for prefix, name := range map[string]string{"P(": "Principal", "NP(": "NotPrincipal"} {
		if after, ok := strings.CutPrefix(rest, prefix); ok {
			ids, after, _ := strings.Cut(after, ") ")
			rest = after
			s[name] = notationPrincipal(ids)
		}
	}
	rest, conditions, conditional := strings.Cut(rest, " if ")
	if conditional {
		s["Condition"] = notationCondition(t, conditions)
	}
	actions, resource, there := strings.Cut(rest, " @")
	if there {
		name := "Resource"
		if after, ok := strings.CutPrefix(resource, "not "); ok {
			delete(s, "Resource")
			name, resource = "NotResource", after
		}
		s[name] = longAll(strings.Split(strings.TrimSpace(resource), "|"))
	}
	name := "Action"
	if after, ok := strings.CutPrefix(actions, "not "); ok {
		name, actions = "NotAction", after
	}
	s[name] = strings.Split(actions, "|")
	return s
}

func notationPrincipal(ids string) any {
	if ids == "*" {
		return "*"
	}
	m := map[string][]string{}
	for _, id := range strings.Split(ids, "|") {
		kind := "AWS"
		if strings.HasSuffix(id, ".amazonaws.com") {
			kind = "Service"
		}
		m[kind] = append(m[kind], long(id))
	}
	return m
}

func notationCondition(t testing.TB, text string) map[string]any {
	c := map[string]any{}
	for _, block := range strings.Split(text, " & ") {
		operator, keys, _ := strings.Cut(block, " ")
		m := map[string]any{}
		for _, pair := range strings.Split(keys, ", ") {
			key, values, ok := strings.Cut(pair, "=")
			if !ok {
				t.Fatalf("%q is no condition", block)
			}
			list := []string{}
			if values != "[]" {
				list = longAll(strings.Split(values, "|"))
			}
			m[key] = list
		}
		c[operator] = m
	}
	return c
}

func readRequest(t testing.TB, q *CaseRequest, text string) {
	call, extra, _ := strings.Cut(text, "; ")
	call, by, _ := strings.Cut(call, " by ")
	call, also, hasAlso := strings.Cut(call, " + ")
	prefixed := func(a string) string {
		if !strings.Contains(a, ":") {
			return "xray:" + a
		}
		return a
	}
	if hasAlso {
		q.Also = []string{prefixed(also)}
	}
	action, resource, there := strings.Cut(call, " @ ")
	if q.Action, q.Resource = prefixed(action), "*"; there {
		q.Resource = unquote(long(resource))
	}
	q.ResourceAccount = testAccount
	keys := map[string]any{
		"aws:CurrentTime": "2026-11-29T12:00:00Z", "aws:EpochTime": "1795953600", "aws:SecureTransport": "true", "aws:RequestedRegion": "us-east-1",
		"aws:SourceIp": "203.0.113.10", "aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false",
	}
	by, management := strings.CutSuffix(by, " (management account)")
	notationCaller(q, by, keys)
	q.Principal.ManagementAccount = management
	if extra != "" {
		for _, pair := range strings.Split(extra, ", ") {
			if name, ok := strings.CutPrefix(pair, "without "); ok {
				delete(keys, name)
				continue
			}
			key, value, ok := strings.Cut(pair, "=")
			if !ok {
				t.Fatalf("%q is no context key", pair)
			}
			if list, ok := strings.CutPrefix(value, "["); ok {
				if list = strings.TrimSuffix(list, "]"); list == "" {
					keys[key] = []string{}
					continue
				}
				keys[key] = longAll(strings.Split(list, ","))
				continue
			}
			keys[key] = unquote(long(value))
		}
	}
	q.Context = map[string]json.RawMessage{}
	for k, v := range keys {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		q.Context[k] = b
	}
}

// notationCaller sets the principal and its condition keys.
func notationCaller(q *CaseRequest, by string, keys map[string]any) {
	set := func(kind, arn, account string) {
		q.Principal = CasePrincipal{Type: kind, ARN: arn, Account: account}
		keys["aws:PrincipalAccount"], keys["aws:PrincipalArn"] = account, arn
	}
	switch by = long(by); {
	case by == "anonymous":
		q.Principal = CasePrincipal{Type: "anonymous"}
	case by == "root user":
		set("root", "arn:aws:iam::"+testAccount+":root", testAccount)
		keys["aws:PrincipalType"], keys["aws:userid"] = "Account", testAccount
	case strings.HasSuffix(by, ".amazonaws.com"):
		q.Principal = CasePrincipal{Type: "service", Service: by}
		keys["aws:PrincipalIsAWSService"], keys["aws:PrincipalServiceName"] = "true", by
		delete(keys, "aws:SourceIp")
	case strings.Contains(by, ":assumed-role/"):
		account := strings.Split(by, ":")[4]
		role, session, _ := strings.Cut(strings.Split(by, ":assumed-role/")[1], "/")
		set("assumed-role", by, account)
		keys["aws:PrincipalArn"], keys["aws:PrincipalType"] = "arn:aws:iam::"+account+":role/"+role, "AssumedRole"
		keys["aws:userid"] = "AROAEXAMPLE" + strings.ToUpper(role) + ":" + session
		keys["aws:TokenIssueTime"], keys["aws:MultiFactorAuthPresent"] = "2026-11-29T11:30:00Z", "false"
	default:
		if by == "" {
			by = "arn:aws:iam::" + testAccount + ":user/alice"
		}
		account, name := strings.Split(by, ":")[4], by[strings.LastIndexAny(by, "/:")+1:]
		set("user", by, account)
		if strings.Contains(by, ":federated-user/") {
			q.Principal.Type = "federated"
			keys["aws:PrincipalType"] = "FederatedUser"
			return
		}
		keys["aws:PrincipalType"], keys["aws:username"], keys["aws:userid"] = "User", name, "AIDAEXAMPLE"+strings.ToUpper(name)
	}
}

// TestDecide_reference decides the cases of the reference and our own.
func TestDecide_reference(t *testing.T) {
	count := map[string]int{"decisions.txt": 109, "more.txt": 150}
	for name, least := range count {
		cases, titles := readNotation(t, name)
		if len(cases) < least {
			t.Errorf("%s has %d cases, want at least %d", name, len(cases), least)
		}
		for i := range cases {
			c := &cases[i]
			t.Run(fmt.Sprintf("%s/%s", strings.TrimSuffix(name, ".txt"), c.ID), func(t *testing.T) {
				d, err := c.Decide()
				if err != nil {
					t.Fatalf("%s: %v", titles[i], err)
				}
				if difference := c.Expected.Differs(d); difference != "" {
					t.Errorf("%s: %s (%s)", titles[i], difference, d)
				}
			})
		}
	}
}
