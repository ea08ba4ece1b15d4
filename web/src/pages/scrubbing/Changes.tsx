import type { Preview } from '../../api/scrub';
import { SimpleTable } from '../../components/SimpleTable';
import { formatCount } from '../../lib/format';

/** What a preview found: counts and disguised examples by rule. */
export function Changes({ preview }: { preview: Preview }) {
  const found = preview.Rules.filter((rule) => rule.Values > 0);
  const looked = `${formatCount(preview.Traces)} traces with ${formatCount(preview.Segments)} segments and spans`;
  return (
    <div data-testid="scrub-preview" role="status">
      <p className="fl-hint">
        {preview.Complete ? `Looked at ${looked}.` : `Looked at the newest ${looked}; there are more in that time.`}{' '}
        {found.length === 0 ? 'Nothing would change.' : 'Letters and digits of the examples are replaced.'}
      </p>
      {found.map((rule) => (
        <div key={rule.Rule} className="fl-section">
          <h3>
            {rule.Rule}: {formatCount(rule.Values)} values in {formatCount(rule.Traces)} traces
          </h3>
          <SimpleTable
            caption={`Examples of rule ${rule.Rule}`}
            heads={['Place', 'Before', 'After']}
            rows={rule.Examples.map((example) => ({
              key: example.Path,
              cells: [example.Path, example.Before, example.After === '' ? <em key="after">nothing</em> : example.After].map((cell, i) => (
                <span key={i} className="fl-mono fl-scrub-text">
                  {cell}
                </span>
              )),
            }))}
          />
        </div>
      ))}
    </div>
  );
}
