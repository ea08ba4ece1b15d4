package main

import (
	"log/slog"
	"time"

	"github.com/fluoro-io/fluoro/internal/demo"
	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var breakList []string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "send the traffic of a small shop to a running service",
		Long: `demo starts a small shop of real servers on loopback addresses: HTTP, gRPC, SQL
and a queue, some instrumented with the X-Ray SDK, some with OpenTelemetry. It
sends requests through the shop until stopped. Switches break it on purpose: a slow
query, faults in one service, a throttled dependency, a bad deploy. The first lines
of output tell where to look and how to turn the switches.`,
		Example: `  fluoro serve &
  fluoro demo
  fluoro demo --rate 20 --break slow-query`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVar(&o.XRayAddr, "xray", "127.0.0.1:2000", "UDP address of the X-Ray receiver")
	f.StringVar(&o.OTLPGRPC, "otlp-grpc", "127.0.0.1:4317", "address of the OTLP/gRPC receiver")
	f.StringVar(&o.OTLPHTTP, "otlp-http", "127.0.0.1:4318", "address of the OTLP/HTTP receiver")
	f.StringVar(&o.Console, "console", "http://127.0.0.1:2000", "URL of the console, shown to you")
	f.StringVar(&o.Control, "control", "127.0.0.1:2080", "address of the page with the switches; empty for no page")
	f.Float64Var(&o.Rate, "rate", 5, "requests a second")
	f.DurationVar(&o.Duration, "duration", 0, "stop after this time, such as 90s; 0 runs until stopped")
	f.StringSliceVar(&breakList, "break", nil, "switches to turn on at the start")
	f.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano()), "seed of the random choices; by default different in every run")
	f.Lookup("seed").DefValue = "random"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Break, o.Out = breakList, cmd.OutOrStdout()
		o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		return demo.Run(cmd.Context(), o)
	}
	return cmd
}
