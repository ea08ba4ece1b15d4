/** The rows of definition lists by their labels, without the buttons beside a value. */
export function factsOf(rows: Iterable<Element>): Record<string, string> {
  return Object.fromEntries(
    [...rows].map((row) => {
      const value = row.querySelector('dd')?.cloneNode(true) as Element;
      value.querySelectorAll('.fl-value-tools').forEach((tools) => tools.remove());
      return [row.querySelector('dt')?.textContent ?? '', value.textContent ?? ''];
    }),
  );
}
