"""A stack prints like a traceback, and never what variables hold."""

from actorq import Frame, Stack

FRAMES = (Frame("/app/a.py", 3, "outer", "await inner()"), Frame("/app/b.py", 7, "inner", ""))


def test_it_prints_like_a_traceback_with_what_the_last_one_does_at_its_end():
    assert str(Stack("j1", "mail", "loop", FRAMES, "It waits in anyio.sleep().")) == (
        "Job j1 (mail) in its coroutine (most recent call last):\n"
        '  File "/app/a.py", line 3, in outer\n'
        "    await inner()\n"
        '  File "/app/b.py", line 7, in inner\n'
        "It waits in anyio.sleep()."
    )


def test_it_says_where_the_job_runs():
    heads = [str(Stack("j1", "mail", where, (), "It is running.")).splitlines()[0] for where in ("thread", "process")]
    assert ["thread (" in heads[0], "process (" in heads[1]] == [True, True]


def test_it_cannot_be_changed_and_equals_another_of_the_same():
    assert Stack("j1", "mail", "loop", FRAMES, "") == Stack("j1", "mail", "loop", FRAMES, "")
    assert len({FRAMES[0], Frame("/app/a.py", 3, "outer", "await inner()")}) == 1
