"""Connects a command to a WBEM server, and reports failures of the connection or of an operation.

Rule 1: options count before environment variables, those before what `xencim serve` listens on by default.
Rule 2: whatever fails because of the user, the network or the server ends as one Failure: a sentence, a hint, an exit
        code. Passwords are in neither.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import click
import pywbem

DEFAULT_SERVER, DEFAULT_NAMESPACE = "http://127.0.0.1:5988", "root/cimv2"
PORTS = {"http": 5988, "https": 5989}

# Exit codes of the whole command line (docs/cli.md).
USAGE, REFUSED, MISSING, CONNECT, FAILED = 2, 3, 4, 5, 6

# CIM status codes (DSP0200) -> exit code; every other one is FAILED.
EXIT_CODES = {
    pywbem.CIM_ERR_ACCESS_DENIED: CONNECT,
    pywbem.CIM_ERR_INVALID_NAMESPACE: MISSING,
    pywbem.CIM_ERR_INVALID_CLASS: MISSING,
    pywbem.CIM_ERR_NOT_FOUND: MISSING,
    pywbem.CIM_ERR_NO_SUCH_PROPERTY: MISSING,
    pywbem.CIM_ERR_METHOD_NOT_FOUND: MISSING,
    pywbem.CIM_ERR_INVALID_PARAMETER: USAGE,
    pywbem.CIM_ERR_TYPE_MISMATCH: USAGE,
    pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED: USAGE,
    pywbem.CIM_ERR_INVALID_QUERY: USAGE,
    29: USAGE,  # QUERY_FEATURE_NOT_SUPPORTED, which pywbem has no name for
    pywbem.CIM_ERR_NOT_SUPPORTED: REFUSED,
    pywbem.CIM_ERR_METHOD_NOT_AVAILABLE: REFUSED,
    pywbem.CIM_ERR_ALREADY_EXISTS: REFUSED,
}
HINTS = {
    pywbem.CIM_ERR_INVALID_CLASS: "list the classes with `xencim cim classes`",
    pywbem.CIM_ERR_INVALID_NAMESPACE: "list the namespaces with `xencim cim namespaces`",
    pywbem.CIM_ERR_METHOD_NOT_FOUND: "`xencim cim class CLASS` shows the methods of a class",
}

# Variables of pywbem's HTTP client, which prefers them to what it is told.
_AUTHORITIES_OF_REQUESTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """What went wrong (`message`), what to do now (`hint`, may be empty), and the CIM status if there is one."""

    def __init__(self, message: str, hint: str = "", exit_code: int = FAILED, status: int | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code
        self.status = status
        context = click.get_current_context(silent=True)
        self.as_json = bool(context and context.params.get("output") == "json")

    def show(self, file: Any = None) -> None:
        """On standard error; as JSON on standard output for `--output json`, so that programs read one stream."""
        if self.as_json:
            told = {"error": self.message, "hint": self.hint or None, "status": self.status, "exit": self.exit_code}
            click.echo(json.dumps(told))
            return
        click.echo(f"error: {self.message}", err=True)
        if self.hint:
            click.echo(f"  now   {self.hint}", err=True)


@dataclass(frozen=True)
class Target:
    """A server as the options say it: how to connect, and the namespace to work in."""

    url: str
    user: str | None
    password: str | None
    namespace: str
    verify: bool = True
    authorities: str | None = None
    timeout: int = 30

    @contextmanager
    def connected(self) -> Iterator[pywbem.WBEMConnection]:
        """A connection; what fails in the block becomes a Failure."""
        with (
            _unset(*(_AUTHORITIES_OF_REQUESTS if self.authorities or not self.verify else ())),
            self.failures(),
            pywbem.WBEMConnection(
                self.url,
                None if self.user is None else (self.user, self.password or ""),
                default_namespace=self.namespace,
                no_verification=not self.verify,
                ca_certs=self.authorities,
                timeout=self.timeout,
                use_pull_operations=None,
            ) as connection,
        ):
            yield connection

    @contextmanager
    def failures(self) -> Iterator[None]:
        try:
            yield
        except pywbem.CIMError as error:
            code = error.status_code
            text = (error.status_description or "").strip() or error.status_code_name
            raise Failure(text, HINTS.get(code, ""), EXIT_CODES.get(code, FAILED), code) from None
        except pywbem.AuthError:
            hint = "give --user and --password, or set XENCIM_USER and XENCIM_PASSWORD"
            what = "wants a user and a password" if self.user is None else "refuses the user or the password"
            raise Failure(f"{self.url} {what}", hint, CONNECT) from None
        except pywbem.TimeoutError:
            raise Failure(f"{self.url} did not answer in {self.timeout} seconds", "try --timeout", CONNECT) from None
        except pywbem.ConnectionError as error:
            raise self._unreachable(error) from None
        except pywbem.HTTPError as error:
            text = f"{self.url} answered HTTP status {error.status}: {error.reason}"
            closed = error.status == 403 and self.url.startswith("http:")
            hint = "the server may take passwords over https only" if closed else "is that the WBEM port of the server?"
            raise Failure(text, hint, CONNECT) from None
        except pywbem.Error as error:
            text = f"cannot understand what {self.url} answers: {str(error).splitlines()[0]}"
            raise Failure(text, "is that the WBEM port of the server?", CONNECT) from None

    def _unreachable(self, error: Exception) -> Failure:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            hint = "give its authority with --ca FILE, or trust it this once with --no-verify"
            return Failure(f"the certificate of {self.url} is not trusted", hint, CONNECT)
        if "NO_CERTIFICATE_OR_CRL_FOUND" in text:
            return Failure(f"{self.authorities} holds no certificates in PEM form", exit_code=USAGE)
        if "WRONG_VERSION_NUMBER" in text:
            return Failure(f"{self.url} does not speak TLS", "is that the port for http?", CONNECT)
        if "Connection aborted" in text:
            return Failure(f"{self.url} ends the connection without an answer", "is that the port for https?", CONNECT)
        if "Failed to resolve" in text:
            hint = "name one with --server or XENCIM_WBEM"
            return Failure(f"there is no host {urlsplit(self.url).hostname}", hint, CONNECT)
        hint = "start one with `xencim serve --demo`, or name yours with --server or XENCIM_WBEM"
        return Failure(f"no WBEM server answers at {self.url}", hint, CONNECT)


@contextmanager
def _unset(*variables: str) -> Iterator[None]:
    """Without these environment variables (rule 1) in the block."""
    hidden = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def target(
    server: str,
    user: str | None,
    password: str | None,
    namespace: str,
    verify: bool = True,
    authorities: str | None = None,
    timeout: int = 30,
) -> Target:
    """A target from options. `server` may lack scheme and port, and may hold user and password."""
    try:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        port = parts.port or PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise Failure(f"{server!r} is no address of a server", f"for example {DEFAULT_SERVER}", USAGE) from None
    if not parts.hostname:
        raise Failure(f"{server!r} names no host", f"for example {DEFAULT_SERVER}", USAGE)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = user if user is not None else unquote(parts.username) if parts.username else None
    password = password if password is not None else unquote(parts.password) if parts.password else None
    if user is not None and password is None and sys.stdin.isatty():
        password = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return Target(f"{parts.scheme}://{host}:{port}", user, password, namespace.strip("/"), verify, authorities, timeout)


def to_server(command: F) -> F:
    """Give a command the options of a connection; it gets a Target as `target`."""

    @functools.wraps(command)
    def run(
        server: str, user: str | None, password: str | None, namespace: str, verify: bool, authorities: str | None,
        timeout: int, **others: Any,
    ) -> Any:  # fmt: skip
        return command(target=target(server, user, password, namespace, verify, authorities, timeout), **others)

    options = (
        click.option("-s", "--server", envvar="XENCIM_WBEM", default=DEFAULT_SERVER, metavar="URL", show_default=True,
                     help="WBEM server. [XENCIM_WBEM]"),
        click.option("-u", "--user", envvar="XENCIM_USER", metavar="NAME", help="[XENCIM_USER]"),
        click.option("-p", "--password", envvar="XENCIM_PASSWORD", metavar="TEXT",
                     help="Better in the variable: others see options. [XENCIM_PASSWORD]"),
        click.option("-n", "--namespace", envvar="XENCIM_NAMESPACE", default=DEFAULT_NAMESPACE, show_default=True,
                     metavar="NAME", help="[XENCIM_NAMESPACE]"),
        click.option("--verify/--no-verify", default=True, help="Check the server's certificate, or not. [check]"),
        click.option("--ca", "authorities", envvar="XENCIM_CA", type=click.Path(exists=True), metavar="FILE",
                     help="PEM file of authorities to trust. [XENCIM_CA]"),
        click.option("--timeout", default=30, show_default=True, type=click.IntRange(1), metavar="SECONDS",
                     help="How long to wait for an answer."),
    )  # fmt: skip
    decorated: Any = run
    for option in reversed(options):
        decorated = option(decorated)
    found: F = decorated
    return found
