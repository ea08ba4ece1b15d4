package wire_test

// observationCase is a trace with an irregularity, and its expected answers. An
// observation is a line
//
//	service KIND id<parent start..end name=… status=…
//
// with ids of one letter, seconds, and no end if it is unfinished. KIND is a span's
// kind, or SEGMENT, SUBSEGMENT, REMOTE for documents.
type observationCase struct {
	name, sent string
	// tree is the answer of BatchGetTraces: name/id, children in brackets, ? after
	// placeholders, … after unfinished entities.
	tree string
	// graph lists the nodes of GetTraceGraph, with ! after those with faults, and
	// the edges.
	graph string
	// summary is the entry point, and flags.
	summary string
}

var observationCases = []observationCase{
	{
		name: "a call and who answers it share an id (B3)",
		sent: `front SERVER a 0..9
			front CLIENT b<a 1..8 name=GET
			back SERVER b<a 2..7 status=503
			back INTERNAL c<b 3..4 name=work
			front INTERNAL d<a 8..9 name=render`,
		tree:    "back/b(work/c) front/a(GET/b render/d)",
		graph:   "back! front client→front front→back",
		summary: "front responsetime",
	},
	{
		name: "the same with documents",
		sent: `front SEGMENT a 0..9
			back.example REMOTE b<a 1..8
			back SEGMENT b<a 2..7 status=503
			work SUBSEGMENT c<b 3..4`,
		tree:    "back/b(work/c) front/a(back.example/b)",
		graph:   "back! front client→front front→back",
		summary: "front responsetime",
	},
	{
		name: "a message and who receives it share an id, without a parent",
		sent: `shop PRODUCER a 0..1 name=send
			mail CONSUMER a 2..4 name=process status=500
			mail INTERNAL b<a 3..4 name=work`,
		tree:    "mail/a(work/b) shop/?(send/a)",
		graph:   "mail! shop client→shop shop→mail",
		summary: "shop responsetime",
	},
	{
		name: "two tries with one id, as an agent outside the process sees them",
		sent: `front SERVER a 0..9
			front CLIENT b<a 1..2 name=GET status=503
			front CLIENT b<a 3..4 name=GET
			back SERVER c<b 3.5..3.9`,
		tree:    "back/c front/a(GET/b GET/b) GET/?",
		graph:   "GET! back front client→front front→GET front→back",
		summary: "front responsetime",
	},
	{
		name: "two services with one id, without a call between them",
		sent: `one SERVER a 0..9
			two SERVER a 1..2 status=500`,
		tree:    "one/a two/a",
		graph:   "one two! client→one client→two",
		summary: "one responsetime",
	},
	{
		name: "a span that was sent before its end, and again with it",
		sent: `front SERVER a 0..
			front SERVER a 0..9 status=503
			front INTERNAL b<a 1.. name=unnamed
			front INTERNAL b<a 1..2 name=renamed`,
		tree:    "front/a(renamed/b)",
		graph:   "front! client→front",
		summary: "front fault responsetime",
	},
	{
		name: "two tries with one id, of which one is still running",
		sent: `front SERVER a 0..9
			front INTERNAL b<a 1.. name=try
			front INTERNAL b<a 3..4 name=try`,
		tree:    "front/a(try/b… try/b)",
		graph:   "front client→front",
		summary: "front responsetime",
	},
	{
		name: "a document of one service and a span of another with one id and start",
		sent: `one SEGMENT a 0..9
			two SERVER a 0..5 status=500`,
		tree:    "one/a two/a",
		graph:   "one two! client→one client→two",
		summary: "one responsetime",
	},
	{
		name:    "a span that is still running",
		sent:    `front SERVER a 0..`,
		tree:    "front/a…",
		summary: "front",
	},
	{
		name: "a span whose parent never comes",
		sent: `shop INTERNAL b<a 1..3 name=work
			shop CLIENT c<b 1..2 name=GET status=503
			shop INTERNAL d<a 2..4 name=more`,
		tree:    "shop/a?(work/b(GET/c) more/d) GET/?",
		graph:   "GET! shop shop→GET",
		summary: "shop partial",
	},
	{
		name: "a failed span whose parent never comes, beside one of another service",
		sent: `shop INTERNAL b<a 1..3 name=work status=500
			stock CLIENT c<a 2..4 name=GET`,
		tree:    "shop/a?(work/b) stock/a?(GET/c) GET/?",
		graph:   "GET shop! stock stock→GET",
		summary: "shop fault partial",
	},
	{
		name:    "a span that is its own parent",
		sent:    `shop INTERNAL a<a 1..3 name=work`,
		tree:    "shop/?(work/a)",
		graph:   "shop",
		summary: "shop",
	},
	{
		name: "spans that are each other's parents",
		sent: `shop INTERNAL a<b 1..3 name=first
			shop INTERNAL b<a 2..3 name=second`,
		tree:    "shop/?(first/a(second/b))",
		graph:   "shop",
		summary: "shop",
	},
	{
		name: "subsegments without Lambda's own segment",
		sent: `work SUBSEGMENT b<a 1..3 status=500
			DynamoDB AWS c<a 2..3`,
		tree:    "", // X-Ray shows them when their parent is there
		graph:   "DynamoDB missing·segment! missing·segment→DynamoDB",
		summary: "missing·segment fault partial",
	},
	{
		name:    "a server that is called by something that reports nothing",
		sent:    `back SERVER b<a 1..3 status=503`,
		tree:    "back/b",
		graph:   "back!",
		summary: "back fault responsetime partial",
	},
	{
		name:    "a consumer of what something sent that reports nothing",
		sent:    `worker CONSUMER b<a 1..3 name=process status=503`,
		tree:    "worker/b",
		graph:   "worker!",
		summary: "worker fault responsetime partial",
	},
	{
		name: "a script, whose root span is a call",
		sent: `script CLIENT a 0..9 name=GET
			back SERVER b<a 1..3`,
		tree:    "back/b script/?(GET/a)",
		graph:   "back script client→script script→back",
		summary: "script responsetime",
	},
	{
		name: "a publisher",
		sent: `cron PRODUCER a 0..1 name=send
			worker CONSUMER b<a 2..3 name=process`,
		tree:    "cron/?(send/a) worker/b",
		graph:   "cron worker client→cron cron→worker",
		summary: "cron responsetime",
	},
	{
		name: "spans of another service that do not say that their parent is elsewhere",
		sent: `front SERVER a 0..9
			front PRODUCER b<a 1..2 name=send
			worker CONSUMER c<b 3..5 name=process status=500
			worker INTERNAL d<c 4..5 name=work
			audit INTERNAL e<d 4..5 name=note
			audit CLIENT f<a 6..7 name=GET`,
		tree:    "audit/?(GET/f) audit/e front/a(send/b) worker/c(work/d) GET/?",
		graph:   "GET audit front worker! audit→GET client→front front→audit front→worker worker→audit",
		summary: "front responsetime",
	},
}
