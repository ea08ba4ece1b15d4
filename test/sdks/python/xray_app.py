"""A Flask application with the X-Ray SDK for Python, as its guide shows it.

Serves GET /orders/<n>: a query to sqlite, an HTTP call to DOWNSTREAM_URL, an
annotation. Prints its port. The daemon's address comes from
AWS_XRAY_DAEMON_ADDRESS, nothing else is said about where traces go.
"""
import os
import sqlite3
import threading

import requests
from aws_xray_sdk.core import patch, xray_recorder
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware
from flask import Flask
from werkzeug.serving import make_server

patch(["requests", "sqlite3"])
app = Flask(__name__)
xray_recorder.configure(service="orders-python", sampling=os.environ.get("XRAY_SAMPLING") == "1", context_missing="LOG_ERROR")
XRayMiddleware(app, xray_recorder)
database = sqlite3.connect(":memory:", check_same_thread=False)


@app.get("/orders/<int:number>")
def order(number):
    cursor = database.cursor()
    cursor.execute("select ? * 2", (number,))
    (double,) = cursor.fetchone()
    xray_recorder.current_segment().put_annotation("order", number)
    xray_recorder.current_segment().set_user("ada")
    if url := os.environ.get("DOWNSTREAM_URL"):
        requests.get(url, timeout=5)
    with xray_recorder.in_subsegment("pricing") as sub:
        sub.put_metadata("double", double)
    return {"double": double}


@app.get("/broken")
def broken():
    raise ValueError("the shelf is empty")


server = make_server("127.0.0.1", 0, app)
print(server.port, flush=True)
server.serve_forever()
