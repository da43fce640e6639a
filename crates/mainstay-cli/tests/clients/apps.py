"""A web application with sessions (flask-session), a rate limit (limits) and a job queue (rq), none of them written for
Mainstay, through an outage of Redis: python3 apps.py PORT
Asks `outage?` and `over?` on its output, and goes on when a line comes in."""

import logging
import math
import sys
import time

import redis
from flask import Flask, jsonify, session
from flask_session import Session
from limits import parse, storage, strategies
from rq import Queue, SimpleWorker

logging.disable(logging.CRITICAL)
port = int(sys.argv[1])
connection = redis.Redis(port=port)


def ask(what):
    print(f"{what}?", flush=True)
    sys.stdin.readline()


app = Flask(__name__)
app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(port=port), SESSION_PERMANENT=False)
Session(app)
limiter = strategies.FixedWindowRateLimiter(storage.RedisStorage(f"redis://127.0.0.1:{port}"))
hourly = parse("20 per hour")


@app.get("/")
def view():
    allowed = limiter.hit(hourly, "somebody")
    session["views"] = session.get("views", 0) + 1
    return jsonify(views=session["views"], allowed=allowed)


browser = app.test_client()
visits = 0


def visit(times):
    global visits
    for _ in range(times):
        visits += 1
        answer = browser.get("/").get_json()
        assert answer == {"views": visits, "allowed": visits <= 20}, (visits, answer)


queue = Queue(connection=connection)


def work(first):
    jobs = [queue.enqueue(math.factorial, first + nth) for nth in range(5)]
    SimpleWorker([queue], connection=connection).work(burst=True)
    for nth, job in enumerate(jobs):
        job.refresh()
        assert job.return_value() == math.factorial(first + nth), job.get_status()


visit(5)
work(1)
# A pipeline of redis-py is a transaction unless one says otherwise.
counted = connection.pipeline().incr("count").hincrby("counts", "a", 2).expire("count", 60).execute()
assert counted == [1, 2, True], counted
print("the application works", flush=True)

ask("outage")
visit(10)
counted = connection.pipeline().incr("count").hincrby("counts", "a", 2).execute()
assert counted == [2, 4], counted
with connection.pipeline() as pipeline:
    pipeline.watch("count")
    value = int(pipeline.get("count"))
    pipeline.multi()
    pipeline.set("count", value + 1)
    assert pipeline.execute() == [True]
try:
    queue.enqueue(math.factorial, 1)
    raise AssertionError("the queue took a job")
except redis.ResponseError as error:
    assert "UNAVAILABLE redis" in str(error) and "retry_after_ms=" in str(error), error
print("sessions and limits work on, the queue says why it cannot", flush=True)

ask("over")
visit(10)
deadline = time.monotonic() + 60
while True:
    try:
        work(10)
        break
    except redis.ResponseError:
        assert time.monotonic() < deadline
        time.sleep(0.1)
assert connection.get("count") == b"3" and connection.hget("counts", "a") == b"4"
print("the queue works again", flush=True)
print("done", flush=True)
