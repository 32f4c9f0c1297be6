"""Tokens for Amazon MSK with IAM, by Amazon's own signer: imported at first use."""

from __future__ import annotations

import functools
from collections.abc import Callable

from interplay.core.errors import SetupError

Token = Callable[[], tuple[str, float]]  # gives a token and until when it counts, in seconds since the epoch


def msk_token(region: str) -> Token:
    """With the credentials that the AWS SDK finds: variables, profile, role of the machine or the pod.

    Raises SetupError where the signer is not installed.
    """
    sign = _signer()

    def token() -> tuple[str, float]:
        made, milliseconds = sign(region)
        return made, milliseconds / 1000

    return token


@functools.cache
def _signer() -> Callable[[str], tuple[str, int]]:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError:
        raise SetupError(
            "To say to Amazon MSK who Interplay is, its signer is needed.",
            where="INTERPLAY_KAFKA_SASL",
            advice="Install it with: pip install 'interplay[kafka-aws]'.",
        ) from None
    found: Callable[[str], tuple[str, int]] = MSKAuthTokenProvider.generate_auth_token
    return found
