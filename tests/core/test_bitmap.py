"""A bitmap is a set of sequence numbers, in their order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actorq.core.bitmap import Bitmap, places
from actorq.core.picture import PAGE

SEQS = st.integers(0, 3 * PAGE) | st.sampled_from([PAGE - 1, PAGE, 10**9, 10**12])


@settings(max_examples=10 * settings.default.max_examples)
@given(st.lists(st.tuples(st.booleans(), SEQS)))
def test_a_bitmap_holds_what_a_set_holds(changes: list[tuple[bool, int]]):
    bitmap, model = Bitmap(), set[int]()
    for is_added, seq in changes:
        (bitmap.add if is_added else bitmap.discard)(seq)
        (model.add if is_added else model.discard)(seq)
        assert (seq in bitmap) is (seq in model)
    assert list(bitmap) == sorted(model)
    assert (len(bitmap), bool(bitmap)) == (len(model), bool(model))


@given(st.sets(SEQS))
def test_a_page_without_a_bit_takes_no_room(seqs: set[int]):
    bitmap = Bitmap(seqs)
    assert set(bitmap.pages) == {seq // PAGE for seq in seqs}
    for seq in seqs:
        bitmap.discard(seq)
    assert bitmap.pages == {}


@given(st.sets(st.integers(0, PAGE - 1)), st.integers(0, 10**9))
def test_the_places_of_a_page_come_in_either_order(found: set[int], number: int):
    bits = sum(1 << place for place in found)
    seqs = sorted(number * PAGE + place for place in found)
    assert list(places(number, bits)) == seqs
    assert list(places(number, bits, descending=True)) == seqs[::-1]


def test_a_bitmap_says_how_large_it_is():
    assert repr(Bitmap([1, 2, PAGE])) == "<Bitmap of 3 on 2 pages>"
