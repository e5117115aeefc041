import json
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.augment.compose import AugmentConfig, default_augmentation
from segue.config import plan_from_dict, plan_from_toml, plan_to_dict, plan_to_toml, reasons_in
from segue.errors import UsageError
from segue.loss import LossConfig
from segue.model.unet import UNetConfig, paper_config
from segue.normalize import Normalization
from segue.plan import Plan
from segue.targets.prepare import TargetConfig
from segue.train.settings import BatchConfig, TrainConfig

USUAL = Plan(
    network=UNetConfig(padding="same", normalization="batch", dropout=0.2),
    normalization=Normalization(),
    targets=TargetConfig(),
    batches=BatchConfig(patch=(64, 96)),
    augment=default_augmentation((64, 96)),
    loss=LossConfig(dice=1.0),
    train=TrainConfig(learning_rate=1e-7, seed=3),
    reasons={"network": "because", "patch": "images are small"},
)
PLANS = {
    "usual": USUAL,
    "paper": replace(
        USUAL,
        network=paper_config(),
        batches=BatchConfig(patch=(572, 572), batch=1),
        targets=TargetConfig(class_weights=(1 / 1.8, 5.0)),
        mirror=False,
    ),
    "no pooling": replace(USUAL, network=UNetConfig(factors=(), kernels=((3, 3),))),
    "volumes of objects": replace(
        USUAL,
        network=UNetConfig(
            spatial_axes=3,
            outputs=3,
            factors=((1, 2, 2), (2, 2, 2)),
            kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
            padding="same",
        ),
        batches=BatchConfig(patch=(6, 8, 12), batch=7, foreground=0.0),
        targets=TargetConfig(separate=False, w0=0.0, distance=True),
        augment=default_augmentation((6, 8, 12), spacing=(5.0, 1.0, 1.0)),
    ),
    "CT beside PET": replace(
        USUAL,
        network=replace(USUAL.network, channels=2),
        normalization=Normalization(kinds=("fixed", "standard"), mean=(1 / 3,), std=(1e-20,), clip=((-1024.0, 1e300),)),
    ),
    "calibrated": replace(
        USUAL,
        normalization=Normalization(kind="fixed", mean=(0.1,), std=(1e-20,), clip=((-1024.0, 1e300),)),
        rgb=True,
        precision="fp32",
        context=0,
        augment=AugmentConfig(strength=0.0),
        validation_fraction=0.0,
    ),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_plan_comes_back_from_a_dictionary_and_from_json(kind):
    plan = PLANS[kind]
    assert plan_from_dict(plan_to_dict(plan)) == plan
    assert plan_from_dict(json.loads(json.dumps(plan_to_dict(plan)))) == plan


@pytest.mark.parametrize("kind", PLANS)
def test_a_plan_comes_back_from_toml_without_its_reasons(kind):
    text = plan_to_toml(PLANS[kind])
    assert plan_from_toml(text, source="plan.toml") == replace(PLANS[kind], reasons={})
    assert plan_to_toml(plan_from_toml(text, source="plan.toml")).count("# ") == 1  # the reasons were comments


def test_a_reason_that_names_a_file_of_several_lines_stays_a_comment():
    plan = replace(USUAL, reasons={"network": "as in a\nwidth = 3\r\x85\u2028b\x00.png"})
    text = plan_to_toml(plan)
    assert "# network: as in a width = 3   b .png\n" in text
    assert plan_from_toml(text, source="plan.toml") == replace(plan, reasons={})


def test_the_reasons_are_found_again_in_the_comments():
    plan = replace(USUAL, reasons={"network": "4 poolings: as many as the patch allows", "train": "Muon; 20 min"})
    assert reasons_in(plan_to_toml(plan)) == plan.reasons


def test_the_reasons_are_comments_for_whoever_edits_the_plan():
    text = plan_to_toml(USUAL)
    assert "# network: because\n# patch: images are small\n" in text
    assert "reasons" not in tomllib.loads(text)


@given(
    rate=st.floats(1e-300, 1e300),
    decay=st.floats(0, 1e300),
    share=st.floats(0, 1, exclude_max=True),
    weights=st.lists(st.floats(0, 1e300), max_size=2).map(tuple),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_number_comes_back_to_the_last_bit(rate, decay, share, weights, seed):
    plan = replace(
        USUAL,
        train=TrainConfig(learning_rate=rate, weight_decay=decay, warmup=share, seed=seed),
        targets=TargetConfig(class_weights=weights),
        validation_fraction=share,
        reasons={},
    )
    assert plan_from_toml(plan_to_toml(plan), source="plan.toml") == plan


def edited(old, new):
    text = plan_to_toml(USUAL)
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate", "learning_rat", r'"train.learning_rat" is not a setting; did you mean "learning_rate"\?'),
        (
            "kinds = []",
            'kinds = ["fixed", "magic"]',
            r"normalization.kinds.1: .*'standard', 'percentile', 'fixed' or 'none' \(it is 'magic'\)",
        ),
        ("kinds = []", 'kinds = ["none", "fixed"]', 'normalisation "fixed" needs mean and std, but mean'),
        ("kinds = []", 'kinds = "none"', r"normalization.kinds: .* \(it is 'none'\)"),
        ("context", "contxt", r'"contxt" is not a setting; did you mean "context"\?'),
        ("[augment.elastic]", "[augment.elastics]", r'"augment.elastics" .* did you mean "elastic"\?'),
        ("context", "zzz", r'"zzz" is not a setting; known are network, normalization, .*, reasons'),
        ("batch = 4", 'batch = "four"', r"batches.batch: .*integer.* \(it is 'four'\)"),
        ("batch = 4", "batch = 4.5", r"batches.batch: .*integer.* \(it is 4.5\)"),
        ("patch = [64, 96]", 'patch = [64, "b"]', r"batches.patch.1: .* \(it is 'b'\)"),
        ('padding = "same"', 'padding = "some"', r"network.padding: .*'valid' or 'same'.* \(it is 'some'\)"),
        ("patch = [64, 96]", "patch = [64, 90]", r"the network cannot take 90 px .* 80 or 96 px"),
        ("dice = 1.0", "dice = -1.0", "the factors of a loss are 0 or more"),
        ("dice = 1.0", "dice = inf", "loss.dice = inf is not a finite number; give one, however large"),
        ("std = []", "std = [1.0, nan]", "normalization.std.1 = nan is not a finite number"),
        ("patch = [64, 96]", "patch = []", r"a batch has at least 1 patch of at least 1 px, not 4 of \(\)"),
        ("[batches]", "[batches", "this is not valid TOML: "),
        ("[loss]", "[other]", r'"other" is not a setting; known are '),
    ],
)
def test_a_mistake_is_named_with_its_file_its_place_and_the_way_out(old, new, message):
    with pytest.raises(UsageError, match=f"plan.toml: ({message})"):
        plan_from_toml(edited(old, new), source="plan.toml")


def test_what_is_left_out_takes_its_default():
    plain = plan_to_dict(USUAL)
    del plain["train"]["learning_rate"], plain["mirror"]
    plan = plan_from_dict(plain)
    assert plan.train.learning_rate == TrainConfig().learning_rate
    assert plan.mirror


def test_parts_without_a_default_must_be_there():
    plain = plan_to_dict(USUAL)
    del plain["network"]
    with pytest.raises(UsageError, match=r"the plan: .*network.* missing; add it"):
        plan_from_dict(plain)


def test_a_number_where_a_table_belongs_is_named():
    with pytest.raises(UsageError, match=r"the plan: network: .* \(it is 3\)"):
        plan_from_dict(plan_to_dict(USUAL) | {"network": 3})
