"""The normal use of redis-py, without special settings: python normal_use.py PORT"""
import sys

import redis

client = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), decode_responses=True)
assert client.ping()
assert client.set("py:a", "1") is True
assert client.get("py:a") == "1"
assert client.get("py:none") is None
assert client.set("py:a", "2", nx=True) is None
assert client.set("py:a", "2", xx=True, ex=60, get=True) == "1"
assert 0 < client.ttl("py:a") <= 60
assert client.pexpire("py:a", 60000) is True
assert 0 < client.pttl("py:a") <= 60000
assert client.persist("py:a") is True
assert client.incr("py:n") == 1
assert client.incrby("py:n", 41) == 42
assert client.decr("py:n") == 41
assert abs(client.incrbyfloat("py:f", 0.5) - 0.5) < 1e-9
assert client.append("py:s", "hello") == 5
assert client.getrange("py:s", 0, 1) == "he"
assert client.mset({"py:x": "1", "py:y": "2"}) is True
assert client.mget("py:x", "py:none", "py:y") == ["1", None, "2"]
assert client.exists("py:x", "py:y", "py:none") == 2
assert sorted(client.scan_iter(match="py:[xy]", count=5)) == ["py:x", "py:y"]
assert client.rename("py:x", "py:z") is True
assert client.type("py:z") == "string"
with client.pipeline(transaction=False) as pipe:
    for number in range(200):
        pipe.set(f"py:p:{number}", number)
        pipe.get(f"py:p:{number}")
    replies = pipe.execute()
assert replies[1::2] == [str(number) for number in range(200)]
assert client.delete("py:y", "py:z", "py:none") == 2
assert client.getdel("py:s") == "hello"
try:
    client.incr("py:words") if client.set("py:words", "not a number") else None
    raise AssertionError("an error was due")
except redis.ResponseError as error:
    assert "not an integer" in str(error), error
raw = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]))
everything = bytes(range(256))
raw.set(b"py:\x00\xff", everything)
assert raw.get(b"py:\x00\xff") == everything
assert raw.info("server")["redis_version"]
print("redis-py", redis.__version__, "works")
