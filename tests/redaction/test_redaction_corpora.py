"""The corpora of synthetic secrets and benign look-alikes: how much is masked, and how much stays.

The corpora are generated here and now: secret-looking values do not belong into a repository.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seclog.redaction import Redactor, scrub

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    shared = Path(os.environ.get("SECLOG_SHARED", CHECKOUT.parent / "shared"))
    generator = shared / "corpora" / "gen_corpus.py"
    if not generator.is_file():
        pytest.skip(f"the corpus generator is not at {generator} (set SECLOG_SHARED)")
    folder = tmp_path_factory.mktemp("corpora")
    subprocess.run([sys.executable, str(generator)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return {
        name: [json.loads(line) for line in (folder / f"{name}_corpus.jsonl").read_text().splitlines()]
        for name in ("secret", "benign")
    }


@pytest.fixture(params=[False, True], ids=["re", "re2"])
def redactor(request):
    if request.param:
        pytest.importorskip("re2")
    return Redactor(use_re2=request.param)


def survivors(redactor, row):
    out, _ = redactor.redact(row["event"])
    written = json.dumps(out) + json.dumps(out, ensure_ascii=False)
    return [text for text in row["must_not_contain"] if text in written or json.dumps(text)[1:-1] in written]


@pytest.mark.parametrize(("difficulty", "least"), [("normal", 1.0), ("hard", 0.97)])
def test_secrets_do_not_survive(corpora, redactor, difficulty, least):
    """Every normal secret is masked, and at least 97 % of the hard ones."""
    rows = [row for row in corpora["secret"] if row["difficulty"] == difficulty]
    missed = [(row["format"], row["where"]) for row in rows if survivors(redactor, row)]
    assert 1 - len(missed) / len(rows) >= least, missed


def test_benign_values_survive(corpora, redactor):
    """Look-alikes and keys that only contain a secret word stay readable."""
    rows = corpora["benign"]
    damaged = []
    for row in rows:
        out, masked = redactor.redact(row["event"])
        written = json.dumps(out)
        if masked or not all(json.dumps(scrub(text))[1:-1] in written for text in row["must_contain"]):
            damaged.append((row["format"], row["where"]))
    assert 1 - len(damaged) / len(rows) >= 0.995, damaged
