import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import { useState } from 'react';
import { usePreview, useTest } from '../../api/scrub';
import { Check, Choice, TextArea, TextField } from '../../components/Field';
import { Trouble } from '../../components/Trouble';
import { Changes } from './Changes';

/** Spans of time that previews and jobs offer, in seconds. */
export const spans: [string, string][] = [
  ['3600', 'Last hour'],
  ['86400', 'Last day'],
  ['604800', 'Last week'],
  ['2592000', 'Last 30 days'],
];

/** Shows what the present rules would change in stored traces. */
export function PreviewBox() {
  const [seconds, setSeconds] = useState('3600');
  const preview = usePreview();
  return (
    <Container header={<Header variant="h2">Preview</Header>}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          preview.mutate({ rules: [], seconds: Number(seconds) });
        }}
      >
        <p className="fl-hint">What the rules above would change in stored traces. Nothing is changed.</p>
        <div className="fl-form-row">
          <Choice label="Traces of the" value={seconds} onChange={setSeconds} options={spans} />
          <div>
            <Button formAction="submit" loading={preview.isPending}>
              Preview
            </Button>
          </div>
        </div>
        {preview.error && <Trouble error={preview.error} what="preview scrub rules" action="fluoro:PreviewScrubRule" />}
        {preview.data && <Changes preview={preview.data} />}
      </form>
    </Container>
  );
}

/** Shows what becomes of a text under the present rules. The text is not stored. */
export function TestBox() {
  const [text, setText] = useState('');
  const [key, setKey] = useState('');
  const [document, setDocument] = useState(false);
  const test = useTest();
  return (
    <Container header={<Header variant="h2">Test a text</Header>}>
      <form
        className="fl-form"
        onSubmit={(event) => {
          event.preventDefault();
          test.mutate({ Text: text, Key: document ? '' : key.trim(), Document: document });
        }}
      >
        <TextArea label="Text" value={text} onChange={setText} hint="It is not stored" />
        <TextField label="Name of its attribute" value={key} onChange={setKey} disabled={document} placeholder="none" />
        <Check label="The text is a segment document" checked={document} onChange={setDocument} />
        <div className="fl-form-buttons">
          <Button formAction="submit" loading={test.isPending} disabled={text === ''}>
            Test
          </Button>
        </div>
        {test.error && <Trouble error={test.error} what="test scrub rules" action="fluoro:TestScrubRule" />}
        {test.data && (
          <div role="status" data-testid="scrub-tested">
            <p className="fl-hint">{test.data.Dropped ? 'The value would be dropped.' : 'It would be stored as'}</p>
            {!test.data.Dropped && <pre className="fl-scrub-text">{test.data.Text}</pre>}
          </div>
        )}
      </form>
    </Container>
  );
}
