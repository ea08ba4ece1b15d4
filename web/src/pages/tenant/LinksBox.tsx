import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { sinkPolicy, traceType, useAttached, useChangeLinks, useLinks, useSinks, type Link, type Sink } from '../../api/tenant';
import { useMay } from '../../api/session';
import { Copy } from '../../components/Copy';
import { Confirm, Dialog } from '../../components/Dialog';
import { TextArea, TextField } from '../../components/Field';
import { Loading } from '../../components/Loading';
import { SimpleTable } from '../../components/SimpleTable';
import { Permitted, Trouble } from '../../components/Trouble';
import { formatTime } from '../../lib/format';

/** The account in an ARN. */
function accountOf(arn: string): string {
  return arn.split(':')[4] ?? '';
}

/** Says who may link to a sink: by accounts, or by any policy. */
function PolicyForm({ sink, onClose }: { sink: Sink; onClose: () => void }) {
  const [accounts, setAccounts] = useState('');
  const [policy, setPolicy] = useState(sink.Policy ?? '');
  const put = useChangeLinks('PutSinkPolicy');
  return (
    <Dialog title={`Who may link to ${sink.Name}?`} onClose={onClose}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          put.mutate({ SinkIdentifier: sink.Arn, Policy: policy }, { onSuccess: onClose });
        }}
      >
        <TextField
          label="Accounts"
          value={accounts}
          placeholder="222233334444, 333344445555"
          hint="Writes the policy below for these accounts"
          onChange={(text) => {
            setAccounts(text);
            const list = text.split(/[\s,]+/).filter((account) => account !== '');
            setPolicy(list.length > 0 ? sinkPolicy(list) : (sink.Policy ?? ''));
          }}
        />
        <TextArea label="Policy" value={policy} onChange={setPolicy} rows={10} />
        {put.error && <Trouble error={put.error} what="change sink policies" action="oam:PutSinkPolicy" />}
        <div className="fl-form-buttons">
          <Button variant="primary" formAction="submit" loading={put.isPending} disabled={policy.trim() === ''}>
            Save
          </Button>
          <Button formAction="none" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Attached({ sink }: { sink: string }) {
  const links = useAttached(sink);
  if (links.error) {
    return <span className="fl-faint">unknown: {links.error.message}</span>;
  }
  return <>{links.data ? links.data.map((link) => accountOf(link.Arn)).join(', ') || 'none' : '…'}</>;
}

/** A form with one required text, such as the name of a new sink. */
function Create({ verb, label, placeholder, act, what, body }: { verb: 'CreateSink' | 'CreateLink'; label: string; placeholder: string; act: string; what: string; body: (text: string) => object }) {
  const [text, setText] = useState('');
  const create = useChangeLinks(verb);
  return (
    <form
      className="fl-form"
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate(body(text.trim()), { onSuccess: () => setText('') });
      }}
    >
      <div className="fl-form-row">
        <TextField label={label} value={text} onChange={setText} placeholder={placeholder} />
        <div>
          <Button formAction="submit" loading={create.isPending} disabled={text.trim() === ''}>
            {act}
          </Button>
        </div>
      </div>
      {create.error && <Trouble error={create.error} what={what} action={`oam:${verb}`} />}
    </form>
  );
}

function Sinks({ onDelete }: { onDelete: (sink: Sink) => void }) {
  const sinks = useSinks();
  const may = useMay();
  const [changing, setChanging] = useState<Sink | null>(null);
  return (
    <>
      {sinks.isPending && <Loading what="sinks" lines={2} />}
      {sinks.error && <Trouble error={sinks.error} what="see sinks" action="oam:ListSinks" onRetry={() => void sinks.refetch()} />}
      {sinks.data?.length === 0 && <p className="fl-hint">None. Make a sink, say who may link to it, and give them its ARN.</p>}
      {(sinks.data ?? []).length > 0 && (
        <SimpleTable
          caption="Sinks"
          heads={['Sink', 'ARN', 'Linked accounts', 'Change']}
          rows={(sinks.data ?? []).map((sink) => ({
            key: sink.Arn,
            cells: [
              sink.Name,
              <Copy key="arn" text={sink.Arn} label={`Copy the ARN of ${sink.Name}`}>
                Copy the ARN
              </Copy>,
              !sink.Policy ? 'nobody may link yet' : may('oam:ListAttachedLinks') ? <Attached key="links" sink={sink.Arn} /> : '–',
              <span key="tools" className="fl-row-tools">
                {may('oam:PutSinkPolicy') && (
                  <button type="button" className="fl-link" aria-label={`Who may link to ${sink.Name}`} onClick={() => setChanging(sink)}>
                    Who may link
                  </button>
                )}
                {may('oam:DeleteSink') && (
                  <button type="button" className="fl-link" aria-label={`Delete sink ${sink.Name}`} onClick={() => onDelete(sink)}>
                    Delete
                  </button>
                )}
              </span>,
            ],
          }))}
        />
      )}
      {sinks.data && may('oam:CreateSink') && <Create verb="CreateSink" label="Name of a new sink" placeholder="central" act="Make a sink" what="make sinks" body={(name) => ({ Name: name })} />}
      {changing && <PolicyForm sink={changing} onClose={() => setChanging(null)} />}
    </>
  );
}

function OwnLinks({ onDelete }: { onDelete: (link: Link) => void }) {
  const links = useLinks();
  const may = useMay();
  return (
    <>
      {links.isPending && <Loading what="links" lines={2} />}
      {links.error && <Trouble error={links.error} what="see links" action="oam:ListLinks" onRetry={() => void links.refetch()} />}
      {links.data?.length === 0 && <p className="fl-hint">None.</p>}
      {(links.data ?? []).length > 0 && (
        <SimpleTable
          caption="Links"
          heads={['Account', 'Label', 'Since', 'Change']}
          rows={(links.data ?? []).map((link) => ({
            key: link.Arn,
            cells: [
              accountOf(link.SinkArn),
              link.Label,
              formatTime(link.Since),
              may('oam:DeleteLink') && (
                <button key="delete" type="button" className="fl-link" aria-label={`Delete link to ${accountOf(link.SinkArn)}`} onClick={() => onDelete(link)}>
                  Delete
                </button>
              ),
            ],
          }))}
        />
      )}
      {links.data && may('oam:CreateLink') && (
        <Create
          verb="CreateLink"
          label="ARN of a sink"
          placeholder="arn:aws:oam:…:sink/…"
          act="Show my traces there"
          what="make links"
          body={(sink) => ({ SinkIdentifier: sink, LabelTemplate: '$AccountName', ResourceTypes: [traceType] })}
        />
      )}
    </>
  );
}

/** Links between accounts: who sees whose traces. */
export function LinksBox() {
  const [sink, setSink] = useState<Sink | null>(null);
  const [link, setLink] = useState<Link | null>(null);
  const deleteSink = useChangeLinks('DeleteSink');
  const deleteLink = useChangeLinks('DeleteLink');
  return (
    <Container header={<Header variant="h2">Links between accounts</Header>}>
      <div className="fl-columns" data-testid="links">
        <div className="fl-form">
          <h3>Accounts that show their traces here</h3>
          <Permitted what="see sinks" action="oam:ListSinks">
            <Sinks
              onDelete={(which) => {
                deleteSink.reset();
                setSink(which);
              }}
            />
          </Permitted>
        </div>
        <div className="fl-form">
          <h3>Accounts that see the traces of this one</h3>
          <Permitted what="see links" action="oam:ListLinks">
            <OwnLinks
              onDelete={(which) => {
                deleteLink.reset();
                setLink(which);
              }}
            />
          </Permitted>
        </div>
      </div>
      {sink && (
        <Confirm
          title={`Delete sink ${sink.Name}?`}
          act="Delete"
          onAct={() => deleteSink.mutate({ Identifier: sink.Arn }, { onSuccess: () => setSink(null) })}
          onClose={() => setSink(null)}
          busy={deleteSink.isPending}
          error={deleteSink.error}
          action="oam:DeleteSink"
        >
          Only a sink without links can be deleted.
        </Confirm>
      )}
      {link && (
        <Confirm
          title={`Delete the link to ${accountOf(link.SinkArn)}?`}
          act="Delete"
          onAct={() => deleteLink.mutate({ Identifier: link.Arn }, { onSuccess: () => setLink(null) })}
          onClose={() => setLink(null)}
          busy={deleteLink.isPending}
          error={deleteLink.error}
          action="oam:DeleteLink"
        >
          That account sees none of your traces any more, earlier ones included.
        </Confirm>
      )}
    </Container>
  );
}
