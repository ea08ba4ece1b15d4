package server

import (
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestKeep_ofAccountsAndGroups(t *testing.T) {
	records, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	s := &server{config: &config.Config{Retention: 2 * time.Hour, RetentionFor: []config.RetentionFor{
		{Account: "111122223333", For: time.Hour}, {Group: "slow", For: 5 * time.Hour}, {Group: "unknown", For: 9 * time.Hour},
	}}, groups: group.New(records, group.Options{})}
	if _, err := s.groups.Create(t.Context(), trace.Owner{Account: "111122223333", Region: "eu-west-1"}, "slow", group.Change{Filter: "duration > 5"}, nil, 1); err != nil {
		t.Fatal(err)
	}
	if s.longest() != 9*time.Hour {
		t.Errorf("blocks are kept for %v", s.longest())
	}
	k, err := s.keep()(t.Context(), "111122223333")
	if err != nil || k.Default != time.Hour || len(k.Groups) != 1 || k.Groups[0].For != 5*time.Hour || len(k.Groups[0].Group.Versions) != 1 {
		t.Errorf("%+v, %v", k, err)
	}
	if k, err = s.keep()(t.Context(), "999999999999"); err != nil || k.Default != 2*time.Hour || len(k.Groups) != 0 {
		t.Errorf("another account: %+v, %v", k, err)
	}
	s.config.RetentionFor = nil
	if s.keep() != nil {
		t.Error("there is something to sweep although all are kept for one time")
	}
}
