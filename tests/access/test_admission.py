"""Which repositories an answer may name."""

from portus_gateway.access.admission import Admissions
from tests.access.calls import calling
from tests.access.policies import ROOT, STRANGER, TEAM_A, A, Fixed, parsed

ADMISSIONS = Admissions(Fixed(parsed(TEAM_A)))
NAMES = ["team-a/app", "team-a/scratch/app", "team-b/secret"]


def test_a_caller_sees_what_the_policy_lets_it_see() -> None:
    with calling(A, "Catalog"):
        for sees in (ADMISSIONS.visible(), ADMISSIONS.tags_visible()):
            assert sees is not None
            assert list(filter(sees, NAMES)) == NAMES[:2]
    with calling(STRANGER, "Catalog"):
        for sees in (ADMISSIONS.visible(), ADMISSIONS.tags_visible()):
            assert sees is not None
            assert not any(map(sees, NAMES))


def test_for_a_caller_who_sees_everything_nothing_is_looked_up() -> None:
    with calling(ROOT, "Catalog"):
        assert ADMISSIONS.visible() is None
        assert ADMISSIONS.tags_visible() is None


def test_the_right_to_list_names_is_not_that_to_list_tags() -> None:
    names_alone = TEAM_A.replace('rpcs = ["read"]', 'rpcs = ["Catalog"]')
    with calling(A, "Catalog"):
        admissions = Admissions(Fixed(parsed(names_alone)))
        sees, sees_tags = admissions.visible(), admissions.tags_visible()
        assert sees is not None
        assert sees_tags is not None
        assert sees("team-a/app")
        assert not sees_tags("team-a/app")
