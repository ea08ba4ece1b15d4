"""Reads the blocks of a data directory with DuckDB and pyarrow, and prints as JSON what clients_test.go compares with the API.

Usage: parquet_test.py DIRECTORY
"""
import glob
import json
import sys

import duckdb
import pyarrow.parquet

blocks = sys.argv[1] + "/blocks/*"
# The newest copy of each trace, and the documents that belong to it.
duckdb.sql(f"""
CREATE VIEW newest AS SELECT *, replace(filename, 'traces', 'entities') AS entities
  FROM read_parquet('{blocks}.traces.parquet', filename = true, file_row_number = true)
  QUALIFY row_number() OVER (PARTITION BY account, trace_id ORDER BY lsn DESC, filename DESC) = 1;
CREATE VIEW documents AS SELECT e.document::JSON AS d FROM read_parquet('{blocks}.entities.parquet', filename = true) e
  JOIN newest t ON e.filename = t.entities AND e.trace = t.file_row_number WHERE e.form = 1
""")


def rows(query):
    return [list(r) for r in duckdb.sql(query).fetchall()]


print(json.dumps({
    "p95": rows("""SELECT d->>'name', quantile_disc((d->>'end_time')::DOUBLE - (d->>'start_time')::DOUBLE, 0.95) FROM documents GROUP BY 1 ORDER BY 1"""),
    "slowest": rows("""SELECT trace_id, duration / 1e9 FROM newest WHERE list_contains(annotation_keys, 'cart') ORDER BY duration DESC LIMIT 3"""),
    "errors": rows("""SELECT d->>'$.http.request.url', avg(coalesce((d->>'error')::BOOLEAN, false)::INT) FROM documents GROUP BY 1 ORDER BY 1"""),
    "arrow": sum(pyarrow.parquet.read_table(f).num_rows for f in glob.glob(blocks + ".entities.parquet")),
}))
