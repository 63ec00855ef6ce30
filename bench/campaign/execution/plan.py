"""The plan: the steps of a campaign, each a command, and the steps that each waits for."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from bench.campaign.definition.campaign import Campaign, Evaluate, Kept, Run
from bench.campaign.definition.options import flag
from bench.campaign.execution import identity
from bench.data import path_of
from bench.evaluation.protocol import VERSION
from bench.plugins import specs
from bench.plugins.source import modules
from leaderboard.options import TEACHERS

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
    evaluation: Evaluate | None = None


Trainings = Mapping[tuple[str, int], Step]
"""Name of a run and seed -> its training."""


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
    for run in (run for run in runs.values() if run.model is None):
        for seed in run.seeds:
            trainings[run.name, seed] = _training(campaign, run, seed, data, trainings)
    rounds: dict[int, list[Step]] = {}
    for run in runs.values():
        for position, seed in enumerate(run.seeds):
            steps = rounds.setdefault(position, [])
            if run.model is None:
                steps.append(trainings[run.name, seed])
            steps.extend(_evaluations(campaign, run, position, trainings, data))
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
    trainings: Trainings,
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
    others = {
        key: name for key in TEACHERS if (name := options.own.get(key)) and key not in teachers
    }
    own = {
        **options.own,
        **{key: step.identity for key, step in teachers.items()},
        **{key: identity.model(name, campaign.folder) for key, name in others.items()},
    }
    # Event files are no part of the result.
    job = {key: value for key, value in options.job.items() if key != "tensorboard"}
    code = identity.code(defense, campaign.folder)
    if options.own_networks:
        networks = [identity.code(file, campaign.folder) for file in options.own_networks]
        code = identity.digest(code, networks)
    return Step(
        key=f"train {run.name}-{seed}",
        kind="train",
        run=run.name,
        seed=seed,
        command=("train", defense, *dataset, *arguments, "--seed", str(seed), "--out", out),
        needs=tuple(step.key for step in teachers.values()),
        identity=identity.digest(
            defense, own, job, options.threats, seed, campaign.dataset, data, code
        ),
        model=out,
        files=tuple(_files(campaign, run, [step.model for step in teachers.values()], others)),
        devices=options.job["devices"],
    )


def _evaluations(
    campaign: Campaign, run: Run, position: int, trainings: Trainings, data: str
) -> Iterator[Step]:
    """The evaluations of one run with one seed. A model that is not trained here has one
    checkpoint: those of `last` measure it where none of `best` does."""
    selected = [
        one
        for one in campaign.evaluations
        if one.runs is None or {run.name, run.group} & set(one.runs)
        if one.seeds is None or position < one.seeds
    ]
    if run.model is not None:
        best = [one for one in selected if one.checkpoint == "best"]
        selected = best or [replace(one, checkpoint="best") for one in selected]
    for evaluation in selected:
        yield _evaluation(campaign, run, position, evaluation, trainings, data)


def _evaluation(
    campaign: Campaign, run: Run, position: int, one: Evaluate, trainings: Trainings, data: str
) -> Step:
    seed = run.seeds[position]
    called, model = run.name, str(run.model)
    needs: list[Step] = []
    if run.model is None:
        needs.append(trainings[run.name, seed])
        called, model = f"{run.name}-{seed}", f"{needs[0].model}/{one.checkpoint}.safetensors"
        read = [needs[0].identity]
    else:
        files = (model, str(run.options.given.get("weights", "")))
        read = [identity.model(name, campaign.folder) for name in files]
    for attacker in _attackers(one):
        own = [step for step in trainings.values() if step.model == attacker]
        needs += own
        read += [step.identity for step in own] or [identity.attacker(attacker, campaign.folder)]
    read += [identity.model(name, campaign.folder) for name in one.suites if specs.parse(name)]
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
        **({"arch": run.options.own_arch} if run.options.own_arch else {}),
    }
    arguments = [word for key, value in settings.items() for word in flag(key, value)]
    attacks = (str(spec.file) for spec in map(specs.parse, one.suites) if spec)
    code = dict.fromkeys((*run.options.own_networks, *attacks))
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
        needs=tuple(dict.fromkeys(step.key for step in needs)),
        identity=identity.digest(
            *(read, one.checkpoint, settings, data, board, images, weights, VERSION),
        ),
        model=model,
        files=tuple(name for file in code for name in _modules(campaign, file)),
        board=board,
        evaluation=one,
    )


def _attackers(one: Evaluate) -> Iterator[str]:
    """The runs of `l2l`, or their attackers, whose learned attacks are suites of an evaluation."""
    for suite in one.suites:
        if suite.startswith("l2l:"):
            path = PurePosixPath(suite.removeprefix("l2l:"))
            path = path.parent if path.name == "best.safetensors" else path
            yield str(path.parent if path.name == "attacker" else path)


def _is_kept(kept: Kept, position: int) -> bool:
    return kept == "all" or (kept == "first" and position == 0)


def _folder(campaign: Campaign, name: str, seed: int) -> str:
    return str(PurePosixPath(campaign.checkpoints) / f"{name}-{seed}")


def _files(
    campaign: Campaign, run: Run, teachers: list[str], others: Mapping[str, str]
) -> Iterator[str]:
    """The files that a training reads and that another machine may lack; `others` are teachers
    that are not trained here."""
    yield from teachers
    own = [str(path_of(campaign.dataset, campaign.folder) or ""), *others.values()]
    own += [str(run.options.given.get("budgets", ""))]
    yield from (name for name in own if name and _is_sent(campaign, name))
    if (defense := str(run.options.defense)).endswith(".py"):
        yield from _modules(campaign, defense)
    for file in run.options.own_networks:
        yield from _modules(campaign, file)


def _modules(campaign: Campaign, file: str) -> Iterator[str]:
    """A Python file and those beside it that it imports, relative to the campaign's folder."""
    for path in modules(campaign.folder / file):
        yield os.path.relpath(path, campaign.folder)


def _is_sent(campaign: Campaign, name: str) -> bool:
    """Whether a name is that of a file or folder relative to the campaign's."""
    return not PurePosixPath(name).is_absolute() and (campaign.folder / name).exists()
