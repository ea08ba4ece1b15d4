// Command bench measures a Fluoro server as its users experience it: it starts one,
// sends it the same kind of traces as OTLP, as PutTraceSegments calls and as daemon
// datagrams, queries it, and writes a table in Markdown. If there are two cores,
// server and generator have one each. Beside the cost of a span, the table shows
// what a public decoder needed for the same spans before and after (protobuf-go for
// OTLP, encoding/json for documents), because machines differ.
//
//	go run ./test/bench -fluoro bin/fluoro -seconds 20 -out bench.md
//
// With -soak it finds the peak of one load, stays at a share of it for a long time,
// and reports whether memory and other figures stayed flat:
//
//	go run ./test/bench -soak 30m -rate 0.8 -out soak.md
//
// With -fill it fills one server step by step and measures queries at each size:
//
//	go run ./test/bench -fill 1000000,5000000,20000000 -out fill.md
//
// With -security it measures what each protection costs:
//
//	go run ./test/bench -security -seconds 20 -out security.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	binary := flag.String("fluoro", "bin/fluoro", "the server's binary")
	seconds := flag.Int("seconds", 15, "length of each load")
	settle := flag.Duration("settle", 15*time.Second, "time after each load whose CPU counts too")
	out := flag.String("out", "", "file for the table; empty for standard output")
	seed := flag.Uint64("seed", 1, "seed of the generated traces")
	long := flag.Duration("soak", 0, "length of a soak, such as 30m")
	rate := flag.Float64("rate", 0.8, "share of the peak at which a soak goes on")
	keep := flag.String("keep", "2GB", "--retention-bytes of a soak")
	sizes := flag.String("fill", "", "numbers of spans to fill a server with, such as 1000000,5000000")
	protected := flag.Bool("security", false, "measure what scrubbing, encryption, audit, signatures and read limits cost")
	flag.Parse()
	runtime.GOMAXPROCS(max(1, runtime.NumCPU()-1))
	var table string
	var err error
	switch {
	case *long > 0:
		table, err = soak{peakTime: 45 * time.Second, length: *long, rate: *rate, every: 10 * time.Second, keep: *keep, seed: *seed}.run(*binary)
	case *protected:
		table, err = security(*binary, time.Duration(*seconds)*time.Second, *settle, *seed)
	case *sizes != "":
		table, err = fill(*binary, *sizes, *seed)
	default:
		table, err = run(*binary, time.Duration(*seconds)*time.Second, *settle, *seed)
	}
	if err != nil {
		log.Fatal(err)
	}
	if *out == "" {
		fmt.Print(table)
		return
	}
	if err := os.WriteFile(*out, []byte(table), 0o644); err != nil {
		log.Fatal(err)
	}
}

// run makes all measurements, each load against its own server.
func run(binary string, length, settle time.Duration, seed uint64) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "| load | spans/s | requests/s | CPU µs/span, all in | a decoder's µs/span | bytes/span on disk | peak RSS MB | request p50 / p99 ms | throttled | lost |\n|---|---|---|---|---|---|---|---|---|---|\n")
	var reads string
	for _, l := range loads {
		s, err := start(binary)
		if err != nil {
			return "", err
		}
		log.Printf("%s: %v of load, then %v to settle", l.name, length, settle)
		before, err := l.ruler.measure(seed)
		if err != nil {
			return "", errors.Join(err, s.stop())
		}
		r, err := measure(s, l, length, settle, seed)
		after := before
		if err == nil {
			after, err = l.ruler.measure(seed)
		}
		if err == nil && l.name == "OTLP/HTTP, 1,000 spans a request" {
			reads, err = questions(s, r)
		}
		if stopErr := s.stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", l.name, err)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f | %.2f, %.2f | %.0f | %.0f | %s | %d | %d |\n", l.name, r.spansPerSecond(), r.requestsPerSecond(), r.cpuPerSpan(), before, after, r.bytesPerSpan(), r.peakMB, r.latencies(), r.throttled, r.lost)
	}
	return b.String() + "\n" + reads, nil
}
