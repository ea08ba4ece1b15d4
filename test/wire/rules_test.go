package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// The readable cases of package assemble, and those of testdata/rules, against the
// real server. Documents are sent in random order and random batches, unless an id
// occurs twice or the case has times of receipt: only then the order is part of the
// rule. Every case runs with several seeds.
func TestRules(t *testing.T) {
	alone := []string{"--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off"}
	shared := harness.Start(t, alone...)
	cases := harness.Cases(t, filepath.Join(harness.Root(), "internal", "assemble", "testdata"))
	cases = append(cases, harness.Cases(t, filepath.Join("testdata", "rules"))...)
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for seed := range uint64(3) {
				s := shared
				if c.Question == "graph" || strings.HasPrefix(c.Question, "/") && len(c.Documents) > 0 {
					if seed == 2 {
						return // each needs its own server
					}
					s = harness.Start(t, alone...)
				}
				r := &ruleRun{Case: c, s: s, random: rand.New(rand.NewPCG(seed, uint64(i)))}
				got, want := r.run(t)
				if diffs := harness.Differences("answer", got, want); len(diffs) > 0 {
					text, _ := json.MarshalIndent(got, "", " ")
					t.Fatalf("seed %d: %s\n%s\nthe whole answer:\n%s", seed, c.Rule, strings.Join(diffs, "\n"), text)
				}
			}
		})
	}
}

// ruleRun is one case on one server. Its traces get their own ids.
type ruleRun struct {
	*harness.Case
	s      *harness.Server
	random *rand.Rand
	ids    map[string]string
	sent   []time.Time // after each group of documents with the same receipt
}

var traceIDs = regexp.MustCompile(`1-[0-9a-f]{8}-[0-9a-f]{24}`)

// own replaces the trace ids in a text.
func (r *ruleRun) own(text []byte) []byte {
	return traceIDs.ReplaceAllFunc(text, func(id []byte) []byte {
		if r.ids[string(id)] == "" {
			if r.ids == nil {
				r.ids = map[string]string{}
			}
			r.ids[string(id)] = fmt.Sprintf("1-%08x-%012x%012x", r.random.Uint32(), r.random.Uint64()>>16, r.random.Uint64()>>16)
		}
		return []byte(r.ids[string(id)])
	})
}

// now matches the placeholders for times around the request: "now", "now+60",
// "now-60".
var now = regexp.MustCompile(`"now([+-][0-9]+)?"`)

func (r *ruleRun) run(t *testing.T) (got, want any) {
	t.Helper()
	r.send(t)
	if err := json.Unmarshal(r.own(slices.Clone(r.Answer)), &want); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(r.Question, "/") {
		return r.ask(t, r.Question, r.timed(r.own(slices.Clone(r.Request))), r.Status), want
	}
	id := string(r.own([]byte(harness.DefaultTrace)))
	if len(r.Documents) > 0 {
		if m := traceIDs.Find(r.Documents[0]); m != nil && bytes.Contains(r.Documents[0], []byte(`"trace_id"`)) {
			id = string(r.own(m))
		}
	}
	switch r.Question {
	case "documents":
		return r.documents(t, id), want
	case "summary":
		object := want.(map[string]any)
		// Values that no operation returns, or that depend on the batches of
		// documents.
		for _, k := range []string{"root", "end", "inProgress"} {
			delete(object, k)
		}
		if len(r.Received) == 0 {
			delete(object, "revision")
		}
		if start, ok := object["start"].(float64); ok {
			object["start"] = float64(int64(start))
		}
		return r.summary(t, id), want
	}
	round(want)
	return r.graph(t, id), want
}

// round rounds total response times to milliseconds, as the API does.
func round(v any) {
	if o, ok := v.(map[string]any); ok {
		for k, m := range o {
			if total, ok := m.(float64); ok && k == "total" {
				o[k] = math.Round(total*1e3) / 1e3
			}
			round(m)
		}
	}
}

// send sends the documents to the server.
func (r *ruleRun) send(t *testing.T) {
	t.Helper()
	var docs []string
	seen, twice := map[string]bool{}, false
	for _, d := range r.Documents {
		text := bytes.TrimSpace(d)
		if !bytes.Contains(text, []byte(`"trace_id"`)) || !has(text, "trace_id") {
			text = append([]byte(`{"trace_id":"`+harness.DefaultTrace+`",`), text[1:]...)
		}
		text = r.own(slices.Clone(text))
		for _, id := range ids(t, text) {
			twice = twice || seen[id]
			seen[id] = true
		}
		docs = append(docs, string(text))
	}
	if len(r.Received) > 0 {
		for i := 0; i < len(docs); {
			j := i
			for j < len(docs) && r.Received[j] == r.Received[i] {
				j++
			}
			if i > 0 && len(r.Window) > 0 {
				time.Sleep(50 * time.Millisecond) // so that receipts fall into different windows
			}
			r.s.Put(docs[i:j]...)
			r.sent = append(r.sent, time.Now())
			i = j
		}
		return
	}
	if !twice {
		r.random.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	}
	for len(docs) > 0 {
		n := 1 + r.random.IntN(len(docs))
		r.s.Put(docs[:n]...)
		docs = docs[n:]
	}
}

func has(doc []byte, member string) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(doc, &o) == nil && o[member] != nil
}

// ids returns the ids of a document and its embedded subsegments, with the trace id.
func ids(t *testing.T, doc []byte) []string {
	t.Helper()
	var out []string
	n := &harness.Node{}
	var rest struct {
		TraceID     string `json:"trace_id"`
		ID          string `json:"id"`
		Subsegments []json.RawMessage
	}
	if err := json.Unmarshal(doc, &rest); err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(doc, n) != nil {
		return []string{rest.TraceID + rest.ID}
	}
	n.Each(func(n *harness.Node) { out = append(out, rest.TraceID+n.ID) })
	return out
}

// timed replaces the placeholders for times in a request.
func (r *ruleRun) timed(request []byte) []byte {
	return now.ReplaceAllFunc(request, func(m []byte) []byte {
		offset, _ := strconv.Atoi(strings.TrimPrefix(string(now.FindSubmatch(m)[1]), "+"))
		return strconv.AppendInt(nil, time.Now().Unix()+int64(offset), 10)
	})
}

func (r *ruleRun) ask(t *testing.T, path string, request []byte, status int) any {
	t.Helper()
	if status == 0 {
		status = 200
	}
	have, _, body := r.s.Post(path, request)
	if have != status {
		t.Fatalf("%s %s: status %d, want %d: %s", path, request, have, status, body)
	}
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
	return got
}
