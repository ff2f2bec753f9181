"""What a configured instrument must look like before a venue is asked for it. Pure."""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind, InstrumentName, split_instrument

_WHAT = {
    InstrumentKind.SPOT: ("a spot instrument", "BASE/QUOTE, like BTC/USDT"),
    InstrumentKind.LINEAR: (
        "a perpetual settled in its quote",
        "BASE/QUOTE:QUOTE, like BTC/USDT:USDT",
    ),
    InstrumentKind.INVERSE: (
        "a perpetual settled in its base",
        "BASE/QUOTE:BASE, like BTC/USD:BTC",
    ),
}


def checked_name(instrument: str, *kinds: InstrumentKind) -> InstrumentName:
    """Return the parts of an instrument of one of these kinds.

    A dated future or an option is never taken for the perpetual of the same pair.

    Raises:
        ValueError: It is another kind, or not written as venues write it.
    """
    name = split_instrument(instrument)
    if any(character.isspace() for character in instrument):
        raise ValueError(f"{instrument!r} has a space in it; give {instrument.replace(' ', '')!r}")
    if instrument != instrument.upper():
        raise ValueError(f"{instrument} is not in capitals; give {instrument.upper()}")
    settle, dash, expiry = (name.settle or "").partition("-")
    if dash:
        what = "an option" if "-" in expiry else "a dated future"
        raise ValueError(
            f"{instrument} is {what}; only spot instruments and perpetuals are known, "
            f"like {name.base}/{name.quote} and {name.base}/{name.quote}:{settle}"
        )
    if settle and settle not in (name.base, name.quote):
        raise ValueError(
            f"{instrument} is settled in {settle}, which is neither {name.base} nor {name.quote}"
        )
    if name.kind not in kinds:
        what, like = _WHAT[kinds[0]]
        raise ValueError(f"{instrument} is not {what}; this venue has {like}")
    return name
