"""Reads the blocks of a data directory with DuckDB and pyarrow, and prints as JSON what clients_test.go compares with the API.

Usage: parquet_test.py DIRECTORY
"""
import glob
import json
import sys

import duckdb
import pyarrow.parquet

blocks = sys.argv[1] + "/blocks/*"
# The newest copy of each trace, and the documents and spans that belong to it.
duckdb.sql(f"""
CREATE VIEW newest AS SELECT *, replace(filename, 'traces', 'entities') AS entities
  FROM read_parquet('{blocks}.traces.parquet', filename = true)
  QUALIFY row_number() OVER (PARTITION BY account, trace_id ORDER BY lsn DESC, filename DESC) = 1;
CREATE VIEW received AS SELECT e.*, map_from_entries(e.attributes) AS attribute, t.trace_id AS id FROM
  (SELECT *, lower(hex(trace_id)) AS h FROM read_parquet('{blocks}.entities.parquet', filename = true)) e
  JOIN newest t ON e.filename = t.entities AND e.account = t.account AND t.trace_id = '1-' || h[:8] || '-' || h[9:]
""")


def rows(query):
    return [list(r) for r in duckdb.sql(query).fetchall()]


print(json.dumps({
    "p95": rows("SELECT service, quantile_disc(duration / 1e9, 0.95) FROM received WHERE source = 1 GROUP BY 1 ORDER BY 1"),
    "slowest": rows("SELECT id, duration / 1e9 FROM received WHERE attribute['cart'] IS NOT NULL AND attribute['cart']::INT >= 20 ORDER BY duration DESC LIMIT 3"),
    "errors": rows("SELECT http_url, avg(error::INT) FROM received WHERE source = 1 GROUP BY 1 ORDER BY 1"),
    "spans": rows("SELECT service, http_route, quantile_disc(duration / 1e9, 0.95), avg(fault::INT), max(attribute['order.id']) FROM received WHERE source = 2 GROUP BY ALL ORDER BY 1"),
    "arrow": sum(pyarrow.parquet.read_table(f).num_rows for f in glob.glob(blocks + ".entities.parquet")),
}))
