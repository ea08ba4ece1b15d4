import './Loading.css';

/** Grey lines as a placeholder while something is loading. */
export function Loading({ what, lines = 6 }: { what: string; lines?: number }) {
  return (
    <div className="fl-skeleton" role="status" aria-label={`Loading ${what}`}>
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} />
      ))}
    </div>
  );
}
