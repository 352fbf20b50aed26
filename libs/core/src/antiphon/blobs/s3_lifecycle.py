"""What a bucket's lifecycle rules mean for our blobs.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html. They are the net below the sweeper,
which erases by the second; S3 counts in days.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from antiphon.resource import Finding, Verdict
from antiphon.retention import RetentionClass

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import LifecycleRuleOutputTypeDef as Rule

EPHEMERAL = f"{RetentionClass.EPHEMERAL.value}/"
"""How the keys of results begin that live for an hour."""


def examine_rules(rules: "Sequence[Rule]", prefix: str, *, versioned: bool) -> list[Finding]:
    """What is missing, and what is too much, for blobs below `prefix` (empty, or with a slash at its end)."""
    enabled = [(where, rule) for rule in rules if (where := _applies_to(rule)) is not None]
    covering = [rule for where, rule in enabled if prefix.startswith(where)]
    ephemeral = prefix + EPHEMERAL
    findings = [
        _wanted(
            [rule for rule in covering if "AbortIncompleteMultipartUpload" in rule],
            "aborts uploads that a killed program left incomplete",
            f"add one for the prefix {prefix!r} with AbortIncompleteMultipartUpload after 1 day",
        ),
        _wanted(
            [rule for where, rule in enabled if _expires(rule) and ephemeral.startswith(where)],
            f"expires what is below {ephemeral!r}",
            f"add one for the prefix {ephemeral!r} with Expiration after 1 day, as a net below the sweeper",
        ),
    ]
    if versioned:
        findings.append(
            _wanted(
                [rule for rule in covering if "NoncurrentVersionExpiration" in rule],
                "expires older versions, as which deleted blobs live on in this bucket",
                f"add one for the prefix {prefix!r} with NoncurrentVersionExpiration after 1 day, or keep no versions",
            )
        )
    findings += [
        Finding(
            Verdict.WARN,
            f"the lifecycle rule {rule.get('ID', '')!r} expires what is below {where!r}, whatever jobs were promised",
            f"limit it to the prefix {ephemeral!r}; the sweeper erases the others when their time has come",
        )
        for where, rule in enabled
        if _expires(rule) and _overlaps(where, prefix) and not where.startswith(ephemeral)
    ]
    return findings


def _applies_to(rule: "Rule") -> str | None:
    """The prefix of the objects that the rule is for; None if it is for none of ours, which carry no tags."""
    condition = rule.get("Filter", {})
    both = condition.get("And", {})
    if rule["Status"] != "Enabled" or "Tag" in condition or both.get("Tags"):
        return None
    return rule.get("Prefix") or condition.get("Prefix") or both.get("Prefix") or ""


def _overlaps(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _expires(rule: "Rule") -> bool:
    return not {"Days", "Date"}.isdisjoint(rule.get("Expiration", {}))


def _wanted(found: "Sequence[Rule]", does: str, advice: str) -> Finding:
    if found:
        return Finding(Verdict.OK, f"a lifecycle rule {does}")
    return Finding(Verdict.WARN, f"no lifecycle rule {does}", advice)
