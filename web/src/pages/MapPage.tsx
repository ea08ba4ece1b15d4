import Header from '@cloudscape-design/components/header';
import { useCallback } from 'react';
import { useServiceGraph } from '../api/queries';
import { useTimeRange } from '../app/range';
import { ErrorBox } from '../components/ErrorBox';
import GraphView from '../components/GraphView';
import { Loading } from '../components/Loading';
import { formatCount } from '../lib/format';
import { useLocation, useSetParams } from '../lib/router';
import { describeRange } from '../lib/timerange';

/** The map of all services of a time range: the home page. */
export default function MapPage() {
  const { params } = useLocation();
  const setParams = useSetParams();
  const { range, invalid } = useTimeRange();
  const query = useServiceGraph(range);
  const onSelect = useCallback((node: string | null) => setParams({ node }), [setParams]);
  const data = query.data;
  const services = data?.graph.Services ?? [];
  const real = services.filter((service) => service.Type !== 'client');
  return (
    <div className="fl-page">
      <Header
        variant="h1"
        {...(data ? { counter: `(${formatCount(real.length)})` } : {})}
        description={data?.clamped ? 'The last 6 hours of the range: a map covers no more' : `Received in the ${describeRange(range)}`}
      >
        Trace map
      </Header>
      {invalid !== null && (
        <p className="fl-hint" role="alert">
          “{invalid}” is no time range, so the last hour is shown.
        </p>
      )}
      {query.isError && <ErrorBox error={query.error} onRetry={() => void query.refetch()} />}
      {!data && query.isPending && <Loading what="map" lines={10} />}
      {data && services.length > 0 && (
        <div className={query.isPlaceholderData ? 'fl-stale' : undefined}>
          <GraphView graph={data.graph} window={data.window} selection={params.get('node')} onSelect={onSelect} memoryKey="home" />
        </div>
      )}
      {data && services.length === 0 && (
        <div className="fl-empty" data-testid="empty-map">
          <strong>Nothing received in the {describeRange(range)}</strong>
          <p>Choose a longer range, or send a trace.</p>
        </div>
      )}
    </div>
  );
}
