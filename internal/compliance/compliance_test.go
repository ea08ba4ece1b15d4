package compliance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/compliance"
)

func fact(state compliance.State) compliance.Provider {
	return func(context.Context) ([]compliance.Fact, error) {
		return []compliance.Fact{{Name: "a", State: compliance.Met, Value: "yes"}, {Name: "b", State: state, Value: "<script>"}}, nil
	}
}

func stateOf(t *testing.T, r *compliance.Report, topic string) compliance.State {
	t.Helper()
	for _, p := range r.Points {
		if p.Topic == topic {
			return p.State
		}
	}
	t.Fatal("no point", topic)
	return ""
}

// What nobody tells is not evaluated; a point is as bad as its worst fact.
func TestMake_neverGuesses(t *testing.T) {
	r := compliance.Make(t.Context(), compliance.Options{})
	for _, p := range r.Points {
		if p.State != compliance.NotEvaluated {
			t.Errorf("without facts, %s is %s", p.Topic, p.State)
		}
	}
	r = compliance.Make(t.Context(), compliance.Options{Providers: map[compliance.Area]compliance.Provider{
		compliance.Scrubbing: fact(compliance.Met), compliance.Encryption: fact(compliance.NotMet), compliance.Retention: fact("nonsense"), compliance.Transport: fact(compliance.NotEvaluated),
		compliance.Erasure: func(context.Context) ([]compliance.Fact, error) { return nil, errors.New("the disk is gone") },
		compliance.MFA:     func(context.Context) ([]compliance.Fact, error) { return nil, nil },
		compliance.Audit:   fact(compliance.Met), compliance.Integrity: fact(compliance.NotMet),
		compliance.Authentication: fact(compliance.NotMet),
	}})
	for topic, want := range map[string]compliance.State{
		"store no more than needed": compliance.Met, "encrypt stored data": compliance.NotMet, "keep no longer than needed": compliance.NotEvaluated, "encrypt data in transit": compliance.NotEvaluated,
		"erase and give access on request": compliance.NotEvaluated, "multi-factor authentication": compliance.NotEvaluated, "protect audit records from change": compliance.NotMet,
		"least privilege, reviewed every six months": compliance.NotMet, "contracts with processors, transfers": compliance.NotEvaluated,
	} {
		if got := stateOf(t, r, topic); got != want {
			t.Errorf("%s is %s, want %s", topic, got, want)
		}
	}
}

func TestReport_isSignedAndEscaped(t *testing.T) {
	s, err := audit.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	r := compliance.Make(t.Context(), compliance.Options{
		By: "<b>eve</b>\x1b[31m", Now: time.Unix(1764417600, 0), Providers: map[compliance.Area]compliance.Provider{compliance.Scrubbing: fact(compliance.Met)},
		Principals: func(context.Context) ([]compliance.Principal, error) {
			return []compliance.Principal{{ARN: "arn:aws:iam::1:user/x", Policies: []string{"<img>"}}}, nil
		},
	})
	signed, err := r.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ParsePublicKey(s.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.VerifyText(file); err != nil {
		t.Error(err)
	}
	if _, err := key.VerifyText(bytes.Replace(file, []byte("not evaluated"), []byte("met"), 1)); err == nil {
		t.Error("a changed report is accepted")
	}
	var page bytes.Buffer
	if err := compliance.HTML(&page, &signed); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>", "<b>eve", "<img>"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if !strings.Contains(page.String(), signed.Signature) || !strings.Contains(page.String(), "never") {
		t.Error(page.String())
	}
	if strings.Contains(r.Text(), "\x1b") {
		t.Errorf("%q", r.Text())
	}
}
