package query

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// graphServices is the number of services on a page of a graph. The native
	// service answers with one page, and so does Fluoro up to this number.
	graphServices = 1000
	// graphBytes ends a page early if services have very many edges; one service
	// always fits.
	graphBytes = 8 << 20
)

// GraphRequest asks for a page of the graph of everything that a group received in a
// window.
type GraphRequest struct {
	Window trace.Window // its end is included; at most 6 hours
	Group  GroupName
	Token  string // of the previous page, "" for the first
}

// GraphPage is a page of a graph.
type GraphPage struct {
	Graph *trace.Graph // the whole graph
	// First and Last are the bounds of this page's services.
	First, Last int
	Token       string // of the next page, "" after the last
}

// ServiceGraph returns a page of the service graph of a window of receipts, for a group
// or for all traces.
func (q *Query) ServiceGraph(ctx context.Context, who Reader, r GraphRequest) (*GraphPage, error) {
	w := r.Window
	if err := checkWindow(w); err != nil {
		return nil, err
	}
	if w.End.Sub(w.Start) > maxGraphWindow {
		return nil, invalid("Time range cannot be longer than 6 hours") // not recorded; a client of the service quotes it
	}
	from, names, err := openGraphToken(r)
	if err != nil {
		return nil, err
	}
	group, err := q.history(ctx, who.Owner, r.Group)
	if err != nil {
		return nil, err
	}
	w.End++ // the window includes its end
	gq := answer.GraphQuery{Window: w, Group: group, Reach: who.Reach}
	if q.Room != nil {
		weight := int64(0)
		for _, account := range accountsOf(who) {
			one, err := q.store.WeighGraph(ctx, account, gq)
			if err != nil && !leftOut(who, account, err) {
				return nil, err
			}
			weight += one
		}
		if err := q.Room.Take(ctx, who.Account, max(scanBytes, weight)); err != nil {
			return nil, err
		}
	}
	g, err := q.store.Graph(ctx, who.Account, gq)
	if err != nil {
		return nil, err
	}
	p := &GraphPage{Graph: g, First: from}
	if p.First > len(g.Services) || r.Token != "" && names != namesOf(g) {
		return nil, invalid("The services of the graph have changed since the page before; ask for the first page again") // our own words: natively there is one page
	}
	p.Last = pageEnd(g, p.First, graphServices)
	if p.Last < len(g.Services) {
		p.Token = r.seal(p.Last, namesOf(g))
	}
	return p, nil
}

// pageEnd returns where a page of a graph's services ends.
func pageEnd(g *trace.Graph, first, most int) int {
	last, bytes := first, 0
	for last < len(g.Services) && last < first+most {
		if bytes += sizeOf(g.Services[last]); bytes > graphBytes && last > first {
			break
		}
		last++
	}
	return last
}

// sizeOf returns an upper estimate of the bytes of text for a service with its
// edges.
func sizeOf(s *trace.GraphService) int {
	const (
		plain = 800 // without histograms
		entry = 40  // of a histogram
		most  = 180 // entries of a histogram
	)
	bytes := plain
	add := func(h *trace.Histogram) {
		if h != nil {
			bytes += entry * min(most, len(h.Counts().Bins()))
		}
	}
	add(s.Durations)
	add(s.ResponseTimes)
	for _, e := range s.Edges {
		bytes += plain + 200*len(e.Aliases)
		add(e.ResponseTimes)
		add(e.EventAges)
	}
	return bytes
}

// A token holds the number of a page's first service, a hash of the names of all
// services (because edges refer to services on other pages by number), and a hash of
// both and of the request.
const graphTokenSize = 4 + 8 + 8

type graphNames [8]byte

func namesOf(g *trace.Graph) (n graphNames) {
	h := sha256.New()
	for _, s := range g.Services {
		fmt.Fprintf(h, "%q %q %q %v\n", s.Name, s.Type, s.Account, s.Statistics == nil)
	}
	copy(n[:], h.Sum(nil))
	return n
}

func (r *GraphRequest) seal(first int, names graphNames) string {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(first)), names[:]...)
	sum := sha256.Sum256(fmt.Appendf(b[:len(b):len(b)], "%d %d %q %q", r.Window.Start, r.Window.End, r.Group.Name, r.Group.ARN))
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:8]...))
}

func openGraphToken(r GraphRequest) (first int, names graphNames, err error) {
	if r.Token == "" {
		return 0, names, nil
	}
	if b, err := base64.RawURLEncoding.DecodeString(r.Token); err == nil && len(b) == graphTokenSize {
		first = int(binary.BigEndian.Uint32(b))
		copy(names[:], b[4:])
		if r.seal(first, names) == r.Token {
			return first, names, nil
		}
	}
	return 0, names, invalid("NextToken is currently not supported") // natively of every token
}
