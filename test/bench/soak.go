package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// soak is a long load below the peak, with samples of the server.
type soak struct {
	peakTime time.Duration // how long the search for the peak takes
	length   time.Duration
	rate     float64       // share of the peak
	every    time.Duration // between samples
	keep     string        // --retention-bytes: so that disk use can become flat, too
	seed     uint64
}

// sample is the server at one moment. Rates cover the time since the previous
// sample.
type sample struct {
	at                 time.Duration
	rssMB, liveMB      float64 // live: the heap after the last garbage collection, approximately
	diskMB             float64
	cpu                float64 // cores
	goroutines         int64
	spans              float64 // accepted a second
	throttled          int64
	byID, graph, pages []time.Duration
}

// run finds the peak, keeps the server at a share of it, and reports whether the
// figures at the end equal those after the first third.
func (k soak) run(binary string) (string, error) {
	s, err := start(binary, "--retention-bytes", k.keep)
	if err != nil {
		return "", err
	}
	table, err := k.measure(s)
	if stopErr := s.stop(); err == nil {
		err = stopErr
	}
	return table, err
}

func (k soak) measure(s *server) (string, error) {
	log.Printf("looking for the peak: %v", k.peakTime)
	// With the queries of the soak, and after settling and merging have begun.
	p := &pace{}
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { p.ask(stop) })
	_, err := measure(s, loads[0], k.peakTime/3, 0, k.seed)
	var peak *result
	if err == nil {
		peak, err = measure(s, loads[0], k.peakTime*2/3, 0, k.seed+1)
	}
	if err != nil {
		close(stop)
		group.Wait()
		return "", err
	}
	want := peak.spansPerSecond() * k.rate
	log.Printf("peak %.0f spans/s; %v at %.0f", peak.spansPerSecond(), k.length, want)
	p.mu.Lock()
	p.began, p.perSecond, p.byID, p.graph, p.pages = time.Now(), want, nil, nil, nil
	p.mu.Unlock()
	for w := range connections {
		group.Go(func() { p.send(stop, newGenerator(k.seed+2, uint64(w))) })
	}
	samples, err := k.sample(s, p)
	close(stop)
	group.Wait()
	return k.table(peak, want, samples), errors.Join(err, p.failure())
}

// pace keeps several connections together at one rate.
type pace struct {
	began     time.Time
	perSecond float64
	sent      atomic.Int64 // spans, including running requests

	mu                 sync.Mutex
	recent             [16]byte // a trace that was acknowledged
	spans, throttled   int64
	byID, graph, pages []time.Duration
	failed             error
}

func (p *pace) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = err
	}
}

func (p *pace) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *pace) send(stop chan struct{}, g *generator) {
	client := &http.Client{Transport: &http.Transport{}}
	for {
		body, spans, ids := g.otlp(1000)
		due := time.Duration(float64(p.sent.Add(int64(spans))) / p.perSecond * float64(time.Second))
		select {
		case <-stop:
			return
		case <-time.After(due - time.Since(p.began)):
		}
		_, err := post(client, "http://"+otlpAddr+"/v1/traces", "application/x-protobuf", body)
		p.mu.Lock()
		switch {
		case err == nil:
			p.spans += int64(spans)
			p.recent = ids[0]
		case throttled(err):
			p.throttled++
		default:
			p.mu.Unlock()
			p.fail(err)
			return
		}
		p.mu.Unlock()
	}
}

// ask sends three queries every two seconds.
func (p *pace) ask(stop chan struct{}) {
	client := &http.Client{Transport: &http.Transport{}}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		id := p.recent
		p.mu.Unlock()
		now := time.Now().Unix()
		for _, q := range []struct {
			times      *[]time.Duration
			path, body string
		}{
			{&p.byID, "/Traces", fmt.Sprintf(`{"TraceIds":["1-%x-%x"]}`, id[:4], id[4:])},
			{&p.graph, "/ServiceGraph", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, now-300, now)},
			{&p.pages, "/TraceSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"FilterExpression":"service(\"cart\") AND fault"}`, now-60, now)},
		} {
			t := time.Now()
			_, err := post(client, "http://"+httpAddr+q.path, "application/json", []byte(q.body))
			d := time.Since(t)
			p.mu.Lock()
			if err == nil {
				*q.times = append(*q.times, d)
			} else if throttled(err) {
				p.throttled++
			} else if p.failed == nil {
				p.failed = err
			}
			p.mu.Unlock()
		}
	}
}

// sample takes samples of the server until the time is over.
func (k soak) sample(s *server, p *pace) ([]sample, error) {
	var samples []sample
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	for last := time.Now(); time.Since(p.began) < k.length; {
		time.Sleep(k.every)
		cpu, err := s.cpu()
		if err != nil {
			return samples, err
		}
		goroutines, err := metric("go_goroutines")
		if err != nil {
			return samples, err
		}
		next, err := metric("go_memstats_next_gc_bytes") // twice what is live, with the default GOGC
		if err != nil {
			return samples, err
		}
		passed := time.Since(last).Seconds()
		last = time.Now()
		x := sample{at: time.Since(p.began), rssMB: s.status("VmRSS:"), liveMB: float64(next) / (2 << 20), diskMB: float64(s.disk()) / (1 << 20), cpu: (cpu - before).Seconds() / passed, goroutines: goroutines}
		before = cpu
		p.mu.Lock()
		x.spans, x.throttled, x.byID, x.graph, x.pages = float64(p.spans)/passed, p.throttled, p.byID, p.graph, p.pages
		p.spans, p.throttled, p.byID, p.graph, p.pages = 0, 0, nil, nil, nil
		failed := p.failed
		p.mu.Unlock()
		samples = append(samples, x)
		log.Printf("%v: %.0f MB, %.2f cores, %.0f spans/s, %d throttled", x.at.Round(time.Second), x.rssMB, x.cpu, x.spans, x.throttled)
		if failed != nil {
			return samples, failed
		}
	}
	return samples, nil
}

// trend fits a line through samples and returns its slope, a second, and the mean.
func trend(samples []sample, of func(sample) float64) (slope, mean float64) {
	var t, y, ty, tt float64
	n := float64(len(samples))
	for _, s := range samples {
		x, v := s.at.Seconds(), of(s)
		t, y, ty, tt = t+x, y+v, ty+x*v, tt+x*x
	}
	if d := n*tt - t*t; d != 0 {
		slope = (n*ty - t*y) / d
	}
	return slope, y / n
}

// flatShare is how much the trend of a figure may rise over the measured time.
const flatShare = 0.1

func (k soak) table(peak *result, want float64, samples []sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Peak %.0f spans/s; %v at %.0f %% of it, %.0f spans/s.\n\n", peak.spansPerSecond(), k.length, k.rate*100, want)
	b.WriteString("| time | RSS MB | live MB | disk MB | cores | goroutines | spans/s | throttled | by id p50 / p99 ms | graph of 5 min | page of faults |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "| %v | %.0f | %.0f | %.0f | %.2f | %d | %.0f | %d | %s | %s | %s |\n", s.at.Round(time.Second), s.rssMB, s.liveMB, s.diskMB, s.cpu, s.goroutines, s.spans, s.throttled, percentiles(s.byID), percentiles(s.graph), percentiles(s.pages))
	}
	settled := samples[len(samples)/3:]
	if len(settled) < 3 {
		b.WriteString("\nToo few samples to tell a trend.\n")
		return b.String()
	}
	over := settled[len(settled)-1].at - settled[0].at
	fmt.Fprintf(&b, "\n| trend over the last %v | mean | an hour | |\n|---|---|---|---|\n", over.Round(time.Second))
	for _, of := range []struct {
		name string
		of   func(sample) float64
	}{
		{"RSS MB", func(s sample) float64 { return s.rssMB }}, {"live MB", func(s sample) float64 { return s.liveMB }}, {"cores", func(s sample) float64 { return s.cpu }},
		{"goroutines", func(s sample) float64 { return float64(s.goroutines) }}, {"disk MB", func(s sample) float64 { return s.diskMB }},
	} {
		slope, mean := trend(settled, of.of)
		verdict := "flat"
		if slope*over.Seconds() > flatShare*mean {
			verdict = "rises"
		}
		fmt.Fprintf(&b, "| %s | %.1f | %+.1f | %s |\n", of.name, mean, slope*3600, verdict)
	}
	return b.String()
}
