"""A heap does what a sorted list would do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorq.core.heap import _SWEEP_FROM, Heap

KEYS = st.integers(0, 8)
OPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), KEYS, st.integers(0, 5)),
        st.tuples(st.just("remove"), KEYS, st.just(0)),
        st.tuples(st.sampled_from(["pop", "peek"]), st.just(0), st.just(0)),
    ),
    max_size=60,
)


def filled(*keys: int) -> Heap[int]:
    heap: Heap[int] = Heap()
    for key in keys:
        heap.push(key, key)
    return heap


@settings(max_examples=1_000, deadline=None, derandomize=True)
@given(OPS)
def test_a_heap_behaves_like_a_sorted_list(ops: list[tuple[str, int, int]]) -> None:
    heap: Heap[int] = Heap()
    model: dict[int, tuple[int, int]] = {}
    for op, key, order in ops:
        smallest = min(model.values(), default=None)
        match op:
            case "push":
                heap.push(order, key)
                model[key] = (order, key)
            case "remove":
                assert heap.remove(key) == (model.pop(key, None) is not None)
            case "pop" if smallest is not None:
                assert heap.pop() == smallest
                del model[smallest[-1]]
            case _:
                assert heap.peek() == smallest
        assert len(heap) == len(model)
        assert set(heap) == set(model)
        assert all(key in heap for key in model)
    assert [heap.pop() for _ in range(len(heap))] == sorted(model.values())


def test_a_pushed_key_takes_the_place_of_its_older_entry() -> None:
    heap: Heap[str] = Heap()
    heap.push(1, "a")
    heap.push(9, "a")
    heap.push(5, "b")
    assert [heap.pop(), heap.pop()] == [(5, "b"), (9, "a")]


def test_an_equal_entry_pushed_again_stands_once() -> None:
    heap = filled(1, 1, 1)
    assert heap.pop() == (1, 1)
    assert heap.peek() is None


def test_a_removed_key_is_not_in_the_heap() -> None:
    heap = filled(1, 2)
    assert heap.remove(1)
    assert 1 not in heap
    assert heap.peek() == (2, 2)


def test_removing_what_is_not_there_is_told() -> None:
    assert not filled(1).remove(2)


def test_an_empty_heap_has_nothing_to_show() -> None:
    assert filled().peek() is None


def test_popping_an_empty_heap_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="empty heap"):
        filled().pop()


def test_an_alarm_armed_and_disarmed_for_ever_keeps_the_heap_small() -> None:
    heap = filled(0)
    for at in range(1, 10_000):
        heap.push(at, "alarm")
        heap.remove("alarm")
        assert len(heap._entries) <= _SWEEP_FROM


def test_an_alarm_moved_for_ever_keeps_the_heap_small() -> None:
    heap = filled(*range(100))
    for at in range(10_000):
        heap.push(at, 7)
        assert len(heap._entries) <= 2 * len(heap)
    assert [heap.pop()[-1] for _ in range(100)] == [*range(7), *range(8, 100), 7]
