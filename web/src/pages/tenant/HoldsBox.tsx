import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { useHolds, useReleaseHold, type Hold } from '../../api/tenant';
import { useMay } from '../../api/session';
import { Confirm } from '../../components/Dialog';
import { Loading } from '../../components/Loading';
import { SimpleTable } from '../../components/SimpleTable';
import { Permitted, Trouble } from '../../components/Trouble';
import { formatCount, formatTime } from '../../lib/format';

function selectionOf(hold: Hold): string {
  if (hold.filter) {
    return hold.filter;
  }
  return hold.group ? `group ${hold.group}` : `${formatCount(hold.traces?.length ?? 0)} traces by id`;
}

function Holds() {
  const may = useMay();
  const holds = useHolds();
  const release = useReleaseHold();
  const [leaving, setLeaving] = useState<Hold | null>(null);
  return (
    <>
      {holds.isPending && <Loading what="holds" lines={2} />}
      {holds.error && <Trouble error={holds.error} what="see holds" action="fluoro:ListHolds" onRetry={() => void holds.refetch()} />}
      {holds.data?.length === 0 && (
        <p className="fl-hint">
          None. <code>fluoro hold add</code> makes one.
        </p>
      )}
      {(holds.data ?? []).length > 0 && (
        <SimpleTable
          caption="Legal holds"
          heads={['Hold', 'Selects', 'Traces', 'Reason', 'By', 'Since', 'Change']}
          numbers={['Traces']}
          rows={(holds.data ?? []).map((hold) => ({
            key: hold.name,
            cells: [
              hold.name,
              <span key="selects" className="fl-wrap">
                {selectionOf(hold)}
              </span>,
              formatCount(hold.heldTraces),
              hold.reason ?? '',
              hold.by.split(':').pop(),
              formatTime(Date.parse(hold.created) / 1000),
              may('fluoro:ReleaseHold') && (
                <button
                  key="release"
                  type="button"
                  className="fl-link"
                  aria-label={`Release ${hold.name}`}
                  onClick={() => {
                    release.reset();
                    setLeaving(hold);
                  }}
                >
                  Release
                </button>
              ),
            ],
          }))}
        />
      )}
      {leaving && (
        <Confirm
          title={`Release ${leaving.name}?`}
          act="Release"
          word={leaving.name}
          onAct={() => release.mutate(leaving.name, { onSuccess: () => setLeaving(null) })}
          onClose={() => setLeaving(null)}
          busy={release.isPending}
          error={release.error}
          action="fluoro:ReleaseHold"
        >
          Copies of traces that no other hold needs are deleted at once.
        </Confirm>
      )}
    </>
  );
}

/** The legal holds of the account: traces that retention and deletions leave alone. */
export function HoldsBox() {
  return (
    <Container
      header={
        <Header variant="h2" description="Traces that retention, deletions and erasures leave alone">
          Legal holds
        </Header>
      }
    >
      <Permitted what="see holds" action="fluoro:ListHolds">
        <Holds />
      </Permitted>
    </Container>
  );
}
