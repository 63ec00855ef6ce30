"""The plan: the steps of a campaign, each a command, and the steps that each waits for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bench.campaign.definition.campaign import Campaign, Evaluation, Kept, Run
from bench.campaign.definition.options import flag
from bench.campaign.execution import identity
from bench.evaluation.protocol import VERSION

Kind = Literal["train", "evaluate"]


@dataclass(frozen=True)
class Step:
    """A command of `bench`, run in the campaign's folder once the steps that it `needs` are done.

    `model` is the folder that it writes or the model that it attacks; `files` are the further files
    and folders that it reads. `devices` is the number of GPUs that it uses where there are any.
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
    """All steps by key, in the order in which they start when none has to wait."""

    campaign: Campaign
    steps: Mapping[str, Step]

    def dependants(self, key: str) -> set[str]:
        """The steps that need this one, directly or indirectly."""
        found, new = set[str](), {key}
        while new:
            new = {s.key for s in self.steps.values() if new & set(s.needs)} - found
            found |= new
        return found


def make(campaign: Campaign) -> Plan:
    """The plan of a campaign: one seed after the other, so that finished steps compare all runs at
    any time; of each seed the teachers first."""
    teachers = {name for run in campaign.runs for name in run.teachers.values()}
    runs = {run.name: run for run in _teachers_first(campaign.runs)}
    data = identity.data(campaign.dataset, campaign.folder)
    trainings: dict[tuple[str, int], Step] = {}
    rounds: dict[int, list[Step]] = {}
    for run in runs.values():
        for position, seed in enumerate(run.seeds):
            steps = rounds.setdefault(position, [])
            trained = f"model {run.model}"
            if run.model is None:
                step = _training(campaign, run, seed, data, trainings)
                trainings[run.name, seed], trained = step, step.identity
                steps.append(step)
            steps.extend(_evaluations(campaign, run, position, trained, data))
    order = [step for position in sorted(rounds) for step in _ordered(rounds[position], teachers)]
    return Plan(campaign, {step.key: step for step in order})


def _ordered(steps: list[Step], teachers: set[str]) -> list[Step]:
    return sorted(steps, key=lambda step: not (step.kind == "train" and step.run in teachers))


def _teachers_first(runs: tuple[Run, ...]) -> Iterator[Run]:
    by_name, visited = {run.name: run for run in runs}, set[str]()

    def visit(run: Run) -> Iterator[Run]:
        if run.name not in visited:
            for name in run.teachers.values():
                yield from visit(by_name[name])
            visited.add(run.name)
            yield run

    for run in runs:
        yield from visit(run)


def _training(
    campaign: Campaign,
    run: Run,
    seed: int,
    data: str,
    trainings: dict[tuple[str, int], Step],
) -> Step:
    options, defense = run.options, str(run.options.defense)
    teachers = {key: trainings[name, seed] for key, name in run.teachers.items()}
    given = {key: value for key, value in options.given.items() if key not in teachers}
    arguments = [word for key, value in given.items() for word in flag(key, value)]
    arguments += [
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
        command=("train", defense, *dataset, *arguments, "--seed", str(seed), "--out", out),
        needs=tuple(step.key for step in teachers.values()),
        identity=identity.digest(
            defense, own, options.job, options.threats, seed, campaign.dataset, data, code
        ),
        model=out,
        files=tuple(_files(campaign, run, [step.model for step in teachers.values()])),
        devices=options.job["devices"],
    )


def _evaluations(
    campaign: Campaign, run: Run, position: int, trained: str, data: str
) -> Iterator[Step]:
    """The evaluations of one run with one seed."""
    for evaluation in campaign.evaluations:
        selected = evaluation.runs is None or {run.name, run.group} & set(evaluation.runs)
        if run.model is not None and evaluation.checkpoint == "last":
            continue
        if selected and (evaluation.seeds is None or position < evaluation.seeds):
            yield _evaluation(campaign, run, position, evaluation, trained, data)


def _evaluation(
    campaign: Campaign, run: Run, position: int, one: Evaluation, trained: str, data: str
) -> Step:
    seed = run.seeds[position]
    called, model = run.name, str(run.model)
    needs: tuple[str, ...] = ()
    if run.model is None:
        called = f"{run.name}-{seed}"
        needs = (f"train {called}",)
        model = f"{_folder(campaign, run.name, seed)}/{one.checkpoint}.safetensors"
    else:
        trained = identity.model(model, campaign.folder)
    board = one.board or run.board or campaign.board
    images = _is_kept(one.images or run.images or campaign.images, position)
    weights = (
        run.model is None and board == campaign.board and _is_kept(campaign.keep_weights, position)
    )
    settings = {
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
    arguments = [word for key, value in settings.items() for word in flag(key, value)]
    return Step(
        key=f"evaluate {called} {one.name}",
        kind="evaluate",
        run=run.name,
        seed=seed,
        command=(
            *("evaluate", model, *arguments, "--board", board),
            "--images" if images else "--no-images",
            *(("--keep-weights",) if weights else ()),
        ),
        needs=needs,
        identity=identity.digest(
            trained, one.checkpoint, settings, data, board, images, weights, VERSION
        ),
        model=model,
        board=board,
        evaluation=one,
    )


def _is_kept(kept: Kept, position: int) -> bool:
    return kept == "all" or (kept == "first" and position == 0)


def _folder(campaign: Campaign, name: str, seed: int) -> str:
    return str(PurePosixPath(campaign.checkpoints) / f"{name}-{seed}")


def _files(campaign: Campaign, run: Run, teachers: list[str]) -> Iterator[str]:
    """The files that a training reads and that another machine may lack."""
    scheme, _, rest = campaign.dataset.partition(":")
    if scheme in ("npz", "folder"):
        yield rest.partition("@")[0]
    yield from teachers
    for text in (run.options.defense, run.options.given.get("budgets")):
        if text and text.endswith((".py", ".toml")):
            yield text
