"""`xencim serve`: starts a server, and prints for a person and writes for a script how to reach it."""

from __future__ import annotations

import gc
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click
import uvloop
from rich.table import Table
from rich.text import Text

from xenapi_core import logs
from xenapi_core.cli.start_page import StartPage, printable, start_page
from xenapi_core.config import ConfigError, Inventory, Ports, ServeConfig
from xenapi_core.server.runtime import Server, StartError
from xenapi_core.server.start_summary import Summary
from xenapi_core.store.failure import StoreError

path_option = click.Path(path_type=Path)
STATE_STYLE = {"Running": "green", "Paused": "yellow", "Suspended": "yellow", "Halted": "dim"}
SHOWN_VMS = 20
PLAIN_NAME = re.compile(r"[\w .-]+")  # means itself inside quotes of Python and of a shell
# Where clients of the WBEM server find things, by --cim-compat.
NAMESPACES = {None: "root/cimv2, interop", "libvirt-cim": "root/virt, root/interop", "xs-cim": "root/cimv2"}


@click.command()
@click.option("--demo", is_flag=True, help="Serve a simulated pool; user root, password xencim, loopback only.")
@click.option("--hosts", default=3, show_default=True, help="Hosts of the simulated pool.")
@click.option("--vms", default=12, show_default=True, help="Virtual machines; three quarters of them run.")
@click.option("--networks", default=4, show_default=True, help="Networks.")
@click.option("--srs", default=2, show_default=True, help="Storage repositories: shared, ISO library, then local ones.")
@click.option("--templates", default=3, show_default=True, help="VM templates.")
@click.option("--seed", default="xencim", show_default=True, help="The same seed gives the same names and uuids.")
@click.option("--speed", default=1.0, show_default=True, help="Simulated time runs this many times as fast.")
@click.option("--bind", default="127.0.0.1", show_default=True, metavar="ADDR", help="Address to listen on.")
@click.option("--xenapi-port", default=9363, show_default=True, help="Xen-API, plain.")
@click.option("--xenapi-tls-port", default=9367, show_default=True, help="Xen-API over TLS.")
@click.option("--wbem-port", default=5988, show_default=True, help="WBEM, plain.")
@click.option("--wbem-tls-port", default=5989, show_default=True, help="WBEM over TLS.")
@click.option("--nbd-port", default=-1, show_default="none", help="Disks over NBD; 10809 is usual.")
@click.option("--socket", type=path_option, metavar="PATH", help="Unix socket of the Xen-API (no login needed there).")
@click.option("--tls-cert", type=path_option, metavar="FILE", help="PEM certificate; default: self-signed.")
@click.option("--tls-key", type=path_option, metavar="FILE", help="PEM key of --tls-cert.")
@click.option("--client-ca", type=path_option, metavar="FILE", help="PEM authorities of client certificates.")
@click.option("--indication-ca", type=path_option, metavar="FILE", help="PEM authorities of https listeners.")
@click.option("--indication-no-verify", is_flag=True, help="Do not verify certificates of https listeners.")
@click.option("--wbem-plain-basic", is_flag=True, help="Take passwords on plain WBEM beyond loopback, too.")
@click.option("--endpoints-per-host", is_flag=True, help="A Xen-API endpoint for each host: 127.0.0.1, 127.0.0.2 ...")
@click.option(
    "--allow-hosts",
    multiple=True,
    metavar="[LISTENER=]PATTERNS",
    help="Who may connect: regular expressions of addresses and names; LISTENER: xenapi, xenapi_tls, wbem, "
    "wbem_tls, nbd; without it, all of them.",
)
@click.option("--mof", multiple=True, type=path_option, metavar="FILE", help="MOF to load at the start; repeatable.")
@click.option(
    "--namespace",
    multiple=True,
    metavar="NS",
    show_default="root/cimv2",
    help="Where --mof goes: one for all files, or one for each.",
)
@click.option(
    "--cim-jobs",
    type=click.Choice(["always", "never"]),
    help="Whether CIM methods answer with a job, or when the work is done. Default: as the pool says, or always.",
)
@click.option(
    "--cim-compat",
    type=click.Choice(["libvirt-cim", "xs-cim"]),
    help="Name, count and answer as this older CIM provider does. Default: the DMTF way.",
)
@click.option("--state", type=path_option, metavar="DIR", help="Keep all state here; default: in memory.")
@click.option("--users", type=path_option, metavar="FILE", help="Users file, see `xencim user add`.")
@click.option("--pam", metavar="SERVICE", help="Check passwords with this PAM service.")
@click.option(
    "--directory",
    "directories",
    multiple=True,
    metavar="TYPE:NAME[=FILE]",
    help="A directory that pool.enable_external_auth may use: PAM:SERVICE, or users:NAME=FILE. Repeatable.",
)
@click.option("--ready-file", type=path_option, metavar="FILE", help="JSON written when everything listens.")
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What is logged on standard error.",
)
def serve(
    demo: bool, hosts: int, vms: int, networks: int, srs: int, templates: int, seed: str, speed: float, bind: str,
    xenapi_port: int, xenapi_tls_port: int, wbem_port: int, wbem_tls_port: int, nbd_port: int, socket: Path | None,
    tls_cert: Path | None, tls_key: Path | None,
    client_ca: Path | None, wbem_plain_basic: bool,
    indication_ca: Path | None, indication_no_verify: bool, endpoints_per_host: bool, allow_hosts: tuple[str, ...],
    mof: tuple[Path, ...], namespace: tuple[str, ...], cim_jobs: str | None, cim_compat: str | None,
    state: Path | None, users: Path | None, pam: str | None, directories: tuple[str, ...],
    ready_file: Path | None, log_level: str,
) -> None:  # fmt: skip
    """Serve the Xen-API and WBEM for one pool until SIGTERM or Ctrl-C.

    As a port, 0 takes a free one and -1 opens none.

    \b
      xencim serve --demo
      xencim serve --demo --hosts 8 --vms 500 --state pool.state
    """
    started = time.monotonic()
    ports = (xenapi_port, xenapi_tls_port, wbem_port, wbem_tls_port, nbd_port)
    config = ServeConfig(
        demo=demo,
        inventory=Inventory(hosts, vms, networks, srs, templates, seed),
        bind=bind,
        ports=Ports(*(None if port == -1 else port for port in ports)),
        socket=socket,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        wbem_plain_basic=wbem_plain_basic,
        indication_ca=indication_ca,
        indication_no_verify=indication_no_verify,
        endpoints_per_host=endpoints_per_host,
        allow_hosts=_allowed(allow_hosts),
        state=state,
        cim_jobs=cim_jobs,
        cim_compat=cim_compat,
        models=_models(mof, namespace),
        users=users,
        pam=pam,
        directories=tuple(map(_directory, directories)),
        ready_file=ready_file,
        clock_speed=speed,
    )
    logs.setup(log_level.upper())
    try:
        config.check()
        uvloop.run(_serve(config, started))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    except (StartError, StoreError) as error:
        raise click.ClickException(str(error)) from None


def _allowed(options: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Patterns by listener; they are separated by blanks, as in API 1.0's `xen-api-server` setting."""
    found: dict[str, tuple[str, ...]] = {}
    for option in options:
        name, equals, patterns = option.partition("=")
        if not (equals and name.replace("_", "").isalnum()):
            name, patterns = "", option
        found[name] = (*found.get(name, ()), *patterns.split())
    return found


def _directory(option: str) -> tuple[str, str, Path | None]:
    """Type and name of a directory, and the file that a users directory is."""
    kind, _, rest = option.partition(":")
    name, _, file = rest.partition("=")
    if not name or (kind, bool(file)) not in (("PAM", False), ("users", True)):
        raise click.UsageError(f"--directory takes PAM:SERVICE or users:NAME=FILE, not {option!r}")
    return kind, name, Path(file) if file else None


def _models(files: tuple[Path, ...], namespaces: tuple[str, ...]) -> tuple[tuple[Path, str], ...]:
    """Each MOF file with its namespace."""
    if not namespaces or not files:
        if namespaces:
            raise click.UsageError("--namespace says where --mof goes: there is no --mof")
        return tuple((file, "root/cimv2") for file in files)
    if len(namespaces) not in (1, len(files)):
        raise click.UsageError("say --namespace once, or once for each --mof")
    return tuple(zip(files, namespaces * (len(files) // len(namespaces)), strict=True))


async def _serve(config: ServeConfig, started: float) -> None:
    server = Server(config)
    async with server.running() as summary:
        # What exists now stays: taking it out of the garbage collector's sight saves it pauses of tens of milliseconds.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        with start_page() as out:
            _greet(out, summary, time.monotonic() - started, config)
        await server.stopped()


def _greet(out: StartPage, summary: Summary, seconds: float, config: ServeConfig) -> None:
    """The start page: the pool, the URLs, the account, an export line and three commands to try."""
    pool = f"  pool “{printable(summary.pool)}”: {summary.counts}   ready in {seconds:.1f} s"
    out.print(Text.assemble(("xencim", "bold"), pool), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("NAME", "STATE", "VCPUS", "MEMORY", "HOST"):
        table.add_column(name, justify="right" if name in ("VCPUS", "MEMORY") else "left")
    for vm in summary.vms[:SHOWN_VMS]:
        state = Text(vm.state, STATE_STYLE.get(vm.state, ""))
        memory = f"{vm.memory / (1 << 30):.1f} GiB"
        table.add_row(printable(vm.name), state, str(vm.vcpus), memory, printable(vm.host) or "-")
    if summary.vms:
        out.print(table)
    if len(summary.vms) > SHOWN_VMS:
        out.print(f"… and {len(summary.vms) - SHOWN_VMS} more")
    out.print()
    ends = summary.endpoints
    namespaces = f"namespaces {NAMESPACES[config.cim_compat]}"
    encrypted = not (config.loopback or config.wbem_plain_basic)  # passwords of WBEM clients only with TLS
    certificate = f"self-signed, SHA-256 {summary.fingerprint}" if summary.self_signed else ""
    lines = [
        ("Xen-API", ends.get("xenapi"), ""),
        ("Xen-API", ends.get("xenapi_tls"), certificate),
        ("Xen-API", ends.get("socket") and f"unix:{ends['socket']}", "no login needed"),
        ("WBEM", ends.get("wbem"), namespaces + "   takes no passwords" * encrypted),
        (
            "WBEM",
            ends.get("wbem_tls"),
            "self-signed, as above" if certificate and "xenapi_tls" in ends else certificate,
        ),
        ("NBD", ends.get("nbd"), "see VDI.get_nbd_info"),
    ]
    said, account = "", summary.account  # what is said once: a label, and beside the first URL who may log in
    for label, url, note in lines:
        if not url:
            continue
        if account and label != "NBD" and not url.startswith("unix:"):
            note, account = f"{account}   {note}".rstrip(), ""
        line = Text.assemble(f"  {'' if label == said else label:8} {url:42} ", (note, "dim"))
        line.rstrip()
        out.print(line, soft_wrap=True)
        said = label
    exports = {
        "XENCIM_URL": ends.get("xenapi") or ends.get("xenapi_tls"),
        "XENCIM_WBEM": _wbem(ends, encrypted),
    }
    if summary.demo_account:
        exports["XENCIM_USER"], exports["XENCIM_PASSWORD"] = summary.demo_account
    words = " ".join(f"{key}={shlex.quote(value)}" for key, value in exports.items() if value)
    out.print(f"export {words} XENCIM_PID={os.getpid()}", soft_wrap=True)
    if commands := _suggestions(summary, encrypted):
        out.print("\nTry next, in another terminal:")
    for command in commands:
        out.print(f"  {shlex.quote(str(Path(sys.executable).parent))}/{command}", soft_wrap=True)


def _wbem(ends: Mapping[str, str], encrypted: bool) -> str | None:
    """Where a WBEM client with a password goes, if there is a place."""
    return (None if encrypted else ends.get("wbem")) or ends.get("wbem_tls")


def _suggestions(summary: Summary, encrypted: bool) -> list[str]:
    """Three commands that work as they stand in a second terminal; one less if no name is fit for a shell's quotes."""
    user, password = summary.demo_account or ("USER", "PASSWORD")
    ends, commands = summary.endpoints, []
    if url := ends.get("xenapi") or ends.get("xenapi_tls"):
        session = f"XenAPI.Session('{url}'{'' if 'xenapi' in ends else ', ignore_ssl=True'})"
        login = f"import XenAPI; s = {session}; s.login_with_password('{user}', '{password}'); "
        vms = "for v in s.xenapi.VM.get_all_records().values() if not (v['is_a_template'] or v['is_control_domain'])"
        commands.append(f"python -c \"{login}print(*(v['name_label'] + ' ' + v['power_state'] {vms}), sep='\\n')\"")
        halted = next((vm.name for vm in summary.vms if vm.state == "Halted" and PLAIN_NAME.fullmatch(vm.name)), None)
        if halted:
            start = f"s.xenapi.VM.start(s.xenapi.VM.get_by_name_label('{halted}')[0], False, False); "
            commands.append(f"python -c \"{login}{start}print('{halted} started')\"")
    if url := _wbem(ends, encrypted):
        what = "instance enumerate Xen_ComputerSystem --pl ElementName,EnabledState"
        server = shlex.quote(url) + (" --no-verify" if url.startswith("https:") else "")
        commands.append(f"pywbemcli -s {server} -u {user} -p {password} -o table {what}")
    return commands
