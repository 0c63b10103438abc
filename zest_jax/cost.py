"""What asking remote models will cost, told before the first question, and refused where the budget does not reach."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from zest_jax.asking import Asker, Composer, asker_of, make_composer, rearranged
from zest_jax.blackbox.http import HttpBlackBox
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.errors import BudgetError
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.progress import tell

__all__ = ["Cost", "costs_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What asking one remote model the questions of a probe set costs, if no request must be repeated.

    Attributes:
        label: the model.
        questions: different (reference, mask) pairs that are still needed.
        answered: how many of them the journal answers.
        checks: inputs of the first batch that are asked again, to see that the model is deterministic.
        inputs: to be sent, checks and `verified` included.
        requests: that hold them.
        spent: inputs that were sent before, by all runs with the same journal, whatever they asked.
        budget: inputs that may be sent over all, or None.
        exact: whether the journal was looked through; False where it is empty: equal inputs, which are asked once, may then make
            it less.
        verified: questions that the journal answers and that are asked once more (`verify`), to see that it is the same model.
        others: inputs that models before it take, which are signed together with it out of the same journal.

    >>> cost = Cost(label="suspect", questions=640, answered=512, checks=32, inputs=160, requests=20, spent=544, budget=1000)
    >>> print(cost)
    suspect: asks 160 inputs (32 of them to check that it is deterministic) in 20 requests; 512 of 640 questions are answered
    in the journal already; budget 1,000 inputs, 544 spent, 296 left for repeated requests
    """

    label: str
    questions: int
    answered: int
    checks: int
    inputs: int
    requests: int
    spent: int
    budget: int | None
    exact: bool = True
    verified: int = 0
    others: int = 0

    @property
    def left(self) -> int | None:
        """Inputs of the budget that are left for repeated requests, below 0 where it does not reach; None without one."""
        return None if self.budget is None else self.budget - self.spent - self.others - self.inputs

    def __str__(self) -> str:
        why = [
            f"{number:,} of them to {what}"
            for number, what in (
                (self.checks, "check that it is deterministic"),
                (self.verified, "verify that it is the same model"),
            )
            if number
        ]
        checks = f" ({', '.join(why)})" if why else ""
        parts = [
            f"{self.label}: asks {'' if self.exact else 'at most '}{self.inputs:,} inputs{checks} in {self.requests:,} requests",
            f"{self.answered:,} of {self.questions:,} questions are answered in the journal already",
        ]
        others = f"{self.others:,} for other models with the same journal, " if self.others else ""
        if self.budget is None:
            parts.append("no budget" + (f", {self.spent:,} inputs spent" if self.spent else ""))
        elif self.left is not None and self.left >= 0:
            parts.append(
                f"budget {self.budget:,} inputs, {self.spent:,} spent, {others}{self.left:,} left for repeated requests"
            )
        else:
            parts.append(f"budget {self.budget:,} inputs, {self.spent:,} spent{', ' if others else ''}{others[:-2]}")
        return "; ".join(parts)


def costs_of(
    boxes: Sequence[BlackBox],
    probes: ProbeSet,
    *,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    first: int = 0,
    check: bool = True,
) -> list[Cost]:
    """What signing asks of those models that are remote; nothing is asked.

    Where a journal holds answers, all inputs are composed once, to see which of them it knows.

    Args:
        boxes: all models that are signed together; only remote ones have a cost.
        batch_size: as it will be given to `sign`.
        devices: as it will be given to `sign`.
        check: as it will be given to `sign`.
        first: the first question whose answer is still needed, for a run that goes on.
        probes: what they will be asked.

    Returns:
        a cost for each remote model, in order.

    >>> from zest_jax import from_http, image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 2, 100, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> suspect = from_http("https://models.example/classify", journal=None, request={"x": "$inputs"}, answer={"y": "$outputs"})
    >>> (cost,) = costs_of([suspect], probes)
    >>> cost.questions, cost.checks, cost.left
    (32, 128, None)
    """
    remote = [box for box in boxes if isinstance(box, HttpBlackBox)]
    if not remote:
        return []
    composer = make_composer(boxes, probes, batch_size, devices)
    costs, taken = [], collections.Counter[Path]()
    for box in remote:
        cost = _cost(box, composer, probes, first, check)
        if box.journal.path is not None:
            journal = box.journal.path.resolve()
            cost = dataclasses.replace(cost, others=taken[journal])
            taken[journal] += cost.inputs
        costs.append(cost)
    return costs


def check_costs(
    boxes: Sequence[BlackBox],
    probes: ProbeSet,
    *,
    show: bool | None,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    first: int = 0,
    check: bool = True,
) -> None:
    """Tell what remote models cost, and refuse before the first question what their budgets do not reach for.

    Raises:
        BudgetError: says what the budget would buy.
    """
    for cost in costs_of(boxes, probes, batch_size=batch_size, devices=devices, first=first, check=check):
        tell(str(cost), show)
        if cost.inputs and cost.left is not None and cost.left < 0:
            raise BudgetError(f"{cost}, so {-cost.left:,} are missing. {_what_it_buys(cost, probes)}")


def _what_it_buys(cost: Cost, probes: ProbeSet) -> str:
    assert cost.budget is not None
    free = max(0, cost.budget - cost.spent - cost.others - cost.checks - cost.verified) + cost.answered
    references = int(np.searchsorted(probes.distinct.start, free, side="right")) - 1
    references = min(max(references, 0), probes.n_references)
    masks = min(free // probes.n_references, probes.n_samples)
    ways = []
    if references:
        ways.append(f"{references} references with {probes.n_samples} masks each (`n_references={references}`)")
    # A fit needs at least as many masks as segments; nearer to that it says little.
    if masks >= probes.max_segments:
        ways.append(f"{probes.n_references} references with {masks} masks each (`n_samples={masks}`)")
    bought = (
        f"It buys {' or '.join(ways)}: make such probes" if ways else "It does not buy one reference with all its masks"
    )
    without = f", leave out the checks (`check=False` saves {cost.checks:,})" if cost.checks else ""
    enough = cost.spent + cost.others + cost.inputs
    return f"{bought}{without}, or give `budget={enough}` or more, since repeated requests count too"


def _cost(box: HttpBlackBox, composer: Composer, probes: ProbeSet, first: int, check: bool) -> Cost:
    asker = asker_of(box, composer, "auto", alone=False)
    known = box.sent.answered > 0
    per_request = box.inputs_per_request
    questions = answered = inputs = requests = verified = 0
    starts = list(range(first, probes.n_queries, composer.size))
    if first:  # by the first batch a run that goes on sees that it is still the same model
        starts.insert(0, 0)
    seen: set[bytes] = set()
    for start in starts:
        queries = np.unique(composer.batch(start))
        fresh = len(queries)
        if known:
            keys = _questions(box, asker, queries, composer)
            found = box.journal.get(list(dict.fromkeys(keys)))
            answered += sum(key in found for key in keys)
            again = min(len(found.keys() - seen), box.to_verify - verified)
            if again > 0:
                seen |= set(list(found.keys() - seen)[:again])
                verified += again
                requests += -(-again // per_request)
            open_keys = {key for key in keys if key not in found and key not in seen}
            seen |= open_keys
            fresh = len(open_keys)
        questions += len(queries)
        inputs += fresh
        requests += -(-fresh // per_request)
    checks = 0
    if check and len(starts):
        whole = composer.batch(0)
        for nth, queries in enumerate((whole, rearranged(whole)), start=1):
            fresh = len(queries)
            if known and fresh:
                with box.asked_again(nth):
                    keys = _questions(box, asker, queries, composer)
                fresh = len(keys) - len(box.journal.get(keys))
            checks += fresh
            requests += -(-fresh // per_request)
    return Cost(
        label=box.label,
        questions=questions,
        answered=answered,
        checks=checks,
        inputs=inputs + checks + verified,
        requests=requests,
        spent=box.journal.total().inputs,
        budget=box.traffic.budget,
        exact=known,
        verified=verified,
    )


def _questions(box: HttpBlackBox, asker: Asker, queries: np.ndarray, composer: Composer) -> list[bytes]:
    """Hashes of composed questions. Filled up to one shape, so that nothing is compiled twice."""
    full = np.concatenate([queries, np.repeat(queries[-1:], composer.size - len(queries))])
    return box.questions(np.asarray(composer.dispatch(full, [asker])[0]))[: len(queries)]
