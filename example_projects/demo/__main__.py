"""The command: `python -m example_projects.demo [--app django] [--exit]`, usually as `make demo`."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from example_projects.demo import evidence
from example_projects.demo.apps import APPS
from example_projects.demo.cast import PEOPLE, made_up
from example_projects.demo.play import Player
from example_projects.demo.report import Report
from example_projects.demo.server import DemoError, Server, ends_with_us, fresh, only_one, seed
from example_projects.demo.story import day

CHECKOUT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Play the day and show what was recorded.

    Returns:
        0: as expected (or left with Ctrl-C in the live tail); 1: not as expected; 2: could not be played;
        130: interrupted before the verdict was known, with --exit.
    """
    options = _options().parse_args(arguments)
    state = (options.state or CHECKOUT / ".demo" / options.app).absolute()
    report = Report()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with only_one(state):
            return _play(options.app, state, options.port, options.exit, report)
    except DemoError as error:
        report.say(f"demo: {error}", "red")
        return 2
    except KeyboardInterrupt:
        report.say("\ndemo: stopped; the shop no longer runs")
        return 130 if options.exit else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo", description="Play a scripted day in a shop and show what seclog recorded."
    )
    parser.add_argument("--app", choices=sorted(APPS), default="django", help="the example project (default: django)")
    parser.add_argument("--exit", action="store_true", help="end after the summary; exit 0 only if all is as expected")
    parser.add_argument("--state", type=Path, help="state directory, made anew (default: .demo/<app> in the checkout)")
    parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
    return parser


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _play(app_name: str, state: Path, port: int, leave: bool, report: Report) -> int:
    app = APPS[app_name]
    scenes = day(app.dialect)
    began = time.monotonic()
    secrets = made_up()
    passwords = {person: secrets[f"{person}_password"] for person in PEOPLE}
    fresh(state)
    with Server(app, state, port) as server:
        with report.console.status("opening the shop …"):
            ids = seed(app, state, passwords | {"payment_api_key": secrets["payment_api_key"]})
            server.start()
        report.say(f"A day in the shop: {len(scenes)} scenes, {app_name}, 4 workers, {server.url}")
        labels = {secret: label.replace("_", " ") for label, secret in secrets.items()}
        labels |= {path.read_text(): "the app's secret key" for path in (state / "shop").glob("secret_key")}
        player = Player(server.port, {**app.dialect.words, **secrets, **ids}, labels, mail=state / "shop" / "mail")
        with report.progress(len(scenes)) as progress:
            played = player.play(scenes, progress)
        with report.console.status("waiting for the watch …"):
            evidence.settle(state, played)
        if leave:
            server.stop()
        found = evidence.gather(state, played, labels)
        report.summary(found, state)
        report.next_commands(state)
        if not leave:
            report.say(f"\n{found.last_line}", "bold green" if found.passed else "bold red")
            _stay(server, state, report, secrets["olga_password"])
        report.say(f"\nplayed and checked in {time.monotonic() - began:.0f} s")
        report.say(found.last_line, "bold green" if found.passed else "bold red")
        return 0 if found.passed else 1


def _stay(server: Server, state: Path, report: Report, password: str) -> NoReturn:
    """Leave the shop open and show what happens in it, until Ctrl-C."""
    report.say(f"The shop stays open at {server.url} (fail a login and see). Ctrl-C ends it.")
    if report.console.is_terminal:  # only there: output that goes to a file would keep it
        report.say(f"To get in: olga, password {password}")
    report.say("")
    sys.stdout.flush()
    command = ends_with_us(sys.executable, "-m", "seclog", "tail", "-f", "-n", "0", str(state))
    tail = subprocess.Popen(command, start_new_session=True)
    try:
        while server.alive and tail.poll() is None:
            time.sleep(0.3)
    finally:
        tail.terminate()
        tail.wait()
    if server.alive:
        raise DemoError("the live tail ended by itself; the shop is closed")
    raise DemoError(f"the server ended by itself; its log is {server.log}")


if __name__ == "__main__":
    sys.exit(main())
