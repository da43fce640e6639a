"""Users and TLS as redis-py meets them: python access.py PORT CA_FILE CERT_FILE KEY_FILE"""
import sys

import redis

port, (ca, cert, key) = int(sys.argv[1]), sys.argv[2:5]


def client(user=None, password=None, certificate=True, **more):
    if certificate:
        more |= {"ssl_certfile": cert, "ssl_keyfile": key}
    return redis.Redis(
        host="localhost", port=port, username=user, password=password, ssl=True,
        ssl_ca_certs=ca, decode_responses=True, **more,
    )


def refused(kind, words, act):
    try:
        act()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{kind.__name__} was due")


app = client("app", "geheim-app")
assert app.acl_whoami() == "app"
assert app.set("app:1", "v") and app.get("app:1") == "v"
assert list(app.scan_iter(match="app:*")) == ["app:1"]
denied = redis.exceptions.NoPermissionError
refused(denied, "No permissions to access a key", lambda: app.get("other:1"))
refused(denied, "No permissions to access a key", lambda: app.mget("app:1", "other:1"))
refused(denied, "User app has no permissions to run the 'flushdb' command", app.flushdb)
refused(denied, "User app has no permissions to run the 'client|list' command", app.client_list)

reader = client("reader", "geheim-reader", protocol=3)
assert reader.get("app:1") == "v"
refused(denied, "User reader has no permissions to run the 'set' command", lambda: reader.set("a", "b"))

admin = client("admin", "geheim-admin")
assert {row["user"] for row in admin.client_list()} >= {"app", "reader", "admin"}
assert admin.acl_users() == ["admin", "app", "reader"]
assert admin.acl_getuser("app")["keys"]
assert len(admin.acl_list()) == 3

refused(redis.AuthenticationError, "invalid username-password pair", client("app", "wrong").ping)
refused(redis.AuthenticationError, "", client().ping)
refused(redis.ConnectionError, "", client("app", "geheim-app", certificate=False).ping)
refused(redis.ConnectionError, "", redis.Redis(host="localhost", port=port).ping)
print("redis-py", redis.__version__, "works")
