package main

import (
	"os"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the tracing service, its API and its console",
		Long: `serve runs everything in one process with an embedded store: it receives X-Ray
datagrams, PutTraceSegments calls and OpenTelemetry spans, and serves the X-Ray
API and the web console. Acknowledged data survives a crash. On SIGTERM and SIGINT
it finishes running requests, writes everything to disk and exits with 0.

Every setting can also be an environment variable (in brackets) or a key of a YAML
file (--config). A flag wins over the environment, the environment over the file.`,
		Example: `  fluoro serve
  fluoro serve --data /var/lib/fluoro --region eu-west-1
  FLUORO_HTTP=127.0.0.1:3000 fluoro serve --udp off`,
		Args: noArguments,
	}
	config.Register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(cmd.Flags(), os.Getenv)
		if err != nil {
			return usageError{cmd, err}
		}
		return server.Run(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}
