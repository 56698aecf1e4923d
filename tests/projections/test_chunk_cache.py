"""What was used last stays, within a number of bytes."""

from napari_vesselkd.projections.chunk_cache import ByteCache


def test_the_longest_unused_goes_first():
    cache = ByteCache(30)
    for key in "abc":
        cache.put(key, key.upper(), 10)
    assert cache.get("a") == "A"
    cache.put("d", "D", 10)
    assert [key for key in "abcd" if key in cache] == ["a", "c", "d"]
    assert cache.nbytes == 30


def test_what_is_cold_goes_before_everything_else_and_pushes_nothing_out():
    cache = ByteCache(30)
    cache.put("a", 1, 10)
    cache.put("cold", 2, 10, cold=True)
    cache.put("b", 3, 10)
    cache.put("colder", 4, 10, cold=True)
    assert "colder" not in cache
    cache.put("c", 5, 10)
    assert [key for key in ("a", "cold", "b", "c") if key in cache] == ["a", "b", "c"]


def test_what_does_not_fit_is_not_kept_and_replaces_nothing_else():
    cache = ByteCache(30)
    cache.put("a", 1, 30)
    cache.put("b", 2, 31)
    assert ("a" in cache, "b" in cache, cache.nbytes) == (True, False, 30)


def test_a_key_that_is_put_again_counts_once():
    cache = ByteCache(30)
    cache.put("a", 1, 10)
    cache.put("a", 2, 20)
    assert (cache.get("a"), cache.nbytes, len(cache)) == (2, 20, 1)


def test_forgetting_leaves_nothing_or_what_is_to_be_kept():
    cache = ByteCache(30)
    for key in "abc":
        cache.put(key, key, 5)
    cache.forget(keep=lambda key: key == "b")
    assert ("b" in cache, len(cache), cache.nbytes) == (True, 1, 5)
    cache.forget()
    assert (len(cache), cache.nbytes) == (0, 0)
