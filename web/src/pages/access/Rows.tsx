import type { UseQueryResult } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { TextField } from '../../components/Field';
import { Loading } from '../../components/Loading';
import { Trouble } from '../../components/Trouble';
import { formatCount } from '../../lib/format';
import '../../components/table.css';

interface Props<T> {
  query: UseQueryResult<T[]>;
  /** What is listed, such as "users", and the action that lists it. */
  what: string;
  action: string;
  empty: string;
  heads: string[];
  textOf: (item: T) => string;
  row: (item: T) => { key: string; cells: ReactNode[] };
}

const most = 500;

/** A list of /api/iam with its states: loading, refused, empty, too long. */
export function Rows<T>({ query, what, action, empty, heads, textOf, row }: Props<T>) {
  const [search, setSearch] = useState('');
  if (query.isPending) {
    return <Loading what={what} />;
  }
  if (query.isError) {
    return <Trouble error={query.error} what={`see ${what}`} action={action} onRetry={() => void query.refetch()} />;
  }
  const found = query.data.filter((item) => textOf(item).toLowerCase().includes(search.toLowerCase()));
  return (
    <>
      {query.data.length > 10 && <TextField label={`Find in ${what}`} value={search} onChange={setSearch} />}
      {found.length === 0 ? (
        <p className="fl-hint">{query.data.length === 0 ? empty : `None of the ${what} matches.`}</p>
      ) : (
        <div className="fl-table-wrap" tabIndex={0} role="region" aria-label={what}>
          <table className="fl-table fl-table-plain">
            <caption className="fl-offscreen">{what}</caption>
            <thead>
              <tr>
                {heads.map((head) => (
                  <th key={head} scope="col">
                    {head || <span className="fl-offscreen">Actions</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {found.slice(0, most).map((item) => {
                const { key, cells } = row(item);
                return (
                  <tr key={key}>
                    {cells.map((cell, i) => (
                      <td key={heads[i]}>{cell}</td>
                    ))}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      {found.length > most && (
        <p className="fl-hint">
          {formatCount(found.length - most)} more: search to see them.
        </p>
      )}
    </>
  );
}
