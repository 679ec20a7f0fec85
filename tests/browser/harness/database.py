"""Reads the database of a server, beside it and without asking it, and prints what it holds as JSON."""

import json
import sqlite3
import sys

path = sys.argv[1] + "/webwaka.sqlite3"
database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
database.row_factory = sqlite3.Row
database.execute("BEGIN")


def rows(query):
    return [dict(row) for row in database.execute(query)]


print(
    json.dumps(
        {
            "clients": rows("SELECT tenant, client, subject, actor FROM clients"),
            "collections": rows("SELECT key, tenant, name, epoch, head FROM collections"),
            "documents": [
                {**row, "state": json.loads(row["state"])}
                for row in rows("SELECT collection, id, rev, state FROM documents ORDER BY rev")
            ],
            "judgements": [
                {**row, "judgement": json.loads(row["judgement"])}
                for row in rows("SELECT tenant, client, seq, judgement FROM judgements ORDER BY client, seq")
            ],
        }
    )
)
