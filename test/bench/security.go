package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// security measures what each protection costs: of a span, of a request and of a read.
func security(binary string, length, settle time.Duration, seed uint64) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "| ingest by OTLP/HTTP, 1,000 spans a request | CPU µs/span | against the first row |\n|---|---|---|\n")
	first := 0.0
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"nothing on", []string{"--scrub", "off"}},
		{"scrubbing, the defaults", nil},
		{"encryption", []string{"--scrub", "off", "--encryption", "local"}},
		{"audit with a record for each request", []string{"--scrub", "off", "--audit", "on", "--audit-ingest=true"}},
		{"all of them", []string{"--encryption", "local", "--audit", "on", "--audit-ingest=true"}},
	} {
		log.Printf("%s: %v of load, then %v to settle", c.name, length, settle)
		s, err := start(binary, c.flags...)
		if err != nil {
			return "", err
		}
		r, err := measure(s, loads[0], length, settle, seed)
		if err = errors.Join(err, s.stop()); err != nil {
			return "", err
		}
		if first == 0 {
			first = r.cpuPerSpan()
		}
		fmt.Fprintf(&b, "| %s | %.2f | %+.1f %% |\n", c.name, r.cpuPerSpan(), 100*(r.cpuPerSpan()/first-1))
	}
	requests, err := requestCosts(binary, seed)
	return b.String() + "\n" + requests, err
}

// reader is a principal of the measured server; without a key it is nobody.
type reader struct{ key, secret string }

// newReader makes a user with a managed policy, or with an inline policy.
func newReader(binary, data, user, managed, inline string) (r reader, err error) {
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command(binary, append(args, "--data", data, "--json")...)
		cmd.Stdin = strings.NewReader(inline)
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("fluoro %v: %w", args, err)
		}
		return out, err
	}
	args := []string{"keys", "create", "--user", user}
	if managed != "" {
		args = append(args, "--policy", managed)
	} else if _, err := run("users", "create", user); err != nil {
		return r, err
	} else if _, err := run("users", "put-policy", user, "limited", "-"); err != nil {
		return r, err
	}
	out, err := run(args...)
	if err != nil {
		return r, err
	}
	var k struct{ AccessKeyId, SecretAccessKey string }
	err = json.Unmarshal(out, &k)
	return reader{k.AccessKeyId, k.SecretAccessKey}, err
}

// ask makes a request n times and returns the server's CPU for each.
func (r reader) ask(s *server, path, body string, n int) (time.Duration, error) {
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256([]byte(body))
	for range n {
		req, err := http.NewRequest(http.MethodPost, "http://"+httpAddr+path, bytes.NewReader([]byte(body)))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		if r.key != "" {
			if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: r.key, SecretAccessKey: r.secret}, req, hex.EncodeToString(sum[:]), "xray", "us-east-1", time.Now()); err != nil {
				return 0, err
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		answer, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s: %s: %.200s: %w", path, res.Status, answer, err)
		}
	}
	after, err := s.cpu()
	return (after - before) / time.Duration(n), err
}

// requestCosts measures small requests with and without credentials, and reads of a
// reader for whom one service is hidden.
func requestCosts(binary string, seed uint64) (string, error) {
	const many = 4000
	var b strings.Builder
	fmt.Fprintf(&b, "| request | CPU µs |\n|---|---|\n")
	s, err := start(binary)
	if err != nil {
		return "", err
	}
	loaded, err := measure(s, loads[0], time.Second, 5*time.Second, seed)
	if err != nil {
		return "", errors.Join(err, s.stop())
	}
	hidden := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"fluoro:Service":"payments"}}}]}`
	full, err := newReader(binary, s.data, "full", "AdministratorAccess", "")
	if err != nil {
		return "", errors.Join(err, s.stop())
	}
	limited, err := newReader(binary, s.data, "limited", "", hidden)
	if err != nil {
		return "", errors.Join(err, s.stop())
	}
	now := time.Now().Unix()
	window := fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, now-600, now)
	id := loaded.ids[0]
	trace := fmt.Sprintf(`{"TraceIds":["1-%x-%x"]}`, id[:4], id[4:])
	for _, c := range []struct {
		name       string
		who        reader
		path, body string
		n          int
	}{
		{"GetSamplingTargets without credentials", reader{}, "/SamplingTargets", `{"SamplingStatisticsDocuments":[]}`, many},
		{"the same, signed", full, "/SamplingTargets", `{"SamplingStatisticsDocuments":[]}`, many},
		{"BatchGetTraces, signed", full, "/Traces", trace, many / 4},
		{"the same with a hidden service", limited, "/Traces", trace, many / 4},
		{"GetTraceSummaries, signed", full, "/TraceSummaries", window, 20},
		{"the same with a hidden service", limited, "/TraceSummaries", window, 20},
		{"GetServiceGraph, signed", full, "/ServiceGraph", window, 20},
		{"the same with a hidden service", limited, "/ServiceGraph", window, 20},
	} {
		if _, err := c.who.ask(s, c.path, c.body, 1+c.n/20); err != nil { // warm
			return "", errors.Join(err, s.stop())
		}
		cost, err := c.who.ask(s, c.path, c.body, c.n)
		if err != nil {
			return "", errors.Join(err, s.stop())
		}
		fmt.Fprintf(&b, "| %s | %.0f |\n", c.name, float64(cost.Nanoseconds())/1000)
	}
	return b.String(), s.stop()
}
