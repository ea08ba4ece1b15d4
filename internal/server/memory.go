package server

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/config"
)

// most is the maximum memory of a server by default, in bytes.
const most = 2 << 30

// memory returns how many bytes the process may use: the setting, or a quarter of the
// memory of the machine or the control group, whichever is smaller; between the minimum
// that a server needs and 2 GB.
func memory(set int64, read func(name string) ([]byte, error)) int64 {
	if set > 0 {
		return set
	}
	least := int64(4 * most)
	// cgroup v2, v1: one number of bytes, or "max".
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := read(name); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
	}
	if b, err := read("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
				if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n > 0 {
					least = min(least, n<<10)
				}
			}
		}
	}
	return max(least/4, config.LeastMemory)
}

// program estimates the memory of the program's own pages. They belong to the process,
// but the garbage collector does not count them.
const program = 44 << 20

// budget divides the memory: a 16th for open traces, a quarter for incoming requests, a
// quarter for answers, a 16th for blocks that queries read, a 32nd for datagrams. With
// 2 GB that is 128, 512, 512, 128 and 64 MB. The rest is for settling, merging and
// garbage; the collector runs when the heap is a 5th of the total.
type budget struct {
	total, heap, head, inFlight, answers, cache, views, flush, datagrams int64
	names                                                                int
}

// Graphs keep one service distinct for each nameBytes of memory, at most mostNames, the
// maximum that X-Ray's console shows.
const (
	mostNames = 10_000
	nameBytes = 128 << 10
)

func cut(total int64) budget {
	return budget{total: total, heap: total / 5, head: total / 16, inFlight: total / 4, answers: total / 4, cache: total / 128 * 7, views: total / 128, flush: total / 64, datagrams: min(total/32, 64<<20), names: int(min(mostNames, total/nameBytes))}
}

func (s *server) budget() budget {
	b := cut(memory(s.config.Memory, os.ReadFile))
	debug.SetMemoryLimit(b.total - program)
	tune(b.heap)
	return b
}
