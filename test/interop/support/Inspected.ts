/** What Celery's own t/integration/test_inspect.py asks of a worker, for one of either language: each check is a few lines of Python. */

/** `NODE` and `QUEUE` say which worker; what `i` answers is that worker's alone. */
export const prelude = (node: string, queue: string): string => `
from datetime import datetime, timedelta
NODE, QUEUE = ${JSON.stringify(node)}, ${JSON.stringify(queue)}
i = app.control.inspect(destination=[NODE], timeout=60)
def only(replies):
    assert list(replies) == [NODE], replies
    return replies[NODE]
def send(name, *args, **options):
    return app.send_task("proj." + name, args=args, queue=QUEUE, **options)
def until(look, seconds=60):
    end = time.time() + seconds
    while True:
        found = look()
        if found or time.time() > end:
            assert found, "not in time"
            return found
        time.sleep(0.05)
def end(*results):
    app.control.revoke([x.id for x in results], terminate=True, destination=[NODE], reply=True, timeout=60)
    until(lambda: not only(i.active()) and not only(i.reserved()))
def info(result, args, **more):
    return dict({"id": result.id, "name": "proj.sleep", "args": args, "kwargs": {}, "type": "proj.sleep",
        "hostname": NODE, "acknowledged": True, "delivery_info": {"exchange": "", "routing_key": QUEUE,
        "priority": 0, "redelivered": False}}, **more)
def same(shown, expected):
    shown = dict(shown)
    times = shown.pop("time_start"), shown.pop("worker_pid")
    # Redis delivers no flag where nothing came again.
    if shown["delivery_info"]["redelivered"] is None:
        shown["delivery_info"]["redelivered"] = False
    assert shown == expected, (shown, expected)
    return times
`

export const checks: Readonly<Record<string, string>> = {
  ping: `assert only(i.ping()) == {"ok": "pong"}`,
  clock: `
first = only(i.clock())["clock"]
assert 0 < first < only(i.clock())["clock"]`,
  registered: `
names = only(i.registered())
assert {"proj.add", "proj.sleep"} <= set(names) and not [x for x in names if x.startswith("celery.")], names
assert names == sorted(names)
assert [x for x in only(i.registered("rate_limit", "ignore_result")) if x.startswith("proj.sleep")] == ["proj.sleep [ignore_result=False]"]`,
  active_queues: `
assert only(i.active_queues()) == [{"alias": None, "auto_delete": False, "binding_arguments": None, "bindings": [],
    "consumer_arguments": None, "durable": True, "exchange": {"arguments": None, "auto_delete": False,
    "delivery_mode": None, "durable": True, "name": QUEUE, "no_declare": False, "passive": False, "type": "direct"},
    "exclusive": False, "expires": None, "max_length": None, "max_length_bytes": None, "max_priority": None,
    "message_ttl": None, "name": QUEUE, "no_ack": False, "no_declare": None, "queue_arguments": None,
    "routing_key": QUEUE}]`,
  "active, reserved and query_task": `
one, two = send("sleep", 600), send("sleep", 601)
[active] = until(lambda: only(i.active()))
started, pid = same(active, info(one, [600]))
assert abs(time.time() - started) < 600 and isinstance(pid, int)
[waiting] = until(lambda: only(i.reserved()))
assert same(waiting, info(two, [601], acknowledged=False)) == (None, None)
found = only(i.query_task([one.id, two.id, "nobody"]))
assert set(found) == {one.id, two.id}
assert [found[one.id][0], found[two.id][0]] == ["active", "reserved"], found
same(found[one.id][1], info(one, [600]))
[safe] = only(i.active(safe=True))
assert safe["args"] == "(600,)", safe["args"]
end(two, one)
assert only(i.query_task(one.id)) == {}`,
  scheduled: `
# A later one, when the machine was held up until the first was due.
for seconds in (3, 15, 40):
    eta = datetime.utcnow() + timedelta(seconds=seconds)
    later = send("add", 1, 1, eta=eta)
    until(lambda: datetime.utcnow() > eta or only(i.scheduled()))
    found = only(i.scheduled())
    if found:
        break
[held] = found
assert held["eta"] == eta.strftime("%Y-%m-%dT%H:%M:%S.%f") + "+00:00", held
assert held["priority"] == 6
assert same(held["request"], info(later, [1, 1], name="proj.add", type="proj.add", acknowledged=False)) == (None, None)
app.control.revoke(later.id)
# A worker of Python's holds it until it is due.
until(lambda: not only(i.scheduled()))`,
  revoked: `
later = send("add", 1, 1, countdown=2)
later.revoke()
until(lambda: later.id in only(i.revoked()))`,
  stats: `
send("add", 1, 2).get(timeout=60)
# What is held until it is due has room beside the others.
stats = until(lambda: (lambda found: found["prefetch_count"] == 4 and found)(only(i.stats())))
pool, broker = stats["pool"], stats["broker"]
assert pool["max-concurrency"] == 1 and len(pool["processes"]) == 1, pool
assert {"max-tasks-per-child", "put-guarded-by-semaphore", "timeouts"} <= set(pool), pool
assert stats["total"]["proj.add"] >= 1, stats
assert isinstance(stats["pid"], int) and int(stats["clock"]) > 0 and stats["uptime"] >= 0
assert stats["rusage"]["maxrss"] > 1000 and len(stats["rusage"]) == 16, stats["rusage"]
with app.connection() as connection:
    known = connection.info()
same = ["hostname", "userid", "virtual_host", "port", "ssl", "transport"]
assert [broker[x] for x in same] == [known[x] for x in same], (broker, known)
assert set(known) - {"password"} <= set(broker) and "password" not in broker, broker`,
  conf: `
conf = only(i.conf(with_defaults=True))
for key in ["worker_hijack_root_logger", "worker_log_color", "accept_content", "enable_utc", "timezone", "broker_url",
    "result_backend", "broker_heartbeat", "deprecated_settings", "include"]:
    assert key in conf, key
assert conf["worker_prefetch_multiplier"] == 4 and conf["accept_content"] == ["json"]
shown = only(i.conf())
with app.connection() as connection:
    assert shown["broker_url"] == connection.as_uri(mask="********"), shown
assert len(shown) < len(conf)`,
  report: `
report = only(i.report())["ok"]
for word in ["software ->", "platform ->", "loader   ->", "settings -> transport:", "broker_url:"]:
    assert word in report, report`,
  hello: `
assert only(i.hello(NODE)) is None
met = only(i.hello("other@host", {"a-neighbour-knows": 1.5e9}))
assert "a-neighbour-knows" in met["revoked"] and met["clock"] > 0, met
assert all(isinstance(at, float) and name == id for id, (at, name) in met["revoked"].items()), met
assert "a-neighbour-knows" in only(i.revoked())`,
  "memsample and memdump": `
sampled = only(i.memsample())
assert sampled is None or float(sampled[:-2]) > 1, sampled
assert only(i.memdump()).startswith("- rss"), sampled`,
  objgraph: `assert only(i._request("objgraph")) == {"error": "ImportError('Requires the objgraph library')"}`,
  "an unknown command": `assert only(i._request("nonesuch")) == {"error": "KeyError('nonesuch')"}`,
  "revoke, terminate and limits": `
tell = dict(destination=[NODE], reply=True, timeout=60)
one = lambda replies: only(replies[0])
running = send("sleep", 600)
until(lambda: only(i.active()))
assert one(app.control.terminate(running.id, **tell)) == {"ok": "terminate: " + running.id}
assert one(app.control.terminate("nobody", **tell)) == {"ok": "terminate: tasks unknown"}
assert one(app.control.rate_limit("proj.add", "100/m", **tell)) == {"ok": "new rate limit set successfully"}
assert one(app.control.rate_limit("proj.add", 0, **tell)) == {"ok": "rate limit disabled successfully"}
assert one(app.control.rate_limit("proj.none", "1/m", **tell)) == {"error": "unknown task"}
assert one(app.control.time_limit("proj.add", hard=60, **tell)) == {"ok": "time limits set successfully"}
assert one(app.control.enable_events(**tell)) == {"ok": "task events enabled"}
assert one(app.control.enable_events(**tell)) == {"ok": "task events already enabled"}
assert one(app.control.disable_events(**tell)) == {"ok": "task events disabled"}`,
  "the pool and the queues": `
tell = dict(destination=[NODE], reply=True, timeout=60)
one = lambda replies: only(replies[0])
assert one(app.control.pool_grow(1, **tell)) == {"ok": "pool will grow"}
until(lambda: only(i.stats())["prefetch_count"] == 8)
# Python's take a process that starts for a busy one, and refuse.
until(lambda: one(app.control.pool_shrink(1, **tell)) == {"ok": "pool will shrink"})
until(lambda: only(i.stats())["prefetch_count"] == 4)
assert one(app.control.autoscale(3, 1, **tell)) == {"error": "ValueError('Autoscale not enabled')"}
assert one(app.control.pool_restart(**tell)) == {"error": "ValueError('Pool restarts not enabled')"}
added = QUEUE + ".added"
assert one(app.control.add_consumer(added, exchange=added + ".ex", exchange_type="topic", routing_key="k.#", **tell)) == {"ok": "add consumer " + added}
[shown] = until(lambda: [q for q in only(i.active_queues()) if q["name"] == added])
assert [shown["exchange"]["name"], shown["exchange"]["type"], shown["routing_key"]] == [added + ".ex", "topic", "k.#"]
from kombu import Exchange
exchange = Exchange(added + ".ex", "topic")
sent = app.send_task("proj.add", (2, 3), exchange=exchange.name, routing_key="k.x", declare=[exchange])
assert sent.get(timeout=60) == 5
assert one(app.control.cancel_consumer(added, **tell)) == {"ok": "no longer consuming from " + added}
until(lambda: [q["name"] for q in only(i.active_queues())] == [QUEUE])`
}
