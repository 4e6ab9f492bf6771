"""Groups are shared out so that every part has its share of every class."""

from collections import Counter

import pytest

from tiramisu.data.splitting.stratify import Group, share_out


def make(*counts: dict[int, int], sizes: list[int] | None = None) -> list[Group]:
    numbers = iter(range(10_000))
    return [
        Group(
            name=f"g{i}",
            samples=tuple(next(numbers) for _ in range(sizes[i] if sizes else 1)),
            counts=Counter(count),
        )
        for i, count in enumerate(counts)
    ]


def numbers_in(groups: list[Group], parts: list[int], part: int, label: int) -> int:
    return sum(g.counts[label] for g, p in zip(groups, parts, strict=True) if p == part)


@pytest.mark.parametrize("seed", range(20))
def test_a_class_in_three_of_fifty_groups_is_in_both_parts(seed: int) -> None:
    groups = make(*({0: 90, 1: 10} | ({2: 5} if i in (3, 4, 40) else {}) for i in range(50)))
    parts = share_out(groups, sizes=[40, 10], seed=seed)
    assert Counter(parts) == {0: 40, 1: 10}
    assert numbers_in(groups, parts, 0, 2) == 10
    assert numbers_in(groups, parts, 1, 2) == 5


@pytest.mark.parametrize("seed", range(20))
def test_every_class_of_two_groups_is_in_both_parts(seed: int) -> None:
    # Each rare class is together with others, so that the parts have to be mended.
    groups = make(*({0: 9, 1 + i % 12: 1, 13 + i // 2 % 10: 3} for i in range(24)))
    parts = share_out(groups, sizes=[19.2, 4.8], seed=seed)
    for label in range(13):
        assert numbers_in(groups, parts, 0, label) > 0
        assert numbers_in(groups, parts, 1, label) > 0


def test_the_pixels_of_a_class_have_their_share() -> None:
    groups = make(*({0: 1000, 1: 10 * (i % 10 + 1)} for i in range(100)))
    for seed in range(5):
        parts = share_out(groups, sizes=[80, 20], seed=seed)
        assert numbers_in(groups, parts, 1, 1) == pytest.approx(0.2 * 5500, rel=0.1)
        assert Counter(parts) == {0: 80, 1: 20}


def test_images_have_their_share_of_each_class() -> None:
    groups = make(*({0: 1} for _ in range(10)), *({1: 1} for _ in range(20)))
    parts = share_out(groups, sizes=[24, 6], seed=1)
    assert [numbers_in(groups, parts, 1, label) for label in (0, 1)] == [2, 4]
    folds = share_out(groups, sizes=[6] * 5, seed=1)
    for fold in range(5):
        assert [numbers_in(groups, folds, fold, label) for label in (0, 1)] == [2, 4]


def test_it_depends_on_seed_and_names_and_not_on_the_order() -> None:
    groups = make(*({0: 9, i % 3: 1 + i % 5} for i in range(30)))
    parts = share_out(groups, sizes=[24, 6], seed=1)
    chosen = {g.name for g, p in zip(groups, parts, strict=True) if p}
    backwards = groups[::-1]
    again = share_out(backwards, sizes=[24, 6], seed=1)
    assert {g.name for g, p in zip(backwards, again, strict=True) if p} == chosen
    assert len({tuple(share_out(groups, sizes=[24, 6], seed=seed)) for seed in range(5)}) > 3


def test_groups_of_several_samples_fill_the_parts() -> None:
    sizes = [5, 1, 1, 1, 5, 1, 1, 5]
    groups = make(*({0: size} for size in sizes), sizes=sizes)
    for seed in range(5):
        parts = share_out(groups, sizes=[16, 4], seed=seed)
        number = sum(len(g.samples) for g, p in zip(groups, parts, strict=True) if p)
        assert 2 <= number <= 6


def test_no_part_is_empty() -> None:
    for seed in range(5):
        assert set(share_out(make({}, {}), sizes=[9, 1], seed=seed)) == {0, 1}
        assert set(share_out(make({0: 1}, {0: 5}, {0: 2}), sizes=[1] * 3, seed=seed)) == {0, 1, 2}


def test_groups_without_labels_are_shared_out_by_size() -> None:
    parts = share_out(make(*({} for _ in range(10))), sizes=[8, 2], seed=1)
    assert Counter(parts) == {0: 8, 1: 2}


def test_mended_parts_keep_their_sizes() -> None:
    # The greedy choice puts both groups of class 1 into the larger part.
    groups = make(*({0: 9} | ({1: 1} if i in (5, 6) else {}) for i in range(40)))
    for seed in range(10):
        parts = share_out(groups, sizes=[32, 8], seed=seed)
        assert {parts[5], parts[6]} == {0, 1}
        assert Counter(parts) == {0: 32, 1: 8}
