"""`xencim bridge`: a WBEM server for a pool that is managed elsewhere."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import sys
from pathlib import Path

import click
import uvloop

from xenapi_core import logs
from xenapi_core.bridge.pool_client import Trust
from xenapi_core.cli.asking import ask_password
from xenapi_core.cli.start_page import StartPage, printable, start_page
from xenapi_core.server.bridging import BridgeConfig, Bridged, BridgeError, bridging

SECRET_VARIABLE = "XENCIM_POOL_PASSWORD"  # noqa: S105 - a name
path_option = click.Path(path_type=Path)


@click.command(short_help="Serve a pool that runs elsewhere to WBEM clients.")
@click.argument("pool", metavar="URL")
@click.option("--user", default="root", show_default=True, help="Account of the pool that reads it; read-only will do.")
@click.option("--password-file", type=path_option, metavar="FILE", help="Its password, on the first line.")
@click.option("--ca-file", type=path_option, metavar="FILE", help="PEM authorities of the pool's certificate.")
@click.option("--fingerprint", metavar="SHA256", help="Trust the certificate with this SHA-256 fingerprint only.")
@click.option("--insecure", is_flag=True, help="Do not check the pool's certificate.")
@click.option("--bind", default="127.0.0.1", show_default=True, metavar="ADDR", help="Address to listen on.")
@click.option("--wbem-port", default=5988, show_default=True, help="WBEM, plain; 0 takes a free port, -1 none.")
@click.option("--wbem-tls-port", default=5989, show_default=True, help="WBEM over TLS.")
@click.option("--tls-cert", type=path_option, metavar="FILE", help="PEM certificate; default: self-signed.")
@click.option("--tls-key", type=path_option, metavar="FILE", help="PEM key of --tls-cert.")
@click.option(
    "--cim-compat",
    type=click.Choice(["libvirt-cim", "xs-cim"]),
    help="Answer as this predecessor did, for tools that were written for it.",
)
@click.option("--state", type=path_option, metavar="DIR", help="Keep certificate, subscriptions and own classes here.")
@click.option("--ready-file", type=path_option, metavar="FILE", help="JSON written when everything listens.")
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What is logged on standard error.",
)
def bridge(
    pool: str, user: str, password_file: Path | None, ca_file: Path | None, fingerprint: str | None, insecure: bool,
    bind: str, wbem_port: int, wbem_tls_port: int, tls_cert: Path | None, tls_key: Path | None,
    cim_compat: str | None, state: Path | None, ready_file: Path | None, log_level: str,
) -> None:  # fmt: skip
    """Serve the pool at URL, of XCP-ng, XenServer or xencim, to WBEM clients.

    WBEM users are the pool's users. Without --password-file the password is read from the environment variable
    XENCIM_POOL_PASSWORD, or asked for.

    \b
      xencim bridge https://coordinator.example.org --ca-file pool-ca.pem
    """
    if not re.match(r"https?://[^/]+/?\Z", pool):
        raise click.BadParameter("take http(s)://HOST[:PORT]", param_hint="URL")
    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if sum((bool(ca_file), bool(fingerprint), insecure)) > 1:
        raise click.UsageError("--ca-file, --fingerprint and --insecure exclude each other")
    if wbem_port == wbem_tls_port == -1:
        raise click.UsageError("nothing to serve: --wbem-port and --wbem-tls-port are both -1")
    trust = Trust(str(ca_file) if ca_file else None, _fingerprint(fingerprint), insecure)
    config = BridgeConfig(
        pool, user, _password(password_file, user), trust, bind.strip("[]"), _is_loopback(bind),
        None if wbem_port == -1 else wbem_port, None if wbem_tls_port == -1 else wbem_tls_port,
        tls_cert, tls_key, cim_compat, state, ready_file,
    )  # fmt: skip
    logs.setup(log_level.upper())
    try:
        uvloop.run(_run(config))
    except BridgeError as error:
        raise click.ClickException(str(error)) from None


def _password(file: Path | None, user: str) -> str:
    if file is None:
        otherwise = f"use --password-file or {SECRET_VARIABLE}"
        return os.environ.get(SECRET_VARIABLE) or ask_password(f"Password of {user}", otherwise)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"cannot read the password file {file}: {error}") from None
    if not lines:
        raise click.ClickException(f"the password file {file} is empty")
    return lines[0]


def _fingerprint(text: str | None) -> bytes | None:
    if text is None:
        return None
    digits = text.replace(":", "").strip()
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
        raise click.BadParameter("64 hexadecimal digits, with or without colons", param_hint="--fingerprint")
    return bytes.fromhex(digits)


def _is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind.strip("[]")).is_loopback
    except ValueError:
        if bind == "localhost":
            return True
        raise click.BadParameter("take an IP address or localhost", param_hint="--bind") from None


async def _run(config: BridgeConfig) -> None:
    async with bridging(config) as (bridged, ended):
        with start_page() as out:
            _greet(out, bridged, config)
        await ended.wait()


def _greet(out: StartPage, bridged: Bridged, config: BridgeConfig) -> None:
    """The start page: the pool, the URLs and a command to try."""
    counts = f"{bridged.hosts} hosts, {bridged.vms} VMs"
    out.print(f"xencim bridge  pool “{printable(bridged.pool)}” at {config.pool}: {counts}", soft_wrap=True)
    for name, url in bridged.endpoints.items():
        note = f"   SHA-256 {bridged.fingerprint}" if name == "wbem_tls" and config.tls_cert is None else ""
        out.print(f"  WBEM     {url}{note}", soft_wrap=True)
    plain = bridged.endpoints.get("wbem") if config.loopback else None  # beyond loopback it takes no passwords
    url = plain or bridged.endpoints.get("wbem_tls", "")
    verify = "" if url.startswith("http://") else " --no-verify"
    programs = shlex.quote(str(Path(sys.executable).parent))
    out.print("Users and passwords are the pool's." + (" Try next:" if url else ""), soft_wrap=True)
    if url:
        out.print(
            f"  {programs}/pywbemcli -s {shlex.quote(url)}{verify} -u {shlex.quote(config.user)} -o table "
            "instance enumerate Xen_ComputerSystem --pl ElementName,EnabledState",
            soft_wrap=True,
        )
