"""What a live view shows at one moment, as plain numbers and words: figures, alarm, types, marks and peak.

The same words stand in the widget, in the static picture of a saved notebook and in the text of a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.records.snapshot import Snapshot
from memlab.views import words
from memlab.views.timeline_data import mark_columns, peak_columns, timeline_columns

if TYPE_CHECKING:
    from memlab.lab.live import LiveRecording
    from memlab.lab.live_tracks import Alert, Update
    from memlab.records._result import Result
    from memlab.records.capture import Capture

__all__ = ["live_figures", "live_picture", "live_text", "live_update"]

_POINTS = 3_000
_MOST_SHOTS = 8


def live_picture(capture: Capture, taken: tuple[int, ...], *, running: bool) -> dict[str, Any]:
    """Return the whole of a live recording, thinned, as the widget keeps it in its state."""
    made = timeline_columns(capture.timeline, capture, _POINTS)
    return {**made, "taken": list(taken), "running": running}


def live_update(recording: LiveRecording, update: Update) -> dict[str, Any]:
    """Return the message that goes with an update's samples."""
    return {
        "kind": "update",
        "tracks": [
            {"names": list(track.names), "first": track.first, "rows": len(track.time_s)}
            for track in update.tracks
        ],
        "pauses": [[round(t, 6), round(d, 6), g] for t, d, g in update.pauses],
        "marks": mark_columns(recording.marks),
        "peak": peak_columns(update.peak, recording.peak_s, "") if update.peak is not None else None,
        "caption": _caption(recording),
    }


def live_figures(recording: LiveRecording, answer: tuple[int, str] = (0, "")) -> dict[str, Any]:
    """Return the words and figures of a live recording.

    Args:
        recording: which.
        answer: the number of the last button's message that was handled, and what came of it.
    """
    running = not recording.ended
    last = recording.last_bytes
    greatest = recording.greatest_bytes
    peak = recording.peak
    count, total, longest = recording.pauses_so_far
    return {
        "rss": format_bytes(last),
        "rss_note": "RSS, as the system counts it",
        "peak": format_bytes(greatest),
        "peak_note": "the kernel's own mark" if peak is not None else "greatest sample: a lower bound",
        "growth": format_signed_bytes(last - recording.first_bytes),
        "growth_note": f"from {format_bytes(recording.first_bytes)}",
        "pauses": format_seconds(total),
        "pauses_note": f"{count:,} collections, longest {format_seconds(longest)}" if count else "none yet",
        "state": _state(recording),
        "running": running,
        "types": [[words.printable(g.name, 160), g.gained, g.objects] for g in recording.types],
        "types_note": f"No more looks: {recording.types_reason}." if _says_why(recording) else "",
        "types_off": recording.types_reason == "not asked for",
        "snapshots": [_shot(at, shot) for at, shot in recording.snapshots[-_MOST_SHOTS:]],
        "answered": answer[0],
        "answer": words.printable(answer[1], 300),
        **_alarm(recording),
    }


def live_text(recording: LiveRecording) -> str:
    """Return a live recording in one line."""
    shown = live_figures(recording)
    alarm = f" {shown['alarm']}" if shown["alarm"] else ""
    return f"memory of this kernel: RSS {shown['rss']}, peak {shown['peak']}; {shown['state']}.{alarm}"


def _says_why(recording: LiveRecording) -> bool:
    return recording.types_reason not in ("", "not asked for")


def _state(recording: LiveRecording) -> str:
    lasted = format_seconds(recording.lasted_s)
    if recording.ended:
        return f"ended after {lasted}: {words.printable(recording.ended, 160)}"
    rate = 1 / recording.gap_s
    often = f"{rate:.0f} a second" if rate >= 1 else f"every {format_seconds(recording.gap_s)}"
    return f"running for {lasted}, updates {often}"


def _caption(recording: LiveRecording) -> str:
    return (
        f"{recording.samples:,} samples in {format_seconds(recording.lasted_s)}: from"
        f" {format_bytes(recording.first_bytes)} to {format_bytes(recording.last_bytes)}, greatest"
        f" {format_bytes(recording.greatest_bytes)}."
    )


def _alarm(recording: LiveRecording) -> dict[str, Any]:
    limit = recording.limit_bytes
    if limit is None or not recording.alerts:
        return {"alarm": "", "alarm_number": 0, "alarm_lasts": False}
    last = recording.alerts[-1]
    return {
        "alarm": _alert_words(last, limit),
        "alarm_number": len(recording.alerts),
        "alarm_lasts": last.ended_s is None,
    }


def _alert_words(alert: Alert, limit_bytes: int) -> str:
    limit, began = format_bytes(limit_bytes), format_seconds(alert.began_s)
    if alert.ended_s is None:
        return f"Memory is above the limit of {limit}, since {began}."
    return (
        f"Memory was above the limit of {limit} from {began} to {format_seconds(alert.ended_s)}, at most"
        f" {format_bytes(alert.greatest_bytes)}."
    )


def _shot(at: float, shot: Result) -> str:
    if isinstance(shot, Snapshot):
        held = f"{format_bytes(shot.total_bytes)} traced in {shot.total_blocks:,} blocks"
    else:
        size, count = getattr(shot, "total_bytes", 0), getattr(shot, "total_objects", 0)
        held = f"{format_bytes(size)} in {count:,} objects (a census of the heap; nothing is traced)"
    return f"Snapshot at {format_seconds(at)}: {held}"
