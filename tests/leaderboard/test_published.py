from leaderboard.published import matching, published


def test_all_figures_are_read_and_lie_between_zero_and_one() -> None:
    assert len(published()) == 188
    assert all(0 <= m.robust <= m.autoattack <= m.clean <= 1 for m in published())


def test_epsilons_are_never_mixed() -> None:
    exact, rounded = matching("cifar10", "linf:8/255"), matching("cifar10", "linf:0.031")
    assert (len(exact), len(rounded)) == (93, 6)
    assert not {(m.name, m.budget) for m in exact} & {(m.name, m.budget) for m in rounded}
    assert len(matching("cifar10", "l2:1/2")) == len(matching("cifar10", "l2:0.5")) > 0
    assert matching("cifar10", "l1:12") == []


def test_the_external_figure_counts_where_it_is_lower() -> None:
    by_name = {m.name: m for m in matching("cifar10", "linf:8/255")}
    sparse = by_name["Amini2024MeanSparse_Ra_WRN_70_16"]
    assert (sparse.robust, sparse.attack) == (0.6894, "external")
    plain = by_name["Wang2023Better_WRN-70-16"]
    assert (plain.robust, plain.attack) == (plain.autoattack, "AutoAttack")
