"""A pool secret that is replaced while servers of members are about, and members that say where they are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api_pool import TCP, UNIX
from member_pair import ELSEWHERE, OLD, PLACE, Pair, two_members

from xenapi_core.api.membership import ROUNDS
from xenapi_core.server.announce import announce
from xenapi_core.server.pool_secret import open_membership

NEW = "the-secret-to-come"


async def test_a_rotated_secret_is_that_of_all_members() -> None:
    async with two_members() as pair:
        await pair.rotate()
        here, there = pair.secrets
        assert here.secret == there.secret != OLD
        assert [here.knows(OLD), there.knows(OLD), pair.pending] == [False, False, False]
        assert there.coordinator == "coordinator.example"
        assert [call for call in pair.calls if call in ROUNDS] == list(ROUNDS)
        await pair.talk_to_each_other()


@pytest.mark.parametrize("broken", ROUNDS)
async def test_a_rotation_that_breaks_off_is_finished_by_the_next_call(broken: str) -> None:
    async with two_members() as pair:
        pair.down = {broken}
        assert await pair.cannot_rotate() == ["CANNOT_CONTACT_HOST", pair.host]
        assert pair.pending
        await pair.talk_to_each_other()
        refusal = await pair.coordinator.refusal("pool.initial_auth", await pair.coordinator.login())
        assert refusal == ["POOL_SECRET_ROTATION_PENDING"]
        here, there = pair.secrets
        new = here.coming or here.secret
        pair.down = set()
        await pair.rotate()
        assert (here.secret, there.secret, pair.pending) == (new, new, False)
        assert [here.knows(OLD), there.knows(OLD)] == [False, False]
        assert (here.coming, here.going, there.coming, there.going) == ("", "", "", "")


async def test_a_member_is_told_again_without_harm_and_not_out_of_turn() -> None:
    async with two_members() as pair:
        member, there = pair.member, pair.secrets[1]

        async def step(number: int, old: str, new: str) -> Any:
            session = await member.call("session.slave_local_login", there.secret)
            return await member.call(ROUNDS[number], session, member.host, old, new)

        async def refused(number: int, old: str, new: str) -> list[str]:
            session = await member.call("session.slave_local_login", there.secret)
            return await member.refusal(ROUNDS[number], session, member.host, old, new)

        assert (await refused(0, "another", NEW))[0] == "SESSION_AUTHENTICATION_FAILED"
        for wrong in ("", "short", "a" * 300, "with spaces and; signs", "ü" * 20):
            assert await refused(0, OLD, wrong) == ["INVALID_VALUE", "new_ps", ""]
        for number in (1, 2):
            assert (await refused(number, OLD, NEW))[0] == "SESSION_AUTHENTICATION_FAILED"
        for number in range(3):
            for _ in range(2):
                await step(number, OLD, NEW)
        assert (there.secret, there.coming, there.going) == (NEW, "", "")
        assert (await refused(0, OLD, NEW))[0] == "SESSION_AUTHENTICATION_FAILED"
        session = await member.login("pool-admin")
        assert (await member.refusal(ROUNDS[0], session, member.host, NEW, OLD))[0] == "RBAC_PERMISSION_DENIED"


async def test_a_host_is_given_a_secret_of_somebodys_choice() -> None:
    async with two_members() as pair:
        coordinator, (here, there) = pair.coordinator, pair.secrets
        session = await coordinator.call("session.slave_login", pair.host, OLD)
        await coordinator.call("host.update_pool_secret", session, pair.host, NEW)
        assert (here.secret, there.secret, there.knows(OLD)) == (OLD, NEW, False)
        refusal = await pair.member.refusal("session.slave_local_login", OLD)
        assert refusal[0] == "SESSION_AUTHENTICATION_FAILED"
        await coordinator.call("host.update_pool_secret", session, coordinator.host, NEW)
        assert (here.secret, here.knows(OLD)) == (NEW, False)
        await pair.talk_to_each_other()
        await coordinator.call("session.slave_login", pair.host, NEW)


async def test_secrets_of_somebodys_choice_are_refused_out_of_turn_and_to_strangers() -> None:
    async with two_members() as pair:
        coordinator, (here, there) = pair.coordinator, pair.secrets
        session = await coordinator.call("session.slave_login", pair.host, OLD)
        refusal = await coordinator.refusal("host.update_pool_secret", session, pair.host, "with spaces and; signs")
        assert refusal == ["INVALID_VALUE", "pool_secret", ""]
        refusal = await coordinator.refusal(
            "host.update_pool_secret", await coordinator.login("pool-admin"), pair.host, NEW
        )
        assert refusal[0] == "RBAC_PERMISSION_DENIED"
        pair.down = {"host.update_pool_secret"}
        refusal = await coordinator.refusal("host.update_pool_secret", session, pair.host, NEW)
        assert refusal == ["CANNOT_CONTACT_HOST", pair.host]
        here.use(OLD, coming="another-secret-to-come")
        refusal = await coordinator.refusal("host.update_pool_secret", session, coordinator.host, NEW)
        assert refusal == ["POOL_SECRET_ROTATION_PENDING"]
        assert (here.secret, there.secret) == (OLD, OLD)


def test_both_secrets_outlast_a_restart(tmp_path: Path) -> None:
    membership = open_membership(tmp_path)
    membership.follow("", OLD)
    membership.use(OLD, coming=NEW)
    again = open_membership(tmp_path)
    assert (again.secret, again.coming, again.going) == (OLD, NEW, "")
    again.use(NEW, going=OLD)
    assert open_membership(tmp_path).knows(OLD)
    again.use(NEW)
    assert not open_membership(tmp_path).knows(OLD)
    assert open_membership(tmp_path).secret == NEW
    again.use(NEW, going=OLD)
    again.follow("coordinator.example", "another-secret-altogether")
    assert not open_membership(tmp_path).knows(OLD)


# Where members are


def joined_from(pair: Pair) -> Any:
    return pair.coordinator.store.get(pair.host)["joined_from"]


async def test_a_member_that_starts_elsewhere_is_found_there() -> None:
    async with two_members() as pair:
        pair.place = ELSEWHERE
        await announce(pair.secrets[1], pair.member.store, pair.member.clock)
        assert joined_from(pair) == ELSEWHERE
        await pair.rotate()
        await pair.talk_to_each_other()


async def test_a_member_says_where_it_is_until_it_is_heard() -> None:
    async with two_members() as pair:
        pair.down, pair.place = {"pool.hello"}, ELSEWHERE
        saying = asyncio.ensure_future(announce(pair.secrets[1], pair.member.store, pair.member.clock))
        await pair.member.clock.advance(150)
        assert (pair.calls.count("pool.hello"), saying.done()) == (3, False)
        pair.down = set()
        await pair.member.clock.advance(60)
        await saying
        assert joined_from(pair) == ELSEWHERE


async def test_a_server_that_is_no_member_any_more_says_nothing() -> None:
    async with two_members() as pair:
        membership = pair.secrets[1]
        pair.down = {"session.slave_login"}
        saying = asyncio.ensure_future(announce(membership, pair.member.store, pair.member.clock))
        await pair.member.clock.advance(1)
        membership.follow("")
        await pair.member.clock.advance(60)
        await saying
        assert pair.calls == ["session.slave_login"]


async def test_the_coordinator_believes_only_members_and_only_what_it_can_reach() -> None:
    async with two_members() as pair:
        coordinator, uuid = pair.coordinator, pair.member.store.get(pair.member.host)["uuid"]
        session = await coordinator.call("session.slave_login", pair.host, OLD)
        assert await coordinator.call("pool.hello", session, uuid, PLACE) == "ok"
        for address in (ELSEWHERE, "", "http://"):
            assert await coordinator.call("pool.hello", session, uuid, address) == "cannot_talk_back"
        pair.down = {"pool.is_slave"}
        assert await coordinator.call("pool.hello", session, uuid, PLACE) == "cannot_talk_back"
        own = coordinator.store.get(coordinator.host)["uuid"]
        for unknown in ("nobody", own):
            assert await coordinator.call("pool.hello", session, unknown, PLACE) == "unknown_host"
        for caller, peer in ((await coordinator.login(), TCP), (await coordinator.login("pool-operator"), UNIX)):
            refusal = await coordinator.refusal("pool.hello", caller, uuid, PLACE, peer=peer)
            assert refusal[0] == "OPERATION_NOT_ALLOWED"
        assert joined_from(pair) == PLACE
