package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

// connections of the closed loop.
const connections = 4

// load sends one request repeatedly; it returns the number of its spans, the number
// of its documents, and the ids of its traces.
type load struct {
	name string
	open func() (send func(g *generator) (spans, documents int, ids [][16]byte, err error), err error)
	ruler
	udp bool
}

var loads = []load{
	{"OTLP/HTTP, 1,000 spans a request", openOTLPHTTP, protobufRuler, false},
	{"OTLP/gRPC, 1,000 spans a request", openOTLPGRPC, protobufRuler, false},
	{"PutTraceSegments, 50 documents a request", openPut, jsonRuler, false},
	{"daemon datagrams", openUDP, jsonRuler, true},
}

// result holds the effects of one load on the server.
type result struct {
	spans, documents, requests int64
	length                     time.Duration
	cpu                        time.Duration
	disk                       int64
	peakMB                     float64
	times                      []time.Duration
	lost, throttled            int64
	ids                        [][16]byte
	began                      time.Time
}

func (r *result) spansPerSecond() float64    { return float64(r.spans) / r.length.Seconds() }
func (r *result) requestsPerSecond() float64 { return float64(r.requests) / r.length.Seconds() }
func (r *result) cpuPerSpan() float64        { return float64(r.cpu.Microseconds()) / float64(r.spans) }
func (r *result) bytesPerSpan() float64      { return float64(r.disk) / float64(r.spans) }
func (r *result) latencies() string          { return percentiles(r.times) }

func percentiles(times []time.Duration) string {
	if len(times) == 0 {
		return "–"
	}
	slices.Sort(times)
	at := func(p float64) float64 { return times[int(p*float64(len(times)-1))].Seconds() * 1000 }
	return fmt.Sprintf("%.2f / %.2f", at(0.5), at(0.99))
}

// measure runs a load for a time, then waits so that background work counts, too.
func measure(s *server, l load, length, settle time.Duration, seed uint64) (*result, error) {
	r := &result{began: time.Now()}
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	workers := connections
	if l.udp {
		workers = 1
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var failed error
	for w := range workers {
		send, err := l.open()
		if err != nil {
			return nil, err
		}
		group.Go(func() {
			g := newGenerator(seed, uint64(w))
			for time.Since(r.began) < length {
				t := time.Now()
				spans, documents, ids, err := send(g)
				d := time.Since(t)
				mu.Lock()
				if throttled(err) {
					r.throttled++
					mu.Unlock()
					time.Sleep(throttlePause)
					continue
				}
				if err != nil {
					failed = err
					mu.Unlock()
					return
				}
				r.spans += int64(spans)
				r.documents += int64(documents)
				r.requests++
				r.times = append(r.times, d)
				if len(r.ids) < 200_000 {
					r.ids = append(r.ids, ids...)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if failed != nil {
		return nil, failed
	}
	r.length = time.Since(r.began)
	time.Sleep(settle)
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	r.cpu, r.disk, r.peakMB = after-before, s.disk(), s.peakMB()
	if l.udp {
		kept, err := metric(`fluoro_receive_segments_total{outcome="accepted",protocol="udp",reason=""}`)
		if err != nil {
			return nil, err
		}
		r.lost = r.documents - kept
		r.times = nil // datagrams are not answered
	}
	return r, nil
}

// throttlePause is how long a connection waits after it was throttled.
const throttlePause = 20 * time.Millisecond

// throttled reports whether an error only means that the server has no room now.
func throttled(err error) bool {
	return err != nil && (strings.Contains(err.Error(), ": 429 ") || status.Code(err) == codes.ResourceExhausted)
}

func post(client *http.Client, url, typ string, body []byte) ([]byte, error) {
	res, err := client.Post(url, typ, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", url, res.Status, answer)
	}
	return answer, err
}

func openOTLPHTTP() (func(*generator) (int, int, [][16]byte, error), error) {
	client := &http.Client{Transport: &http.Transport{}}
	return func(g *generator) (int, int, [][16]byte, error) {
		body, spans, ids := g.otlp(1000)
		_, err := post(client, "http://"+otlpAddr+"/v1/traces", "application/x-protobuf", body)
		return spans, spans, ids, err
	}, nil
}

// rawCodec sends bytes that are already marshalled.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (rawCodec) Name() string                       { return "proto" }

var _ encoding.Codec = rawCodec{}

func openOTLPGRPC() (func(*generator) (int, int, [][16]byte, error), error) {
	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err != nil {
		return nil, err
	}
	return func(g *generator) (int, int, [][16]byte, error) {
		body, spans, ids := g.otlp(1000)
		var answer []byte
		err := conn.Invoke(context.Background(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer)
		return spans, spans, ids, err
	}, nil
}

func openPut() (func(*generator) (int, int, [][16]byte, error), error) {
	client := &http.Client{Transport: &http.Transport{}}
	return func(g *generator) (int, int, [][16]byte, error) {
		var docs []string
		var spans int
		var ids [][16]byte
		for len(docs) < 50 {
			d, n, id := g.documents()
			docs, spans, ids = append(docs, d...), spans+n, append(ids, id)
		}
		body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
		if err != nil {
			return 0, 0, nil, err
		}
		answer, err := post(client, "http://"+httpAddr+"/TraceSegments", "application/json", body)
		if err == nil && !bytes.Contains(answer, []byte(`"UnprocessedTraceSegments":[]`)) {
			err = fmt.Errorf("documents were refused: %.300s", answer)
		}
		return spans, len(docs), ids, err
	}, nil
}

// udpRate is the number of datagrams a second: twice as many as the stock daemon
// receives without loss.
const udpRate = 15_000

func openUDP() (func(*generator) (int, int, [][16]byte, error), error) {
	conn, err := net.Dial("udp", udpAddr)
	if err != nil {
		return nil, err
	}
	began, sent := time.Now(), 0
	return func(g *generator) (int, int, [][16]byte, error) {
		docs, spans, id := g.documents()
		n := 0
		for _, d := range docs {
			if len(d) > 60_000 {
				continue // does not fit a datagram; the spans count as sent nevertheless
			}
			if _, err := conn.Write(append([]byte("{\"format\":\"json\",\"version\":1}\n"), d...)); err != nil {
				return 0, 0, nil, err
			}
			n++
		}
		sent += n
		time.Sleep(time.Duration(sent)*time.Second/udpRate - time.Since(began))
		return spans, n, [][16]byte{id}, nil
	}, nil
}
