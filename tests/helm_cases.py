"""Values that the Helm chart is tested with, from none to all of them."""

from __future__ import annotations

from typing import Any

from shared.services import SERVICE_NAMES
from tests.helm import Object
from tests.helm_policy import of_kind

VENUES = """
[venues.alpha]
adapter = "binance"
instruments = ["BTC/USDT"]
[venues.beta_1]
adapter = "kraken"
instruments = ["BTC/USDT"]
"""
EVERYTHING = """
[bus]
shards = 2
[executor]
mode = "live"
[recorder]
enabled = true
ledger = true
[dashboard]
operator = true
[[notifier.channels]]
name = "phone"
kind = "telegram"
chat = "-1001"
[[notifier.channels]]
name = "desk"
kind = "email"
host = "mail.example"
sender = "arb@example.org"
to = ["ops@example.org"]
[venues.alpha]
adapter = "binance"
instruments = ["BTC/USDT"]
two_feeds = true
[venues.beta_1]
adapter = "kraken"
instruments = ["BTC/USDT"]
[venues.watched]
adapter = "kraken"
trade = false
instruments = ["ETH/USDT"]
[[strategies]]
id = "mine"
class = "mine.py"
"""
PEER = {"podSelector": {"matchLabels": {"app": "proxy"}}}
WHOLE: dict[str, Any] = {
    "config": EVERYTHING,
    "liveTrading": "yes-trade-real-money",
    "strategyFiles": {"mine.py": "# a strategy\n"},
    "image": {
        "repository": "images.example:5000/arbstream",
        "digest": f"sha256:{'ab' * 32}",
        "pullSecrets": ["images"],
    },
    "redis": {
        "url": "rediss+sentinel://a:26379,b:26379,c:26379/arb/0",
        "tlsCa": {"configMap": "redis-ca"},
    },
    "networkPolicy": {"redis": {"ports": [26379, 6379]}},
    "services": {
        "orderbook": {"replicas": 3, "cpu": "2", "memory": "1Gi"},
        "risk": {"secret": "keys-of-risk"},
        "recorder": {
            "storage": {"size": "200Gi", "storageClass": "fast", "accessMode": "ReadWriteMany"},
            "secretFiles": {"ARB_LEDGER_URL": "ledger_url"},
        },
    },
    "dashboard": {"allowedHosts": ["arb.example.com"], "from": [PEER]},
    "nodeLostAfterSeconds": 20,
    "priorityClassName": "trading",
    "nodeSelector": {"pool": "trading"},
    "tolerations": [{"key": "trading", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podLabels": {"team": "desk"},
    "podAnnotations": {"note": "a"},
}
ONE: dict[str, Any] = {
    "config": VENUES,
    "services": {name: {"enabled": False} for name in SERVICE_NAMES if name != "risk"},
}
MORE_SHARDS: dict[str, Any] = {"config": f"[bus]\nshards = 4\n{VENUES}"}
PLAIN: dict[str, Any] = {"redis": {"url": "redis://r:6379/0", "allowPlaintext": True}}
CASES = {"default": {}, "whole": WHOLE, "one": ONE, "shards": MORE_SHARDS, "plain": PLAIN}


def deployments(objects: list[Object]) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in of_kind(objects, "Deployment")}
