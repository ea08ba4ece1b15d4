package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// The switches.
const (
	slowQuery = "slow-query"
	faults    = "faults"
	throttle  = "throttle"
	badDeploy = "bad-deploy"
)

// toggle is one switch.
type toggle struct {
	name, help string
	on         atomic.Bool
}

// switches break the shop on purpose.
type switches struct{ all []*toggle }

func newSwitches() *switches {
	return &switches{[]*toggle{
		{name: slowQuery, help: "catalog's search query loses its index and takes a hundred times longer"},
		{name: faults, help: "payments fails with an exception for four requests in ten"},
		{name: throttle, help: "the bank answers 429 to most calls"},
		{name: badDeploy, help: "recommendations 2.0.0 replaces 1.4.2: slower, and it crashes for some"},
	}}
}

func (s *switches) list() []*toggle { return s.all }

func (s *switches) on(name string) bool {
	for _, t := range s.all {
		if t.name == name {
			return t.on.Load()
		}
	}
	return false
}

// set turns a switch; for an unknown switch, the error names the existing ones.
func (s *switches) set(name string, on bool) error {
	var names []string
	for _, t := range s.all {
		if t.name == name {
			t.on.Store(on)
			return nil
		}
		names = append(names, t.name)
	}
	return fmt.Errorf("there is no switch %q; there are %s", name, strings.Join(names, ", "))
}

// control serves the page with the switches.
func (s *shop) control() error {
	if s.Control == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		for _, t := range s.switches.list() {
			state := "off"
			if t.on.Load() {
				state = "on"
			}
			fmt.Fprintf(w, "%-12s %-4s %s\n", t.name, state, t.help)
		}
		fmt.Fprintf(w, "\nTurn one: curl -X POST 'http://%s/switch/NAME?on=true' (or false)\n", s.Control)
	})
	mux.HandleFunc("POST /switch/{name}", func(w http.ResponseWriter, r *http.Request) {
		on, err := strconv.ParseBool(r.URL.Query().Get("on"))
		if err != nil {
			http.Error(w, "say ?on=true or ?on=false", http.StatusBadRequest)
			return
		}
		if err := s.switches.set(r.PathValue("name"), on); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		fmt.Fprintf(s.Out, "switch %s: %v\n", r.PathValue("name"), on)
		fmt.Fprintf(w, "%s: %v\n", r.PathValue("name"), on)
	})
	_, err := s.serve("switches", "this page turns them", s.Control, mux)
	return err
}
