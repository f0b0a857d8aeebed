"""A job that asks one question on a terminal, as a deployment tool or a bot does. It ought to leave nothing.

The terminal is a dummy here, so that the demo needs none; the prompt is the real one.
"""

from prompt_toolkit import PromptSession
from prompt_toolkit.input import DummyInput
from prompt_toolkit.output import DummyOutput


def ask(question: str) -> str:
    """Ask, without a terminal: the answer is what stands in the buffer at the start."""
    session: PromptSession[str] = PromptSession(question, input=DummyInput(), output=DummyOutput())
    return session.default_buffer.text


def step() -> None:
    """One job."""
    answer = ask("Deploy to production? ")
    assert answer == ""
