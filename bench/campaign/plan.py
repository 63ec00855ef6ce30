"""The plan: a campaign's steps, each a command, and which waits for which."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bench.campaign import identity
from bench.campaign.definition import Campaign, Evaluation, Run
from bench.campaign.options import flag
from bench.evaluation.protocol import VERSION

Kind = Literal["train", "evaluate"]


@dataclass(frozen=True)
class Step:
    """A command of `bench`, run in the campaign's folder, once those that it `needs` are done.

    `model` is what it leaves (a run's folder) or attacks; `files` are the files and folders beside
    it that it reads. `devices` counts the GPUs that it takes where there are any.
    """

    key: str
    kind: Kind
    run: str
    seed: int
    command: tuple[str, ...]
    needs: tuple[str, ...]
    identity: str
    model: str
    files: tuple[str, ...] = ()
    devices: int = 1
    board: str = ""
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Plan:
    """All steps by key, in the order in which they are begun when nothing makes them wait."""

    campaign: Campaign
    steps: Mapping[str, Step]

    def dependants(self, key: str) -> set[str]:
        """The steps that can't be done without this one."""
        found, fresh = set[str](), {key}
        while fresh:
            fresh = {s.key for s in self.steps.values() if fresh & set(s.needs)} - found
            found |= fresh
        return found


def make(campaign: Campaign) -> Plan:
    """The plan of a campaign: seeds in turn, so that what is done at any time compares all runs;
    among those of one seed first the runs that teach others."""
    taught = {name for run in campaign.runs for name in run.teachers.values()}
    runs = {run.name: run for run in _teachers_first(campaign.runs)}
    data = identity.data(campaign.dataset, campaign.folder)
    made: dict[tuple[str, int], Step] = {}
    rounds: dict[int, list[Step]] = {}
    for run in runs.values():
        for place, seed in enumerate(run.seeds):
            steps = rounds.setdefault(place, [])
            known = f"model {run.model}"
            if run.model is None:
                step = _training(campaign, run, seed, data, made)
                made[run.name, seed], known = step, step.identity
                steps.append(step)
            steps.extend(_measured(campaign, run, place, known, data))
    order = [step for place in sorted(rounds) for step in _ordered(rounds[place], taught)]
    return Plan(campaign, {step.key: step for step in order})


def _ordered(steps: list[Step], taught: set[str]) -> list[Step]:
    return sorted(steps, key=lambda step: not (step.kind == "train" and step.run in taught))


def _teachers_first(runs: tuple[Run, ...]) -> Iterator[Run]:
    named, given = {run.name: run for run in runs}, set[str]()

    def visit(run: Run) -> Iterator[Run]:
        if run.name not in given:
            for name in run.teachers.values():
                yield from visit(named[name])
            given.add(run.name)
            yield run

    for run in runs:
        yield from visit(run)


def _training(
    campaign: Campaign,
    run: Run,
    seed: int,
    data: str,
    made: dict[tuple[str, int], Step],
) -> Step:
    options, defense = run.options, str(run.options.defense)
    teachers = {key: made[name, seed] for key, name in run.teachers.items()}
    given = {key: value for key, value in options.given.items() if key not in teachers}
    words = [word for key, value in given.items() for word in flag(key, value)]
    words += [
        word
        for key, step in teachers.items()
        for word in (f"--{key.replace('_', '-')}", step.model)
    ]
    out = _folder(campaign, run.name, seed)
    dataset = ("--dataset", campaign.dataset)
    own = {**options.own, **{key: step.identity for key, step in teachers.items()}}
    code = identity.code(defense, campaign.folder)
    return Step(
        key=f"train {run.name}-{seed}",
        kind="train",
        run=run.name,
        seed=seed,
        command=("train", defense, *dataset, *words, "--seed", str(seed), "--out", out),
        needs=tuple(step.key for step in teachers.values()),
        identity=identity.digest(
            defense, own, options.job, options.threats, seed, campaign.dataset, data, code
        ),
        model=out,
        files=tuple(_files(campaign, run, [step.model for step in teachers.values()])),
        devices=options.job["devices"],
    )


def _measured(campaign: Campaign, run: Run, place: int, known: str, data: str) -> Iterator[Step]:
    """The evaluations of one run with one seed."""
    for evaluation in campaign.evaluations:
        asked = evaluation.runs is None or {run.name, run.group} & set(evaluation.runs)
        if run.model is not None and evaluation.checkpoint == "last":
            continue
        if asked and (evaluation.seeds is None or place < evaluation.seeds):
            yield _evaluation(campaign, run, place, evaluation, known, data)


def _evaluation(
    campaign: Campaign, run: Run, place: int, one: Evaluation, known: str, data: str
) -> Step:
    seed = run.seeds[place]
    called, model = run.name, str(run.model)
    needs: tuple[str, ...] = ()
    if run.model is None:
        called = f"{run.name}-{seed}"
        needs = (f"train {called}",)
        model = f"{_folder(campaign, run.name, seed)}/{one.checkpoint}.safetensors"
    else:
        known = identity.model(model, campaign.folder)
    board = one.board or run.board or campaign.board
    images = one.images or run.images or campaign.images
    kept = images == "all" or (images == "first" and place == 0)
    how = {
        "threat": one.threat,
        "suite": one.suites,
        "dataset": campaign.dataset,
        **{
            key: value
            for key in ("budgets", "examples")
            if (value := getattr(one, key)) is not None
        },
        "seed": one.seed,
        "precision": one.precision,
        **({"union_only": True} if one.union_only else {}),
        **(run.options.given if run.model is not None else {}),
    }
    words = [word for key, value in how.items() for word in flag(key, value)]
    return Step(
        key=f"evaluate {called} {one.name}",
        kind="evaluate",
        run=run.name,
        seed=seed,
        command=(
            *("evaluate", model, *words, "--board", board),
            "--images" if kept else "--no-images",
        ),
        needs=needs,
        identity=identity.digest(known, one.checkpoint, how, data, board, kept, VERSION),
        model=model,
        board=board,
        evaluation=one,
    )


def _folder(campaign: Campaign, name: str, seed: int) -> str:
    return str(PurePosixPath(campaign.checkpoints) / f"{name}-{seed}")


def _files(campaign: Campaign, run: Run, teachers: list[str]) -> Iterator[str]:
    """What a training reads that another machine may not have."""
    scheme, _, rest = campaign.dataset.partition(":")
    if scheme in ("npz", "folder"):
        yield rest.partition("@")[0]
    yield from teachers
    for text in (run.options.defense, run.options.given.get("budgets")):
        if text and text.endswith((".py", ".toml")):
            yield text
