"""Run all benchmarks and write the table: `make bench`. `python -m benchmarks asgi flask` prints those rows only."""

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import bench_asgi, bench_django, bench_flask, bench_record, bench_verify, bench_workers

HERE = Path(__file__).parent
MODULES = {
    "record": bench_record,
    "django": bench_django,
    "flask": bench_flask,
    "asgi": bench_asgi,
    "workers": bench_workers,
    "verify": bench_verify,
}
PACKAGES = ("seclog", "msgspec", "google-re2", "django", "flask", "starlette", "asgi-correlation-id", "structlog", "orjson",
            "python-json-logger")  # fmt: skip
INTRO = """# Benchmarks

Written by `make bench`; do not edit. Cases of one row run interleaved in rotated order in one process (or in turns in
two); times are CPU time, ratios are medians over rounds of same-round ratios. "The limit" is what any Python recorder
must pay: build a msgspec Struct, encode it, one `os.write`. "Context known" is a further event of the same request.

"""


def main(names: list[str]) -> int:
    """Run and print; write the table if nothing was left out."""
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(MODULES)}", file=sys.stderr)
        return 2
    (Path.cwd() / ".bench").mkdir(exist_ok=True)
    rows = []
    for name in names or MODULES:
        for row in MODULES[name].run():
            print("met   " if row[-1] else "MISSED", *row[:-1], sep=" | ", flush=True)
            rows.append(row)
    if names:
        return 0
    lines = ["| what | measured | goal | detail | met |", "|---|---|---|---|---|"]
    lines += [
        f"| {what} | {measured} | {goal} | {detail} | {'yes' if met else '**no**'} |"
        for what, measured, goal, detail, met in rows
    ]
    machine = [
        f"* date: {datetime.now(UTC):%Y-%m-%d}",
        f"* machine: {_cpu()}, {platform.system()} {platform.release()}",
        f"* Python {sys.version.split()[0]} ({'optimised build' if _optimised() else 'built without PGO and LTO'})",
        "* " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    ]
    notes = HERE / "NOTES.md"
    text = INTRO + "\n".join(lines) + "\n\n" + "\n".join(machine) + "\n"
    (HERE / "README.md").write_text(text + ("\n" + notes.read_text() if notes.exists() else ""))
    return 0


def _cpu() -> str:
    import os

    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} x {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} cores"


def _optimised() -> bool:
    import sysconfig

    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
