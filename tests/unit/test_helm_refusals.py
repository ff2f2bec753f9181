"""Values that the Helm chart refuses: each in one line that names its place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm import Refused, render
from tests.helm_cases import VENUES

pytestmark = pytest.mark.helm

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no TOML": ({"config": "[bus"}, "config is no TOML"),
    "no venue": ({"config": "[bus]\nshards = 1\n"}, "config has no [venues.NAME]"),
    "password": (
        {"config": '[recorder]\nledger_url = "postgresql://u:hunter2@db/x"\n' + VENUES},
        "an address with a password",
    ),
    "live by half": ({"config": f'[executor]\nmode = "live"\n{VENUES}'}, "must be asked for twice"),
    "no such venue": (
        {"config": VENUES, "services": {"ingestor": {"venues": ["gamma"]}}},
        "names gamma; config has alpha, beta_1",
    ),
    "one name": (
        {"config": VENUES + '[venues.beta-1]\ninstruments = ["A/B"]\n'},
        "would both be named",
    ),
    "one name with feed b": (
        {
            "config": f"{VENUES}two_feeds = true\n"
            '[venues.beta_1_b]\nadapter = "kraken"\ninstruments = ["A/B"]\n'
        },
        "would both be named",
    ),
    "no venue of them": ({"services": {"ingestor": {"venues": []}}}, "/services/ingestor/venues"),
    "no name": (
        {"config": VENUES + '[venues."A B"]\ninstruments = ["A/B"]\n'},
        "config has venues.A B; a name has",
    ),
    "no shard": ({"config": f"[bus]\nshards = 0\n{VENUES}"}, "bus.shards = 0; give 1 to 64"),
    "shards": ({"config": f"[bus]\nshards = 65\n{VENUES}"}, "bus.shards = 65; give 1 to 64"),
    "password in an option": (
        {"config": f'[bus]\nurl = "rediss://r:6379/0?db=1&password=x"\n{VENUES}'},
        "an address with a password",
    ),
    "login in an option": ({"redis": {"url": "rediss://r/0?password=x"}}, "has a password"),
    "login of Sentinels": (
        {"redis": {"url": "rediss+sentinel://a/arb/0?sentinel_password=x"}},
        "redis.url has a password",
    ),
    "closed usual port": (
        {"redis": {"url": "rediss://r/0"}, "networkPolicy": {"redis": {"ports": [6380]}}},
        "redis.url has port 6379",
    ),
    "closed port of a Sentinel": (
        {"redis": {"url": "rediss+sentinel://a:6379,b/arb/0"}},
        "redis.url has port 26379",
    ),
    "closed port of IPv6": ({"redis": {"url": "rediss://[2001:db8::1]:7/0"}}, "has port 7,"),
    "label by which its policy finds it": (
        {"podLabels": {"app.kubernetes.io/component": "x"}},
        "app.kubernetes.io/component",
    ),
    "what restarts it": ({"podAnnotations": {"arbstream/config": "x"}}, "'arbstream/config'"),
    "not encrypted": ({"redis": {"url": "redis://r:6379/0"}}, "redis.url is not encrypted"),
    "closed port": ({"redis": {"url": "rediss://r:6380/0"}}, "redis.url has port 6380"),
    "two authorities": ({"redis": {"tlsCa": {"secret": "a", "configMap": "b"}}}, "give one"),
    "nobody": ({"dashboard": {"allowedHosts": ["a.example"]}}, "dashboard.from is empty"),
    "login": ({"redis": {"url": "rediss://u:p@r:6379/0"}}, "/redis/url"),
    "latest": ({"image": {"tag": "latest"}}, "/image/tag"),
    "digest": ({"image": {"digest": "sha256:12"}}, "/image/digest"),
    "no such key": ({"replicas": 2}, "replicas"),
    "no such service": ({"services": {"scaner": {}}}, "scaner"),
    "no such part": ({"services": {"risk": {"replica": 2}}}, "replica"),
    "no replica": ({"services": {"risk": {"replicas": 0}}}, "/services/risk/replicas"),
    "bytes": ({"services": {"risk": {"memory": "512"}}}, "/services/risk/memory"),
    "a billion processors": ({"services": {"risk": {"cpu": "1Gi"}}}, "/services/risk/cpu"),
    "no processor": ({"services": {"risk": {"cpu": "0"}}}, "/services/risk/cpu"),
    "no class of a volume": (
        {"services": {"dashboard": {"storage": {"storageClass": "a: b"}}}},
        "/services/dashboard/storage/storageClass",
    ),
    "two": ({"services": {"sentinel": {"replicas": 2}}}, "/services/sentinel/replicas"),
    "two of a feed": (
        {"services": {"ingestor": {"replicas": 2}}},
        "/services/ingestor/replicas",
    ),
    "phrase": ({"liveTrading": "yes"}, "/liveTrading"),
    "file of file": (
        {"services": {"recorder": {"secretFiles": {"ARB_LEDGER_URL_FILE": "x"}}}},
        "ARB_LEDGER_URL_FILE",
    ),
    "path": ({"strategyFiles": {"../x.py": ""}}, "../x.py"),
    "no peer": ({"networkPolicy": {"redis": {"to": []}}}, "/networkPolicy/redis/to"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_run_is_refused_with_its_place(case: str) -> None:
    values, text = REFUSED[case]
    with pytest.raises(Refused) as caught:
        render(values)
    assert text in str(caught.value)
    assert "nil pointer" not in str(caught.value)
