"""Verifying the chain, beside SHA-256 over the same bytes."""

import hashlib

from benchmarks.bench_record import as_dict, facts
from benchmarks.measure import interleaved, median, ratio
from seclog.journal.line import encode_object, first_link, seal_line
from seclog.journal.verify import verify_segment

ENTRIES = 50_000


def segment(segment_id: str) -> bytes:
    """Make a segment's bytes."""
    previous = first_link(segment_id)
    lines = []
    for seq, one in enumerate((facts() * 3)[:ENTRIES], 1):
        fields = as_dict(one, "2026-11-23T06:30:00.123456Z")
        if seq == 1:
            fields |= {"event.name": "audit_log_started", "seclog.segment.id": segment_id}
        line, previous = seal_line(
            encode_object(b'{"schema":"seclog/1"', {k: v for k, v in fields.items() if k != "schema"}), seq, previous
        )
        lines.append(line)
    return b"".join(lines)


def run(rounds: int = 15) -> list[tuple[str, str, str, str, bool]]:
    """Return rows: what, measured, goal, detail, met."""
    segment_id = "20261123T063000Z-1-00000000"
    data = segment(segment_id)
    report = verify_segment(segment_id, data)
    assert report.problem is None and report.entries == ENTRIES, report.problem

    def verify(n: int) -> None:
        for _ in range(n):
            verify_segment(segment_id, data)

    def sha256(n: int) -> None:
        for _ in range(n):
            hashlib.sha256(data).digest()

    samples = interleaved({"verify": verify, "sha256": sha256}, rounds=rounds, number=2)
    measured = ratio(samples, "verify", "sha256")
    detail = (
        f"{median(samples, 'verify') / ENTRIES:.2f} / {median(samples, 'sha256') / ENTRIES:.2f} µs an entry of "
        f"{len(data) / ENTRIES:.0f} B"
    )
    return [("verify / SHA-256 over the whole file", f"{measured:.2f}x", "<= 3.5x", detail, measured <= 3.5)]


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
