"""host.reset_networking, and calls of extensions that there are not."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.testing.pool import sim_pool


async def test_reset_forgets_the_network_of_one_host_and_a_scan_finds_its_cards() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        await ask(pool, "PIF.scan", host)
        await ask(pool, "PIF.scan", other)
        cards = sorted(pool.store.get(pif)["device"] for pif in pool.store.related(host, "PIFs"))
        kept = set(pool.store.related(other, "PIFs"))
        card = pool.store.related(host, "PIFs")[0]
        lan = pool.add("network", name_label="tagged", bridge="xapi7", MTU=1500)
        await ask(pool, "VLAN.create", card, 7, lan)
        measured = [pool.store.get(pif)["metrics"] for pif in pool.store.related(host, "PIFs")]
        await ask(pool, "host.reset_networking", host)
        assert pool.store.related(host, "PIFs") == ()
        assert pool.store.all("VLAN") == {}
        assert all(pool.store.find(metrics) is None for metrics in measured)
        assert set(pool.store.all("PIF")) == kept
        await ask(pool, "PIF.scan", host)
        assert sorted(pool.store.get(pif)["device"] for pif in pool.store.related(host, "PIFs")) == cards


async def test_call_of_an_extension_names_the_method_that_is_missing() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        text = "<methodCall><methodName>acme.frob</methodName><params></params></methodCall>"
        assert await refused(pool, "host.call_extension", host, text) == ["MESSAGE_METHOD_UNKNOWN", "acme.frob"]
        assert (await refused(pool, "host.call_extension", host, "frob"))[:2] == ["INVALID_VALUE", "call"]
