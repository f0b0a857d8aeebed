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
