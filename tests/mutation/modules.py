"""The modules that a mutation run covers, and the tests that must notice a change in each.

A module's tests are its mirror, `tests/access/test_policy.py` for `access/policy.py`, and those named here. All run the
module in the test's own process.
"""

from collections.abc import Sequence
from typing import Final

_INTERCEPTOR: Final = "rpc/test_caller_interceptor.py"
_AUTHORIZED: Final = "registry/test_authorized.py"
_KEYS: Final = ("access/test_key_url.py", "access/test_jwt_authenticator.py")
_FILES: Final = ("access/test_policy_file.py", "access/test_token_file.py")
_DELETE: Final = ("rpc/test_delete_manifest.py", "rpc/test_delete_blob.py")
_BATCH: Final = ("operations/test_audited_batch.py", "rpc/test_batch_delete_manifests.py")
_AUDITED: Final = "operations/test_audited_deletion.py"
_GUARDED: Final = "operations/test_guarded_deletion.py"
_CALLS: Final = ("rpc/test_boundary.py", _INTERCEPTOR, "rpc/test_server.py")

TESTS: Final[dict[str, Sequence[str]]] = {
    "access/admission.py": (_AUTHORIZED, _INTERCEPTOR),
    "access/audit_log.py": (),
    "access/audit_record.py": ("access/test_audit_log.py",),
    "access/authentication.py": (),
    "access/budgets.py": ("access/test_refusal_log.py",),
    "access/caller.py": (),
    "access/caller_limits.py": (),
    "access/client_certificates.py": ("access/test_tls.py",),
    "access/current_call.py": (_INTERCEPTOR, _AUTHORIZED),
    "access/errors.py": (
        _AUTHORIZED,
        "access/test_caller_limits.py",
        "access/test_jwt_authenticator.py",
        "access/test_policy_file.py",
        "access/test_tls.py",
    ),
    "access/jwt_authenticator.py": ("access/test_key_url.py",),
    "access/key_set.py": _KEYS,
    "access/key_sources.py": _KEYS,
    "access/key_url.py": ("access/test_jwt_authenticator.py",),
    "access/page_token_keys.py": ("rpc/test_page_tokens.py",),
    "access/policy.py": (_AUTHORIZED,),
    "access/policy_file.py": (),
    "access/policy_parsing.py": (),
    "access/principal_pattern.py": ("access/test_policy.py",),
    "access/refusal_log.py": (_AUTHORIZED,),
    "access/reloaded_file.py": _FILES,
    "access/repository_glob.py": ("access/test_policy.py",),
    "access/rpcs.py": (
        "access/test_policy.py",
        "access/test_policy_parsing.py",
        "access/test_documents.py",
        _AUTHORIZED,
        "rpc/test_stream_callers.py",
    ),
    "access/tls.py": (),
    "access/token_file.py": (),
    "access/watched_file.py": (*_FILES, "access/test_reloaded_file.py", "access/test_tls.py"),
    "distribution/authorization.py": ("distribution/test_learned_challenges.py", "distribution/test_account.py"),
    "distribution/blobs.py": ("distribution/test_download.py", _GUARDED, *_DELETE),
    "distribution/deletion.py": ("distribution/test_waits.py", *_DELETE, _GUARDED, _AUDITED),
    "distribution/origin.py": ("distribution/test_authorization.py", "distribution/test_paging.py"),
    "distribution/repository_evidence.py": (),
    "operations/audited_deletion.py": ("operations/test_audited_batch.py",),
    "operations/batch_deletion.py": _BATCH,
    "operations/deletion.py": ("operations/test_deletion_errors.py", _GUARDED, _AUDITED, *_BATCH),
    "operations/deletion_audit.py": (_AUDITED, "operations/test_audited_batch.py", _INTERCEPTOR),
    "operations/deletion_errors.py": (_GUARDED, _AUDITED, *_DELETE, *_BATCH),
    "operations/deletion_outcome.py": (_AUDITED, *_BATCH),
    "operations/deletion_guard.py": (_GUARDED, *_DELETE, *_BATCH),
    "operations/emulated_tag_deletion.py": ("rpc/test_emulated_tag_deletion.py", "operations/test_audited_batch.py"),
    "operations/guarded_deletion.py": (
        "operations/test_batch_deletion.py",
        "operations/test_tag_deletion.py",
        "operations/test_emulated_tag_deletion.py",
        "operations/test_remaining_tags.py",
        *_DELETE,
    ),
    "operations/large_documents.py": ("operations/test_manifest_presence.py", "operations/test_manifest_dependents.py"),
    "operations/manifest_dependents.py": (
        _GUARDED,
        "operations/test_batch_deletion.py",
        "rpc/test_large_manifests.py",
        *_BATCH,
    ),
    "operations/manifest_presence.py": (_GUARDED, *_DELETE),
    "operations/remaining_tags.py": (_GUARDED, "operations/test_batch_deletion.py"),
    "operations/tag_deletion.py": (
        "operations/test_emulated_tag_deletion.py",
        "rpc/test_delete_tag.py",
        "rpc/test_emulated_tag_deletion.py",
        "operations/test_audited_batch.py",
    ),
    "registry/authorized.py": (),
    "registry/cached.py": (),
    "registry/fresh.py": (),
    "registry/visible_catalog.py": (_AUTHORIZED, "rpc/test_catalog.py"),
    "rpc/boundary.py": (
        _INTERCEPTOR,
        "rpc/test_server.py",
        "rpc/test_drain.py",
        "rpc/test_streaming.py",
        "rpc/test_served_call.py",
        "rpc/test_failed_calls_keep_nothing.py",
        "rpc/test_request_bounds.py",
        "rpc/test_call_limit.py",
        "rpc/test_call_tracing.py",
        "rpc/test_health.py",
    ),
    "rpc/call_errors.py": (
        "rpc/test_status.py",
        "rpc/test_request_parsing.py",
        "rpc/test_call_limit.py",
        "rpc/test_boundary.py",
    ),
    "rpc/call_limit.py": (),
    "rpc/caller_interceptor.py": (*_CALLS, "rpc/test_stream_callers.py"),
    "rpc/interception.py": _CALLS,
    "rpc/method.py": ("rpc/test_request_bounds.py",),
    "rpc/open_services.py": ("rpc/test_health.py", "rpc/test_reflection.py"),
    "rpc/page_tokens.py": ("rpc/test_list_tags.py", "rpc/test_catalog.py"),
    "rpc/request_bounds.py": (),
    "rpc/request_parsing.py": (),
    "rpc/served_call.py": (
        *_CALLS,
        "rpc/test_drain.py",
        "rpc/test_streaming.py",
        "rpc/test_failed_calls_keep_nothing.py",
        "rpc/test_call_limit.py",
        "rpc/test_request_bounds.py",
        "rpc/test_open_services.py",
        "rpc/test_health.py",
        "rpc/test_reflection.py",
        "rpc/test_retry_pushback.py",
        "rpc/test_call_tracing.py",
        "rpc/test_stream_callers.py",
    ),
    "rpc/serving.py": ("rpc/test_served_call.py", "rpc/test_drain.py", "rpc/test_stream_callers.py"),
    "rpc/status.py": ("rpc/test_private_details.py", "rpc/test_request_parsing.py"),
    "rpc/unread_answers.py": (),
}


def files_for(module: str, present: Sequence[str]) -> list[str]:
    """The test files for `module`, the mirrored one first. `present` are all test files there are."""
    folder, _, name = module.rpartition("/")
    wanted = dict.fromkeys([f"{folder}/test_{name}", *TESTS[module]])
    return [f"tests/{file}" for file in wanted if file in present]
