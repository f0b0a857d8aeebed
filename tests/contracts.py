"""What holds for every thing of a kind; a test class inherits the contract and says what it holds for."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from memlab.store.capture_file import load, read_header, save


class ResultContract:
    """Every result is a frozen value that survives a file, and can be shown without any extra."""

    @pytest.fixture
    def result(self):
        """The result that the contract is checked on."""
        raise NotImplementedError

    def test_is_frozen(self, result):
        """No field can be set, none can be added, and no column can be written to."""
        name = dataclasses.fields(result)[0].name
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(result, name, None)
        with pytest.raises((AttributeError, TypeError)):
            result.no_such_field = 1
        for field in dataclasses.fields(result):
            value = getattr(result, field.name)
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable

    def test_has_no_instance_dict(self, result):
        """A result is slotted: a million of them would be small."""
        assert not hasattr(result, "__dict__")

    def test_is_a_value_and_no_key(self, result):
        """It equals itself and a copy, never another type, and it has no hash."""
        assert result == dataclasses.replace(result)
        assert result != object()
        with pytest.raises(TypeError):
            hash(result)

    def test_equals_its_loaded_self(self, result, tmp_path):
        """What was saved is what is loaded, by value, type and columns that cannot be written to."""
        result.save(tmp_path / "result.memlab")
        loaded = load(tmp_path / "result.memlab")
        assert type(loaded) is type(result)
        assert loaded == result
        self.test_is_frozen(loaded)

    def test_shows_like_its_loaded_self(self, result, tmp_path):
        """A loaded result has the text and the plain form of the live one."""
        save(result, tmp_path / "result.memlab")
        loaded = load(tmp_path / "result.memlab")
        assert str(loaded) == str(result)
        assert loaded.to_dict() == result.to_dict()

    def test_header_names_the_kind(self, result, tmp_path):
        """The header alone says which kind it is and whether it is complete."""
        save(result, tmp_path / "result.memlab")
        header = read_header(tmp_path / "result.memlab")
        assert (header.kind, header.complete) == (result.kind, getattr(result, "complete", True))

    def test_to_dict_is_json(self, result):
        """``to_dict`` holds every field in builtins that JSON knows, NaN and infinity not among them."""
        plain = result.to_dict()
        assert plain.keys() == {field.name for field in dataclasses.fields(result)}
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain

    def test_has_a_text(self, result):
        """Its text is not empty, and no line of it can steer a terminal."""
        text = str(result)
        assert text.strip()
        assert all(line.isprintable() for line in text.splitlines())


class CacheContract:
    """What every cache promises, whatever bounds it."""

    def make(self, max_size=None, **options):
        """Return an empty cache; ``max_size`` None: with room for some thousand entries."""
        raise NotImplementedError

    @staticmethod
    def value(number):
        """Return a value that the cache can hold, the same object for the same number."""
        return number

    def test_a_stored_value_is_found(self):
        """What was put under a key is what ``get`` returns, and the newest one counts."""
        cache = self.make()
        first, second = self.value(1), self.value(2)
        cache.put("key", first)
        assert cache.get("key") is first
        cache.put("key", second)
        assert cache.get("key") is second
        assert (len(cache), cache.size) == (1, 1)

    def test_a_miss_gives_the_default(self):
        """A key that is not there gives None, or the caller's default."""
        cache = self.make()
        marker = object()
        assert cache.get("key") is None
        assert cache.get("key", marker) is marker
        assert cache.get("key", default=marker) is marker

    def test_deleted_and_cleared_entries_are_gone(self):
        """``delete`` tells whether the key was there; ``clear`` takes everything."""
        cache = self.make()
        for number in range(5):
            cache.put(number, self.value(number))
        assert cache.delete(3) is True
        assert cache.delete(3) is False
        assert 3 not in cache
        assert sorted(cache) == [0, 1, 2, 4]
        cache.clear()
        assert (len(cache), list(cache), cache.get(0)) == (0, [], None)

    def test_in_counts_as_no_use(self):
        """``in`` neither counts as a look-up nor makes an entry younger."""
        cache = self.make(2)
        cache.put("a", self.value(1))
        cache.put("b", self.value(2))
        assert "a" in cache
        assert "x" not in cache
        cache.put("c", self.value(3))
        assert sorted(cache) == ["b", "c"]
        assert (cache.stats.hits, cache.stats.misses) == (0, 0)

    def test_the_longest_unused_goes_first(self):
        """Reading and writing both make an entry the youngest."""
        cache = self.make(3)
        for number in range(3):
            cache.put(number, self.value(number))
        cache.get(0)
        cache.put(1, self.value(1))
        cache.put(3, self.value(3))
        assert sorted(cache) == [0, 1, 3]
        cache.get(0)
        cache.put(4, self.value(4))
        assert sorted(cache) == [0, 3, 4]

    def test_iteration_is_over_a_snapshot(self):
        """The cache may change while its keys are iterated over."""
        cache = self.make()
        for number in range(10):
            cache.put(number, self.value(number))
        seen = []
        for key in cache:
            seen.append(key)
            cache.delete(key)
            cache.put(key + 100, self.value(key + 100))
        assert sorted(seen) == list(range(10))

    def test_the_figures_are_exact(self):
        """Hits, misses, evictions and the rate are counted to the last one."""
        cache = self.make(4)
        assert cache.stats.hit_rate is None
        for number in range(6):
            cache.put(number, self.value(number))
        found = sum(cache.get(number) is not None for number in (5, 4, 3, 2, 1, 0, 5))
        stats = cache.stats
        assert found == 5
        assert (stats.hits, stats.misses, stats.evictions, stats.expirations) == (5, 2, 2, 0)
        assert stats.hit_rate == stats["hit_rate"] == 5 / 7
        assert (stats.size, stats.max_size, cache.max_size) == (4, 4, 4)
        with pytest.raises(KeyError):
            stats["no such figure"]

    def test_each_eviction_is_told_once(self):
        """The callback gets key and value of each entry that went for want of room, and of no other."""
        told = []
        cache = self.make(3, on_evict=lambda key, value: told.append((key, value)))
        for number in range(10):
            cache.put(number, self.value(number))
        cache.put(9, self.value(100))
        cache.delete(8)
        cache.clear()
        assert told == [(number, self.value(number)) for number in range(7)]

    def test_a_callback_may_use_the_cache(self):
        """It is called outside the lock: it may read, write, and clear, and other threads go on."""
        from concurrent.futures import ThreadPoolExecutor

        seen = []

        def callback(key, value):
            with ThreadPoolExecutor(1) as elsewhere:  # a held lock would stop this for ever
                seen.append(elsewhere.submit(cache.size.__add__, 0).result(10))
            cache.get(key)
            cache.put("ghost", value)

        cache = self.make(3, on_evict=callback)
        for number in range(6):
            cache.put(number, self.value(number))
        assert seen
        assert len(cache) == 3
        assert "ghost" in cache

    def test_a_callback_that_raises_loses_nothing(self, caplog):
        """The entry that was put is there, the evicted one is gone, and the error is logged and counted."""
        cache = self.make(2, on_evict=lambda key, value: 1 / 0)
        for number in range(5):
            cache.put(number, self.value(number))
        assert sorted(cache) == [3, 4]
        assert cache.get(4) is self.value(4)
        assert cache.stats.failed_callbacks == 3
        assert "on_evict raised ZeroDivisionError" in caplog.text

    def test_a_callback_that_evicts_for_ever_ends(self):
        """One that stores a new key for each that goes is stopped, and the bound holds."""
        cache = self.make(2, on_evict=lambda key, value: cache.put((key, "again"), value))
        for number in range(50):
            cache.put(number, self.value(number))
        assert len(cache) == 2
        assert cache.stats.failed_callbacks >= 1

    def test_an_interrupt_in_a_callback_passes(self):
        """Ctrl-C is not swallowed, and what was still owed is told by the next eviction."""
        told = []

        def callback(key, value):
            told.append(key)
            if key == 0:
                raise KeyboardInterrupt

        cache = self.make(1, on_evict=callback)
        cache.put(0, self.value(0))
        with pytest.raises(KeyboardInterrupt):
            cache.put(1, self.value(1))
        cache.put(2, self.value(2))
        assert told == [0, 1]

    def test_it_remembers_keys_for_what_if(self):
        """A cache with a trace says what other sizes would have hit; one without says what to do."""
        cache = self.make(2, trace=100)
        for key in "abcabcabc":
            if cache.get(key) is None:
                cache.put(key, self.value(ord(key)))
        curve = cache.what_if()
        assert cache.stats.hits == 0
        assert (curve.at(2), curve.at(3), curve.current) == (0.0, 6 / 9, 2)
        with pytest.raises(ValueError, match="trace=100_000"):
            self.make(2).what_if()

    def test_eight_threads_leave_it_whole(self):
        """Readers and writers at once: no value under a wrong key, the bound holds, all is counted."""
        from kit.cache_threads import hammer

        hammer(self.make(64, on_evict=lambda key, value: cache_of[0].get(key)), cache_of := [], self.value)

    def test_eight_threads_on_a_quiet_one(self):
        """The same without a callback."""
        from kit.cache_threads import hammer

        hammer(self.make(64), [], self.value, callbacks=False)


class PoolContract:
    """What every pool promises, whatever its options."""

    def make(self, factory=None, **options):
        """Return a pool."""
        raise NotImplementedError

    @pytest.fixture
    def made(self):
        """Every object that the factory made."""
        return []

    @pytest.fixture
    def factory(self, made):
        """A factory of objects that tell what was done to them."""

        class Item:
            def __init__(self):
                made.append(self)
                self.calls = []

            def reset(self):
                self.calls.append("reset")

            def close(self):
                self.calls.append("close")

        return Item

    def test_an_object_comes_back_reset(self, factory, made):
        """What was given back is given out again, reset once in between; a new one is not reset."""
        with self.make(factory) as pool:
            first = pool.acquire()
            assert first.calls == []
            pool.release(first)
            assert first.calls == ["reset"]
            assert pool.acquire() is first
            assert first.calls == ["reset"]
            pool.release(first)
        assert len(made) == 1
        assert first.calls == ["reset", "reset", "close"]

    def test_no_object_is_in_two_hands(self, factory):
        """Whatever is out is out once."""
        with self.make(factory) as pool:
            out = [pool.acquire() for _ in range(4)]
            assert len(set(map(id, out))) == 4
            for item in out:
                pool.release(item)

    def test_giving_back_twice_or_a_stranger_is_refused(self, factory):
        """Both raise, and change nothing."""
        with self.make(factory) as pool:
            item = pool.acquire()
            pool.release(item)
            with pytest.raises(ValueError, match="given back before"):
                pool.release(item)
            for stranger in (factory(), object(), [], None, 5):
                with pytest.raises(ValueError, match="not of this pool"):
                    pool.release(stranger)
            assert item.calls == ["reset"]
            assert (pool.stats.idle, pool.stats.in_use) == (1, 0)

    def test_borrow_gives_back_however_the_block_ends(self, factory):
        """Normally, and when it raises, whose error passes."""
        with self.make(factory) as pool:
            with pool.borrow() as item:
                assert pool.stats.in_use == 1
            error = RuntimeError("mine")
            with pytest.raises(RuntimeError) as caught, pool.borrow() as again:
                raise error
            assert caught.value is error
            assert again is item
            assert pool.stats.in_use == 0

    def test_a_reset_that_raises_closes_that_object(self, factory, caplog):
        """The pool goes on with a new one; the error is logged and counted, not raised."""
        with self.make(factory) as pool:
            item = pool.acquire()
            item.reset = lambda: 1 / 0
            pool.release(item)
            assert item.calls == ["close"]
            other = pool.acquire()
            assert other is not item
            pool.release(other)
            assert (pool.stats.failed, pool.stats.closed, pool.stats.size) == (1, 1, 1)
            assert "reset() raised ZeroDivisionError" in caplog.text

    def test_an_interrupt_in_reset_passes_and_loses_no_room(self, factory):
        """Ctrl-C is raised, and the object is closed and off the books."""
        with self.make(factory) as pool:
            item = pool.acquire()

            def reset():
                raise KeyboardInterrupt

            item.reset = reset
            with pytest.raises(KeyboardInterrupt):
                pool.release(item)
            assert item.calls == ["close"]
            assert (pool.stats.size, pool.stats.in_use) == (0, 0)

    def test_a_factory_that_raises_costs_no_room(self, factory):
        """Its error passes, and the room is there for the next."""
        broken = [True]

        def sometimes():
            if broken:
                broken.pop()
                raise OSError("no connection")
            return factory()

        with self.make(sometimes, max_size=1) as pool:
            with pytest.raises(OSError, match="no connection"):
                pool.acquire()
            assert pool.stats.size == 0
            pool.release(pool.acquire())
            assert pool.stats.size == 1

    def test_closing_closes_what_lies_idle_and_what_comes_back(self, factory):
        """Idle ones at once, those out when they are given back, unreset; nothing more is given out."""
        pool = self.make(factory)
        out, idle = pool.acquire(), pool.acquire()
        pool.release(idle)
        pool.close()
        pool.close()
        assert (idle.calls, out.calls) == (["reset", "close"], [])
        pool.release(out)
        assert out.calls == ["close"]
        assert (pool.stats.size, pool.stats.closed, pool.stats.idle) == (0, 2, 0)
        with pytest.raises(ValueError, match="closed"):
            pool.acquire()

    def test_objects_that_lack_the_methods_are_taken(self):
        """A missing reset or close is left out; objects without a hash are told apart all the same."""
        with self.make(lambda: bytearray(10)) as pool:
            one, two = pool.acquire(), pool.acquire()
            assert one == two
            pool.release(two)
            with pytest.raises(ValueError, match="given back before"):
                pool.release(two)
            with pytest.raises(ValueError, match="not of this pool"):
                pool.release(bytearray(10))
            assert pool.acquire() is two
            pool.release(one)
            pool.release(two)

    def test_a_factory_may_change_its_mind(self, factory):
        """Objects of different types, with and without the methods, live in one pool."""
        kinds = [factory, list, factory, dict]

        def mixed():
            return kinds.pop(0)()

        with self.make(mixed) as pool:
            out = [pool.acquire() for _ in range(4)]
            for item in out:
                pool.release(item)
            assert out[0].calls == out[2].calls == ["reset"]
            assert pool.stats.idle == 4

    def test_eight_threads_lose_and_share_nothing(self, factory):
        """No object in two hands, none lost, and the bound holds at every moment."""
        from kit.cache_threads import share

        with self.make(factory, max_size=5) as pool:
            share(pool)
