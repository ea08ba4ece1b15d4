import type { Preview } from '../../api/scrub';
import { formatCount } from '../../lib/format';
import '../../components/table.css';

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
          <div className="fl-table-wrap" tabIndex={-1}>
            <table className="fl-table fl-table-plain">
              <caption className="fl-offscreen">Examples of rule {rule.Rule}</caption>
              <thead>
                <tr>
                  <th scope="col">Place</th>
                  <th scope="col">Before</th>
                  <th scope="col">After</th>
                </tr>
              </thead>
              <tbody>
                {rule.Examples.map((example) => (
                  <tr key={example.Path}>
                    <td className="fl-mono fl-scrub-text">{example.Path}</td>
                    <td className="fl-mono fl-scrub-text">{example.Before}</td>
                    <td className="fl-mono fl-scrub-text">{example.After === '' ? <em>nothing</em> : example.After}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </div>
      ))}
    </div>
  );
}
