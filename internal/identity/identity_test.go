package identity_test

import (
	"reflect"
	"testing"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestFrom_givesWhatWithPutIn(t *testing.T) {
	owner := trace.Owner{Account: "111111111111", Region: "eu-west-1"}
	p, err := identity.Anonymous(owner).Authenticate(t.Context(), identity.Call{Action: "xray:GetGroups", Source: "10.0.0.1:5"})
	if err != nil || p.Owner != owner || p.Proof != identity.ProofNone {
		t.Fatalf("anonymous is %+v, %v", p, err)
	}
	if got, err := identity.From(identity.With(t.Context(), p)); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("got %+v, %v, want %+v", got, err, p)
	}
}

// A handler that is reached without a door must fail, not serve anybody's data.
func TestFrom_failsWithoutAPrincipal(t *testing.T) {
	if p, err := identity.From(t.Context()); err == nil || !reflect.DeepEqual(p, identity.Principal{}) {
		t.Errorf("got %+v, %v", p, err)
	}
}
