"""A cache is what was written, or nothing."""

from pathlib import Path

from scripts.lightstack.files.cache_file import read_cache, write_cache


def test_a_cache_that_is_not_what_was_written_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    assert read_cache(path) == {}
    values = {"key": {"numbers": [0.1, 1e-300, -0.0, 5e-324, 1 / 3], "text": "\xe9\n"}}
    write_cache(path, values)
    whole = path.read_bytes()
    assert repr(read_cache(path)) == repr(values)
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole[:at] + b"9" + whole[at + 1 :] for at in range(len(whole))]
    damaged += [b"[]", b"{}", b"\n", b"null\n{}", b"\xff\n\xff", whole + b" "]
    for content in damaged:
        if content != whole:
            path.write_bytes(content)
            assert read_cache(path) == {}, content
