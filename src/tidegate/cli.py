"""The command line: arguments in, one function a command; the work is in `tidegate.apps`."""

from __future__ import annotations

import contextlib
import errno
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from tidegate import __version__
from tidegate.apps import questions, tables
from tidegate.apps.tables import Column
from tidegate.errors import ConfigError, TidegateError
from tidegate.io.client import Client

if TYPE_CHECKING:  # `tidegate --help` must not load a compiler
    from tidegate.agent.config import AgentConfig
    from tidegate.apps.agent_replay import Recorded
    from tidegate.apps.rib_file import RibFile
    from tidegate.apps.routing import RouterTable
    from tidegate.wire.bgp.constants import Afi

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)
_URL = "http://127.0.0.1:8008"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tidegate")
def cli() -> None:
    """Real-time network telemetry and control: sFlow in, decisions in milliseconds, BGP FlowSpec out."""


def _rib(command: F) -> F:
    """Add the options of a routing table from a file; the command gets a `RibFile` or None as `rib`."""

    @functools.wraps(command)
    def with_rib(*args: Any, rib: Path | None, rib_peer: str, **rest: Any) -> Any:  # noqa: ANN401 - click's
        from tidegate.apps.rib_file import RibFile

        if rib is None and rib_peer:
            raise click.UsageError("--rib-peer chooses a table of --rib FILE: give the file, too")
        return command(*args, rib=None if rib is None else RibFile(rib, rib_peer), **rest)

    found = click.option("--rib-peer", default="", help="Address or AS of the peer whose table of the file is taken.")(
        with_rib
    )
    return click.option("--rib", type=_FILE, help="A routing table (MRT) for the agents that no source names.")(found)  # type: ignore[return-value] # it takes a file and a peer in place of both


def _loaded(rib: RibFile | None) -> RouterTable | None:
    """Return the table of a file, told of in one line."""
    if rib is None:
        return None
    from tidegate.apps.rib_file import load_table
    from tidegate.apps.terminal import progress_bar

    with progress_bar("reading the routing table") as progress:
        table, said = load_table(rib, progress=progress)
    click.echo(said, err=True)
    return table


@cli.command()
@click.option("--config", "config_path", type=_FILE, help="Configuration file (TOML).")
@click.option("--script", "scripts", type=_FILE, multiple=True, help="A Python file with setup(rt); may be repeated.")
@_rib
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def run(config_path: Path | None, scripts: tuple[Path, ...], rib: RibFile | None, log_level: str) -> None:
    """Collect, analyse, control: sFlow on port 6343, REST on 127.0.0.1:8008."""
    import asyncio

    from tidegate.apps.collector import Running, run_collector
    from tidegate.apps.config import load_config
    from tidegate.apps.terminal import compile_with_progress, set_up_log
    from tidegate.io.clock import SystemClock
    from tidegate.io.memory import keep_freed_memory

    set_up_log(log_level)
    config = load_config(config_path)
    keep_freed_memory()
    compile_with_progress()

    def ready(running: Running) -> None:
        ports = ", ".join(str(port) for port in sorted(set(running.sflow_ports)))
        click.echo(f"sFlow on UDP port {ports}", err=True)
        click.echo(f"REST on {running.rest_url}" if running.rest_url else "REST is off", err=True)
        if running.bgp_ports:
            click.echo(f"BGP on TCP port {', '.join(map(str, sorted(set(running.bgp_ports))))}", err=True)
        if running.bmp_ports:
            click.echo(f"BMP on TCP port {', '.join(map(str, sorted(set(running.bmp_ports))))}", err=True)

    table = _loaded(rib)
    asyncio.run(run_collector(config, scripts=scripts, clock=SystemClock(), ready=ready, table=table))


@cli.command()
@click.argument("captures", nargs=-1, required=True, type=_FILE)
@click.option("--config", "config_path", type=_FILE, help="Configuration file (TOML).")
@click.option("--script", "scripts", type=_FILE, multiple=True, help="A Python file with setup(rt); may be repeated.")
@_rib
@click.option("--speed", default="max", show_default=True, help="max, or a multiple of real time such as 1 or 10.")
@click.option("--json", "as_json", is_flag=True, help="Events and flow records as JSON lines on standard output.")
def replay(
    captures: tuple[Path, ...],
    config_path: Path | None,
    scripts: tuple[Path, ...],
    rib: RibFile | None,
    speed: str,
    *,
    as_json: bool,
) -> None:
    """Run recordings (pcap, pcapng, raw datagrams) through the same analytics, in the time of the recording."""
    from tidegate.apps.config import load_config
    from tidegate.apps.replay import Told, describe_replay
    from tidegate.apps.replay import replay as play
    from tidegate.apps.terminal import compile_with_progress, progress_bar, set_up_log
    from tidegate.io.clock import SystemClock
    from tidegate.io.memory import keep_freed_memory

    set_up_log("warning")
    config = load_config(config_path)
    keep_freed_memory()
    compile_with_progress()
    table = _loaded(rib)
    with progress_bar("replaying") as progress:
        told = Told(event=_printer(as_json=as_json), record=_printer(as_json=as_json), progress=progress)
        result = play(
            captures, config, scripts=scripts, speed=_speed(speed), clock=SystemClock(), told=told, table=table
        )
    for line in describe_replay(result):
        click.echo(line, err=True)
    sys.exit(1 if result.script_errors else 0)


def _printer(*, as_json: bool) -> Callable[[msgspec.Struct], None]:
    if as_json:
        return lambda one: click.echo(msgspec.json.encode(one))
    return lambda one: click.echo(" ".join(f"{name}={value}" for name, value in msgspec.to_builtins(one).items()))


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter(f"{text!r} is neither max nor a number above 0", param_hint="--speed")
    return speed


@cli.command()
@click.option("--config", "config_path", type=_FILE, help="Configuration file (TOML); its section [agent] is read.")
@click.option("--hsflowd", type=_FILE, help="Host sFlow's hsflowd.conf or hsflowd.auto, in place of --config.")
@click.option("--collector", "collectors", multiple=True, help="Address, or address:port, to send to; may be repeated.")
@click.option("--interface", "interfaces", multiple=True, help="Interface or pattern to sample; may be repeated.")
@click.option("--source", help="auto, psample, nflog, packet or none; of a recording: psample, nflog or dropmon.")
@click.option(
    "--setup", type=click.Choice(["tc", "nft"]), help="Install sampling in the kernel, and remove it at the end."
)
@click.option(
    "--sampling", type=click.IntRange(0), help="1 in N packets; by the speed of the interface where not given."
)
@click.option("--polling", type=click.IntRange(0, 300), help="Seconds between readings of counters; 0 for none.")
@click.option("--agent-address", help="The agent address, or the interface that has it.")
@click.option("--discards", is_flag=True, help="Tell of packets that the kernel drops, with reasons.")
@click.option("--print", "show", is_flag=True, help="Show samples as text.")
@click.option("--clean-up", is_flag=True, help="Remove what an agent that was killed left in the kernel, and end.")
@click.option("--replay", "recording", type=_FILE, help="Read recorded netlink messages in place of the kernel's.")
@click.option("--output", type=_FILE, help="The capture file that --replay writes.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def agent(  # noqa: PLR0913 - click's options
    config_path: Path | None,
    hsflowd: Path | None,
    recording: Path | None,
    output: Path | None,
    log_level: str,
    *,
    show: bool,
    clean_up: bool,
    **flags: Any,  # noqa: ANN401 - what `AgentFlags` takes
) -> None:
    """Sample the packets of this machine and read its counters: sFlow to the collectors.

    With --replay: recorded netlink messages to the datagrams that the agent would send.
    """
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to load again

    from tidegate.apps.agent_config import AgentFlags, agent_config, replay_kind
    from tidegate.apps.kernels import AGENT_KERNELS
    from tidegate.apps.terminal import compile_with_progress, set_up_log
    from tidegate.io.clock import SystemClock

    set_up_log(log_level)
    if clean_up:
        _clean_up()
        return
    if recording is not None:
        kind = replay_kind(flags.pop("source"))
    if recording is not None and output is None and not show:
        raise click.UsageError("--replay needs --output FILE.pcap, or --print")
    if recording is None and output is not None:
        raise click.UsageError("--output is what --replay writes: give a recording, too")

    def load() -> AgentConfig:
        return agent_config(config_path, hsflowd, AgentFlags(**flags), clock=SystemClock())

    config = load()
    if recording is None and not config.collectors and not show:
        raise ConfigError(
            "agent.collectors", "there is none: --collector ADDRESS, or --print to see what would be sent"
        )
    compile_with_progress(AGENT_KERNELS)
    if recording is not None:
        _replay_recording(recording, kind, config, output=output, show=show)
    else:
        _run_agent(config, load, show=show)


def _clean_up() -> None:
    from tidegate.apps.agent_setup import clean_up

    for line in clean_up() or ["nothing was left"]:
        click.echo(line)


def _run_agent(config: AgentConfig, load: Callable[[], AgentConfig], *, show: bool) -> None:
    import asyncio

    from tidegate.apps.agent import Agent, run_agent
    from tidegate.apps.agent_print import DatagramPrinter
    from tidegate.io.clock import SystemClock

    printer = DatagramPrinter()

    def ready(running: Agent) -> None:
        printer.names = running.names
        for line in running.describe():
            click.echo(line, err=True)

    sent = printer if show else lambda _: None
    asyncio.run(run_agent(config, clock=SystemClock(), load=load, ready=ready, sent=sent))


def _replay_recording(recording: Path, kind: Recorded, config: AgentConfig, *, output: Path | None, show: bool) -> None:
    from tidegate.apps.agent_print import DatagramPrinter
    from tidegate.apps.agent_replay import describe_replayed, replay_recording

    sent = DatagramPrinter() if show else lambda _: None
    result = replay_recording(recording, kind, config, output=output, sent=sent)
    click.echo(describe_replayed(result), err=True)
    sys.exit(1 if result.damage else 0)


@cli.command()
@click.argument("captures", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a datagram.")
def decode(captures: tuple[Path, ...], *, as_json: bool) -> None:
    """Print every sample and record of recordings (pcap, pcapng, raw datagrams)."""
    from tidegate.apps.decode import decoded_objects, text_lines

    for shown in decoded_objects(captures):
        if as_json:
            click.echo(msgspec.json.encode(shown))
        else:
            click.echo("\n".join(text_lines(shown)))


@cli.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Machine and results as one JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a bar is missed.")
def bench(names: tuple[str, ...], *, as_json: bool, strict: bool) -> None:
    """Run the benchmarks of the source tree."""
    from tidegate.apps.bench import run_benchmarks

    sys.exit(run_benchmarks(names, as_json=as_json, strict=strict))


@cli.command()
@click.option("--keep", is_flag=True, help="Keep the collector running at the end, until interrupted.")
def demo(*, keep: bool) -> None:
    """Show the closed loop on this machine: background traffic, an attack, its detection and the FlowSpec rule."""
    from tidegate.apps.demo import run_demo
    from tidegate.apps.terminal import compile_with_progress

    compile_with_progress()
    sys.exit(run_demo(keep=keep))


def _instance(command: F) -> F:
    """Add the options of commands that ask a running instance."""
    command = click.option("--url", default=_URL, show_default=True, envvar="TIDEGATE_URL", help="Its REST address.")(
        command
    )
    command = click.option("--token", default="", envvar="TIDEGATE_TOKEN", help="Its token, where it needs one.")(
        command
    )
    return click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON lines.")(command)


@cli.command()
@click.argument("name", required=False)
@click.option("--agents", default="ALL", show_default=True, help="Agent addresses, separated by commas.")
@click.option("--most", default=20, show_default=True, type=click.IntRange(1), help="How many flows.")
@click.option("--mode", type=click.Choice(["max", "sum", "avg"]), default="max", show_default=True)
@_instance
def flows(name: str | None, agents: str, most: int, mode: str, url: str, token: str, *, as_json: bool) -> None:  # noqa: PLR0913 - click's options
    """Show the largest flows of definition NAME in a running instance, or its definitions."""
    client = Client(url, token)
    known = questions.definitions(client, name)
    if name is None:
        _show(questions.named(known, "name"), tables.DEFINITIONS, as_json=as_json)
        return
    found = questions.flows(client, name, agents=agents, most=most, mode=mode)
    _show(found, tables.flows(known, name), as_json=as_json)


@cli.command()
@click.option("--follow", is_flag=True, help="Wait for new ones, until interrupted.")
@click.option("--most", default=20, show_default=True, type=click.IntRange(1), help="How many of those there are.")
@click.option("--threshold", "thresholds", multiple=True, help="Of this threshold alone; may be repeated.")
@_instance
def events(*, follow: bool, most: int, thresholds: tuple[str, ...], url: str, token: str, as_json: bool) -> None:
    """Show the events of a running instance, oldest first."""
    from tidegate.apps.output import show_json, show_lines

    client = Client(url, token)
    columns = tables.events({} if as_json else questions.definitions(client))
    if not follow:
        _show(questions.events(client, most=most, thresholds=thresholds), columns, as_json=as_json)
        return
    with contextlib.suppress(KeyboardInterrupt):
        for found in questions.follow_events(client, most=most, thresholds=thresholds):
            if as_json:
                show_json(found)
            else:
                show_lines(found, columns)


@cli.command()
@_instance
def agents(url: str, token: str, *, as_json: bool) -> None:
    """Show the agents that a running instance hears, and what was lost on the way."""
    _show(questions.agents(Client(url, token)), tables.AGENTS, as_json=as_json)


@cli.group()
def bgp() -> None:
    """Show the BGP neighbours of a running instance, and what is announced to them."""


@bgp.command()
@click.argument("neighbor", required=False)
@_instance
def neighbors(neighbor: str | None, url: str, token: str, *, as_json: bool) -> None:
    """Show the neighbours, and how things stand with each; or all there is to say of NEIGHBOR, by its address."""
    found = questions.neighbors(Client(url, token), neighbor)
    if neighbor is None or as_json:
        _show(found, tables.NEIGHBORS, as_json=as_json)
        return
    from tidegate.apps.neighbor_words import describe_neighbor

    for row in found:
        click.echo("\n".join(describe_neighbor(row)))


@bgp.command()
@click.argument("neighbor")
@click.option("--most", default=20, show_default=True, type=click.IntRange(0, 10_000), help="How many prefixes.")
@click.option("--min-value", "least", default=0.0, type=float, help="Least rate of a prefix.")
@click.option("--source", is_flag=True, help="Where traffic comes from, not where it goes to.")
@click.option("--ipv6", is_flag=True, help="IPv6 prefixes.")
@_instance
def top(  # noqa: PLR0913 - click's options
    neighbor: str, most: int, least: float, url: str, token: str, *, source: bool, ipv6: bool, as_json: bool
) -> None:
    """Show the prefixes of a table that carry most traffic; NEIGHBOR is an address, bmp:ADDRESS or rib."""
    found = questions.top_prefixes(Client(url, token), neighbor, most=most, ipv6=ipv6, source=source, least=least)
    if as_json:
        _show([found], (), as_json=True)
        return
    _show(found.get("topPrefixes", []), tables.top_prefixes("bytes"), as_json=False)
    click.echo(tables.coverage(found), err=True)


@bgp.command()
@click.argument("neighbor")
@click.option("--family", help="Of one family alone, such as ipv4.")
@_instance
def refresh(neighbor: str, family: str | None, url: str, token: str, *, as_json: bool) -> None:
    """Ask NEIGHBOR for its routes again."""
    asked = questions.refresh(Client(url, token), neighbor, family)
    if as_json:
        _show([{"neighbor": neighbor, "families": asked}], (), as_json=True)
    else:
        click.echo(f"asked for {', '.join(asked)}" if asked else "nothing was asked: no session that can be asked in")
    sys.exit(0 if asked else 1)


@bgp.command()
@click.argument("neighbor")
@_instance
def reset(neighbor: str, url: str, token: str, *, as_json: bool) -> None:
    """End the session with NEIGHBOR; it comes back. One that was shut out is let in again."""
    questions.reset(Client(url, token), neighbor)
    if as_json:
        _show([{"neighbor": neighbor}], (), as_json=True)
    else:
        click.echo(f"the session with {neighbor} is reset")


@bgp.command("self-test")
@click.argument("neighbor")
@_instance
def self_test(neighbor: str, url: str, token: str, *, as_json: bool) -> None:
    """Send NEIGHBOR a rule for addresses that nobody has, watch the session for a while and withdraw the rule."""
    found = questions.self_test(Client(url, token), neighbor)
    if as_json:
        _show([found], (), as_json=True)
    else:
        for family, text in found.get("families", {}).items():
            click.echo(f"{family}: {text}")
    sys.exit(0 if found.get("passed") else 1)


@bgp.command()
@_instance
def bmp(url: str, token: str, *, as_json: bool) -> None:
    """Show the routers that tell of their peers by BMP, a line a peer."""
    _show(questions.monitored(Client(url, token)), tables.MONITORED, as_json=as_json)


@bgp.command()
@click.argument("neighbor", required=False)
@click.option("--most", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many lines.")
@_instance
def log(neighbor: str | None, most: int, url: str, token: str, *, as_json: bool) -> None:
    """Show what happened to neighbours lately, in words, oldest first; of all or NEIGHBOR."""
    _show(questions.bgp_log(Client(url, token), neighbor, most=most), tables.LOG, as_json=as_json)


class _ShowUnlessNamed(click.Group):
    """A group whose command is `show` where none is named: `tidegate bgp flowspec 192.0.2.1` asks for rules there."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["show", *args])


@bgp.group(cls=_ShowUnlessNamed)
def flowspec() -> None:
    """Show the FlowSpec rules wanted at a neighbour, by its address; or look at one rule offline: encode, decode."""


@flowspec.command()
@click.argument("neighbor")
@click.option("--received", is_flag=True, help="Those that it has announced, as they are tried.")
@_instance
def show(neighbor: str, url: str, token: str, *, received: bool, as_json: bool) -> None:
    """Show the FlowSpec rules wanted at NEIGHBOR, by its address; `show` may be left out."""
    columns = tables.RECEIVED_FLOWSPEC if received else tables.FLOWSPEC
    _show(questions.rules(Client(url, token), neighbor, received=received), columns, as_json=as_json)


_AFI = click.option("--afi", type=click.Choice(["4", "6"]), help="Address family, where nothing else tells it.")


@flowspec.command()
@click.argument("file", default="-")
@_AFI
@click.option("--profile", help="As for a peer of this profile: rewritten, split or refused.")
@click.option("--update", is_flag=True, help="The whole UPDATE, too, as to an internal peer.")
@click.option(
    "--as", "asn", type=click.IntRange(1, 2**32 - 1), help="The UPDATE as this AS sends it to an external peer."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a rule.")
def encode(file: str, afi: str | None, profile: str | None, *, update: bool, asn: int | None, as_json: bool) -> None:
    """Print octets and meaning of the rules in FILE, or on standard input; no instance need run.

    A rule is a JSON object, {"match": …, "then": …} as scripts and REST write it, or {"components": …, "actions": …};
    several are a list, or one a line.
    """
    from tidegate.apps.flowspec_encode import Encoding, encode_flows
    from tidegate.apps.flowspec_print import print_flows, read_text
    from tidegate.wire.bgp.profile import PROFILES

    if profile is not None and profile not in PROFILES:
        raise click.BadParameter(f"{profile!r} is none of {', '.join(PROFILES)}", param_hint="--profile")
    encoding = Encoding(afi=_afi(afi), profile=profile, update=update or asn is not None, asn=asn)
    print_flows(encode_flows(read_text(file), encoding), as_json=as_json)


@flowspec.command("decode")
@click.argument("octets", nargs=-1, metavar="[HEX…|-]")
@_AFI
@click.option("--community", "communities", multiple=True, help="An extended community, in hex; may be repeated.")
@click.option(
    "--offsets",
    type=click.Choice(["rfc8956", "octets", "whole"]),
    default="rfc8956",
    show_default=True,
    help="How offsets of IPv6 prefixes are written: as BIRD 2.0 does (octets), or GoBGP 3 and ExaBGP 4 (whole).",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a rule.")
def decode_flowspec(
    octets: tuple[str, ...], afi: str | None, communities: tuple[str, ...], offsets: str, *, as_json: bool
) -> None:
    """Print what octets mean: rules (NLRI with their length octets), or whole UPDATE messages; no instance need run."""
    from tidegate.apps.flowspec_decode import decode_flows
    from tidegate.apps.flowspec_print import print_flows, read_text
    from tidegate.wire.bgp.flowspec import OffsetForm

    text = read_text("-") if octets in {(), ("-",)} else " ".join(octets)
    flows = decode_flows(text, communities, afi=_afi(afi), offsets=OffsetForm(offsets))
    sys.exit(0 if print_flows(flows, as_json=as_json) else 1)


def _afi(text: str | None) -> Afi | None:
    from tidegate.wire.bgp.constants import Afi

    return None if text is None else Afi.IPV4 if text == "4" else Afi.IPV6


@bgp.command()
@click.argument("neighbor", required=False)
@click.option("--received", is_flag=True, help="Those that it has announced.")
@click.option("--address", help="The one of those received that this address matches.")
@click.option("--prefix", help="Those received inside this prefix.")
@click.option(
    "--most", default=100, show_default=True, type=click.IntRange(1), help="How many prefixes of those received."
)
@click.option("--file", "path", type=_FILE, help="Of a routing table in a file (MRT); no instance need run.")
@click.option("--peer", default="", help="Address or AS of the peer whose table of the file is taken.")
@_instance
def routes(  # noqa: PLR0913 - click's options
    neighbor: str | None,
    path: Path | None,
    url: str,
    token: str,
    *,
    address: str | None,
    prefix: str | None,
    most: int,
    peer: str,
    received: bool,
    as_json: bool,
) -> None:
    """Show the unicast routes wanted at NEIGHBOR, by its address; or those that it has announced, or of a file."""
    if (neighbor is None) == (path is None):
        raise click.UsageError("give either a neighbour or --file FILE")
    if path is not None:
        _show(_routes_of_file(path, peer, address=address, prefix=prefix, most=most), tables.RECEIVED, as_json=as_json)
        return
    client, name = Client(url, token), neighbor or ""
    if address is not None:
        _show(questions.best_route(client, name, address), tables.RECEIVED, as_json=as_json)
    elif received or prefix is not None:
        found = questions.received_routes(client, name, prefix=prefix, most=most)
        _show(found, tables.RECEIVED, as_json=as_json)
    else:
        _show(questions.routes(client, name), tables.ROUTES, as_json=as_json)


def _routes_of_file(
    path: Path, peer: str, *, address: str | None, prefix: str | None, most: int
) -> Sequence[Mapping[str, object]]:
    from tidegate.apps.kernels import TABLE_KERNELS
    from tidegate.apps.rib_file import RibFile, routes_of_table
    from tidegate.apps.terminal import compile_with_progress

    compile_with_progress(TABLE_KERNELS)
    table = _loaded(RibFile(path, peer))
    return [] if table is None else routes_of_table(table, address=address, prefix=prefix, most=most)


def _show(rows: Sequence[Mapping[str, object]], columns: Sequence[Column], *, as_json: bool) -> None:
    from tidegate.apps.output import show_json, show_table

    if as_json:
        show_json(rows)
    else:
        show_table(rows, columns)


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except TidegateError as error:
        click.echo(f"tidegate: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # whoever read our output has enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            click.echo(f"tidegate: {error.strerror}: raise the limit, ulimit -n", err=True)
            sys.exit(1)
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}:
            raise
        click.echo(f"tidegate: output cannot be written: {error.strerror}", err=True)
        sys.stdout = None  # what it still holds cannot be written either
        sys.exit(1)


def main() -> None:
    """Run the command line."""
    with _errors_told():
        cli()
