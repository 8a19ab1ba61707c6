from hypothesis import given
from hypothesis import strategies as st

from protocol.servers.framing import MAX_TEXT, FrameCutter, read_texts
from tests.servers.harness import BINARY, CONT, PING, TEXT, frame, text

FRAMES = st.builds(
    frame,
    st.sampled_from([CONT, TEXT, BINARY, PING]),
    st.one_of(
        st.binary(max_size=20), st.sampled_from([b"x" * size for size in (125, 126, 127, 65535, 65536)])
    ),
    fin=st.booleans(),
)


def test_whole_texts_are_read_up_to_the_first_other_frame() -> None:
    data = text("a") + text("é" * 100) + text("") + frame(BINARY, b"b") + text("c")
    texts, offset = read_texts(data, 0, max_size=MAX_TEXT, count=10)
    assert texts == ["a", "é" * 100, ""]
    assert data[offset:] == frame(BINARY, b"b") + text("c")


def test_no_more_texts_are_read_than_asked_for() -> None:
    data = text("a") + text("b")
    assert read_texts(data, 0, max_size=MAX_TEXT, count=1) == (["a"], len(text("a")))
    assert read_texts(data, 0, max_size=MAX_TEXT, count=0) == ([], 0)


def test_what_is_not_a_good_small_text_is_left_alone() -> None:
    unmasked = b"\x81\x01a"
    for data in [
        frame(TEXT, b"a", fin=False),
        frame(TEXT, b"a", rsv=4),
        frame(TEXT, b"\xff"),
        frame(TEXT, b"abcde"),
        frame(TEXT, b"a" * 70_000),
        unmasked + unmasked + unmasked,
    ]:
        assert read_texts(data, 0, max_size=4, count=10) == ([], 0)


def test_a_text_that_is_cut_anywhere_is_left_alone() -> None:
    for whole in (text(""), text("hello"), text("x" * 126)):
        for cut in range(len(whole)):
            assert read_texts(whole[:cut], 0, max_size=MAX_TEXT, count=1) == ([], 0)


def test_the_largest_text_is_read() -> None:
    data = text("x" * MAX_TEXT)
    assert read_texts(data, 0, max_size=MAX_TEXT, count=1) == (["x" * MAX_TEXT], len(data))


@given(st.lists(FRAMES, max_size=6), st.data())
def test_frames_are_told_apart_however_the_stream_is_cut(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    cutter = FrameCutter()
    seen = [b""]
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        piece = stream[begin:end]
        offset = 0
        while offset < len(piece):
            if cutter.between_frames and seen[-1]:
                seen.append(b"")
            stop = cutter.cut(piece, offset)
            assert stop > offset
            seen[-1] += piece[offset:stop]
            offset = stop
    assert seen == (frames or [b""])
    assert cutter.between_frames


def test_an_unmasked_frame_ends_without_a_key() -> None:
    assert FrameCutter().cut(b"\x81\x01a\x81", 0) == 3
