"""What the simulated key may do; the one signed path of the wallet that is served."""

from __future__ import annotations

from typing import Any

KEY_RIGHTS = "/sapi/v1/account/apiRestrictions"


def key_rights(account_state: str) -> dict[str, Any]:
    """Return the rights on spot and futures."""
    may_trade = account_state != "read_only"
    return {
        "ipRestrict": False,
        "createTime": 1_623_840_271_000,
        "enableReading": True,
        "enableWithdrawals": account_state == "may_withdraw",
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableMargin": False,
        "enableFutures": may_trade,
        "enableVanillaOptions": False,
        "enablePortfolioMarginTrading": False,
        "enableSpotAndMarginTrading": may_trade,
    }
