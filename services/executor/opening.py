"""How a ledger is taken up at a start, and what is done where data of it was lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.executor import checkpoint
from services.executor.journal import alert
from services.executor.state import ExecutorState, LedgerStage
from shared.engine import Step
from shared.ledger import DATA_LOST, RISK, Opened, WriteMarks, lost_mark
from shared.messages.control import Severity

FLATTEN_BEFORE_LOSS = (
    "a FLATTEN from before a loss of data closes nothing, as what is open is not known; compare "
    "with the venues, then close by hand, or say it again"
)


def take_up(
    saved: Mapping[str, bytes], opened: Opened | None, now_ns: int, out: Step
) -> ExecutorState:
    """Return the state to continue from; locked where some of it was lost.

    Raises:
        CodecError: The checkpoint is not one that this program can read.
    """
    state = checkpoint.decode(saved)
    if opened is not None:
        state.ledger_id = opened.ledger_id
    loss = checkpoint.missing_part(saved) or (opened.loss if opened is not None else "")
    if loss or not saved:
        state.stage, state.began_ns = LedgerStage.NEW, now_ns
    elif state.stage is LedgerStage.SURVEYED and not state.locked:
        # The process before may have sent the legs of a first plan and died: they are ours.
        state.stage = LedgerStage.USED
    if loss:
        _end_flatten(state, now_ns, out)
        lock(state, loss, now_ns, out)
    return state


def on_data_lost(state: ExecutorState, loss: str, recovered: bool, now_ns: int, out: Step) -> None:
    """Take note of lost data after the start; once is enough until an operator resumes."""
    if state.locked.startswith(DATA_LOST):
        return
    if not recovered:
        state.stage, state.began_ns = LedgerStage.NEW, now_ns
        _end_flatten(state, now_ns, out)
    lock(state, loss, now_ns, out)


def _end_flatten(state: ExecutorState, now_ns: int, out: Step) -> None:
    """End a FLATTEN of the record: what came after it is not in there, perhaps its own end."""
    if state.flatten:
        state.flatten, state.closings = "", {}
        alert(out, Severity.WARNING, "FLATTEN_ENDED", FLATTEN_BEFORE_LOSS, now_ns)


def lock(state: ExecutorState, loss: str, now_ns: int, out: Step) -> None:
    """Start nothing until an operator resumes, and report to risk that data was lost."""
    state.locked, state.lost_ns = f"{DATA_LOST}: {loss}", now_ns
    out.at_once.append(WriteMarks({lost_mark(RISK): loss}, only_new=True))
    alert(out, Severity.CRITICAL, DATA_LOST, loss, now_ns)
