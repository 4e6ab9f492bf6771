"""Samples are joined into groups, however they are ordered."""

from collections import Counter

from tiramisu.data.splitting.groups import join_where_possible, make_groups, name_groups
from tiramisu.data.splitting.split_samples import SplitSample


def facts(*names: str) -> list[SplitSample]:
    return [SplitSample(name=name, counts={0: 1, i: 2}) for i, name in enumerate(names)]


def test_a_group_has_the_samples_and_labels_of_all_that_are_joined() -> None:
    groups = make_groups(facts("d", "c", "b", "a", "e"), list("ddbae"), [(3, 1), (4, 2)])
    assert [group.samples for group in groups] == [(0, 1, 3), (2, 4)]
    assert [group.name for group in groups] == ["a", "b"]
    assert groups[0].counts == Counter({0: 4, 1: 2, 3: 2})


def test_names_of_groups() -> None:
    assert name_groups(["a1x", "b2", "a3"], "^[ab]") == ["~a", "~b", "~a"]
    assert name_groups(["a1x", "b2", "a3"], "[0-9](x)?") == ["~x", "~2", "~3"]
    assert name_groups(["a1", "a2", "x"], "^(a)") == ["~a", "~a", "=x"]
    assert name_groups(["a", "b"], None) == ["a", "b"]


def test_long_chains_stay_apart_and_short_ones_are_joined() -> None:
    samples = facts(*(f"s{i:02d}" for i in range(20)))
    names = [sample.name for sample in samples]
    pairs = [(i, i + 1) for i in range(8)] + [(15, 17)]
    groups, apart = join_where_possible(samples, names, pairs, parts=2)
    assert apart == [(i, i + 1) for i in range(8)]
    assert [group.samples for group in groups if len(group.samples) > 1] == [(15, 17)]
