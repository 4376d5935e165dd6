"""The scope: one mutable holder, seen by everything that runs for a request, however it got its copy of the context."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seclog import actor, bind_user, emit
from seclog.context import JobScope, Scope, attempt, current, enter, leave


class Request(Scope):
    """A request as an adapter would make it."""

    __slots__ = ("filled",)

    def __init__(self, **known):
        super().__init__(started_ns=None)
        self.filled = 0
        for name, value in known.items():
            setattr(self.context, name, value)

    def fill(self):
        self.filled += 1


@pytest.fixture
def request_scope():
    scope = Request(address="203.0.113.9", path="/orders/")
    token = enter(scope)
    yield scope
    leave(token)


def of_context(entry):
    """Return what the context brought into an entry."""
    return {
        key: entry[key]
        for key in ("user.id", "user.name", "client.address", "url.path", "seclog.actor")
        if key in entry
    }


REQUEST = {"client.address": "203.0.113.9", "url.path": "/orders/"}


# ── the holder ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_of_everything_there_is_no_scope():
    """An entry without a request names nobody."""
    assert current() is None


def test_nothing_is_filled_before_an_event(request_scope, entries):
    """A request that records nothing must cost next to nothing."""
    assert request_scope.filled == 0
    emit("authz_fail")
    assert request_scope.filled == 1


def test_a_change_in_a_copied_context_is_seen_by_the_request(request_scope, entries):
    """Thread pools and asgiref run code in a copy: a bound user must come back from there."""
    contextvars.copy_context().run(bind_user, 7, "alice")
    emit("authz_fail")
    assert of_context(entries[0]) == {**REQUEST, "user.id": "7", "user.name": "alice"}


def test_a_thread_with_the_context_records_for_the_request(request_scope, entries):
    """As asyncio.to_thread and asgiref do it."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, emit, "authz_fail").result()
    assert of_context(entries[0]) == REQUEST
    assert request_scope.recorded == ("authz_fail",)


def test_a_thread_without_the_context_records_for_nobody(request_scope, entries):
    """Somebody else's thread must not be given our request's address."""
    thread = threading.Thread(target=emit, args=("authz_fail",))
    thread.start()
    thread.join()
    assert of_context(entries[0]) == {}


def test_tasks_of_a_request_share_its_scope(request_scope, entries):
    """A task copies the context when it is made; the user that one binds is the user of all."""

    async def work():
        async def log_in():
            bind_user(7)

        async def act():
            await asyncio.sleep(0)
            emit("authz_fail")
            await asyncio.to_thread(emit, "sensitive_read")

        await asyncio.gather(log_in(), act())

    asyncio.run(work())
    assert [of_context(entry) for entry in entries] == [{**REQUEST, "user.id": "7"}] * 2


def test_concurrent_requests_do_not_see_each_other(entries):
    """Each task has its own scope."""

    async def serve(number):
        token = enter(Request(path=f"/{number}"))
        await asyncio.sleep(0)
        bind_user(number)
        await asyncio.sleep(0)
        emit("authz_fail")
        leave(token)

    async def work():
        await asyncio.gather(*map(serve, range(20)))

    asyncio.run(work())
    assert sorted((e["url.path"], e["user.id"]) for e in entries) == sorted((f"/{n}", f"{n}") for n in range(20))


def test_leaving_in_another_context_is_silent():
    """A generator may be closed by the garbage collector, anywhere."""
    token = contextvars.copy_context().run(enter, Scope())
    leave(token)
    assert current() is None


def test_the_duration_is_measured_from_the_start():
    """In milliseconds, with two decimals."""
    scope = Scope(started_ns=0)
    assert scope.fields()["seclog.duration_ms"] > 0
    assert "seclog.duration_ms" not in Scope().fields()


def test_only_what_is_known_is_in_the_fields():
    """Names are those of an entry; what is unknown is left out."""
    assert Request(address="203.0.113.9", status=404, trace_id="a" * 32).fields() == {
        "client.address": "203.0.113.9",
        "http.response.status_code": 404,
        "trace_id": "a" * 32,
    }


def test_binding_nobody_takes_the_user_out(request_scope, entries):
    """A logout."""
    bind_user(7, "alice")
    bind_user(None)
    emit("authz_fail")
    assert of_context(entries[0]) == REQUEST


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_a_request_the_actor_stands_for_the_user(entries):
    """Who deleted the row at three in the morning."""
    with actor("cron:cleanup"):
        emit("user_deleted", target_id=3)
    emit("authz_fail")
    assert [of_context(e) for e in entries] == [{"user.id": "cron:cleanup", "seclog.actor": "cron:cleanup"}, {}]


def test_inside_a_request_the_actor_is_added(request_scope, entries):
    """The request's user and address stay."""
    bind_user(7, "alice")
    with actor("import"):
        emit("user_created")
    emit("authz_fail")
    known = {**REQUEST, "user.id": "7", "user.name": "alice"}
    assert [of_context(e) for e in entries] == [{**known, "seclog.actor": "import"}, known]


def test_a_user_bound_in_a_job_is_the_requests(request_scope, entries):
    """The job acts for the request."""
    with actor("import"):
        bind_user(7)
        emit("user_created")
    emit("authz_fail")
    assert [e["user.id"] for e in entries] == ["7", "7"]


def test_a_user_bound_in_a_job_alone_is_the_jobs(entries):
    """Until the job is over."""
    with actor("cron:x"):
        bind_user(7)
        emit("user_created")
    emit("authz_fail")
    assert [of_context(e) for e in entries] == [{"user.id": "7", "seclog.actor": "cron:x"}, {}]


def test_what_a_job_recorded_counts_for_the_request(request_scope, entries):
    """Adapters look there before they tell the same thing twice."""
    emit("authz_fail")
    with actor("outer"), actor("inner"):
        emit("authz_fail")
        emit("user_created")
    assert request_scope.recorded == ("authz_fail", "user_created")


def test_nested_actors_name_the_inner_one(entries):
    """The nearest says who works."""
    with actor("outer"):
        with actor("inner"):
            emit("user_created")
        emit("user_deleted")
    assert [e["seclog.actor"] for e in entries] == ["inner", "outer"]


def test_an_actor_ends_with_its_block_even_by_an_exception():
    """And lets the exception through."""
    with pytest.raises(ZeroDivisionError), actor("cron:x"):
        _ = 1 / 0
    assert current() is None


def test_asking_what_a_request_is_for_goes_up_to_it():
    """A job passes on what only the request can do."""
    asked = []

    class Asked(Scope):
        def resolve_user(self):
            asked.append("resolve_user")

        async def aresolve_user(self):
            asked.append("aresolve_user")

        def not_recorded(self):
            asked.append("not_recorded")

    job = JobScope("inner", JobScope("outer", Asked()))
    job.resolve_user()
    asyncio.run(job.aresolve_user())
    job.not_recorded()
    assert asked == ["resolve_user", "aresolve_user", "not_recorded"]
    alone = JobScope("alone")
    alone.resolve_user()
    asyncio.run(alone.aresolve_user())
    alone.not_recorded()


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_is_not_the_session_users(request_scope, entries):
    """Whoever is logged in and tries another name: the entry names the other, and keeps the fact."""
    bind_user(7, "alice")
    with attempt() as session_user:
        emit("authn_login_fail", **session_user)
    emit("authz_fail")
    assert [(e.get("user.id"), e.get("user.name"), e.get("seclog.session.user_id")) for e in entries] == [
        (None, None, "7"),
        ("7", "alice", None),
    ]
    assert request_scope.recorded == ("authn_login_fail", "authz_fail")


def test_an_attempt_by_nobody_changes_nothing(request_scope):
    """The usual case."""
    with attempt() as session_user:
        assert current() is request_scope
    assert session_user == {}
