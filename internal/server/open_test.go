package server

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/spf13/pflag"
)

// A start that fails halfway, at whatever part, leaves neither an address nor the lock of
// the directory behind, and the next start works.
func TestOpen_failedHalfwayClosesEverything(t *testing.T) {
	busyUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busyUDP.Close()
	key := filepath.Join(t.TempDir(), "missing", "key")
	for name, flags := range map[string][]string{
		"addresses":   {"--otlp-http", "999.0.0.1:1"},
		"keys":        {"--encryption", "local", "--key-file", key},
		"TLS":         {"--tls-cert", key, "--tls-key", key},
		"control":     {"--quota", "spans=many"},
		"store":       {"--search-attributes", "a,,b"},
		"audit":       {"--audit", "on", "--audit-streams", "file:///proc/none/audit"},
		"its address": {"--udp", busyUDP.LocalAddr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			http, dir := at.Addr().String(), filepath.Join(t.TempDir(), "data")
			at.Close()
			load := func(more ...string) *config.Config {
				set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
				config.Register(set)
				err := set.Parse(append([]string{"--data", dir, "--http", http, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off"}, more...))
				if err != nil {
					t.Fatal(err)
				}
				c, err := config.Load(set, func(string) string { return "" })
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := load(flags...)
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			if err := Run(ctx, c, stopping{stop}, io.Discard); err == nil {
				t.Fatal("it started")
			}
			lock, err := local.Lock(dir)
			if err != nil {
				t.Fatalf("the directory is still locked: %v", err)
			}
			if err := lock.Close(); err != nil {
				t.Error(err)
			}
			if err := Run(ctx, load(), stopping{stop}, io.Discard); err != nil {
				t.Errorf("the next start: %v", err)
			}
		})
	}
}

// stopping stops a server when it greets.
type stopping struct{ stop func() }

func (s stopping) Write(b []byte) (int, error) {
	s.stop()
	return len(b), nil
}
