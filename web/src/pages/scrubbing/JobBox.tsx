import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { progressOf, useJob, useStartJob, useStopJob, type Job } from '../../api/scrub';
import { useMay } from '../../api/session';
import { Confirm } from '../../components/Dialog';
import { Check, Choice, TextField } from '../../components/Field';
import { Loading } from '../../components/Loading';
import { Trouble } from '../../components/Trouble';
import { formatCount, formatPercent, formatTime } from '../../lib/format';
import { spans } from './Trial';

const states: Record<Job['State'], string> = {
  running: 'Running',
  purging: 'Taking the old bytes off the disk',
  done: 'Done',
  stopped: 'Stopped',
  failed: 'Failed',
};

function Progress({ job }: { job: Job }) {
  const share = progressOf(job);
  const running = job.State === 'running' || job.State === 'purging';
  const values = Object.entries(job.Values ?? {}).filter(([, count]) => count > 0);
  return (
    <div data-testid="scrub-job">
      <p role="status">
        <strong>{states[job.State]}</strong>
        {job.DryRun ? ' (dry run: nothing is rewritten)' : ''}
        {running && share !== null ? `, ${formatPercent(share, 1)}` : ''}
        {job.Reason ? `: ${job.Reason}` : ''}
      </p>
      {running && <progress className="fl-scrub-progress" aria-label="Progress of the job" max={1} {...(share === null ? {} : { value: share })} />}
      <p className="fl-hint">
        Started {formatTime(job.Started / 1e9)}
        {job.Ended ? `, ended ${formatTime(job.Ended / 1e9)}` : ''}. {formatCount(job.Traces)} traces looked at, {formatCount(job.Changed)}{' '}
        {job.DryRun ? 'would change' : 'rewritten'}
        {job.Held > 0 ? `, ${formatCount(job.Held)} under a legal hold and left as they are` : ''}
        {job.Unchanged > 0 ? `, ${formatCount(job.Unchanged)} could not be rewritten` : ''}.
      </p>
      {values.length > 0 && (
        <p className="fl-hint">Values by rule: {values.map(([rule, count]) => `${rule} ${formatCount(count)}`).join(', ')}</p>
      )}
      {(job.Problems ?? []).length > 0 && (
        <ul className="fl-mono">
          {(job.Problems ?? []).map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The form of a new job. Rewriting is asked for twice, because it cannot be taken back. */
function Start({ rules }: { rules: string[] }) {
  const [seconds, setSeconds] = useState('86400');
  const [rule, setRule] = useState('');
  const [rate, setRate] = useState('2000');
  const [dryRun, setDryRun] = useState(true);
  const [asking, setAsking] = useState(false);
  const start = useStartJob();
  const run = (): void =>
    start.mutate({ Seconds: Number(seconds), Rules: rule ? [rule] : [], DryRun: dryRun, Rate: /^\d{1,9}$/.test(rate.trim()) ? Number(rate) : -1 }, { onSuccess: () => setAsking(false) });
  return (
    <>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (dryRun) {
            run();
          } else {
            start.reset();
            setAsking(true);
          }
        }}
      >
        <div className="fl-form-row">
          <Choice label="Traces of the" value={seconds} onChange={setSeconds} options={[...spans, ['0', 'Whole time']]} />
          <Choice label="Rules" value={rule} onChange={setRule} options={[['', 'All rules'], ...rules.map((name): [string, string] => [name, name])]} />
          <TextField label="Traces a second, at most" value={rate} onChange={setRate} numeric />
        </div>
        <Check label="Dry run: count only" checked={dryRun} onChange={setDryRun} />
        {start.error && !asking && <Trouble error={start.error} what="scrub stored traces" action="fluoro:StartScrubJob" />}
        <div className="fl-form-buttons">
          <Button formAction="submit" loading={start.isPending && !asking}>
            {dryRun ? 'Count' : 'Rewrite stored traces'}
          </Button>
        </div>
      </form>
      {asking && (
        <Confirm
          title="Rewrite stored traces?"
          act="Rewrite"
          onAct={run}
          onClose={() => setAsking(false)}
          busy={start.isPending}
          error={start.error}
          action="fluoro:StartScrubJob"
        >
          The values that the rules select are gone from stored traces for ever. Traces under a legal hold, and backups, stay as they are.
        </Confirm>
      )}
    </>
  );
}

/** The job over stored traces: its progress, or the form of a new one. */
export function JobBox({ rules }: { rules: string[] }) {
  const job = useJob();
  const stop = useStopJob();
  const may = useMay();
  const running = job.data?.State === 'running' || job.data?.State === 'purging';
  return (
    <Container
      header={
        <Header variant="h2" description="Applies the rules to traces that are stored already">
          Stored traces
        </Header>
      }
    >
      <div className="fl-form">
        {job.isPending && <Loading what="job" lines={2} />}
        {job.error && <Trouble error={job.error} what="see scrub jobs" action="fluoro:GetScrubJob" onRetry={() => void job.refetch()} />}
        {job.data && <Progress job={job.data} />}
        {running && may('fluoro:StopScrubJob') && (
          <div className="fl-form-buttons">
            <Button loading={stop.isPending} onClick={() => stop.mutate()}>
              Stop
            </Button>
          </div>
        )}
        {stop.error && <Trouble error={stop.error} what="stop scrub jobs" action="fluoro:StopScrubJob" />}
        {!running && !job.isPending && may('fluoro:StartScrubJob') && <Start rules={rules} />}
      </div>
    </Container>
  );
}
