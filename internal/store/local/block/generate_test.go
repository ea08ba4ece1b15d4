package block_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// These are the traces of test/bench, which is a command and cannot be imported.

// services are those of the example; a span calls services further down the list.
var services = []string{"edge", "storefront", "search", "catalog", "cart", "checkout", "pricing", "inventory", "payments", "fraud",
	"shipping", "accounts", "sessions", "recommend", "reviews", "media", "email", "ledger", "tax", "warehouse", "audit", "flags", "geo", "queue", "export"}

var operations = []string{"GET /items/{id}", "POST /orders", "GET /search", "PUT /cart", "GET /profile", "POST /charge", "GET /stock", "List", "Lookup", "Reserve"}

// span is one span of a generated trace.
type span struct {
	id, parent  [8]byte
	service     int
	operation   string
	start       time.Time
	length      time.Duration
	server      bool
	failed      bool
	user, order string
}

// generator makes traces: sizes are lognormal with p50 8 and p99 about 100
// spans, 7 attributes a span, 1.5 % errors. It is not for concurrent use.
type generator struct {
	rnd *rand.Rand
	now time.Time
}

func newGenerator() *generator {
	return &generator{rnd: rand.New(rand.NewPCG(1, 2)), now: time.Unix(1_760_000_000, 123_456_789)}
}

func (g *generator) trace() (id [16]byte, spans []span) {
	g.now = g.now.Add(time.Millisecond)
	now := g.now
	binary.BigEndian.PutUint32(id[:], uint32(now.Unix()))
	binary.BigEndian.PutUint64(id[8:], g.rnd.Uint64())
	binary.BigEndian.PutUint32(id[4:], g.rnd.Uint32())
	n := min(2000, max(1, int(math.Exp(math.Log(8)+1.09*g.rnd.NormFloat64()))))
	user, order := "user-"+strconv.Itoa(g.rnd.IntN(100_000)), "order-"+strconv.FormatUint(g.rnd.Uint64(), 36)
	spans = make([]span, n)
	for i := range spans {
		s := &spans[i]
		binary.BigEndian.PutUint64(s.id[:], g.rnd.Uint64()|1)
		s.user, s.order = user, order
		s.operation = operations[g.rnd.IntN(len(operations))]
		s.failed = g.rnd.Float64() < 0.015
		s.length = time.Duration(math.Exp(math.Log(float64(20*time.Millisecond)) + g.rnd.NormFloat64()))
		if i == 0 {
			s.start, s.server = now.Add(-s.length), true
			continue
		}
		// Servers and clients alternate down a tree of random shape.
		p := &spans[g.rnd.IntN(i)]
		s.parent, s.start, s.server = p.id, p.start.Add(time.Duration(g.rnd.IntN(1000))*time.Microsecond), !p.server
		s.service = p.service
		if s.server {
			s.service = min(len(services)-1, p.service+1+g.rnd.IntN(3))
		}
	}
	return id, spans
}

func str(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func num(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

// scope makes the resource and scope of a service.
func scope(service int) *trace.OTLPScope {
	resource, err := proto.Marshal(&resource.Resource{Attributes: []*common.KeyValue{
		str("service.name", services[service]), str("service.version", "1.4.2"), str("service.instance.id", services[service]+"-7d9c6b5f4-x2x9z"),
		str("telemetry.sdk.name", "opentelemetry"), str("telemetry.sdk.language", "go"), str("telemetry.sdk.version", "1.47.0"),
		str("k8s.namespace.name", "shop"), str("k8s.node.name", "node-3"), str("host.name", "node-3"), str("deployment.environment", "prod"),
	}})
	if err != nil {
		panic(err) // our own message
	}
	return &trace.OTLPScope{Resource: resource, Scope: []byte("\x0a\x09shop/http\x12\x030.9")}
}

// load makes traces of about n spans, of one kind.
func load(n int, documents bool) (list []made, spans int) {
	g := newGenerator()
	scopes := make([]*trace.OTLPScope, len(services))
	for i := range scopes {
		scopes[i] = scope(i)
	}
	for lsn := uint64(1); spans < n; lsn++ {
		m := made{info: block.Info{Account: "000000000000", LSN: lsn, Response: time.Second, Duration: time.Second, Services: []string{"a", "b"}, Keys: []string{"order", "tier"}}}
		received := trace.TimeOf(g.now.Add(time.Second + time.Duration(lsn%7)*time.Millisecond))
		if documents {
			docs, n, id := g.documents()
			m.info.ID = id
			for _, d := range docs {
				m.records = append(m.records, block.Record{TraceID: id, Source: trace.SourceDocument, ReceivedAt: received, Raw: []byte(d)})
			}
			spans += n
		} else {
			id, these := g.trace()
			m.info.ID = id
			slices.SortStableFunc(these, func(a, b span) int { return a.service - b.service })
			for i := range these {
				raw, err := proto.Marshal(otlpSpan(id, &these[i]))
				if err != nil {
					panic(err)
				}
				m.records = append(m.records, block.Record{TraceID: id, Source: trace.SourceOTLP, ReceivedAt: received, Scope: scopes[these[i].service], Raw: raw})
			}
			spans += len(these)
		}
		m.info.Start, m.info.End = trace.TimeOf(g.now), trace.TimeOf(g.now.Add(time.Second))
		m.info.First, m.info.Updated = received, received
		list = append(list, m)
	}
	return list, spans
}

func otlpSpan(id [16]byte, s *span) *otlptrace.Span {
	out := &otlptrace.Span{
		TraceId: id[:], SpanId: s.id[:], Name: s.operation, Kind: otlptrace.Span_SPAN_KIND_CLIENT,
		StartTimeUnixNano: uint64(s.start.UnixNano()), EndTimeUnixNano: uint64(s.start.Add(s.length).UnixNano()),
		Attributes: []*common.KeyValue{
			str("http.request.method", "GET"), str("url.full", "http://"+services[s.service]+"/items/"+s.order), num("http.response.status_code", int64(s.status())),
			str("server.address", services[min(len(services)-1, s.service+1)]), str("user.id", s.user), str("app.order", s.order), str("app.tier", "gold"),
		},
	}
	if s.server {
		out.Kind = otlptrace.Span_SPAN_KIND_SERVER
	}
	if s.parent != [8]byte{} {
		out.ParentSpanId = s.parent[:]
	}
	if s.failed {
		out.Status = &otlptrace.Status{Code: otlptrace.Status_STATUS_CODE_ERROR, Message: "upstream failed"}
	}
	return out
}

func (s *span) status() int {
	if s.failed {
		return 503
	}
	return 200
}

// documents makes the segment documents of one trace: a segment per server span
// with the client spans below it embedded.
func (g *generator) documents() (docs []string, spans int, id [16]byte) {
	id, list := g.trace()
	children := map[[8]byte][]*span{}
	for i := range list {
		if !list[i].server {
			children[list[i].parent] = append(children[list[i].parent], &list[i])
		}
	}
	h := hex.EncodeToString(id[:])
	for i := range list {
		s := &list[i]
		if !s.server {
			continue
		}
		doc := fmt.Sprintf(`{"name":%q,"id":"%x","trace_id":"1-%s-%s",%s`, services[s.service], s.id, h[:8], h[8:], s.members())
		if s.parent != [8]byte{} {
			doc += fmt.Sprintf(`,"parent_id":"%x"`, s.parent)
		}
		doc += fmt.Sprintf(`,"origin":"AWS::EC2::Instance","user":%q,"annotations":{"order":%q,"tier":"gold"},"aws":{"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8.5"},"ec2":{"instance_id":"i-0a1b2c3d4e5f","availability_zone":"eu-west-1a"}}`, s.user, s.order)
		for j, c := range children[s.id] {
			if j == 0 {
				doc += `,"subsegments":[`
			} else {
				doc += ","
			}
			doc += fmt.Sprintf(`{"name":%q,"id":"%x","namespace":"remote",%s}`, services[min(len(services)-1, c.service+1)], c.id, c.members())
			if j == len(children[s.id])-1 {
				doc += "]"
			}
		}
		docs = append(docs, doc+"}")
	}
	return docs, len(list), id
}

// members writes the members that segments and subsegments share.
func (s *span) members() string {
	return fmt.Sprintf(`"start_time":%.6f,"end_time":%.6f,"fault":%v,"http":{"request":{"method":"GET","url":"http://%s/items/%s"},"response":{"status":%d,"content_length":512}}`,
		float64(s.start.UnixMicro())/1e6, float64(s.start.Add(s.length).UnixMicro())/1e6, s.failed, services[s.service], s.order, s.status())
}
