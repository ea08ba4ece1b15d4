package trace

import (
	"fmt"
	"strings"
)

// MaxHeader is the maximum length of a tracing header in bytes. SDKs and load
// balancers write less than 256.
const MaxHeader = 4096

// Decision is the Sampled field of a tracing header.
type Decision string

// The decisions that a header can carry. Any other text is no decision.
const (
	NoDecision Decision = ""
	Sampled    Decision = "1"
	NotSampled Decision = "0"
	// DecisionRequested asks the callee to decide and to answer with its decision.
	DecisionRequested Decision = "?"
)

// Header is the value of an X-Amzn-Trace-Id header: the trace a request belongs
// to, the segment or subsegment that sent it, and whether it is sampled (X-Ray
// developer guide, concepts, "Tracing header").
type Header struct {
	// Root and Parent are the trace id and the caller's id as written in the header,
	// "" if absent; malformed ids are kept as they are.
	Root, Parent string
	Sampled      Decision
	// Extra are the other fields, in order, which callers pass on unchanged (Lineage
	// among them). Self, which load balancers add for themselves, is not among them.
	Extra []HeaderField
}

// HeaderField is one key=value of a tracing header.
type HeaderField struct{ Key, Value string }

// ParseHeader reads a tracing header as the X-Ray SDK for Go does (aws-xray-sdk-go,
// package header): keys are case-sensitive, blanks around fields are cut, parts
// without "=" are skipped, and of equal keys the last counts.
//
// The error tells why a request cannot join a trace by this header: it is longer
// than MaxHeader (then nothing of it is read), Root is missing, or Root or Parent is
// not an id. Except in the first case, the Header has the other fields all the same.
func ParseHeader(s string) (Header, error) {
	var h Header
	if len(s) > MaxHeader {
		return h, fmt.Errorf("tracing header of %d bytes: at most %d are read", len(s), MaxHeader)
	}
	for part := range strings.SplitSeq(s, ";") {
		key, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			continue
		}
		switch key {
		case "Root":
			h.Root = value
		case "Parent":
			h.Parent = value
		case "Sampled":
			h.Sampled = decision(value)
		case "Self":
		default:
			h.set(key, value)
		}
	}
	return h, h.check()
}

func decision(s string) Decision {
	switch d := Decision(s); d {
	case Sampled, NotSampled, DecisionRequested:
		return d
	}
	return NoDecision
}

func (h *Header) set(key, value string) {
	for i := range h.Extra {
		if h.Extra[i].Key == key {
			h.Extra[i].Value = value
			return
		}
	}
	h.Extra = append(h.Extra, HeaderField{key, value})
}

func (h *Header) check() error {
	if h.Root == "" {
		return fmt.Errorf("tracing header has no Root")
	}
	if _, err := h.TraceID(); err != nil {
		return fmt.Errorf("tracing header: Root: %w", err)
	}
	if _, err := h.ParentID(); err != nil {
		return fmt.Errorf("tracing header: Parent: %w", err)
	}
	return nil
}

// TraceID returns Root as a trace id. Headers allow only the X-Ray form.
func (h *Header) TraceID() (ID, error) {
	if len(h.Root) != 35 {
		return ID{}, fmt.Errorf("trace id %.50q: want 1-8hex-24hex", h.Root)
	}
	return ParseID(h.Root)
}

// ParentID returns Parent as a segment id, zero if absent.
func (h *Header) ParentID() (SegmentID, error) {
	if h.Parent == "" {
		return SegmentID{}, nil
	}
	return ParseSegmentID(h.Parent)
}

// String writes the header as the X-Ray SDK for Go does: Root, Parent, Sampled, then
// the other fields, without blanks. Root and Parent are omitted if empty; a missing
// decision is an empty field.
func (h Header) String() string {
	var b strings.Builder
	if h.Root != "" {
		b.WriteString("Root=" + h.Root + ";")
	}
	if h.Parent != "" {
		b.WriteString("Parent=" + h.Parent + ";")
	}
	if h.Sampled != NoDecision {
		b.WriteString("Sampled=" + string(h.Sampled))
	}
	for _, f := range h.Extra {
		b.WriteString(";" + f.Key + "=" + f.Value)
	}
	return b.String()
}
