package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Addresses of the server under test; all on loopback, on free ports.
var (
	httpAddr = freePort()
	udpAddr  = httpAddr
	grpcAddr = freePort()
	otlpAddr = freePort()
)

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // without loopback nothing can be measured
	}
	defer l.Close()
	return l.Addr().String()
}

// server is the process under test.
type server struct {
	cmd   *exec.Cmd
	data  string
	ready time.Duration
}

// start runs a server with an empty directory and the given flags, and waits until
// it is ready.
func start(binary string, flags ...string) (*server, error) {
	data, err := os.MkdirTemp("", "fluoro-bench-")
	if err != nil {
		return nil, err
	}
	args := []string{binary, "serve", "--data", data, "--http", httpAddr, "--udp", udpAddr, "--otlp-grpc", grpcAddr, "--otlp-http", otlpAddr, "--log-level", "warn"}
	args = append(args, flags...)
	if path, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		args = append([]string{path, "-c", "0"}, args...)
	}
	s := &server{cmd: exec.Command(args[0], args[1:]...), data: data}
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	s.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(began) < 10*time.Second {
		res, err := http.Get("http://" + httpAddr + "/readyz")
		if err == nil {
			res.Body.Close()
			s.ready = time.Since(began)
			return s, nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	_ = s.stop()
	return nil, fmt.Errorf("server was not ready after 10 s")
}

func (s *server) stop() error {
	defer os.RemoveAll(s.data)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// cpu returns the processor time the server has used.
func (s *server) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err // clock ticks are 1/100 s on Linux
}

// peakMB returns the maximum memory of the server so far.
func (s *server) peakMB() float64 { return s.status("VmHWM:") }

// status returns a value of /proc/PID/status in MB.
func (s *server) status(name string) float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// disk returns how many bytes the data directory takes.
func (s *server) disk() (total int64) {
	_ = filepath.WalkDir(s.data, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files appear and disappear while the server merges
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return nil
	})
	return total
}

// metric reads one counter of /metrics; series is its name with labels.
func metric(series string) (int64, error) {
	res, err := http.Get("http://" + httpAddr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			f, err := strconv.ParseFloat(rest, 64)
			return int64(f), err
		}
	}
	return 0, nil
}
