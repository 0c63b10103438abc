"""Questions that a journal answers are asked again, to tell whether it is still the same model."""

import numpy as np
import pytest

import zest_jax as zest
from zest_jax.cost import costs_of
from zest_jax.errors import BudgetError, ModelOutputError


def test_journals_notice_another_model_when_told_to_verify(ask, server, images, logits, tmp_path):
    ask(journal=tmp_path / "j")(images[:10])
    asked = server.asked
    same_model = ask(journal=tmp_path / "j", verify=4)
    np.testing.assert_allclose(same_model(images), logits(images), rtol=1e-5)
    assert server.asked == asked + 4 + 11
    server.model = lambda values: (np.asarray(values).reshape(len(values), -1)[:, :4]).tolist()
    with pytest.raises(ModelOutputError, match=r"answers 5 questions of the journal differently now"):
        ask(journal=tmp_path / "j", verify=5)(images)


class TestVerifying:
    def test_it_goes_on_over_batches_until_all_are_verified(self, ask, server, images, logits, tmp_path):
        ask(journal=tmp_path / "j")(images[:15])
        asked = server.asked
        box = ask(journal=tmp_path / "j", verify=12)
        for start in range(0, 21, 5):
            np.testing.assert_allclose(box(images[start : start + 5]), logits(images[start : start + 5]), rtol=1e-5)
        assert server.asked == asked + 12 + 6
        assert sorted(server.answered.values()) == [1] * 9 + [2] * 12
        # One that was answered by this very run, or verified by it, says nothing new.
        more = ask(journal=tmp_path / "j", verify=30)
        asked = server.asked
        more(images[:10])
        more(images[5:])
        more(images)
        assert server.asked == asked + 21

    def test_what_it_asks_is_told_and_counts(self, ask, server, probes, tmp_path, capsys):
        first = ask(journal=tmp_path / "j", in_flight=1, inputs_per_request=4)
        server.fault = lambda n: 400 if n == 18 else None
        with pytest.raises(zest.ZestError, match="status 400"):
            zest.sign(first, probes, batch_size=16, check=False)
        server.fault = lambda n: None
        kept, asked, requests = first.sent.answered, server.asked, len(server.posts)
        assert kept > 60
        again = ask(journal=tmp_path / "j", inputs_per_request=4, verify=50, budget=asked + 50)
        (cost,) = costs_of([again], probes, batch_size=16, check=False)
        assert cost.verified == 50
        with pytest.raises(BudgetError, match=r"\(50 of them to verify that it is the same model\)"):
            zest.sign(again, probes, batch_size=16, check=False)
        assert server.asked == asked
        again = ask(journal=tmp_path / "j", inputs_per_request=4, verify=50, budget=cost.spent + cost.inputs + 32)
        zest.sign(again, probes, batch_size=16, progress=True)
        assert "(32 of them to check that it is deterministic, 50 of them to verify" in capsys.readouterr().err
        assert server.asked == asked + cost.inputs + 32
        assert len(server.posts) == requests + cost.requests + 8
        everything = ask(journal=tmp_path / "j", verify=5000)
        (all_of_it,) = costs_of([everything], probes, batch_size=16)
        asked = server.asked
        zest.sign(everything, probes, batch_size=16)
        assert server.asked == asked + all_of_it.inputs == asked + all_of_it.verified

    def test_another_model_is_noticed_in_a_later_batch(self, ask, server, images, tmp_path):
        ask(journal=tmp_path / "j")(images)
        box = ask(journal=tmp_path / "j", verify=20)
        box(images[:10])
        server.model = lambda values: (np.asarray(values).reshape(len(values), -1)[:, :4]).tolist()
        with pytest.raises(ModelOutputError, match=r"answers 10 questions of the journal differently now"):
            box(images[10:])
