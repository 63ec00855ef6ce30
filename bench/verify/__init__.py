"""Verifies records against their evidence: VALID, or INVALID with the rules that failed.

    report = verify(Path("board/records/0123456789abcdef.json"))
    report.outcome, report.failures

Everything that follows from the evidence is computed again: hashes, flags, distances in float64,
predictions in float32 with another batch size. If weights or data are not on this machine, the
record is PARTLY CHECKED. The date, the machine and the time of the evaluation cannot be checked.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.display import Progress
from bench.errors import CrossfireError, reason
from bench.evaluation.protocol import VERSION
from bench.files import sha256_file
from bench.verify.case import Case, Options, is_random
from bench.verify.datasets import Datasets, Missing
from bench.verify.report import Failure, Gap, Report, summary
from bench.verify.rules import DECISIVE, NEEDS_IMAGES, RULES
from leaderboard.schema import Record, from_json

__all__ = ["Failure", "Gap", "Options", "Report", "summary", "verify", "verify_all"]


def verify_all(paths: Sequence[Path], options: Options, progress: Progress) -> Iterator[Report]:
    """Verify several records; data that they share are read once.

    Raises:
        CrossfireError: a file doesn't exist, which is checked for all files first; or the data set
            named in the options can't be loaded.
    """
    for path in paths:
        _check_exists(path)
    datasets = Datasets()
    for done, path in enumerate(paths):
        progress(done, len(paths), f"verify {path.stem}")
        yield verify(path, options, datasets)
    progress(len(paths), len(paths), "verify")


def verify(path: Path, options: Options | None = None, datasets: Datasets | None = None) -> Report:
    """Verify the record in a file of a board against its evidence, its data and its model.

    Raises:
        CrossfireError: there is no such file, or the data set named in the options can't be loaded.
    """
    _check_exists(path)
    try:
        record = from_json(path.read_bytes())
    except ValueError as error:
        return Report(path, None, (Failure("V01", str(error)),))
    if datetime.fromisoformat(record.created) > datetime.now(UTC) + timedelta(days=1):
        later = Failure("V01", f"it was made on {record.created}, which is later than now")
        return Report(path, record, (later,))
    board = path.absolute().parent.parent
    case = Case(record, board, options or Options(), datasets or Datasets())
    if case.options.dataset is not None:
        case.datasets.load(case.options.dataset)
    if failures := _evidence(case):
        return Report(path, record, failures)
    left_out = _left_out(record)
    failures, missing = _apply_rules(case, {gap.rule for gap in left_out})
    return Report(path, record, failures, left_out, missing, case.options.sample)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise CrossfireError(f"there is no record {path}; name a file in a board's folder records")


def _left_out(record: Record) -> tuple[Gap, ...]:
    gaps = []
    if record.protocol.version < VERSION:
        gaps.append(Gap("V06", f"protocol {record.protocol.version} is older than these rules"))
    if record.evidence is not None and record.evidence.adversarial is None:
        gaps += [Gap(rule, "adversarial examples were left out") for rule in NEEDS_IMAGES]
    elif is_random(record):
        gaps.append(Gap("V10", "other draws of a random model may classify its examples correctly"))
    return tuple(gaps)


def _evidence(case: Case) -> tuple[Failure, ...]:
    """V02: the files of evidence have the hashes that the record names."""
    evidence = case.record.evidence
    if evidence is None:
        return (Failure("V02", "the record has no evidence"),)
    failures = []
    for file in filter(None, (evidence.table, evidence.adversarial)):
        try:
            changed = sha256_file(case.board / file.file) != file.sha256
        except OSError as error:
            failures.append(Failure("V02", f"{file.file} is missing ({error.strerror})"))
            continue
        if changed:
            failures.append(Failure("V02", f"{file.file} was changed"))
    return tuple(failures)


def _apply_rules(case: Case, left_out: set[str]) -> tuple[tuple[Failure, ...], tuple[Gap, ...]]:
    """V03 to V11, up to the first failure after which later rules cannot be applied."""
    failures: list[Failure] = []
    missing: list[Gap] = []
    for name, rule in RULES.items():
        if name in left_out:
            continue
        try:
            for message in rule(case):
                failures.append(Failure(name, message))
        except Missing as error:
            missing.append(Gap(name, str(error)))
        except (ValueError, CrossfireError) as error:
            failures.append(Failure(name, str(error)))
        except Exception as error:  # what others wrote may raise any error
            failures.append(Failure(name, reason(error)))
        if failures and name in DECISIVE:
            break
    return tuple(failures), tuple(missing)
