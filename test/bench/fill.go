package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fill fills one server with more and more spans, and at each size, when background
// work is done, measures the same queries.
func fill(binary, sizes string, seed uint64) (string, error) {
	var numbers []int64
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || len(numbers) > 0 && n <= numbers[len(numbers)-1] {
			return "", fmt.Errorf("-fill %s: want numbers of spans that rise, such as 1000000,5000000", sizes)
		}
		numbers = append(numbers, n)
	}
	s, err := start(binary)
	if err != nil {
		return "", err
	}
	table, err := fillAndAsk(s, numbers, seed)
	if stopErr := s.stop(); err == nil {
		err = stopErr
	}
	return table, err
}

// kept is how many trace ids are remembered, sampled evenly over all sizes.
const kept = 20_000

func fillAndAsk(s *server, numbers []int64, seed uint64) (string, error) {
	r := &result{began: time.Now()}
	var rows [][]string
	head := "| question over spans"
	for stage, n := range numbers {
		began, before := time.Now(), r.spans
		if err := fillTo(r, n, seed+uint64(stage)); err != nil {
			return "", err
		}
		rate := float64(r.spans-before) / time.Since(began).Seconds()
		if err := s.quiet(); err != nil {
			return "", err
		}
		log.Printf("%d spans at %.0f/s; quiet after %v", r.spans, rate, time.Since(began).Round(time.Second))
		answers, err := ask(r)
		if err != nil {
			return "", err
		}
		head += fmt.Sprintf(" | %.1f M", float64(r.spans)/1e6)
		answers = append(answers,
			[2]string{"RSS MB, now / most", fmt.Sprintf("%.0f / %.0f", s.status("VmRSS:"), s.status("VmHWM:"))},
			[2]string{"bytes/span on disk", fmt.Sprintf("%.0f", float64(s.disk())/float64(r.spans))},
			[2]string{"traces", fmt.Sprint(r.requests)},
			[2]string{"spans/s while filling", fmt.Sprintf("%.0f", rate)})
		for i, a := range answers {
			if stage == 0 {
				rows = append(rows, []string{a[0]})
			}
			rows[i] = append(rows[i], a[1])
		}
	}
	table := head + " |\n|---" + strings.Repeat("|---", len(numbers)) + "|\n"
	for _, row := range rows {
		table += "| " + strings.Join(row, " | ") + " |\n"
	}
	return table, nil
}

// fillTo sends OTLP until r has n spans; r.requests counts traces.
func fillTo(r *result, n int64, seed uint64) error {
	var mu sync.Mutex
	var group sync.WaitGroup
	var failed error
	for w := range connections {
		send, err := loads[0].open()
		if err != nil {
			return err
		}
		group.Go(func() {
			g, rnd := newGenerator(seed, uint64(w)), rand.New(rand.NewPCG(seed, uint64(w)))
			for {
				mu.Lock()
				over := r.spans >= n || failed != nil
				mu.Unlock()
				if over {
					return
				}
				spans, _, ids, err := send(g)
				mu.Lock()
				if err != nil {
					if !throttled(err) {
						failed = err
					}
					mu.Unlock()
					time.Sleep(throttlePause)
					continue
				}
				r.spans += int64(spans)
				for _, id := range ids {
					// Every trace has the same chance to be queried later.
					if r.requests++; len(r.ids) < kept {
						r.ids = append(r.ids, id)
					} else if at := rnd.Int64N(r.requests); at < kept {
						r.ids[at] = id
					}
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return failed
}

// quiet waits until the server has finished writing and merging: until its CPU use
// is near zero for a few seconds.
func (s *server) quiet() error {
	before, err := s.cpu()
	for calm := 0; calm < 5 && err == nil; {
		time.Sleep(time.Second)
		var now time.Duration
		if now, err = s.cpu(); now-before < 50*time.Millisecond {
			calm++
		} else {
			calm = 0
		}
		before = now
	}
	return err
}
