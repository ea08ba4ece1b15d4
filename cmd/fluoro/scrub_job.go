package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// scrubJob holds the flags of fluoro scrub itself.
type scrubJob struct {
	at                *remote
	since             time.Duration
	all, status, stop bool
	request           struct {
		Seconds int64
		Rules   []string
		DryRun  bool
		Rate    int
	}
}

func (j *scrubJob) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	j.at = remoteOf(cmd, false)
	f.DurationVar(&j.since, "since", 0, "scrub the traces that were received since that long ago, such as 24h")
	f.BoolVar(&j.all, "all", false, "scrub all stored traces")
	f.StringSliceVar(&j.request.Rules, "rule", nil, "use only these rules")
	f.BoolVar(&j.request.DryRun, "dry-run", false, "count the traces that would be rewritten, but change nothing")
	f.IntVar(&j.request.Rate, "rate", 0, "read at most this many traces a second (default 2000)")
	f.BoolVar(&j.status, "status", false, "show the latest job")
	f.BoolVar(&j.stop, "stop", false, "stop the running job; rewritten traces stay rewritten")
}

func (j *scrubJob) run(cmd *cobra.Command) error {
	set := 0
	for _, on := range []bool{j.since != 0, j.all, j.status, j.stop} {
		if on {
			set++
		}
	}
	switch {
	case set == 0:
		return cmd.Help()
	case set > 1:
		return usageError{cmd, errors.New("--since, --all, --status and --stop exclude each other")}
	case j.since < 0 || j.since > 0 && j.since < time.Second:
		return usageError{cmd, errors.New("--since: want at least 1s")}
	case j.stop:
		if err := j.at.call(cmd.Context(), "scrub/StopJob", struct{}{}, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "the job is being stopped")
		return err
	case j.status:
		_, err := j.show(cmd)
		return err
	}
	j.request.Seconds = int64(j.since / time.Second)
	if err := j.at.call(cmd.Context(), "scrub/StartJob", j.request, nil); err != nil {
		return err
	}
	return j.follow(cmd)
}

// follow shows the progress until the job ends.
func (j *scrubJob) follow(cmd *cobra.Command) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		select {
		case <-cmd.Context().Done():
			return errors.New("the job goes on in the service; fluoro scrub --stop ends it")
		case <-time.After(wait):
		}
		if ended, err := j.show(cmd); ended || err != nil {
			return err
		}
	}
}

// show prints the state of the latest job, and tells whether it has ended.
func (j *scrubJob) show(cmd *cobra.Command) (ended bool, err error) {
	var out struct {
		Job struct {
			State, Reason                    string
			DryRun                           bool
			Traces, Changed, Held, Unchanged int64
			Problems                         []string
			Values                           map[string]int64
		}
	}
	if err := j.at.call(cmd.Context(), "scrub/GetJob", struct{}{}, &out); err != nil {
		return false, err
	}
	job, w := out.Job, cmd.OutOrStdout()
	verb := "rewritten"
	if job.DryRun {
		verb = "would be rewritten"
	}
	fmt.Fprintf(w, "%s: %d traces read, %d %s", job.State, job.Traces, job.Changed, verb)
	if job.Held > 0 {
		fmt.Fprintf(w, ", %d are held", job.Held)
	}
	fmt.Fprintln(w)
	if job.State == "running" || job.State == "purging" {
		return false, nil
	}
	for _, rule := range slices.Sorted(maps.Keys(job.Values)) {
		fmt.Fprintf(w, "  %s: %d values\n", rule, job.Values[rule])
	}
	for _, p := range job.Problems {
		fmt.Fprintf(w, "  not scrubbed: %s\n", p)
	}
	switch {
	case job.State == "failed":
		return true, fmt.Errorf("the job failed: %s", job.Reason)
	case job.Unchanged > 0:
		return true, fmt.Errorf("%d traces were not scrubbed", job.Unchanged)
	}
	return true, nil
}
