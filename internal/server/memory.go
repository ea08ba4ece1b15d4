package server

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/config"
)

// most is what is taken by default, however large the machine.
const most = 2 << 30

// memory is the bytes the process may use: what is set, else a quarter of the
// machine's memory or of the control group's, whichever is less, at most 2 GB
// and at least what it cannot do without.
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

// program is about what the pages of the program itself take, which count as the
// process's memory although the garbage collector does not know them.
const program = 32 << 20

// budget cuts the memory up: a 16th for open traces, a quarter for requests on
// their way to them, a quarter for answers on their way out, a 16th for what
// questions read, a 32nd for datagrams. With 2 GB that is 128, 512, 512, 128 and 64 MB. The
// rest is for settling, merging and garbage, of which there is as much as makes the
// heap a 5th of all.
type budget struct {
	total, heap, head, inFlight, answers, cache, views, flush, datagrams int64
	names                                                                int
}

// Graphs tell up to mostNames services apart, which is what X-Ray's console shows at
// most, and one for each nameBytes of memory.
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
