"""The rule by which a manifest may be deleted or not."""

from dataclasses import replace

from portus_gateway.operations.deletion import ManifestDeletion
from portus_gateway.operations.deletion_errors import manifest_in_use, unusable_tags
from portus_gateway.operations.manifest_dependents import Dependents


def check_may_be_deleted(wanted: ManifestDeletion, dependents: Dependents) -> None:
    """Raises `ManifestInUse` or `UnusableTags` if `dependents` need the manifest, unless `wanted.force`."""
    if wanted.force:
        return
    unexpected = replace(
        dependents,
        tags=tuple(tag for tag in dependents.tags if tag not in wanted.expected_tags),
        unusable_tags=(),
    )
    if unexpected != Dependents(()):
        raise manifest_in_use(f"{wanted.repository}@{wanted.digest}", unexpected)
    if dependents.unusable_tags:
        raise unusable_tags(f"{wanted.repository}@{wanted.digest}", dependents)
