import shutil

import pytest
import torch
from helpers.rankers import Planted

from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import TermWeights, list_cross_entropy
from lkgrag.ranker.model import RankerModel
from lkgrag.training.objective import losses, total_loss


@pytest.fixture(scope="module", params=["candidates", "letters"])
def toy(request):
    return Planted(num_users=30, llm={"readout": request.param})


def gradients(module):
    return {n: p.grad for n, p in module.named_parameters() if p.requires_grad}


def lively(gradient):
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())


def reaching(ranker, toy, what):
    """The scorer's parameters that have a gradient from its salience or its candidate scores."""
    batch, _ = toy.batch()
    out = ranker.scorer(batch.data, batch.paths)
    weights = torch.linspace(0.5, 2.0, getattr(out, what).numel())
    ranker.zero_grad()
    (getattr(out, what).flatten() * weights).sum().backward()
    return {n for n, g in gradients(ranker.scorer).items() if lively(g)}


def randomised(ranker):
    """Weights away from their special initial values, so that no gradient is 0 by symmetry."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in ranker.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return ranker


def test_with_a_zero_the_language_model_alone_teaches_the_salience(toy):
    ranker = randomised(toy.ranker())
    wanted = reaching(ranker, toy, "salience")
    ranker.fusion.set(TermWeights(1.0, 0.0, 1.0))
    batch, target = toy.batch()
    ranker.zero_grad()
    out = ranker(batch)
    list_cross_entropy(out.scores, target, batch.paths.candidate_mask).sum().backward()
    got = {n for n, g in gradients(ranker.scorer).items() if lively(g)}
    assert wanted
    assert got == wanted


def test_with_the_gates_off_the_fusion_teaches_the_candidate_scores(toy):
    shut = Planted(num_users=30, llm={"readout": toy.config.llm.readout, "gate": "off"})
    ranker = randomised(shut.ranker())
    wanted = reaching(ranker, shut, "candidate")
    batch, target = shut.batch()
    ranker.zero_grad()
    out = ranker(batch)
    list_cross_entropy(out.scores, target, batch.paths.candidate_mask).sum().backward()
    got = {n for n, g in gradients(ranker.scorer).items() if lively(g)}
    assert wanted
    assert got == wanted


def test_no_parameter_is_outside_both_routes(toy):
    ranker = randomised(toy.ranker())
    both = reaching(ranker, toy, "salience") | reaching(ranker, toy, "candidate")
    assert both == set(gradients(ranker.scorer))
    batch, target = toy.batch()
    out = ranker(batch)
    mask = batch.paths.candidate_mask
    parts = losses(out, target, mask, torch.ones(len(target)))
    ranker.zero_grad()
    total_loss(parts, toy.config.training).backward()
    assert {n for n, g in gradients(ranker).items() if not lively(g)} == set()


def test_gates_change_no_score(toy):
    ranker = toy.ranker().eval()
    batch, _ = toy.batch()
    with_gates = ranker(batch)
    assert with_gates.salience.requires_grad
    with torch.no_grad():
        without = ranker(batch)
    assert torch.equal(with_gates.scores, without.scores)
    assert with_gates.words.num_bundles > 0


def test_the_parts_add_up(toy):
    ranker = toy.ranker().eval()
    ranker.fusion.set(TermWeights(1.0, 0.3, 0.7))
    batch, _ = toy.batch()
    with torch.no_grad():
        out = ranker(batch)
    summed = out.lm + 0.3 * out.scorer + 0.7 * out.prior
    torch.testing.assert_close(out.scores, summed)
    torch.testing.assert_close(out.lm.sum(1), torch.zeros(len(out.lm)), atol=1e-4, rtol=0)


def test_without_a_language_model_the_ranker_is_scorer_and_prior(toy):
    batch, _ = toy.batch()
    scorer = toy.ranker().scorer.eval()
    with torch.no_grad():
        out = RankerModel(None, scorer, None)(batch)
    torch.testing.assert_close(out.scores, out.scorer + out.prior)
    with pytest.raises(ValueError, match="go together"):
        RankerModel(None, scorer, toy.ranker().prompter)


def test_a_saved_ranker_takes_no_other_files_place(small_run, tmp_path):
    from lkgrag import Ranker
    from lkgrag.errors import RunError
    from lkgrag.serving.saved_run import load_run

    ranker = Ranker.from_pretrained(small_run[0] / "out")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "page.md").write_text("mine")
    with pytest.raises(RunError, match=r"docs holds page\.md and no ranker"):
        ranker.save_pretrained(folder)
    assert (folder / "page.md").read_text() == "mine"
    with pytest.raises(RunError, match=r"page\.md: Not a directory; choose another folder"):
        ranker.save_pretrained(folder / "page.md")
    # Neither of these is a run that could go on.
    ranker.save_pretrained(tmp_path / "alone")
    with pytest.raises(
        RunError, match=r"alone: a saved ranker, not a run; rank with it by lkgrag\.recommend"
    ):
        load_run(str(tmp_path / "alone"))
    run = small_run[0] / "out"
    with pytest.raises(RunError, match=f"a saved ranker, not a run; name the run, run={run},"):
        load_run(str(run / "ranker"))
    shutil.rmtree(tmp_path / "alone")
    # What a process leaves that was killed while it replaced one.
    target = tmp_path / "ranker"
    ranker.save_pretrained(target)
    left = tmp_path / ".ranker.old"
    left.mkdir()
    (left / "ranker.json").write_text("{}")
    ranker.save_pretrained(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["docs", "ranker"]
    assert Ranker.from_pretrained(target).users() == ranker.users()


def test_saliences_that_are_not_finite_are_refused(toy):
    """As after a training that diverged."""
    ranker = toy.ranker()
    with torch.no_grad():
        next(iter(ranker.scorer.parameters())).fill_(torch.nan)
    with pytest.raises(ConfigError, match=r"scorer\.name=.*:MetapathAttention: .* NaN or infinite"):
        ranker(toy.batch()[0])
