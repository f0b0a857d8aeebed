"""``memlab.Live()``: the memory of the kernel as it is now, in a notebook.

A ``LiveRecording`` (``lab/live.py``) reads from its thread; this module puts what it tells into a widget,
whose script is the report's own timeline. New samples travel as binary messages of a few hundred bytes. The
widget's synced state holds the last picture, thinned, and is renewed every ten seconds.

What a saved notebook keeps: a widget view is lost with its kernel, and what JupyterLab shows in its place is
an error. So a second, folded output beside the widget holds the last figures and a still picture, renewed
every thirty seconds; and when the recording ends, the widget's output becomes the report of what was
recorded. (That is why the object displays itself: only a display with a name can be replaced.)

While a plain cell runs, the kernel handles no click. The methods do the same from the code of the cell.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from memlab.errors import MemlabError, MissingExtraError, UsageError
from memlab.faces.ipython.own_layout import OwnLayout
from memlab.lab.live import LiveRecording
from memlab.views.html import live_assets, render_live_still, render_timeline_picture
from memlab.views.live_data import live_figures, live_picture, live_text, live_update
from memlab.views.palette import DARK, LIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.lab.live_tracks import Alert, TrackNews, Update
    from memlab.records._result import Result
    from memlab.records.capture import Capture, Mark

__all__ = ["Live", "latest"]

SYNC_S = 10.0
STILL_S = 30.0
_WIDGET = "application/vnd.jupyter.widget-view+json"
_shown: set[Live] = set()
_latest: list[weakref.ref[Live]] = []
_classes: list[Any] = []


class Live:
    """A live view of the kernel's memory. It runs from the moment it is made.

    Shown are RSS and what else is asked for, the collector's pauses, the types that gained most objects,
    marks and a limit. It ends with ``stop()``, ``close()``, its button, after ``minutes``, with the kernel,
    and when nothing refers to it and no page shows it. Live views of one kernel share one thread
    and one sampler process.

    RSS is read by a process of its own. While C code holds the interpreter's lock nothing can be sent and the
    view stands still; afterwards it shows what happened meanwhile. The peak is the kernel's own mark where
    there is one and misses nothing.

    Args:
        interval_s: seconds between two samples of RSS; what only the inside knows is read with each update.
        updates_per_s: how often the view is renewed, at most 10 a second; less often where that costs much.
        metrics: of ``rss_bytes``, ``allocated_blocks``, ``traced_bytes``.
        limit: a size such as ``"2 GiB"``: a line in the picture, and a notice when memory is above it.
        minutes: it ends by itself after so long.
        types: count objects by type now and then, where that costs little.

    Raises:
        MissingExtraError: when anywidget is not installed.
        UsageError: when a number makes no sense.

    Example:
        >>> live = Live(minutes=1)
        >>> block = bytearray(10_000_000)
        >>> live.mark("allocated").label
        'allocated'
        >>> capture = live.stop()
        >>> [mark.label for mark in capture.marks]
        ['allocated']
    """

    def __init__(
        self,
        interval_s: float = 0.1,
        updates_per_s: float = 2.0,
        metrics: Sequence[str] = ("rss_bytes", "allocated_blocks"),
        limit: float | str | None = None,
        minutes: float = 60.0,
        *,
        types: bool = True,
    ) -> None:
        self.recording = LiveRecording(interval_s, updates_per_s, metrics, limit, minutes, types)
        view = _View(self.recording)
        self._view = view
        self.recording.on_update = view.tell
        this = weakref.ref(self)
        view.widget.on_msg(lambda _widget, content, _buffers: _handle(this, content))
        view.when_over = lambda: _shown.discard(this())
        self.recording.start()
        view.sync()
        _latest[:] = [this]

    # -- what a person does

    def mark(self, label: str) -> Mark:
        """Name this moment; the same as the button.

        Raises:
            UsageError: when it does not run, or the label is no text.
        """
        return self.recording.mark(label)

    def snapshot(self, label: str = "") -> Result:
        """Take a snapshot and mark the moment; the same as the button.

        With tracemalloc running (``memlab.tracing()``) it is a ``Snapshot`` of allocation sites, otherwise a
        census of the heap by type, which stops the kernel three times as long as one ``gc.collect()``.

        Raises:
            UsageError: when it does not run, or there are very many.
        """
        return self.recording.snapshot(label)

    def stop(self) -> Capture:
        """End, and return what was recorded; the view becomes its report. A second call returns the same."""
        return self.recording.stop()

    def close(self) -> None:
        """End, and take the widget away."""
        self.recording.stop("close() was called")
        self._view.widget.close()
        _shown.discard(self)

    def capture(self) -> Capture:
        """Return what was recorded until now."""
        return self.recording.capture()

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self.recording.is_alive

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Times above the limit."""
        return tuple(self.recording.alerts)

    @property
    def snapshots(self) -> tuple[Result, ...]:
        """What ``snapshot`` and its button gave, in order."""
        return tuple(shot for _, shot in self.recording.snapshots)

    @property
    def widget(self) -> Any:
        """The widget itself, to be put among others."""
        return self._view.widget

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __del__(self) -> None:
        recording = getattr(self, "recording", None)
        if recording is not None and recording.now_s:
            with contextlib.suppress(Exception):
                recording.stop("nothing referred to it any more")

    # -- how it is shown

    def __str__(self) -> str:
        return live_text(self.recording)

    __repr__ = __str__

    def _ipython_display_(self) -> None:
        if self.recording.ended:
            from IPython.display import display

            display(self.capture())
            return
        _shown.add(self)
        self._view.show()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        return self._view.bundle()


class _View:
    """The widget and its outputs. The recording's thread calls ``tell``; it refers to no ``Live``."""

    def __init__(self, recording: LiveRecording) -> None:
        self.widget = _widget_class()()
        self.when_over: Any = None
        self.answer = (0, "")
        self.views = 0
        self._recording = weakref.ref(recording)
        self._display_id = ""
        self._synced = self._stilled = 0.0
        self._away = False
        # A click and the thread may renew the state at once.
        self._lock = threading.RLock()

    def tell(self, update: Update) -> None:
        """Send what is new; called by the recording's thread."""
        recording = self._recording()
        if recording is None:
            return
        if recording.ended:
            self._end(recording)
            return
        if self._display_id and not self._away:
            content = live_update(recording, update) | {"figures": live_figures(recording, self.answer)}
            self.widget.send(content, [data for track in update.tracks for data in _columns(track)])
        now = time.monotonic()
        if now - self._synced >= SYNC_S:
            self.sync()
        if self._display_id and not self._away and now - self._stilled >= STILL_S:
            self._stilled = now
            self._renew_still(recording)

    def sync(self) -> None:
        """Put the last picture and figures into the widget's state."""
        recording = self._recording()
        if recording is None:
            return
        with self._lock:
            self._synced = time.monotonic()
            taken = recording.taken
            picture = live_picture(recording.capture(), taken, running=not recording.ended)
            if recording.limit_bytes is not None:
                picture["limit"] = _limit(recording.limit_bytes)
            self.widget.picture = picture
            self.widget.figures = live_figures(recording, self.answer)

    def show(self) -> None:
        """Put the widget and the still picture into the output of the cell that runs."""
        from IPython.display import display

        self._away = False
        first = not self._display_id
        self._display_id = self._display_id or f"memlab-live-{self.widget.model_id}"
        display(self.bundle(), raw=True, display_id=self._display_id)
        recording = self._recording()
        if recording is not None:
            display(self._still(recording), raw=True, display_id=f"{self._display_id}-still")
        if first:
            self._stilled = time.monotonic()

    def bundle(self) -> dict[str, Any]:
        """Return what stands for the view where there are widgets, and where there are none."""
        made = self.widget._repr_mimebundle_()
        data = dict(made[0] if isinstance(made, tuple) else made or {})
        recording = self._recording()
        data["text/plain"] = live_text(recording) if recording is not None else "ended"
        return data

    def appeared(self) -> None:
        """Note that a page shows the widget."""
        self.views += 1
        self._away = False
        self.sync()

    def went(self) -> bool:
        """Note that a page shows it no more; tell whether none does."""
        self.views = max(0, self.views - 1)
        self._away = self.views == 0
        return self._away

    def _still(self, recording: LiveRecording) -> dict[str, str]:
        at = time.strftime("%H:%M:%S", time.gmtime())
        html = render_live_still(recording.capture(), live_figures(recording), at)
        return {"text/plain": "", "text/html": html}

    def _renew_still(self, recording: LiveRecording) -> None:
        from IPython.display import update_display

        update_display(self._still(recording), raw=True, display_id=f"{self._display_id}-still")

    def _end(self, recording: LiveRecording) -> None:
        """Bring the state to its end, and put the report in the place of the view."""
        self.sync()
        if self._display_id:
            from IPython.display import update_display

            capture = recording.capture()
            report = capture._repr_mimebundle_() | {"image/svg+xml": render_timeline_picture(capture)}
            update_display(report, raw=True, display_id=self._display_id)
            update_display(
                {"text/plain": "", "text/html": ""}, raw=True, display_id=f"{self._display_id}-still"
            )
        if self.when_over is not None:
            self.when_over()


def _columns(track: TrackNews) -> list[bytes]:
    """Return the moments of new samples and each metric's values, as the script takes them."""
    times = np.array(track.time_s, dtype=np.float64)
    values = np.array(track.values, dtype=np.float64).reshape(len(times), len(track.names))
    return [times.tobytes(), *(column.tobytes() for column in values.T)]


def latest() -> Live:
    """Return the live view that was made last, for the magic.

    Raises:
        UsageError: when there is none.
    """
    found = _latest[0]() if _latest else None
    if found is None or not found.is_alive:
        raise UsageError("%memlive: no live view runs; %memlive alone begins one")
    return found


def _handle(this: weakref.ref[Live], content: Any) -> None:
    """Do what a button asks for; the kernel calls this when it is idle."""
    live = this()
    what = content.get("do") if isinstance(content, dict) else None
    if live is None or what is None:
        return
    view = live._view  # noqa: SLF001 - one module
    if what == "gone":
        if view.went():
            _shown.discard(live)
        return
    if what == "shown":
        _shown.add(live)
        view.appeared()
        return
    number = content.get("number", 0)
    answer = ""
    try:
        if what == "mark":
            count = len(live.recording.marks) + 1
            answer = f"Marked: {live.mark(str(content.get('label') or '').strip() or f'mark {count}').label}"
        elif what == "snapshot":
            live.snapshot()
            answer = "Snapshot taken: live.snapshots[-1]"
        elif what == "stop":
            live.recording.stop("its Stop button was pressed")
            return
    except MemlabError as error:
        answer = str(error)
    view.answer = (number if isinstance(number, int) else 0, answer)
    view.sync()


def _limit(limit_bytes: int) -> dict[str, Any]:
    from memlab._base.units import format_bytes

    return {"value": limit_bytes, "label": f"limit {format_bytes(limit_bytes)}"}


def _widget_class() -> Any:
    """Return the widget's class, made when it is first needed: anywidget is an optional part."""
    if _classes:
        return _classes[0]
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise MissingExtraError.needs("a live view", "anywidget", "notebook") from None
    script, style = live_assets()

    class LiveWidget(OwnLayout, anywidget.AnyWidget):
        """The timeline of a kernel's memory, drawn from its state and from messages."""

        _esm = script
        _css = style_sheet(style)
        picture = traitlets.Dict().tag(sync=True)
        figures = traitlets.Dict().tag(sync=True)

    _classes.append(LiveWidget)
    return LiveWidget


def style_sheet(style: str) -> str:
    """Return the widget's style: the page's rules, under its own class, in the notebook's theme."""
    colors = "".join(f"--{name}: light-dark({LIGHT[name]}, {DARK[name]}); " for name in LIGHT)
    return f"""
.memlab-live {{ color-scheme: light dark; {colors}--sans: system-ui, sans-serif;
  --mono: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font: 14px/1.5 var(--sans); color: var(--ink); background: var(--surface); padding: 10px 14px 12px;
  border: 1px solid var(--line); border-radius: 8px; }}
body[data-jp-theme-light="true"] .memlab-live {{ color-scheme: light; }}
body[data-jp-theme-light="false"] .memlab-live {{ color-scheme: dark; }}
.memlab-live {{
  p, ul {{ margin: 0; }}
  .unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
  .mono {{ font-family: var(--mono); font-size: .92em; }}
  {style}
}}
"""
