import type { ReactNode } from 'react';
import './table.css';

/** A small table. The first cell of a row is its heading. The keyboard can scroll it, even without links inside. */
export function SimpleTable({ caption, heads, rows, numbers = [] }: { caption: string; heads: string[]; rows: { key: string; cells: ReactNode[] }[]; numbers?: string[] }) {
  const kind = (head: string | undefined): string | undefined => (head !== undefined && numbers.includes(head) ? 'fl-num' : undefined);
  return (
    <div className="fl-table-wrap" role="region" aria-label={caption} tabIndex={0}>
      <table className="fl-table fl-table-plain">
        <caption className="fl-offscreen">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col" className={kind(head)}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells: [first, ...others] }) => (
            <tr key={key}>
              <th scope="row">{first}</th>
              {others.map((cell, i) => (
                <td key={heads[i + 1]} className={kind(heads[i + 1])}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
