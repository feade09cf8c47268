"""What was deleted, in words."""

from portus_client.cli import failures
from portus_client.cli.terminal import printable
from portus_client.deletion import DeletedBlob, DeletedManifest
from portus_client.errors import Cancelled, DeadlineExceeded, Internal, RegistryError, Unavailable


def description(deleted: DeletedManifest | DeletedBlob, repository: str) -> str:
    """What a delete deletes or has deleted: `team/app@sha256:... and its tag 1.0`."""
    name = f"{repository}@{deleted.digest}"
    match deleted:
        case DeletedBlob():
            text = f"the blob {name}"
        case DeletedManifest(deleted_tags=()):
            text = f"{name}, which has no tags"
        case DeletedManifest(deleted_tags=(tag,)):
            text = f"{name} and its tag {tag}"
        case DeletedManifest(deleted_tags=tags):
            text = f"{name} and its {len(tags)} tags {', '.join(tags)}"
    return printable(text)


def outcome_unknown(error: RegistryError) -> bool:
    """Whether a delete that failed with `error` may have been carried out all the same."""
    lost = isinstance(error, Unavailable | DeadlineExceeded | Cancelled | Internal)
    return lost and not failures.never_sent(error)
