"""Directories: what they know of users and groups, which ones a server may offer, and the file that one can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from xenapi_core.api.auth import users_file
from xenapi_core.api.auth.directories import DirectoryError, PamDirectory, offers
from xenapi_core.api.auth.users_file import UsersFileAuthenticator, add_user, load
from xenapi_core.cli.user import user


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A users file with groups; hashing is cheap."""
    monkeypatch.setattr(users_file, "SCRYPT_N", 2)
    path = tmp_path / "lab.users"
    add_user(path, "ann", "ann's word", ("pool-admin",), groups=("staff",))
    add_user(path, "ben", "ben's word", ("read-only",), groups=("staff", "guests", "staff"))
    return path


def test_a_pam_directory_names_accounts_of_the_system_by_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("auth required pam_deny.so\naccount required pam_deny.so\n")
    directory = PamDirectory("lab", tmp_path)
    assert directory.find("root") == "lab/uid/0"
    told = directory.describe("lab/uid/0")
    assert told is not None
    assert (told["subject-name"], told["subject-upn"], told["subject-is-group"]) == ("root", "root@lab", "false")
    groups = directory.groups("lab/uid/0")
    assert groups is not None
    assert "lab/gid/0" in groups
    group = directory.describe("lab/gid/0")
    assert group is not None
    assert group["subject-is-group"] == "true"
    assert directory.groups("lab/gid/0") == ()
    for nobody in ("lab/uid/987654321", "lab/uid/" + "9" * 40, "lab/uid/x", "lab/uid/-1", "other/uid/0", "root", "\0"):
        assert directory.describe(nobody) is None
        assert directory.groups(nobody) is None
    for nobody in ("lab/uid/" + "0" * 5000, "lab/gid/" + "0" * 5000, "lab/uid/00000000000"):
        assert directory.describe(nobody) is None, "a number has at most 10 digits"
        assert directory.groups(nobody) is None
    for odd in ("no\0body", "no\ud800body"):
        assert directory.find(odd) is None
        assert directory.verify(odd, "a word") is None
        assert directory.verify("root", odd) is None


@pytest.mark.parametrize(
    "option",
    [
        ("AD", "lab", None), ("PAM", "no-such-service", None), ("PAM", "../login", None), ("users", "lab", None),
        ("users", "lab", Path("/no/such/file")),
    ],
)  # fmt: skip
def test_a_directory_that_cannot_be_offered_is_refused_at_the_start(option: tuple[str, str, Path | None]) -> None:
    with pytest.raises(DirectoryError):
        offers([option])


@pytest.mark.parametrize("name", ["", "a/b", "a@b"])
def test_a_name_that_would_make_identifiers_ambiguous_is_refused(file: Path, name: str) -> None:
    with pytest.raises(DirectoryError, match="users:NAME=FILE"):
        offers([("users", name, file)])


def test_groups_are_kept_beside_the_roles_of_an_account(file: Path) -> None:
    assert load(file)["ben"].groups == ("staff", "guests")
    line = file.read_text().splitlines()[0].replace('["staff"]', '"staff"')
    file.write_text(line + "\n")
    with pytest.raises(users_file.UsersFileError, match="groups"):
        load(file)


async def test_a_new_password_leaves_roles_and_groups_as_they_are(file: Path) -> None:
    before = load(file)["ben"]
    checker = UsersFileAuthenticator(file)
    assert await checker.set_password("ben", "new word")
    assert await checker.verify("ben", "new word")
    after = load(file)["ben"]
    assert (after.roles, after.groups) == (before.roles, before.groups)
    checker.close()


def test_a_group_without_a_name_is_refused(file: Path) -> None:
    for group in ("", "a\0b"):
        with pytest.raises(users_file.UsersFileError, match="group"):
            add_user(file, "eve", "eve's word", ("read-only",), groups=(group,))
    assert list(load(file)) == ["ann", "ben"]


def test_groups_are_given_and_listed_on_the_command_line(file: Path) -> None:
    told = CliRunner().invoke(
        user, ["add", "eve", "--users", str(file), "--group", "staff", "--password-stdin"], input="eve's word\n"
    )
    assert told.exit_code == 0, told.output
    assert load(file)["eve"].groups == ("staff",)
    lines = CliRunner().invoke(user, ["list", "--users", str(file)]).output.splitlines()
    assert [line.split(None, 1) for line in lines] == [
        ["ann", "pool-admin (groups: staff)"],
        ["ben", "read-only (groups: staff, guests)"],
        ["eve", "pool-admin (groups: staff)"],
    ]
