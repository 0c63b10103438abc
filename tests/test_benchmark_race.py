"""Tables 1 and 5 and the race: pairs, scores that cannot be had, verdicts that must not pass."""

import dataclasses
import doctest
import itertools
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

import zest_jax as zest
from benchmarks.paper import detection, race, race_scores, race_zoo, reuse_zoo, table1_modelreuse
from benchmarks.paper.detection import area, interval, rate
from benchmarks.paper.experiment import Pieces
from benchmarks.paper.remembering import Remembering
from tests.making import images

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.mark.parametrize("module", [detection, table1_modelreuse])
def test_examples(module):
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


class TestDetection:
    def scores(self, seed):
        rng = np.random.default_rng(seed)
        # Rounded, so that some are equal.
        return rng.normal(0.8, 1, 40).round(1), rng.normal(0, 1, 37).round(1)

    @pytest.mark.parametrize("seed", range(4))
    def test_area_and_rate_against_scikit_learn(self, seed):
        related, unrelated = self.scores(seed)
        truth = np.repeat([1, 0], [40, 37])
        scores = np.concatenate([related, unrelated])
        assert area(related, unrelated) == pytest.approx(roc_auc_score(truth, scores))
        false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
        assert rate(related, unrelated, 0.1) == pytest.approx(true[false <= 0.1].max())

    def test_pairs_that_cannot_be_compared_are_not_detected(self):
        unknown = np.full(5, -np.inf)
        assert rate(unknown, np.array([-0.5, -1.0]), 0.05) == 0
        assert rate(unknown, np.full(3, -np.inf), 0.05) == 0
        assert area(unknown, np.full(3, -np.inf)) == 0.5

    def test_the_interval_holds_the_rate_and_narrows_with_more_models(self):
        related, unrelated = self.scores(0)
        scores, which = np.concatenate([related, unrelated]), np.repeat([True, False], [len(related), len(unrelated)])
        pairs = [("victim", f"suspect-{i}") for i in range(len(scores))]
        low, high = interval(scores, which, pairs, 0.1)
        assert low <= rate(related, unrelated, 0.1) <= high
        assert interval(scores, which, pairs, 0.1) == (low, high)
        many = [("victim", f"suspect-{i}") for i in range(30 * len(scores))]
        narrow = interval(np.tile(scores, 30), np.tile(which, 30), many, 0.1)
        assert narrow[1] - narrow[0] < (high - low) / 2

    def test_the_same_models_asked_again_tell_nothing_new(self):
        related, unrelated = self.scores(0)
        scores, which = np.concatenate([related, unrelated]), np.repeat([True, False], [len(related), len(unrelated)])
        pairs = [("victim", f"suspect-{i}") for i in range(len(scores))]
        again = interval(np.tile(scores, 30), np.tile(which, 30), pairs * 30, 0.1)
        assert again == pytest.approx(interval(scores, which, pairs, 0.1), abs=1e-9)

    def test_pairs_that_are_all_found_are_as_many_trials_as_there_are_victims(self):
        pairs = [(victim, suspect) for victim in "abcd" for suspect in map(str, range(36))]
        which = np.array([int(suspect) < 18 for _, suspect in pairs])
        low, high = interval(which.astype(float), which, pairs, 0.05)
        assert (round(low, 2), high) == (0.51, 1.0)

    def test_pairs_of_one_kind_alone_have_no_interval(self):
        with pytest.raises(ValueError, match="none of 1000 draws of 2 pairs has related and unrelated ones"):
            interval(np.array([1.0, 2.0]), np.array([True, True]), [("a", "b"), ("a", "c")], 0.05)

    def test_the_interval_is_that_of_draws_of_victims_and_suspects(self):
        rng = np.random.default_rng(3)
        pairs = [(victim, suspect) for victim in "abc" for suspect in range(12)]
        which = np.array([suspect < 7 for _, suspect in pairs])
        scores = rng.normal(size=len(pairs)) + which
        found = []
        for _ in range(3000):
            victims, suspects = rng.choice(list("abc"), 3), rng.integers(12, size=12)
            drawn = [pairs.index((victim, suspect)) for victim in victims for suspect in suspects]
            if which[drawn].any() and not which[drawn].all():
                found.append(rate(scores[drawn][which[drawn]], scores[drawn][~which[drawn]], 0.2))
        expected = np.percentile(found, [2.5, 97.5])
        named = [(victim, str(suspect)) for victim, suspect in pairs]
        assert interval(scores, which, named, 0.2, draws=3000) == pytest.approx(tuple(expected), abs=0.05)


def test_no_question_is_asked_twice():
    asked = []

    def answer(x):
        asked.append(x.copy())
        return x.mean((1, 2))

    box = Remembering(zest.from_callable(answer, label="counted"))
    questions = np.random.default_rng(0).random((300, 4, 4, 3)).astype(np.float32)
    first = box(questions[:200])
    again = box(questions)
    np.testing.assert_array_equal(again[:200], first)
    np.testing.assert_allclose(again, questions.mean((1, 2)), rtol=1e-6)
    distinct = {q.tobytes() for batch in asked for q in batch}
    assert len(distinct) == 300
    # What fills a batch up is a repeat within it.
    assert [len(batch) for batch in asked] == [128, 128, 128]


class TestModelReuse:
    def test_all_pairs_of_the_benchmark(self):
        zoo = table1_modelreuse.settings_of("small")
        pairs = list(zoo.pairs())
        assert len(pairs) == 144
        assert Counter(table1_modelreuse.group(pair.row) for pair in pairs) == {
            "Transfer": 12,
            "Prune": 36,
            "Quantization": 12,
            "Distillation": 12,
            "Model extraction": 12,
            "Transfer + prune": 36,
            "Transfer + quantize": 12,
            "Transfer + distill": 12,
        }

    def test_pairs_are_models_of_the_zoo_and_what_they_were_made_from(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reuse_zoo, "load_dataset", cifar_like)
        monkeypatch.setattr(reuse_zoo, "digits", lambda split: digits_like())
        settings = table1_modelreuse.settings_of("small")
        zoo = settings.zoo(tmp_path)
        assert len(zoo.models) == 98
        for pair in settings.pairs():
            suspect, parent = zoo.entry(pair.suspect), pair.victim
            ancestors = {suspect.parents[0], *zoo.entry(suspect.parents[0]).parents}
            assert parent in ancestors
            for other in pair.unrelated:
                assert zoo.entry(other).parents == ()
                assert settings.task_of(other) == settings.task_of(pair.suspect)
                assert architecture(zoo, zoo.entry(other)) == architecture(zoo, suspect)

    def test_a_row_in_which_modeldiff_detects_more_does_not_hold(self):
        settings = table1_modelreuse.EXPERIMENT.settings["smoke"]
        lines = reuse_lines(settings, zest_related=1.1)
        verdicts = table1_modelreuse.judge(settings, lines)
        assert not verdicts["Prune (1 pairs)"].holds
        assert not verdicts["Overall (8 pairs)"].holds
        assert not verdicts["l2 detects as many pairs as ModelDiff"].holds
        better = table1_modelreuse.judge(settings, reuse_lines(settings, zest_related=0.9))
        assert better["Prune (1 pairs)"].holds
        assert better["l2 detects as many pairs as ModelDiff"].holds
        assert "Zest (cosine) 100.0% (8)" in better["Overall (8 pairs)"].text

    def test_the_stricter_rule_is_judged_apart(self):
        """Nearer than the mean of the unrelated models and not than the nearest: detected, but not by the stricter rule."""
        settings = table1_modelreuse.EXPERIMENT.settings["smoke"]
        lines = reuse_lines(settings, zest_related=0.9)
        for line in lines:
            if line["what"] == "Zest (cosine)":
                line["unrelated"] = [[0.8, 1.6] for _ in line["unrelated"]]
        verdicts = table1_modelreuse.judge(settings, lines)
        assert verdicts["Overall (8 pairs)"].holds
        assert verdicts["Overall, nearer than every unrelated model"].holds is False
        assert "Zest (cosine) 0 of 8" in verdicts["Overall, nearer than every unrelated model"].text
        # Of two unrelated models one is nearer than the other.
        assert "Zest (cosine) 50%" in verdicts["cosine detects every pair"].text
        assert verdicts["cosine detects every pair"].holds
        assert (
            table1_modelreuse.judge(settings, reuse_lines(settings, zest_related=1.1))[
                "cosine detects every pair"
            ].holds
            is False
        )

    def test_models_that_learnt_nothing_are_told(self):
        settings = table1_modelreuse.EXPERIMENT.settings["smoke"]
        assert table1_modelreuse.judge(settings, reuse_lines(settings))["models learnt their tasks"].holds
        lines = reuse_lines(settings, accuracy=0.26)
        assert not table1_modelreuse.judge(settings, lines)["models learnt their tasks"].holds

    def test_halves_of_a_task_are_disjoint(self, monkeypatch):
        monkeypatch.setattr(reuse_zoo, "load_dataset", cifar_like)
        zoo = race.race_zoo("smoke")
        first, second = ({image.tobytes() for image in task.read("train").inputs} for task in (zoo.task, zoo.second))
        assert not first & second
        assert len(first) + len(second) == len(dataclasses.replace(zoo.task, half=None).read("train"))


class TestBuild:
    def test_models_come_after_those_they_are_made_from(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reuse_zoo, "load_dataset", cifar_like)
        monkeypatch.setattr(reuse_zoo, "digits", lambda split: digits_like())
        zoo = table1_modelreuse.settings_of("small").zoo(tmp_path)
        found = reuse_zoo._generations(zoo)
        assert [len(entries) for entries in found] == [14, 12, 72]
        assert {entry.name for entries in found for entry in entries} == {entry.name for entry in zoo.models}
        for before, entries in itertools.pairwise(found):
            assert {parent for entry in entries for parent in entry.parents} <= {entry.name for entry in before}

    @pytest.fixture
    def zoo(self, tmp_path, monkeypatch):
        """Five models in three generations."""
        monkeypatch.setattr(reuse_zoo, "load_dataset", cifar_like)
        whole = table1_modelreuse.settings_of("smoke").zoo(tmp_path)
        return dataclasses.replace(whole, models=[m for m in whole.models if m.kind not in ("distill", "extract")])

    def built(self, zoo, tmp_path, name, processes):
        """Fingerprints of the models in folder `name`."""
        pieces = Pieces(tmp_path / "fig" / name / "smoke", tmp_path, "smoke", {"settings": {}}, processes=processes)
        reuse_zoo.build(pieces, zoo, tmp_path / name)
        assert [line["name"] for line in pieces.lines if line["what"] == "model"] == [
            entry.name for entry in zoo.models
        ]
        return next(line["fingerprints"] for line in pieces.lines if line["what"] == "models")

    def test_models_made_at_once_are_those_made_one_by_one(self, zoo, tmp_path, capsys):
        one = self.built(zoo, tmp_path, "one", 1)
        assert "at once" not in capsys.readouterr().err
        assert self.built(zoo, tmp_path, "two", 2) == one
        told = capsys.readouterr().err
        # The transfer between the two is alone.
        assert told.count("two: 2 trainings, 2 at once") == 2
        assert len(set(one)) == 5

    def test_models_of_other_settings_stop_it_before_what_is_made_from_them(self, zoo, tmp_path):
        folder = tmp_path / "two"
        source = zoo.models[0]
        reuse_zoo.make_here(zoo, source, folder)
        others = [dataclasses.replace(source, seed=7), *zoo.models[1:]]
        with pytest.raises(ValueError, match="was made with other settings"):
            self.built(dataclasses.replace(zoo, models=others), tmp_path, "two", 2)
        assert {path.name for path in folder.iterdir() if path.is_dir()} == {source.name}

    def test_nothing_is_made_from_a_model_that_is_half_trained(self, zoo, tmp_path):
        transfer, folder = zoo.entry("resnet8-four-transfer-50"), tmp_path / "zoo"
        reuse_zoo.make_here(zoo, zoo.models[0], folder)
        # Its checkpoints are there, as where it was stopped.
        (folder / "resnet8-source" / reuse_zoo.MADE_FILE).unlink()
        with pytest.raises(
            FileNotFoundError, match="resnet8-four-transfer-50 is made from resnet8-source, which has not"
        ):
            reuse_zoo.make_here(zoo, transfer, folder)


def architecture(zoo, entry):
    """Of a model, or of what it was made from, with as many classes as its data have."""
    if getattr(entry, "model", None) is not None:
        return entry.model
    name = architecture(zoo, zoo.entry(entry.parents[0]))
    return dataclasses.replace(name, num_classes=4 if "-four-" in entry.name else 10)


class TestRace:
    settings = dataclasses.replace(race.EXPERIMENT.settings["small"], budgets=race_scores.BUDGETS)

    def test_pairs(self):
        cases = self.settings.zoo.cases()
        assert sum(not case.related for case in cases) >= 30
        unrelated = {case.kind for case in cases if not case.related}
        assert unrelated == {"other seed", "other half of the data", "other classes", "other architecture"}
        assert len({case.kind for case in cases if case.related}) == 13

    @pytest.mark.parametrize("budget", race_scores.BUDGETS)
    def test_splits_keep_the_budget_and_use_it(self, budget):
        splits = self.settings.splits(budget)
        assert splits
        assert all(n * masks <= budget for n, masks in splits)
        assert max(n * masks for n, masks in splits) > 0.9 * budget
        assert min(n * masks for n, masks in splits) > budget / 2
        assert self.settings.usual(budget) in splits

    def test_what_is_asked_is_what_the_splits_need(self):
        needed = np.zeros((128, 1000), bool)
        for budget in self.settings.budgets:
            for n, masks in self.settings.splits(budget):
                needed[:n, :masks] = True
        asked = np.zeros_like(needed)
        for start, stop, masks in self.settings.blocks():
            assert not asked[start:stop].any()
            asked[start:stop, :masks] = True
        np.testing.assert_array_equal(asked, needed)

    def test_scores_of_splits_are_those_of_signatures(self):
        data = images(6, size=8)
        probes = zest.image_probes(
            data.inputs, 3, 40, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2}, progress=False
        )
        rng = np.random.default_rng(0)
        boxes = {}
        for name in ("victim", "suspect"):
            kernel = rng.normal(size=(8 * 8 * 3, 3)).astype(np.float32)
            boxes[name] = zest.from_callable(lambda x, k=kernel: x.reshape(len(x), -1) @ k, label=name)
        asked = {name: race_scores.Asked(zest.query(box, probes, progress=False), None) for name, box in boxes.items()}
        cases = [race_zoo.Case("planted", True, "victim", "suspect")]
        for n, masks in ((3, 40), (2, 12)):
            part = race_scores.part_of(probes, 0, n, masks)
            signed = [zest.sign(box, part, underdetermined="minimum-norm", progress=False) for box in boxes.values()]
            (score,) = race_scores.split_scores(probes, asked, cases, (n, masks))
            assert -score == pytest.approx(zest.distance(*signed), abs=1e-5)

    def test_what_cannot_be_compared_counts_as_not_detected(self):
        lines = race_lines(self.settings, {"SAC-w": None})
        scores = race.table(self.settings, lines)
        assert (scores["SAC-w"][16] == -np.inf).all()
        verdicts = race.judge(self.settings, lines)
        assert "SAC-w 0.00 [0.00, 0.56], 0.500" in verdicts[VERDICT].text
        assert "SAC-w cannot compare" in verdicts["distill: " + VERDICT].text

    def test_a_peer_that_separates_better_is_told(self):
        best = "no peer that only asks separates better, 128,000 questions"
        assert race.judge(self.settings, race_lines(self.settings, {"Zest": 1.0}))[best].holds
        verdict = race.judge(self.settings, race_lines(self.settings, {"Zest": 0.0, "AKH": 1.0}))[best]
        assert verdict.holds is False
        assert "AKH 1.000" in verdict.text

    def test_pairs_that_a_method_cannot_compare_are_left_out_of_a_verdict_of_their_own(self):
        lines = race_lines(self.settings, {"Zest": 1.0, "AKH": 1.0})
        about = "the same of the pairs that every method can compare, 128,000 questions"
        transfers = {i for i, case in enumerate(self.settings.zoo.cases()) if case.kind.startswith("transfer")}
        for line in lines:
            if line["what"] == "AKH":
                rows = [i for i, case in enumerate(self.settings.zoo.cases()) if case.victim == line["victim"]]
                line["scores"] = [
                    None if i in transfers else score for i, score in zip(rows, line["scores"], strict=True)
                ]
        verdicts = race.judge(self.settings, lines)
        assert "AUROC of 33 related and 33 unrelated pairs" in verdicts[about].text
        assert "AKH 1.000" in verdicts[about].text
        assert "AKH 1.000" not in verdicts["no peer that only asks separates better, 128,000 questions"].text

    def test_where_nobody_finds_anything_nothing_is_told(self):
        cases = self.settings.zoo.cases()
        lines = race_lines(self.settings, {})
        for line in lines:
            rows = [i for i, case in enumerate(cases) if line["what"] == "Zest" or case.victim == line["victim"]]
            line["scores"] = [0.0 if cases[i].related else 1.0 for i in rows]
        verdicts = race.judge(self.settings, lines)
        assert verdicts["distill: " + VERDICT].holds is None
        assert verdicts["Zest separates better with more questions"].holds is False

    def test_a_split_that_is_not_chosen_and_separates_better_is_told(self):
        lines = race_lines(self.settings, {"Zest": 1.0})
        about = "the split that Zest chooses by itself is within 0.02 of the best one"
        assert race.judge(self.settings, lines)[about].holds
        for line in lines:
            if line["what"] == "Zest" and tuple(line["split"]) == self.settings.usual(line["budget"]) != (1, 16):
                line["scores"] = [-score for score in line["scores"]]
        assert race.judge(self.settings, lines)[about].holds is False

    def test_scores_of_another_version_of_a_method_do_not_count(self):
        lines = race_lines(self.settings, {"weight cosine": 1.0})
        whole = race.table(self.settings, lines)["weight cosine"][16]
        old = [line | {"version": 1, "scores": [0.0] * len(line["scores"])} for line in lines if "victim" in line]
        old = [line for line in old if line["what"] == "weight cosine"]
        np.testing.assert_array_equal(race.table(self.settings, old + lines)["weight cosine"][16], whole)

    def test_weights_are_no_peer_that_only_asks(self):
        lines = race_lines(self.settings, {"Zest": 0.5, "weight cosine": 1.0})
        assert race.judge(self.settings, lines)[VERDICT].holds


VERDICT = "no peer that only asks finds more with 128,000 questions"


def race_lines(settings, gaps):
    """Scores of all pairs: a method's gap between related and unrelated ones, 0 by default; None: it cannot compare."""
    cases = settings.zoo.cases()
    noise = np.random.default_rng(0).random(len(cases)) * 0.1
    values = {
        name: [None if gap is None else noise[i] + gap * case.related for i, case in enumerate(cases)]
        for name, gap in {name: gaps.get(name, 0.0) for name in race.COLOURS}.items()
    }
    lines = [
        {"what": "Zest", "budget": budget, "split": list(split), "scores": values["Zest"]}
        for budget in settings.budgets
        for split in settings.splits(budget)
    ]
    for method in settings.methods:
        for victim in dict.fromkeys(case.victim for case in cases):
            rows = [i for i, case in enumerate(cases) if case.victim == victim]
            scores = [values[method.name][i] for i in rows]
            lines.append(
                {"what": method.name, "victim": victim, "budget": 16, "scores": scores, "version": method.version}
            )
    return lines


def reuse_lines(settings, *, zest_related=0.5, accuracy=0.8):
    """Zest's relative distance of all related pairs; ModelDiff detects all."""
    zoo = settings.zoo
    lines = []
    for task in (zoo.source, *zoo.targets):
        pairs = [pair for pair in zoo.pairs() if zoo.task_of(pair.victim) == task]
        distances = {
            "rows": [pair.row for pair in pairs],
            "related": [zest_related for _ in pairs],
            "unrelated": [[1.0 for _ in pair.unrelated] for pair in pairs],
        }
        lines += [{"what": method, "task": task.name, **distances} for method in ("Zest (cosine)", "Zest (l2)")]
        for pair in pairs:
            for model, distance in ((pair.suspect, 0.1), *((other, 1.0) for other in pair.unrelated)):
                key = {"what": "ModelDiff of", "task": task.name, "suspect": model}
                line = next((line for line in lines if key.items() <= line.items()), None)
                if line is None:
                    line = {**key, "distances": {}}
                    lines.append(line)
                line["distances"][pair.victim] = distance
    names = {name for pair in zoo.pairs() for name in (pair.victim, pair.suspect, *pair.unrelated)}
    return lines + [{"what": "model", "name": name, "accuracy": accuracy} for name in sorted(names)]


def cifar_like(name, split="train"):
    return dataclasses.replace(images(600, classes=10, size=8), class_names=CIFAR10)


def digits_like():
    return dataclasses.replace(images(40, classes=10, size=8), class_names=tuple("0123456789"))
