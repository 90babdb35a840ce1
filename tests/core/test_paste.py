"""Crops around rare classes, and pasted objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_run import SMALL, Frames, noise_frames

from sernet_core.augment import AugmentConfig, augment
from sernet_core.datasets import Sample
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID
from sernet_core.paste import ObjectBank
from sernet_core.train.stream import TrainingStream

SKY, BUILDING, POLE, ROAD, SIGN, PEDESTRIAN = 0, 1, 2, 3, 6, 9
HEIGHT, WIDTH = 120, 160


def street(stem: str = "s", brightness: int = 100) -> Sample:
    """Sky over road; the label's id stands in the image's red channel."""
    label = np.full((HEIGHT, WIDTH), SKY, np.uint8)
    label[60:] = ROAD
    image = np.full((HEIGHT, WIDTH, 3), brightness, np.uint8)
    return Sample(stem, image, label)


def with_objects() -> Sample:
    """A sign on its pole, a pedestrian, and what cannot be cut out: at the border, too small, too wide."""
    sample = street("o")
    label, image = sample.label, sample.image
    assert label is not None
    label[30:80, 50:54], label[36:46, 46:57] = POLE, SIGN
    label[60:90, 100:110] = PEDESTRIAN
    label[70:90, 0:8] = PEDESTRIAN
    label[70:72, 70:72] = PEDESTRIAN
    label[100:104, 60:150] = POLE
    image[np.isin(label, (POLE, SIGN, PEDESTRIAN))] = 200
    return sample


RARE = (POLE, SIGN, PEDESTRIAN)


def test_objects_are_found_with_what_they_stand_on() -> None:
    bank = ObjectBank(Frames([street(), with_objects()]), RARE)
    assert set(bank.objects) == {POLE, PEDESTRIAN}
    (sign,), (pedestrian,) = bank.objects[POLE], bank.objects[PEDESTRIAN]
    assert sign.box == (46, 30, 11, 50) and sign.foot == 5  # the sign goes with its pole
    assert pedestrian.box == (100, 60, 10, 30)
    assert sign.ground == pedestrian.ground == ROAD and sign.frame == 1


def test_what_a_car_hides_is_not_cut_out() -> None:
    sample = with_objects()
    assert sample.label is not None
    sample.label[80:100, 40:64] = CAMVID.names.index("Car")  # before the sign's pole
    bank = ObjectBank(Frames([sample]), [POLE, SIGN, PEDESTRIAN])
    assert set(bank.objects) == {PEDESTRIAN}


def test_pasted_objects_stand_where_they_could() -> None:
    bank = ObjectBank(Frames([street(), with_objects()]), RARE)
    plain = street(brightness=50)
    assert plain.label is not None
    pasted = 0
    for seed in range(20):
        image, label = bank.paste(plain.image, plain.label, 3, np.random.default_rng(seed))
        again = bank.paste(plain.image, plain.label, 3, np.random.default_rng(seed))
        assert (image == again[0]).all() and (label == again[1]).all()
        new = label != plain.label
        pasted += bool(new.any())
        assert set(np.unique(label[new])) <= {POLE, SIGN, PEDESTRIAN}
        # What was bright beside its old surroundings is beside its new, darker ones.
        assert 80 < np.median(image[new]) < 120
        assert (image[~new] < 80).mean() > 0.99
        for column in np.flatnonzero(new.any(0)):
            foot = np.flatnonzero(new[:, column]).max()
            assert foot + 1 < HEIGHT
        feet = np.flatnonzero(new.any(1))
        assert not new.any() or feet.max() >= 60  # nothing hovers in the sky
    assert pasted == 20
    assert (plain.image == 50).all() and (plain.label[60:] == ROAD).all()


def test_a_mirrored_object_stands_on_its_mirrored_foot() -> None:
    """A sign that reaches far out to one side of its pole, over a road no wider than the pole."""
    sample = street("o")
    label = sample.label
    assert label is not None
    label[30:80, 50:54], label[30:40, 50:80] = POLE, SIGN
    bank = ObjectBank(Frames([sample]), (POLE, SIGN))
    plain = street()
    assert plain.label is not None
    plain.label[60:] = BUILDING
    plain.label[60:, 76:84] = ROAD
    sides = set()
    for seed in range(400):
        _, found = bank.paste(plain.image, plain.label, 1, np.random.default_rng(seed))
        pole = np.argwhere(found == POLE)
        if len(pole):
            bottom, columns = pole[:, 0].max(), pole[:, 1]
            assert (plain.label[bottom + 1, columns] == ROAD).any()
            sides.add(bool(np.argwhere(found == SIGN)[:, 1].mean() > columns.mean()))
    assert sides == {False, True}


def test_objects_find_no_place_where_nothing_bears_them() -> None:
    bank = ObjectBank(Frames([with_objects()]), RARE)
    walls = np.full((HEIGHT, WIDTH), BUILDING, np.uint8)
    _, label = bank.paste(street().image, walls, 3, np.random.default_rng(0))
    assert (label == BUILDING).all()


def test_nothing_to_cut_out_is_said() -> None:
    with pytest.raises(InputError, match="no object of Pole, Pedestrian that could be cut out"):
        ObjectBank(Frames([street()]), (POLE, PEDESTRIAN))


STILL = AugmentConfig(
    crop=(64, 64), scale=(1, 1), flip=0, brightness=0, contrast=0, saturation=0, hue=0, gamma=0, blur=0,
    noise=0, rare=("Pedestrian", "SignSymbol"), rare_crops=1.0,
)  # fmt: skip


def test_crops_are_laid_around_rare_classes() -> None:
    """Each class as often as the other, however few pixels it has; all over the crop; within the frame."""
    label = np.full((200, 300), ROAD, np.uint8)
    label[5, 290] = PEDESTRIAN
    label[100:140, 100:140] = SIGN
    image = np.repeat(label[..., None], 3, 2)
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        _, crop = augment(image, label, STILL, rng, (PEDESTRIAN, SIGN))
        assert (crop != 255).all()
        found.append((crop == PEDESTRIAN).any())
        assert found[-1] or (crop == SIGN).any()
    assert 70 <= sum(found) <= 130  # four standard deviations about 100
    none = replace(STILL, rare_crops=0.0)
    seen = [(augment(image, label, none, rng, (PEDESTRIAN, SIGN))[1] == PEDESTRIAN).any() for _ in range(200)]
    assert sum(seen) < 40


def test_frames_without_rare_classes_are_cropped_anywhere() -> None:
    plain = street()
    assert plain.label is not None
    _, crop = augment(plain.image, plain.label, STILL, np.random.default_rng(0), (PEDESTRIAN,))
    assert crop.shape == (64, 64) and (crop != 255).all()


def test_the_recipe_pastes_into_frames_of_the_data_set() -> None:
    config = replace(SMALL.augment, rare=("Pole", "SignSymbol", "Pedestrian"), paste=1.0, rare_crops=1.0)
    recipe = replace(SMALL, synthetic_share=0.0, augment=config)
    dataset = Frames([street("a"), street("b"), with_objects()])
    stream = TrainingStream(recipe, dataset)
    labels = [stream[number][1].numpy() for number in range(12)]
    assert sum(np.isin(label, RARE).any() for label in labels) > 8
    assert all((stream[number][1].numpy() == label).all() for number, label in enumerate(labels))
    plain = TrainingStream(replace(recipe, augment=replace(config, paste=0.0)), dataset)
    assert (
        sum(np.isin(plain[number][1].numpy(), RARE).any() for number in range(12)) == 4
    )  # one frame of three


def test_rare_classes_must_exist() -> None:
    config = replace(SMALL.augment, rare=("Pol",), rare_crops=0.5)
    with pytest.raises(ConfigError, match="Did you mean 'Pole'"):
        TrainingStream(replace(SMALL, augment=config), Frames(noise_frames(2)))
    with pytest.raises(ConfigError, match="set rare"):
        replace(SMALL.augment, paste=0.5)
    alone = replace(SMALL, synthetic_share=1.0, augment=replace(config, rare=("Pole",), paste=0.5))
    with pytest.raises(ConfigError, match="there is no data set"):
        TrainingStream(alone, None)
    assert CAMVID.id_of("Pole") == POLE
