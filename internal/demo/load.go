package demo

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// customersAtOnce limits the running requests; further ones are skipped and
	// counted.
	customersAtOnce = 200
	reportEvery     = 10 * time.Second
)

// load sends requests until ctx ends, and waits for the running ones.
func (s *shop) load(ctx context.Context) {
	var sent, failed, skipped atomic.Int64
	var customers sync.WaitGroup
	places := make(chan struct{}, customersAtOnce)
	client := &http.Client{Timeout: 15 * time.Second}
	front := ""
	for _, v := range s.services {
		if v.name == "storefront" {
			front = "http://" + v.addr
		}
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.Rate))
	defer tick.Stop()
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			customers.Wait()
			fmt.Fprintf(s.Out, "closed: %d requests, %d failed\n", sent.Load(), failed.Load())
			return
		case <-report.C:
			fmt.Fprintf(s.Out, "%d requests, %d failed, %d skipped because the shop is too slow\n", sent.Load(), failed.Load(), skipped.Load())
		case <-tick.C:
			select {
			case places <- struct{}{}:
			default:
				skipped.Add(1)
				continue
			}
			customers.Go(func() {
				defer func() { <-places }()
				sent.Add(1)
				if status := s.customer(client, front); status >= 500 || status == 0 {
					failed.Add(1)
				}
			})
		}
	}
}

// customer makes one request as a customer would; the status is 0 without an answer.
func (s *shop) customer(client *http.Client, front string) int {
	method, path := http.MethodGet, "/"
	switch p := s.random.float(); {
	case p < 0.03:
		path = "/product/99999" // does not exist
	case p < 0.45:
		path = "/product/" + strconv.Itoa(1+s.random.intn(2000))
	case p < 0.7:
		method, path = http.MethodPost, "/checkout"
	}
	req, err := http.NewRequest(method, front+path, nil)
	if err != nil {
		return 0
	}
	req.Header.Set("X-Customer", "customer-"+strconv.Itoa(s.random.intn(500)))
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}
