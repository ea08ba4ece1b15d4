package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// questions sends typical queries to a loaded server and returns a table of their
// response times.
func questions(s *server, r *result) (string, error) {
	answers, err := ask(r)
	var b strings.Builder
	fmt.Fprintf(&b, "| question, over %d spans | p50 / p99 ms |\n|---|---|\n| start to ready | %.0f |\n", r.spans, s.ready.Seconds()*1000)
	for _, a := range answers {
		fmt.Fprintf(&b, "| %s | %s |\n", a[0], a[1])
	}
	return b.String(), err
}

// ask sends each query many times and returns its name and response times.
func ask(r *result) (answers [][2]string, err error) {
	client := &http.Client{}
	window := fmt.Sprintf(`"StartTime":%d,"EndTime":%d`, r.began.Unix()-60, time.Now().Unix()+60)
	rnd := rand.New(rand.NewPCG(1, 2))
	orders, err := ordersOf(client, r)
	if err != nil {
		return nil, err
	}
	for _, q := range []struct {
		name, path string
		times      int
		body       func() string
	}{
		{"BatchGetTraces, one id", "/Traces", 500, func() string {
			h := hex.EncodeToString(r.ids[rnd.IntN(len(r.ids))][:])
			return fmt.Sprintf(`{"TraceIds":["1-%s-%s"]}`, h[:8], h[8:])
		}},
		{"BatchGetTraces, an id that does not exist", "/Traces", 500, func() string {
			return fmt.Sprintf(`{"TraceIds":["1-%08x-%024x"]}`, rnd.Uint32(), rnd.Uint64())
		}},
		{"GetTraceSummaries, first page, all", "/TraceSummaries", 50, func() string { return "{" + window + "}" }},
		{"GetTraceSummaries, service, response time and annotation", "/TraceSummaries", 20, func() string {
			return "{" + window + `,"FilterExpression":"service(\"cart\") { responsetime > 0.05 } AND http.url CONTAINS \"items\""}`
		}},
		{"GetTraceSummaries, an attribute's value that one trace has", "/TraceSummaries", 50, func() string {
			return "{" + window + fmt.Sprintf(`,"FilterExpression":"annotation[app.order] = \"%s\""}`, orders[rnd.IntN(len(orders))])
		}},
		{"GetTraceSummaries, service, response time and attribute", "/TraceSummaries", 50, func() string {
			service := services[rnd.IntN(len(services))]
			return "{" + window + fmt.Sprintf(`,"FilterExpression":"service(\"%s\") { responsetime > 0.05 } AND annotation[server.address] = \"%s\""}`, service, services[rnd.IntN(len(services))])
		}},
		{"GetTraceSummaries, service and errors", "/TraceSummaries", 50, func() string {
			return "{" + window + fmt.Sprintf(`,"FilterExpression":"service(\"%s\") AND (error = true OR fault = true)"}`, services[rnd.IntN(len(services))])
		}},
		{"GetTraceSummaries, a service's own errors", "/TraceSummaries", 50, func() string {
			return "{" + window + fmt.Sprintf(`,"FilterExpression":"service(\"%s\") { fault }"}`, services[rnd.IntN(len(services))])
		}},
		{"GetServiceGraph, whole window", "/ServiceGraph", 50, func() string { return "{" + window + "}" }},
	} {
		var times []time.Duration
		for range q.times {
			t := time.Now()
			if _, err := post(client, "http://"+httpAddr+q.path, "application/json", []byte(q.body())); err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			times = append(times, time.Since(t))
		}
		answers = append(answers, [2]string{q.name, percentiles(times)})
	}
	return answers, nil
}

var order = regexp.MustCompile(`order-[0-9a-z]+`)

// ordersOf returns the orders of some traces; only one trace has each order.
func ordersOf(client *http.Client, r *result) (orders []string, err error) {
	for i := range min(50, len(r.ids)) {
		h := hex.EncodeToString(r.ids[i*len(r.ids)/50%len(r.ids)][:])
		answer, err := post(client, "http://"+httpAddr+"/Traces", "application/json", fmt.Appendf(nil, `{"TraceIds":["1-%s-%s"]}`, h[:8], h[8:]))
		if err != nil {
			return nil, err
		}
		if found := order.Find(answer); found != nil {
			orders = append(orders, string(found))
		}
	}
	if len(orders) == 0 {
		return nil, errors.New("no trace has an order")
	}
	return orders, nil
}
