"""Whatever has happened, and whatever line of it is lost: what is left is kept, and can be lived on."""

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq.core import commands as c
from actorq.core import facts as f
from actorq.core.ledger import Ledger
from actorq.core.machine import Machine
from actorq.store.journal import Journal
from actorq.store.recovery import recover
from actorq.store.salvage import salvage
from actorq.store.segment import segment_name
from actorq.testing import MemoryFiles
from tests.core.driver import REGISTER, History, Turn, World, histories

from .lives import ledger_of, state_of

FIRST = segment_name(1)


class Beginning(World):
    """A world before which there was nothing."""

    @staticmethod
    def blank() -> Ledger:
        return Ledger()


@define
class Chronicle:
    """Writes down what happens in a world, a line for each step."""

    files: MemoryFiles = field(factory=MemoryFiles)
    journal: Journal = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.journal = Journal(self.files, "mail", 0, boot="", wall=lambda: 1.0)
        self.journal.open()

    def note(self, world: World, turn: Turn) -> None:
        if turn.step.facts:
            self.journal.append([turn.step.facts])
            self.journal.sync()


def written(history: History) -> tuple[MemoryFiles, World]:
    """Live it, and return what was written."""
    chronicle = Chronicle()
    world = Beginning(history.settings, (chronicle.note,))
    world.play(history.acts)
    chronicle.journal.close()
    return chronicle.files, world


@settings(max_examples=300, deadline=None, derandomize=True)
@given(histories(40))
def test_what_is_whole_comes_back_as_it_was(history: History) -> None:
    files, world = written(history)
    found = salvage(files, "mail", wall=1.0)
    assert not found.report.has_loss
    assert state_of(found.ledger) == state_of(ledger_of(world.facts))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(histories(40), st.lists(st.integers(0, 10_000), min_size=1, max_size=3))
def test_what_is_left_of_a_life_can_be_lived_on(history: History, places: list[int]) -> None:
    files, world = written(history)
    lines = files.read(FIRST).splitlines(keepends=True)
    for place in places:
        lines[1 + place % (len(lines) - 1)] = b"spoilt\n"
    files.put(FIRST, b"".join(lines))
    found = salvage(files, "mail", wall=1.0)
    assert found.ledger.jobs.keys() <= {fact.job_id for fact in world.facts if isinstance(fact, f.Submitted)}
    assert state_of(recover(files).ledger) == state_of(found.ledger)
    machine = Machine(history.settings, found.ledger)
    machine.step([REGISTER, c.Recover()], world.now)
    for _ in range(5):
        reports = [c.Finish(job.id, job.claim, b"1") for job in machine.ledger.running.values()]
        machine.step(reports, machine.ledger.now + 100.0)
    assert not {job.task for job in machine.ledger.parked.get("mail", {}).values()}
